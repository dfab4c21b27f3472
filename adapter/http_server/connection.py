"""One connection: bytes in, requests to the handler, answers out in the order of the requests."""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable

import httptools

from adapter.http_server.refusal import HEADERS_TOO_LARGE, INTERNAL_ERROR, MALFORMED, TOO_LARGE
from adapter.http_server.request import Client, Request
from adapter.http_server.response import with_connection, without_body
from adapter.http_server.shared import Shared
from adapter.http_server.tls import presented_intermediates

logger = logging.getLogger(__name__)

_TLS_READ_AHEAD_BYTES = 16_384  # of a connection that is not being read; asyncio's default is 256 KiB
_WRITE_AHEAD_BYTES = 65_536  # of answers not yet sent, above which requests wait; asyncio's default is 512 KiB
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection(asyncio.BufferedProtocol):
    """Parses requests, hands them over one at a time and writes their answers.

    While an answer is awaited or the client does not read, requests that follow wait; once one waits, nothing more
    is read. A request that is refused is refused in its turn, and is the last.
    """

    __slots__ = (
        "_begun_at",
        "_farewell",
        "_headers",
        "_in_headers",
        "_parser",
        "_request_bytes",
        "_shared",
        "_stuck",
        "_target",
        "_task",
        "_transport",
        "_waiting",
        "active_at",
        "client",
        "ended",
    )

    def __init__(self, shared: Shared) -> None:
        self.active_at = shared.loop.time()  # on the loop's clock, seconds: when anything last moved
        self.client = Client()
        self.ended = False  # no further request will be answered
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpRequestParser | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: deque[Request] | None = None  # made when needed: hardly any client pipelines
        self._farewell: bytes | None = None  # what is said when the waiting requests are answered, before closing
        self._stuck = False  # the client does not read its answers
        self._begun_at: float | None = None  # when the request began that is still incomplete
        self._in_headers = False
        self._request_bytes = 0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []

    # What the server asks.

    @property
    def answering(self) -> bool:
        """Whether a handler is at work on a request."""
        return self._task is not None

    @property
    def quiet(self) -> bool:
        """Whether nothing is begun and nothing left to say."""
        return self._task is None and self._begun_at is None and not self._waiting and not self._stuck

    def overdue(self, now: float) -> bool:
        """Whether the client has had its time. A handler at work is not the client's fault."""
        if self._task is not None:
            return False
        if self._begun_at is not None and now - self._begun_at > self._shared.limits.header_timeout_seconds:
            return True
        return now - self.active_at > self._shared.limits.idle_timeout_seconds

    def close(self) -> None:
        """End politely: what is written still reaches the client."""
        self.ended = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def abort(self) -> None:
        """End at once."""
        self.ended = True
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_WRITE_AHEAD_BYTES)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.client.certificate_der = tls.getpeercert(True)
            if self.client.certificate_der is not None:
                self.client.intermediates_der = presented_intermediates(tls)
            transport.set_read_buffer_limits(high=_TLS_READ_AHEAD_BYTES)  # type: ignore[attr-defined]
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self.active_at = self._shared.loop.time()
        self._shared.on_connected(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.ended = True
        if self._task is not None:
            self._task.cancel()
        self._waiting = None
        self._parser = None  # this and the transport refer back: now memory is freed at once, not by the collector
        self._transport = None
        self._shared.on_lost(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self.ended or self._farewell is not None or self._parser is None:
            return
        self.active_at = self._shared.loop.time()
        if self._begun_at is not None and self._too_large(nbytes):
            return
        try:
            self._parser.feed_data(self._shared.buffer[:nbytes])
        except httptools.HttpParserUpgrade:
            self._refuse(b"")  # the request is answered as it is; what follows it is in no protocol we speak
        except httptools.HttpParserCallbackError as error:
            self._refuse(_answer_to(error.__context__))
        except httptools.HttpParserError:
            if not self.ended:  # or it is about bytes after the last request, which nobody reads
                self._refuse(MALFORMED)

    def eof_received(self) -> bool | None:
        return None  # close: TLS has no half-closed connections

    def pause_writing(self) -> None:
        self._stuck = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuck = False
        self.active_at = self._shared.loop.time()
        self._go_on()

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._begun_at = self.active_at
        self._in_headers = True
        self._request_bytes = 0
        self._target = b""
        self._headers = []

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:  # and not in the trailers of a chunked body, which nobody needs
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_headers = False
        expects = False
        for name, value in self._headers:
            if len(name) == 14 and name.lower() == b"content-length":
                if int(value) > self._shared.limits.max_body_bytes:
                    raise _Refused(TOO_LARGE)
            elif len(name) == 6 and name.lower() == b"expect":
                expects = value.lower() == b"100-continue"
        if expects and self._free and self._transport is not None:
            self._transport.write(_CONTINUE)

    def on_message_complete(self) -> None:
        self._begun_at = None
        parser = self._parser
        if self.ended or parser is None:
            return
        request = Request(
            parser.get_method().decode("ascii"),
            self._target,
            self._headers,
            client=self.client,
            version=parser.get_http_version(),
            keep_alive=parser.should_keep_alive(),
        )
        self._shared.counts.requests += 1
        if self._free:
            self._handle(request)
            return
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(request)
        if self._transport is not None:
            self._transport.pause_reading()

    # Answers, in order.

    @property
    def _free(self) -> bool:
        return self._task is None and not self._waiting and not self._stuck

    def _handle(self, request: Request) -> None:
        try:
            answer = self._shared.handler(request)
        except Exception:
            logger.exception("request failed: %s %r", request.method, request.target)
            answer = INTERNAL_ERROR
        if isinstance(answer, bytes):
            self._answer(request, answer)
        else:
            self._task = self._shared.loop.create_task(self._await(request, answer))

    async def _await(self, request: Request, awaited: Awaitable[bytes]) -> None:
        answer: bytes | None = None
        try:
            answer = await awaited
        except Exception:
            logger.exception("request failed: %s %r", request.method, request.target)
            answer = INTERNAL_ERROR
        finally:
            self._task = None
            if answer is None:  # cancelled: the client is gone, or the server stops
                self.abort()
        if not self.ended:
            self.active_at = self._shared.loop.time()
            self._answer(request, answer)
            self._go_on()

    def _answer(self, request: Request, answer: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        if request.method == "HEAD":
            answer = without_body(answer)
        if not request.keep_alive or self._shared.draining:
            transport.write(with_connection(answer, b"close"))
            self._waiting = None
            self.close()
            return
        if request.version == "1.0":
            answer = with_connection(answer, b"keep-alive")
        transport.write(answer)

    def _go_on(self) -> None:
        """Handle the requests that wait, as far as that goes; then read on, or say farewell."""
        while self._waiting and self._task is None and not self._stuck and not self.ended:
            self._handle(self._waiting.popleft())
        if self.ended or not self._free or self._transport is None:
            return
        if self._farewell is not None:
            self._transport.write(self._farewell)
            self.close()
        else:
            self._transport.resume_reading()

    def _refuse(self, farewell: bytes) -> None:
        """Answer what waits, say this (b"" for nothing) and close."""
        self._shared.counts.refused += bool(farewell)
        self._farewell = farewell
        self._begun_at = None
        if self._transport is not None:
            self._transport.pause_reading()
        self._go_on()

    def _too_large(self, nbytes: int) -> bool:
        limits = self._shared.limits
        self._request_bytes += nbytes
        if self._in_headers and self._request_bytes > limits.max_header_bytes:
            self._refuse(HEADERS_TOO_LARGE)
        elif self._request_bytes > limits.max_header_bytes + limits.max_body_bytes:
            self._refuse(TOO_LARGE)
        return self._farewell is not None


class _Refused(Exception):
    """Raised in a callback of httptools, to stop it."""

    def __init__(self, answer: bytes) -> None:
        super().__init__()
        self.answer = answer


def _answer_to(fault: BaseException | None) -> bytes:
    if isinstance(fault, _Refused):
        return fault.answer
    logger.error("request could not be read", exc_info=fault)
    return INTERNAL_ERROR
