"""What the connections of one server have in common."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from adapter.http_server.limits import HttpLimits
from adapter.http_server.request import Request

if TYPE_CHECKING:
    from adapter.http_server.connection import Connection

Handler: TypeAlias = Callable[[Request], bytes | Awaitable[bytes]]
"""A complete answer (see `response`), at once or after a while; the first needs no task and is much cheaper."""

READ_BYTES = 4096
"""Of one read: it bounds how many pipelined requests wait (4,096 / 18 for the shortest, so 227)."""


@dataclass(slots=True)
class Counts:
    """What has happened since the start.

    refused: requests answered without the handler. evicted: connections closed to make room. timed_out: closed
    because their client took too long. handshakes_failed: of TLS, those that timed out or made room included.
    """

    connections: int = 0
    requests: int = 0
    refused: int = 0
    evicted: int = 0
    timed_out: int = 0
    handshakes_failed: int = 0


@dataclass(slots=True, eq=False)
class Shared:
    """What the connections of one server have in common.

    on_connected, on_lost: told of each. draining: every answer is its connection's last.
    buffer: what is read lands here and is parsed before anything else is read, so one is enough for all.
    """

    handler: Handler
    limits: HttpLimits
    loop: asyncio.AbstractEventLoop
    on_connected: "Callable[[Connection], None]"
    on_lost: "Callable[[Connection], None]"
    counts: Counts = field(default_factory=Counts)
    draining: bool = False
    buffer: memoryview = field(default_factory=lambda: memoryview(bytearray(READ_BYTES)))
