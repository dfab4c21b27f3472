"""The running adapter: it listens, follows the cluster, collects, serves, and stops cleanly."""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

from adapter.assembly import assemble
from adapter.clock import Clock
from adapter.errors import BadInput
from adapter.http_server.server import HttpServer
from adapter.inventory import Inventory
from adapter.running import every, signalled, until_first
from adapter.settings import AdapterSettings
from adapter.sources.schedule import SourceLoop
from adapter.trigger import Trigger

_REFRESH_SECONDS = 5.0
"""Between looks at files of rules and targets. The kubelet itself takes up to a minute to bring a changed ConfigMap."""
_GRACE_SECONDS = 5.0  # answers come from memory: whoever is still connected is idle


async def serve(
    settings: AdapterSettings, *, clock: Clock, on_listening: Callable[[int], None], trigger: Trigger | None = None
) -> None:
    """Serve until SIGTERM or SIGINT arrives (in the main thread), or the trigger ends.

    on_listening: called once with the port. trigger: decides when every source is collected, all of them once for
    each of its items; without one each source has its own interval.
    Raises BadInput where a file, a setting or the address cannot be used.
    """
    async with AsyncExitStack() as stack:
        parts = await assemble(
            settings, stack, clock=clock, monotonic=time.monotonic if trigger is None else _standing_still
        )
        follow = [parts.inventory.run, *parts.security.follow]
        with signalled() as stopped:
            on_listening(await _listen(parts.server, settings, parts.security.tls.context))
            stack.push_async_callback(parts.server.close, _GRACE_SECONDS)
            if trigger is not None:
                await until_first(stopped, [*follow, lambda: _driven(trigger, parts.refresh, parts.loops)])
                return
            with every(_REFRESH_SECONDS, parts.refresh):
                await until_first(stopped, [*follow, lambda: _when_synced(parts.inventory, parts.loops)])


async def _driven(trigger: Trigger, refresh: Callable[[], Awaitable[None]], loops: Mapping[str, SourceLoop]) -> None:
    """Collect as the trigger says, and end with it."""
    async for _ in trigger:
        await refresh()
        await asyncio.gather(*(loop.collect_once() for loop in loops.values()))


async def _when_synced(inventory: Inventory, loops: Mapping[str, SourceLoop]) -> None:
    """Collect from the moment at which the pods are known: before, every series would be nobody's."""
    while not inventory.synced:  # noqa: ASYNC110 - a state of several watches, and no hurry
        await asyncio.sleep(0.05)
    inventory.on_change()
    await asyncio.gather(*(loop.run() for loop in loops.values()))


async def _listen(server: HttpServer, settings: AdapterSettings, context: ssl.SSLContext) -> int:
    try:
        return await server.start(settings.server.host, settings.server.port, context)
    except OSError as error:
        raise BadInput(
            f"server.host, server.port: were {settings.server.host!r}, {settings.server.port}, must be an address "
            f"of this machine and a free port ({error.strerror or error}); set another, or port 0 for any free one"
        ) from error


def _standing_still() -> float:
    """For a driven adapter: its time is the clock's alone."""
    return 0.0
