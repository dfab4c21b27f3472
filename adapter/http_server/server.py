"""The listening server: it accepts within limits, watches over its connections and stops cleanly."""

import asyncio
import contextlib
import heapq
import logging
import socket
import ssl
from collections.abc import Callable, Iterable

from adapter.http_server.connection import Connection
from adapter.http_server.limits import HttpLimits
from adapter.http_server.shared import Counts, Handler, Shared
from adapter.http_server.tls import offer_http, shake_hands

logger = logging.getLogger(__name__)

_BACKLOG = 1024  # connections that the kernel holds for us; Linux caps it at net.core.somaxconn
_SWEEP_SECONDS = 1.0  # between two looks at who is overdue: one timer for all connections
_NO_FILES_SECONDS = 0.1  # before the next try, when the process has no file descriptor left


class HttpServer:
    """HTTP/1.1 over TLS, in one event loop.

    current_context: the context that a handshake beginning now shall use, asked for at each handshake, so that
    certificates and CAs rotate without a restart; None: the one given to `start`.
    """

    def __init__(
        self,
        handler: Handler,
        limits: HttpLimits | None = None,
        *,
        current_context: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self._handler = handler
        self._limits = limits if limits is not None else HttpLimits()
        self._current_context = current_context
        self._shared: Shared | None = None
        self._listener: socket.socket | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._paused: asyncio.TimerHandle | None = None  # accepting, while no file descriptor is left
        self._handshakes: dict[asyncio.Task[None], None] = {}  # the oldest first
        self._open: set[Connection] = set()
        self._evicted: set[Connection] = set()  # of those open: closed, and not yet told of it
        self._none_open = asyncio.Event()

    @property
    def counts(self) -> Counts:
        """Counters since the start."""
        return self._shared.counts if self._shared is not None else Counts()

    @property
    def open_connections(self) -> int:
        """Connections open now, their handshake complete."""
        return len(self._open)

    async def start(self, host: str, port: int, ssl_context: ssl.SSLContext | None, *, reuse_port: bool = False) -> int:
        """Listen, and return the port (0 takes a free one).

        host: an address, or a name, of which the first address is taken. ssl_context: None for plain HTTP. It
        is changed: ALPN, and the choice of the current context. reuse_port: several processes share the port.
        Raises OSError where the address cannot be had.
        """
        loop = asyncio.get_running_loop()
        self._shared = Shared(self._handler, self._limits, loop, self._connected, self._lost)
        self._listener = await _listen(loop, host, port, reuse_port)
        if ssl_context is not None:
            offer_http(ssl_context, self._current_context)
        self._sweeper = loop.create_task(self._sweep_regularly())
        self._resume(self._listener, self._shared, ssl_context)
        return int(self._listener.getsockname()[1])

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Stop accepting, close who is idle, let answers under way finish for grace_seconds, then end the rest."""
        if self._listener is None or self._shared is None or self._sweeper is None:
            return
        if self._paused is not None:
            self._paused.cancel()
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        self._sweeper.cancel()
        self._shared.draining = True
        await _cancel(self._handshakes)
        for connection in tuple(self._open):
            if connection.quiet:
                connection.close()
        await self._until_none_open(grace_seconds)
        for connection in tuple(self._open):
            connection.abort()
        await self._until_none_open(grace_seconds=1.0)  # connections are told of it in the loop's next round
        await asyncio.gather(self._sweeper, return_exceptions=True)

    def sweep(self, now: float) -> None:
        """Close whoever is overdue. now: seconds on the loop's clock."""
        for connection in [one for one in self._open if one.overdue(now)]:
            self.counts.timed_out += 1
            connection.abort()

    async def _sweep_regularly(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.sweep(asyncio.get_running_loop().time())

    async def _until_none_open(self, grace_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self._open:
                    self._none_open.clear()
                    await self._none_open.wait()

    # Accepting. asyncio's own servers neither count nor bound the connections that are still in a handshake.

    def _accept(self, listener: socket.socket, shared: Shared, context: ssl.SSLContext | None) -> None:
        """The loop calls this when a connection waits: one at a time, so that a flood does not keep others waiting.

        It is no task, for a task that ends between the kernel's answer and its own next step loses a socket.
        """
        loop = asyncio.get_running_loop()
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, InterruptedError):  # the client is gone again
            return
        except OSError as error:  # the same, or no file descriptor is left
            logger.warning("connection not accepted: %s", error)
            self._make_room()
            loop.remove_reader(listener)
            self._paused = loop.call_later(_NO_FILES_SECONDS, self._resume, listener, shared, context)
            return
        accepted.setblocking(False)
        if len(self._handshakes) >= self._limits.max_handshakes:
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            oldest.cancel()
        task = loop.create_task(self._greet(accepted, shared, context))
        self._handshakes[task] = None
        task.add_done_callback(lambda done: self._handshakes.pop(done, None))

    def _resume(self, listener: socket.socket, shared: Shared, context: ssl.SSLContext | None) -> None:
        asyncio.get_running_loop().add_reader(listener, self._accept, listener, shared, context)

    async def _greet(self, accepted: socket.socket, shared: Shared, context: ssl.SSLContext | None) -> None:
        try:
            if context is None:
                await asyncio.get_running_loop().connect_accepted_socket(lambda: Connection(shared), accepted)
            else:
                await shake_hands(
                    accepted,
                    Connection(shared),
                    context,
                    handshake_timeout_seconds=self._limits.tls_handshake_timeout_seconds,
                    shutdown_timeout_seconds=self._limits.header_timeout_seconds,
                )
        except (OSError, ssl.CertificateError, asyncio.CancelledError) as error:  # SSLError is an OSError
            shared.counts.handshakes_failed += 1
            logger.debug("handshake failed: %r", error)
            if isinstance(error, asyncio.CancelledError):
                raise

    def _connected(self, connection: Connection) -> None:
        self._open.add(connection)
        self.counts.connections += 1
        if self._shared is not None and self._shared.draining:
            connection.abort()
        elif len(self._open) - len(self._evicted) > self._limits.max_connections:
            self._make_room(newcomer=connection)

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        self._evicted.discard(connection)
        if not self._open:
            self._none_open.set()

    def _make_room(self, newcomer: Connection | None = None) -> None:
        """Close those that have been idle for longest: one in a hundred, for looking through 2,000 takes a millisecond,
        which a flood must not cost at each of its connections.

        Those with a client certificate only where there are no others. Where all are being answered, it is the
        newcomer that goes.
        """
        idle = [one for one in self._open if not one.answering and not one.ended and one is not newcomer]
        strangers = [one for one in idle if one.client.certificate_der is None]
        count = max(1, self._limits.max_connections // 100)
        oldest = heapq.nsmallest(count, strangers or idle, key=lambda one: one.active_at)
        if not oldest and newcomer is not None:
            oldest = [newcomer]
        self.counts.evicted += len(oldest)
        self._evicted.update(oldest)
        for one in oldest:
            one.abort()


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = tuple(tasks)
    await asyncio.sleep(0)  # each has begun, and so closes what it holds
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _listen(loop: asyncio.AbstractEventLoop, host: str, port: int, reuse_port: bool) -> socket.socket:
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    dual = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
    listener = socket.create_server(
        address, family=family, backlog=_BACKLOG, reuse_port=reuse_port, dualstack_ipv6=dual
    )
    listener.setblocking(False)
    return listener
