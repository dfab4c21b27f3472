"""What the rest of this package needs of a Kubernetes API server, and how it fails."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Protocol, TypeAlias

Json: TypeAlias = dict[str, Any]


class ApiError(Exception):
    """A request that the API server refused, or that never got an answer.

    status: the HTTP status; 0 where there was no answer.
    reason: the Status object's (`Forbidden`, `NotFound`, `Expired`), or, with status 0, `Unreachable`, `Timeout`,
        `Disconnected`, `Malformed` or `Credentials`.
    retry_after_seconds: what the server asked for, None if it did not say.
    A retry helps with status 0, 429 and 5xx; with 401 and 403 once somebody has mended the rights.
    """

    def __init__(self, status: int, reason: str, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{status or 'no answer'} {reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class ApiReader(Protocol):
    """Reads objects as plain JSON. Paths start with `/`: `/api/v1/pods`."""

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0
    ) -> Json: ...

    def stream(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        idle_timeout_seconds: float = 90.0,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Json]: ...
