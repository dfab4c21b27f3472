"""An API server in memory for what the controller writes: versions, merge patches, and who owns spec.minReplicas."""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from adapter.sources.kubernetes.api import ApiError

Json = dict[str, Any]


class FakeObjectServer:
    """objects: by path; a scale or status subresource is an object of its own. writes: (verb, path, body) so far.

    is_leader: otherwise writes are refused as leader.FencedClient does. failures: raised by the next writes, in turn.
    before_write: called once before the next write, to let others come first.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.writes: list[tuple[str, str, Json]] = []
        self.reads: list[str] = []
        self.is_leader = True
        self.failures: list[ApiError] = []
        self.before_write: Callable[[], object] | None = None
        self._version = 0

    def put(self, path: str, body: Json) -> None:
        """As somebody else writes it."""
        self._version += 1
        metadata = {"uid": f"uid of {path}", **body.get("metadata", {}), "resourceVersion": str(self._version)}
        self.objects[path] = {**body, "metadata": metadata}

    def set_min_replicas(self, path: str, value: int, manager: str) -> None:
        """By another field manager, which owns the field from then on."""
        body = copy.deepcopy(self.objects[path])
        body["spec"]["minReplicas"] = value
        body["metadata"]["managedFields"] = [_owner_of_min_replicas(manager, "Update")]
        self.put(path, body)

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0) -> Json:  # noqa: ARG002
        self.reads.append(path)
        if path.endswith("/horizontalpodautoscalers"):
            kept = path.removesuffix("/horizontalpodautoscalers")
            items = [body for at, body in self.objects.items() if at.startswith(kept) and "/horizontalpod" in at]
            start = int((params or {}).get("continue", 0))
            page: Json = {"items": copy.deepcopy(items[start : start + 1]), "metadata": {}}
            if start + 1 < len(items):
                page["metadata"] = {"continue": str(start + 1)}
            return page
        return copy.deepcopy(self._found(path))

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:  # noqa: ARG002
        at = f"{path}/{body['metadata']['name']}"
        self._writing("POST", at, body)
        if at in self.objects:
            raise ApiError(409, "AlreadyExists", f"{at} already exists")
        self.put(at, body)
        return self.objects[at]

    async def patch(
        self,
        path: str,
        body: Any,
        content_type: str = "",
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 10.0,  # noqa: ARG002
    ) -> Json:
        self._writing("PATCH", path, body)
        found = self._found(path)
        for name in ("resourceVersion", "uid"):
            if body.get("metadata", {}).get(name, found["metadata"][name]) != found["metadata"][name]:
                raise ApiError(409, "Conflict", f"{path}: the object has been modified ({name})")
        assert params is not None
        after = merged(found, body)
        if "minReplicas" in body.get("spec", {}):
            is_apply = content_type.startswith("application/apply-patch")
            own_min_replicas(found, after, params, "Apply" if is_apply else "Update")
        self.put(path, after)
        return self.objects[path]

    def _writing(self, verb: str, path: str, body: Json) -> None:
        if self.before_write is not None:
            hook, self.before_write = self.before_write, None
            hook()
        if not self.is_leader:
            raise ApiError(0, "NotLeader", f"{path}: not sent")
        self.writes.append((verb, path, copy.deepcopy(body)))
        if self.failures:
            raise self.failures.pop(0)

    def _found(self, path: str) -> Json:
        if path not in self.objects:
            raise ApiError(404, "NotFound", f"{path} not found")
        return self.objects[path]


def merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def own_min_replicas(before: Json, after: Json, params: Mapping[str, str], operation: str) -> None:
    """Server-side apply's rules for one field: another value takes it from its owners, which needs force to apply."""
    manager = params["fieldManager"]
    entries = list(before["metadata"].get("managedFields") or ())
    if before["spec"].get("minReplicas") != after["spec"]["minReplicas"]:
        others = [each["manager"] for each in entries if each["manager"] != manager]
        if others and operation == "Apply" and params.get("force") != "true":
            raise ApiError(
                409, "Conflict", f'Apply failed with 1 conflict: conflict with "{others[0]}": .spec.minReplicas'
            )
        entries = []
    if not any((each["manager"], each["operation"]) == (manager, operation) for each in entries):
        entries.append(_owner_of_min_replicas(manager, operation))
    after["metadata"] = {**after["metadata"], "managedFields": entries}


def _owner_of_min_replicas(manager: str, operation: str) -> Json:
    return {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}
