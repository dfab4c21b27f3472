"""An API server in memory for one annotation of pods, with server-side apply's rules for who owns it."""

import copy
from collections.abc import Mapping
from typing import Any

from adapter.sources.kubernetes.api import ApiError, Json
from autoscaler.observe.pod_seen import POD_DELETION_COST


class FakePodApi:
    """pods: by path. writes: (path, annotations) that came so far. failures: raised by the next writes, in turn.

    refuses: raised by every write.
    """

    def __init__(self) -> None:
        self.pods: dict[str, Json] = {}
        self.writes: list[tuple[str, dict[str, str]]] = []
        self.failures: list[ApiError] = []
        self.refuses: ApiError | None = None

    def put(self, pod: Json) -> None:
        metadata = pod["metadata"]
        self.pods[f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"] = pod

    def cost(self, name: str) -> str | None:
        found = next(pod for path, pod in self.pods.items() if path.endswith(f"/{name}"))
        cost: str | None = (found["metadata"].get("annotations") or {}).get(POD_DELETION_COST)
        return cost

    def annotate(self, name: str, value: str, manager: str) -> None:
        """As `kubectl annotate --overwrite` does: by an update, which takes the field from its owners."""
        metadata = next(pod for path, pod in self.pods.items() if path.endswith(f"/{name}"))["metadata"]
        metadata.setdefault("annotations", {})[POD_DELETION_COST] = value
        _own(metadata, {manager})

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0) -> Json:  # noqa: ARG002
        raise AssertionError(f"{path}: pods are known by the watch")

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:  # noqa: ARG002
        raise AssertionError(f"{path}: no pod is made")

    async def patch(
        self,
        path: str,
        body: Any,
        content_type: str = "",
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 10.0,  # noqa: ARG002
    ) -> Json:
        assert content_type == "application/apply-patch+yaml"
        assert params is not None
        assert params["force"] == "false"
        assert set(body) == {"apiVersion", "kind", "metadata"}
        wanted: dict[str, str] = body["metadata"].get("annotations", {})
        self.writes.append((path, wanted))
        if self.refuses is not None:
            raise self.refuses
        if self.failures:
            raise self.failures.pop(0)
        metadata = self.pods.get(path, {}).get("metadata", {})
        if metadata.get("uid") != body["metadata"]["uid"]:
            raise ApiError(409, "Conflict", f"{path}: uid mismatch")
        _apply(metadata, wanted.get(POD_DELETION_COST), params["fieldManager"])
        return copy.deepcopy(self.pods[path])


def owners(metadata: Json) -> set[str]:
    return {entry["manager"] for entry in metadata.get("managedFields", [])}


def _apply(metadata: Json, value: str | None, manager: str) -> None:
    annotations = metadata.setdefault("annotations", {})
    others = owners(metadata) - {manager}
    if value is None:
        if manager in owners(metadata):
            _own(metadata, others)
            if not others:
                annotations.pop(POD_DELETION_COST, None)
        return
    if others and annotations.get(POD_DELETION_COST) != value:
        raise ApiError(409, "Conflict", f"Apply failed with 1 conflict: conflict with {sorted(others)}")
    annotations[POD_DELETION_COST] = value
    _own(metadata, others | {manager})


def _own(metadata: Json, managers: set[str]) -> None:
    field = {"f:metadata": {"f:annotations": {f"f:{POD_DELETION_COST}": {}}}}
    metadata["managedFields"] = [
        {"manager": manager, "operation": "Apply", "fieldsV1": field} for manager in sorted(managers)
    ]
