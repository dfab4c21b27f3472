"""An API server in memory: it holds objects by path, judges reviews by functions, and can be told to fail."""

import asyncio
import copy
from collections.abc import Callable, Mapping
from typing import Any

from adapter.sources.kubernetes.api import ApiError

Json = dict[str, Any]
UNREACHABLE = ApiError(0, "Unreachable", "connection refused")


class FakeObjectApi:
    """objects: by path. reviews: what judges a POST to a path, instead of creating. calls: (method, path) so far.

    failure: raised by every call while it is set. failing: by path. before: called with (method, path) before each
    call, to let others come first. gate: every call waits for it.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Json] = {}
        self.reviews: dict[str, Callable[[Json], Json]] = {}
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[Json] = []
        self.failure: ApiError | None = None
        self.failing: dict[tuple[str, str], ApiError] = {}
        self.before: Callable[[str, str], None] = lambda *_: None
        self.gate = asyncio.Event()
        self.gate.set()
        self._version = 0

    def add(self, path: str, body: Json) -> None:
        self._version += 1
        metadata = {"resourceVersion": str(self._version), **body.get("metadata", {})}
        self.objects[path] = {**body, "metadata": metadata}

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:  # noqa: ARG002
        await self._called("GET", path)
        return copy.deepcopy(self._found(path))

    async def post(self, path: str, body: Any) -> Json:
        self.bodies.append(body)
        await self._called("POST", path)
        if path in self.reviews:
            return {**body, "status": self.reviews[path](body["spec"])}
        at = f"{path}/{body['metadata']['name']}"
        if at in self.objects:
            raise ApiError(409, "AlreadyExists", f"{at} already exists")
        self.add(at, body)
        return copy.deepcopy(self.objects[at])

    async def put(self, path: str, body: Any) -> Json:
        await self._called("PUT", path)
        self._check_version(path, body)
        self.add(path, {**body, "metadata": _without_version(body["metadata"])})
        return copy.deepcopy(self.objects[path])

    async def patch(self, path: str, body: Any, content_type: str) -> Json:
        assert content_type == "application/merge-patch+json"
        await self._called("PATCH", path)
        self._check_version(path, body)
        found = self._found(path)
        spec = {**found["spec"], **body["spec"]}
        self.add(
            path,
            {
                **found,
                "metadata": _without_version(found["metadata"]),
                "spec": {key: value for key, value in spec.items() if value is not None},
            },
        )
        return copy.deepcopy(self.objects[path])

    async def _called(self, method: str, path: str) -> None:
        self.calls.append((method, path))
        await asyncio.sleep(0)  # where the real client lets others run
        self.before(method, path)
        await self.gate.wait()
        if failure := self.failure or self.failing.get((method, path)):
            raise failure

    def _found(self, path: str) -> Json:
        if path not in self.objects:
            raise ApiError(404, "NotFound", f"{path} not found")
        return self.objects[path]

    def _check_version(self, path: str, body: Json) -> None:
        version = body["metadata"].get("resourceVersion")
        if version is not None and version != self._found(path)["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", f"{path}: the object has been modified")


def _without_version(metadata: Json) -> Json:
    return {key: value for key, value in metadata.items() if key != "resourceVersion"}
