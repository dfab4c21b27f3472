"""Ask the other server, and hand on its answer."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Literal

import aiohttp
from yarl import URL

from adapter.api.groups import EXTERNAL_GROUP, VERSIONS
from adapter.api.status import StatusError, status_response
from adapter.http_server.request import Client, Request
from adapter.http_server.response import JSON, response
from adapter.pass_through.circuit_breaker import CircuitBreaker
from adapter.pass_through.credentials import Credentials
from adapter.pass_through.settings import PassThroughSettings

MAX_ANSWER_BYTES = 8 * 1024 * 1024
_CHUNK_BYTES = 65_536
_DEAD = (502, 503, 504)  # said by proxies before a server, or by a server about itself
_MESSAGE_CHARACTERS = 300
_STATUSES = frozenset(HTTPStatus)
_HEADER_KEY = frozenset(b"!#$&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
_TARGET = frozenset(range(0x21, 0x7F)) - set(b'#"<>\\^`{|}')  # RFC 3986 and what Go sends; the rest is encoded


class PassThrough:
    """Requests for external metrics that another server owns. Raises BadInput where a file cannot be used.

    now: seconds on a clock that never goes back; the circuit breaker and the files' age are measured on it.
    """

    def __init__(self, settings: PassThroughSettings, *, now: Callable[[], float] = time.monotonic) -> None:
        self.upstream = settings.base_url
        self.breaker = CircuitBreaker(
            failures_until_open=settings.failures_until_open, open_seconds=settings.open_seconds
        )
        self._settings = settings
        self._now = now
        self._credentials = Credentials(settings, now())
        self._places = asyncio.Semaphore(settings.max_concurrent)
        self._session: aiohttp.ClientSession | None = None

    async def forward(
        self,
        request_target: bytes,
        user: str,
        groups: Sequence[str] = (),
        extra: Mapping[str, Sequence[str]] | None = None,
        *,
        uid: str = "",
    ) -> bytes:
        """A complete answer: the other server's, or a Status that names it.

        request_target: as the caller sent it. user, groups, extra, uid: who the caller was found to be, and is
        authorized to ask; never what it merely says. Its own headers go nowhere.
        """
        try:
            _check_caller(user, groups, extra or {}, uid)
            target = _checked(request_target)
        except StatusError as error:
            return status_response(error)
        now = self._now()
        if not self.breaker.allow(now):
            seconds = self.breaker.seconds_until_trial(now)
            return self._failure(
                "ServiceUnavailable", f"failed {self.breaker.failures} times in a row; tried again in {seconds:.0f} s"
            )
        try:
            if self._credentials.due(now):
                await asyncio.to_thread(self._credentials.refresh, now)
            answer = await self._ask(target, self._identity(user, groups, extra or {}, uid))
        except _Unusable as error:
            self.breaker.succeeded()  # it lives, though its answer is of no use
            return self._failure("ServiceUnavailable", str(error))
        except TimeoutError:
            self.breaker.failed(self._now())
            return self._failure("Timeout", f"no answer within {self._settings.timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError, _Dead) as error:
            self.breaker.failed(self._now())
            return self._failure("ServiceUnavailable", str(error) or type(error).__name__)
        except BaseException:  # the caller is gone
            self.breaker.abandoned()
            raise
        self.breaker.succeeded()
        return answer

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(self, target: str, identity: Iterable[tuple[str, str]]) -> bytes:
        headers = [*identity, ("Accept", JSON), ("Accept-Encoding", "identity"), ("User-Agent", "leadtime-adapter")]
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.max_concurrent),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(),  # one for everything, below
            )
        url = URL(self.upstream + target, encoded=True)
        context = self._credentials.context
        async with (
            asyncio.timeout(self._settings.timeout_seconds),
            self._places,
            self._session.get(url, headers=headers, allow_redirects=False, ssl=context) as found,
        ):
            return _handed_on(found, await _body(found))

    def _identity(
        self, user: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]], uid: str
    ) -> list[tuple[str, str]]:
        """The headers that say who asks. Source: client-go transport/round_trippers.go, SetAuthProxyHeaders."""
        if self._settings.mode == "serviceAccount":
            return [("Authorization", f"Bearer {self._credentials.token}")]
        return [
            ("X-Remote-User", user),
            *([("X-Remote-Uid", uid)] if uid else []),
            *(("X-Remote-Group", group) for group in groups),
            *((f"X-Remote-Extra-{_escaped(key)}", value) for key, values in extra.items() for value in values),
        ]

    def _failure(self, reason: Literal["ServiceUnavailable", "Timeout"], why: str) -> bytes:
        return status_response(StatusError(reason, f"external metrics server {self.upstream}: {why}"))


class _Unusable(Exception):
    """It has answered, but what it says cannot be handed on."""


class _Dead(Exception):
    """It has answered that it cannot answer."""


def _handed_on(found: aiohttp.ClientResponse, body: bytes) -> bytes:
    """Of its headers only Content-Type: no Retry-After, no hop-by-hop ones, no cookies."""
    if found.status in _DEAD:
        raise _Dead(f"it answered with status {found.status}{_message(body)}")
    if found.status == HTTPStatus.UNAUTHORIZED:
        raise _Unusable("it does not accept the adapter's credentials (401)")
    if found.status not in _STATUSES or 300 <= found.status < 400:
        raise _Unusable(f"it answered with status {found.status}")
    content_type = found.headers.get("Content-Type", JSON)
    return response(found.status, body, content_type if content_type.isascii() else JSON)


def _message(body: bytes) -> str:
    """What a Status says, ": " before it; "" where it is none."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, TypeError, LookupError):
        return ""
    return f": {message[:_MESSAGE_CHARACTERS]}" if isinstance(message, str) else ""


async def _body(found: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in found.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise _Unusable(f"its answer is larger than {MAX_ANSWER_BYTES // 1_048_576} MiB")
    return bytes(body)


def _check_caller(user: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]], uid: str) -> None:
    said = (user, uid, *groups, *(value for values in extra.values() for value in values))
    printable = all(sign not in one for one in said for sign in "\r\n\0")
    if not user or user == "system:anonymous" or "system:unauthenticated" in groups or not printable:
        raise StatusError("Unauthorized", "Unauthorized")


def _checked(request_target: bytes) -> str:
    """The target, if it is a list of values of one external metric and nothing else.

    What was authorized must be what the other server sees: a dot segment or an encoded slash could be taken for
    another path there.
    """
    segments = Request("GET", request_target, client=Client()).segments
    match segments:
        case ("apis", group, version, "namespaces", _, _) if group == EXTERNAL_GROUP and version in VERSIONS[group]:
            odd = any(part in ("", ".", "..") or "/" in part or "\0" in part for part in segments)
        case _:
            odd = True
    if odd or not request_target.startswith(b"/"):
        raise StatusError("NotFound", "the server could not find the requested resource")
    return "".join(chr(byte) if byte in _TARGET else f"%{byte:02X}" for byte in request_target)


def _escaped(key: str) -> str:
    return "".join(chr(byte) if byte in _HEADER_KEY else f"%{byte:02X}" for byte in key.encode())
