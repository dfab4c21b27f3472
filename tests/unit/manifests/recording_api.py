"""An API server in memory that notes which right each request takes, as the real one derives it.

Source: k8s.io/apiserver v0.36.3 pkg/endpoints/request/requestinfo.go (NewRequestInfo), handlers/patch.go (an apply that
creates is authorized as a create too); kubernetes v1.36.3 pkg/apis/rbac/v1/evaluation_helpers.go.
"""

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NamedTuple

from adapter.sources.kubernetes.api import ApiError

Json = dict[str, Any]
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


class Right(NamedTuple):
    """resource: with its subresource, `deployments/scale`. name: of the object, "" for none."""

    group: str
    resource: str
    verb: str
    name: str = ""


def right_for(method: str, path: str, *, watch: bool = False) -> Right | None:
    """What a request takes; None for discovery, which everybody may (system:discovery)."""
    prefix, *parts = path.strip("/").split("/")
    group = parts.pop(0) if prefix == "apis" else ""
    parts = parts[1:]
    if not parts:
        return None
    if parts[0] == "namespaces" and len(parts) > 2:
        parts = parts[2:]
    resource, name, subresource = (*parts, "", "")[:3]
    reads = "get" if name else "watch" if watch else "list"
    return Right(group, f"{resource}/{subresource}" if subresource else resource, _VERBS.get(method, reads), name)


def allows(rule: Json, right: Right) -> bool:
    """Whether one rule of a Role or ClusterRole grants it."""
    of_any = f"*/{right.resource.partition('/')[2]}" if "/" in right.resource else None
    return (
        any(group in ("*", right.group) for group in rule["apiGroups"])
        and any(resource in ("*", right.resource, of_any) for resource in rule["resources"])
        and right.verb in rule["verbs"]
        and right.name in rule.get("resourceNames", [right.name])
    )


class RecordingApi:
    """objects: by path, as they are read and written. conflicts: that the next writes meet. rights: that all requests
    so far took."""

    def __init__(self, objects: Mapping[str, Json] | None = None) -> None:
        self.objects: dict[str, Json] = dict(objects or {})
        self.conflicts = 0
        self.rights: set[Right] = set()

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0) -> Json:  # noqa: ARG002
        right = self._take(right_for("GET", path))
        if path in self.objects:
            return copy.deepcopy(self.objects[path])
        if right is None or right.verb != "list":
            raise ApiError(404, "NotFound", f"{path}: not found")
        return {"metadata": {"resourceVersion": "1"}, "items": list(self._of(right))}

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:  # noqa: ARG002
        self._take(right_for("POST", path))
        return self._kept(f"{path}/{body['metadata']['name']}", body)

    async def put(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:  # noqa: ARG002
        self._take(right_for("PUT", path))
        return self._kept(path, body)

    async def patch(
        self,
        path: str,
        body: Any,
        content_type: str = "application/merge-patch+json",
        params: Mapping[str, str] | None = None,  # noqa: ARG002
        *,
        timeout_seconds: float = 10.0,  # noqa: ARG002
    ) -> Json:
        right = self._take(right_for("PATCH", path))
        assert right is not None, path
        if self.conflicts:
            self.conflicts -= 1
            raise ApiError(409, "Conflict", f"{path}: changed meanwhile")
        if content_type == "application/apply-patch+yaml" and path not in self.objects:
            self._take(right._replace(verb="create", name=""))
        return self._kept(path, {**self.objects.get(path, {}), **body})

    async def stream(
        self,
        path: str,
        params: Mapping[str, str] | None = None,  # noqa: ARG002
        *,
        idle_timeout_seconds: float = 90.0,  # noqa: ARG002
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Json]:
        self._take(right_for("GET", path, watch=True))
        if on_open is not None:
            on_open()
        await asyncio.Event().wait()  # nothing ever happens
        yield {}

    def _take(self, right: Right | None) -> Right | None:
        if right is not None:
            self.rights.add(right)
        return right

    def _kept(self, path: str, body: Json) -> Json:
        self.objects[path] = copy.deepcopy(body)
        return copy.deepcopy(body)

    def _of(self, wanted: Right) -> Iterable[Json]:
        for path, item in self.objects.items():
            found = right_for("GET", path)
            if found is not None and (found.group, found.resource) == (wanted.group, wanted.resource):
                yield copy.deepcopy(item)
