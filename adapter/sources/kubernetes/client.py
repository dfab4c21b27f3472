"""The Kubernetes API as plain JSON, over the official client's connection and credentials."""

import asyncio
import contextlib
import json
import logging
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Self

import aiohttp
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException

from adapter.sources.kubernetes.api import ApiError, Json
from adapter.sources.kubernetes.configuration import BadKubeconfig, load_configuration
from adapter.sources.kubernetes.connection import SHOWN_CHARACTERS, Connection, Unauthorized

_log = logging.getLogger(__name__)
_CONNECT_TIMEOUT_SECONDS = 10.0
_RENEWAL_PAUSE_SECONDS = 30.0  # at most one new login in this time, so that a refused one is not repeated in a loop


class KubeClient:
    """Requests to one API server. Objects stay dicts: the library's models cost more CPU and memory than the objects.

    On 401, or when the server's certificate no longer verifies, the configuration is loaded again once (an expired
    exec-plugin token, a rotated CA or client certificate) and the request repeated.
    """

    def __init__(
        self,
        configuration: Configuration,
        *,
        load: Callable[[], Awaitable[Configuration]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = Connection(configuration)
        self._load = load
        self._monotonic = monotonic
        self._renewing = asyncio.Lock()
        self._renewable_at = float("-inf")

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, context: str | None = None) -> Self:
        """A client for the cluster that `load_configuration` finds. Raises BadKubeconfig."""

        async def load() -> Configuration:
            return await load_configuration(kubeconfig, context)

        return cls(await load(), load=load)

    async def get(self, path: str, params: Mapping[str, str] | None = None, *, timeout_seconds: float = 10.0) -> Json:
        return await self._json("GET", path, params, timeout_seconds=timeout_seconds)

    async def post(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:
        return await self._json("POST", path, body=body, timeout_seconds=timeout_seconds)

    async def put(self, path: str, body: Any, *, timeout_seconds: float = 10.0) -> Json:
        return await self._json("PUT", path, body=body, timeout_seconds=timeout_seconds)

    async def patch(
        self,
        path: str,
        body: Any,
        content_type: str = "application/merge-patch+json",
        params: Mapping[str, str] | None = None,
        *,
        timeout_seconds: float = 10.0,
    ) -> Json:
        """content_type: application/{merge-patch,strategic-merge-patch,json-patch}+json, or apply-patch+yaml with
        `fieldManager` (and `force`) in params; a JSON patch's body is a list."""
        if content_type == "application/json-patch+json" and not isinstance(body, list):
            raise TypeError("a JSON patch is a list: the library would send a dict as a strategic merge patch")
        return await self._json("PATCH", path, params, body, content_type, timeout_seconds=timeout_seconds)

    async def stream(
        self,
        path: str,
        params: Mapping[str, str] | None = None,
        *,
        idle_timeout_seconds: float = 90.0,
        on_open: Callable[[], None] | None = None,
    ) -> AsyncIterator[Json]:
        """The JSON lines of a watch, until the server ends it; close it with `contextlib.aclosing`.

        idle_timeout_seconds: without a byte for so long, ApiError with reason `Timeout`: a connection may die in
        silence. on_open: called when the server has accepted the watch.
        """
        limits = aiohttp.ClientTimeout(
            total=None, sock_connect=_CONNECT_TIMEOUT_SECONDS, sock_read=idle_timeout_seconds
        )
        async with self._answer("GET", path, params, limits=limits) as response:
            if on_open is not None:
                on_open()
            while line := await _read_line(response, path):
                yield _parse(line, path)

    async def close(self) -> None:
        await self._connection.close()

    async def _json(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        *,
        timeout_seconds: float,
    ) -> Json:
        limits = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=_CONNECT_TIMEOUT_SECONDS)
        async with self._answer(method, path, params, body, content_type, limits=limits) as response:
            return _parse(await response.read(), path)

    @contextlib.asynccontextmanager
    async def _answer(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        *,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """A successful answer, its body not yet read. Raises ApiError for every fault, also while it is read."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                connection = stack.enter_context(self._connection)
                try:
                    response = await connection.send(method, path, params, body, content_type, limits)
                except (aiohttp.ClientConnectorCertificateError, Unauthorized):
                    if not await self._renew(connection):
                        raise
                    connection = stack.enter_context(self._connection)
                    response = await connection.send(method, path, params, body, content_type, limits)
                stack.callback(response.close)  # a watch is left in the middle; of a read answer it does nothing
                yield response
        except Unauthorized as error:
            raise error.refusal from error
        except TimeoutError as error:
            raise ApiError(0, "Timeout", f"{path}: no answer in time ({error})") from error
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, ConnectionResetError) as error:
            raise ApiError(0, "Disconnected", f"{path}: {error!r}") from error
        except (aiohttp.ClientError, OSError, ssl.SSLError) as error:
            raise ApiError(0, "Unreachable", f"{path}: {error}") from error
        except ConfigException as error:  # the service account's token file, read anew
            raise ApiError(0, "Credentials", f"{path}: {error}") from error

    async def _renew(self, failed: Connection) -> bool:
        """Whether there is a newer connection than the one that failed."""
        async with self._renewing:
            if self._connection is not failed:
                return True
            if self._load is None or self._monotonic() < self._renewable_at:
                return False
            self._renewable_at = self._monotonic() + _RENEWAL_PAUSE_SECONDS
            try:
                self._connection = Connection(await self._load())
            except (BadKubeconfig, OSError, ssl.SSLError) as error:
                _log.warning("credentials of the API server could not be renewed: %s", error)
                return False
            failed.retire()
            return True


async def _read_line(response: aiohttp.ClientResponse, path: str) -> bytes:
    try:
        return await response.content.readline()
    except ValueError as error:  # aiohttp's limit: twice the library's read_bufsize, 4 MiB; etcd's is 1.5 MiB an object
        raise ApiError(0, "Malformed", f"{path}: {error}") from error


def _parse(text: bytes, path: str) -> Json:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise ApiError(0, "Malformed", f"{path}: {error}: {text[:SHOWN_CHARACTERS]!r}") from error
    if not isinstance(parsed, dict):
        raise ApiError(0, "Malformed", f"{path}: no object: {text[:SHOWN_CHARACTERS]!r}")
    return parsed
