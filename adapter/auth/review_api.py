"""What this package asks of the Kubernetes API; adapter.sources.kubernetes.client fulfils it.

Every call raises adapter.sources.kubernetes.api.ApiError where the API server refuses or does not answer.
"""

from collections.abc import Mapping
from typing import Any, Protocol


class ReviewApi(Protocol):
    """Where reviews are sent to. Paths start with `/`; bodies and answers are plain JSON objects."""

    async def post(self, path: str, body: Any) -> dict[str, Any]: ...


class ObjectApi(ReviewApi, Protocol):
    """Where single objects are read and written."""

    async def get(self, path: str, params: Mapping[str, str] | None = None) -> dict[str, Any]: ...

    async def put(self, path: str, body: Any) -> dict[str, Any]: ...

    async def patch(self, path: str, body: Any, content_type: str) -> dict[str, Any]: ...
