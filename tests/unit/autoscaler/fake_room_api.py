"""An API server in memory for objects that hold room: lists by labels, applies, merges, and can be told to fail."""

import copy
from collections.abc import Mapping
from typing import Any

from adapter.sources.kubernetes.api import ApiError

Json = dict[str, Any]


class FakeRoomApi:
    """objects: by path. served: other paths and what is answered there. writes: (method, path, body) so far.

    failing: by path or its beginning, raised for every call there. refuses_writes: raised for every write.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.served: dict[str, Json] = {}
        self.writes: list[tuple[str, str, Json]] = []
        self.failing: dict[str, ApiError] = {}
        self.refuses_writes: ApiError | None = None

    async def get(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 10.0,  # noqa: ARG002
    ) -> Json:
        self._fail(path)
        if path in self.served:
            return self.served[path]
        if path in self.objects:
            return copy.deepcopy(self.objects[path])
        if params is None:
            raise ApiError(404, "NotFound", f"{path} not found")
        return {"items": [_as_item(each) for at, each in self.objects.items() if self._listed(path, at, each, params)]}

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:  # noqa: ARG002
        raise AssertionError(f"{path}: room is applied, never created")

    async def patch(
        self,
        path: str,
        body: Any,
        content_type: str = "application/merge-patch+json",
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 10.0,  # noqa: ARG002
    ) -> Json:
        self._fail(path)
        if self.refuses_writes is not None:
            raise self.refuses_writes
        self.writes.append((content_type, path, copy.deepcopy(body)))
        if content_type == "application/apply-patch+yaml":
            assert params == {"fieldManager": "leadtime-controller", "force": "true"}
            self.objects[path] = {**copy.deepcopy(body), "status": self.objects.get(path, {}).get("status", {})}
        else:
            if path not in self.objects:
                raise ApiError(404, "NotFound", f"{path} not found")
            self.objects[path]["spec"] |= body["spec"]
        return copy.deepcopy(self.objects[path])

    def _fail(self, path: str) -> None:
        for prefix, error in self.failing.items():
            if path.startswith(prefix):
                raise error

    @staticmethod
    def _listed(path: str, at: str, item: Json, params: Mapping[str, str]) -> bool:
        """`/apis/apps/v1/deployments` lists what is at `/apis/apps/v1/namespaces/NAMESPACE/deployments/NAME`."""
        group, _, resource = path.rpartition("/")
        namespace = item["metadata"]["namespace"]
        group = group.removesuffix(f"/namespaces/{namespace}")
        if at != f"{group}/namespaces/{namespace}/{resource}/{item['metadata']['name']}":
            return False
        labels = item["metadata"]["labels"]
        return all(
            labels.get(term.partition("=")[0]) == term.partition("=")[2] if "=" in term else term in labels
            for term in params["labelSelector"].split(",")
        )


def _as_item(body: Json) -> Json:
    """As in a list: only the list itself says apiVersion and kind."""
    return {part: copy.deepcopy(value) for part, value in body.items() if part not in ("apiVersion", "kind")}
