"""One connection to the API server: a session with its credentials, over the official client."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from yarl import URL

from adapter.sources.kubernetes.api import ApiError

SHOWN_CHARACTERS = 300  # of an answer that is not understood


class Unauthorized(Exception):
    """401: the credentials may have to be loaded again. refusal: what to raise where that does not help."""

    def __init__(self, refusal: ApiError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


class Connection:
    """A session with its credentials, closed when it is retired and its last request has ended."""

    def __init__(self, configuration: Configuration) -> None:
        self.api = ApiClient(configuration)
        self._users = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._users += 1
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._users -= 1
        self._close_if_unused()

    def retire(self) -> None:
        self._retired = True
        self._close_if_unused()

    async def close(self) -> None:
        await self.api.close()  # type: ignore[no-untyped-call]

    def _close_if_unused(self) -> None:
        if self._retired and not self._users:
            self._closing = asyncio.get_running_loop().create_task(self.close())

    async def send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        body: Any,
        content_type: str,
        limits: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        """The response with its body unread. Raises ApiError, Unauthorized and what aiohttp raises."""
        configuration = self.api.configuration
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "leadtime"}
        headers.update({auth["key"]: auth["value"] for auth in (await configuration.auth_settings()).values()})
        query = f"?{urlencode(params, quote_via=quote)}" if params else ""
        answer = await self.api.rest_client.request(  # type: ignore[no-untyped-call]
            method, URL(f"{configuration.host}{path}{query}", encoded=True), headers, body, _request_timeout=limits
        )
        response: aiohttp.ClientResponse = answer.response
        if response.status >= 300:
            refusal = _refusal(response, await response.read(), path)
            raise Unauthorized(refusal) if response.status == 401 else refusal
        return response


def _refusal(response: aiohttp.ClientResponse, body: bytes, path: str) -> ApiError:
    """The answer as an error: its Status object where it holds one (a proxy's page does not)."""
    try:
        status = json.loads(body)
        reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    except (ValueError, AttributeError):
        reason, message = "", body[:SHOWN_CHARACTERS].decode("utf-8", "replace").strip()
    try:
        retry_after = float(response.headers["Retry-After"])
    except (KeyError, ValueError):
        retry_after = None
    return ApiError(
        response.status, reason or response.reason or "", f"{path}: {message}", retry_after_seconds=retry_after
    )
