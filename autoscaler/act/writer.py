"""How everything is written: under one field manager, counted, and by the leader alone."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from adapter.sources.kubernetes.api import ApiError, Json

FIELD_MANAGER = "leadtime-controller"
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # JSON is YAML


class WriteClient(Protocol):
    """What of leader.FencedClient is used: before each write it asks for the right to write."""

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0
    ) -> Json: ...

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json: ...

    async def patch(
        self,
        path: str,
        body: Any,
        content_type: str = MERGE_PATCH,
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 10.0,
    ) -> Json: ...


class NotLeader(Exception):
    """Nothing was sent: another replica may be the leader by now."""


class Writer:
    """Patches and creates objects.

    client: fenced: what the leader alone may send is refused there with reason `NotLeader`.
    field_manager: the name in managedFields, by which people and GitOps tools know whose a field is.
    count: told (kind, outcome) of each request that was sent: kind as the caller names it (`scale`, `floor`, `status`,
        `event`), outcome `ok`, `conflict` or `error`.
    """

    def __init__(
        self,
        client: WriteClient,
        *,
        field_manager: str = FIELD_MANAGER,
        count: Callable[[str, str], None] = lambda *_: None,
    ) -> None:
        self.field_manager = field_manager
        self._client = client
        self._count = count

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> Json:
        """Raises ApiError."""
        return await self._client.get(path, params)

    async def merge(self, path: str, body: Json, *, kind: str) -> Json:
        """A JSON merge patch; with metadata.resourceVersion in it, only of the object as it was seen. Raises NotLeader,
        ApiError (409: changed meanwhile)."""
        return await self._patch(path, body, MERGE_PATCH, {"fieldManager": self.field_manager}, kind)

    async def apply(self, path: str, body: Json, *, force: bool, kind: str) -> Json:
        """Server-side apply. force: take fields that another manager owns. Raises NotLeader, ApiError."""
        params = {"fieldManager": self.field_manager, "force": "true" if force else "false"}
        return await self._patch(path, body, APPLY_PATCH, params, kind)

    async def create(self, path: str, body: Json, *, kind: str) -> Json:
        """Raises NotLeader, ApiError."""
        with _Counted(self._count, kind):
            return await self._client.post(path, body)

    async def _patch(self, path: str, body: Json, content_type: str, params: Mapping[str, str], kind: str) -> Json:
        with _Counted(self._count, kind):
            return await self._client.patch(path, body, content_type, params)


class _Counted:
    """Counts one request by its outcome; one that was cancelled is an error, as nobody knows what came of it."""

    def __init__(self, count: Callable[[str, str], None], kind: str) -> None:
        self._count, self._kind = count, kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        if isinstance(error, ApiError) and error.reason == "NotLeader":
            raise NotLeader("this replica of the controller is not the leader") from error
        if error is None:
            outcome = "ok"
        else:
            outcome = "conflict" if isinstance(error, ApiError) and error.status == 409 else "error"
        self._count(self._kind, outcome)
