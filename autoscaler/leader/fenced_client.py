"""The API server as the leader alone may write to it: the one place that no write can go around."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol

from adapter.sources.kubernetes.api import ApiError, ApiReader, Json
from autoscaler.leader.leadership import Leadership


class Api(ApiReader, Protocol):
    """KubeClient, or a fake of it."""

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json: ...
    async def put(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json: ...
    async def patch(
        self,
        path: str,
        body: Any,
        content_type: str = "application/merge-patch+json",
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 10.0,
    ) -> Json: ...


class FencedClient:
    """Reads pass. A write begins only while we lead, and is given up before another one may lead.

    What is refused raises ApiError with status 0 and reason `NotLeader`; it was not sent.
    """

    def __init__(self, api: Api, leadership: Leadership) -> None:
        self._api = api
        self._leadership = leadership

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0) -> Json:
        return await self._api.get(path, params, timeout_seconds=timeout_seconds)

    def stream(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        idle_timeout_seconds: float = 90.0,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Json]:
        return self._api.stream(path, params, idle_timeout_seconds=idle_timeout_seconds, on_open=on_open)

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:
        return await self._api.post(path, body, timeout_seconds=self._bounded(path, timeout_seconds))

    async def put(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:
        return await self._api.put(path, body, timeout_seconds=self._bounded(path, timeout_seconds))

    async def patch(
        self,
        path: str,
        body: Any,
        content_type: str = "application/merge-patch+json",
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 10.0,
    ) -> Json:
        seconds = self._bounded(path, timeout_seconds)
        return await self._api.patch(path, body, content_type, params, timeout_seconds=seconds)

    def _bounded(self, path: str, timeout_seconds: float) -> float:
        left = self._leadership.seconds_until_takeover()
        if left <= 0.0:
            raise ApiError(0, "NotLeader", f"{path}: not sent, the leader is {self._leadership.holder or 'not known'}")
        return min(timeout_seconds, left)
