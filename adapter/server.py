"""The running adapter: it listens, collects when triggered, and stops cleanly."""

import asyncio
import signal
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
from aiohttp import web

from adapter.api.app import make_app
from adapter.auth.client_certificate import by_client_certificate, server_context
from adapter.clock import Clock
from adapter.collector import Collector
from adapter.errors import BadInput
from adapter.metrics import AdapterMetrics, StateMetrics
from adapter.settings import AdapterSettings
from adapter.sources.targets import BadTargets, TargetsFile
from adapter.store import NS_PER_SECOND, Store
from adapter.trigger import Trigger

_SHUTDOWN_SECONDS = 5.0  # answers come from memory: whoever is still connected is idle


async def serve(
    settings: AdapterSettings, *, clock: Clock, trigger: Trigger, on_listening: Callable[[int], None]
) -> None:
    """Serve until the trigger ends, or SIGTERM or SIGINT arrives (in the main thread).

    Each item of the trigger is one collection at clock.now_ns(), complete before the next item is asked
    for. on_listening: called once with the port, before the first collection.
    Raises BadInput where a certificate, the targets file or the address cannot be used.
    """
    context = server_context(
        cert_file=settings.tls_cert_file,
        key_file=settings.tls_key_file,
        client_ca_file=settings.client_ca_file,
    )
    targets_file = TargetsFile(settings.targets_file)
    try:
        targets_file.read()
    except BadTargets as error:
        raise BadInput(f"targets_file: {error}") from error
    store = Store(max_age_ns=round(settings.max_age_seconds * NS_PER_SECOND))
    metrics = AdapterMetrics()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        collector = Collector(
            targets_file=targets_file,
            store=store,
            session=session,
            scrape_timeout_seconds=settings.scrape_timeout_seconds,
            max_concurrent_scrapes=settings.max_concurrent_scrapes,
        )
        metrics.registry.register(
            StateMetrics(store=store, collector=collector, targets_file=targets_file, clock=clock)
        )
        app = make_app(
            store=store,
            clock=clock,
            authenticate=by_client_certificate(settings.allowed_names),
            ready=lambda: collector.collected,
            metrics=metrics,
        )
        with _signalled() as stopped:
            async with _listening(app, settings, context) as port:
                on_listening(port)
                await _until(stopped, _collect(collector, clock=clock, trigger=trigger, metrics=metrics))


async def _collect(collector: Collector, *, clock: Clock, trigger: Trigger, metrics: AdapterMetrics) -> None:
    async for _ in trigger:
        metrics.observe_collection(await collector.collect(clock.now_ns()))


async def _until(stopped: asyncio.Event, work: Coroutine[None, None, None]) -> None:
    """Run the work to its end, or cancel it when stopped. Raises what the work raises."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        stopping.cancel()
        outcome, _ = await asyncio.gather(working, stopping, return_exceptions=True)
    if isinstance(outcome, Exception):
        raise outcome


@asynccontextmanager
async def _listening(app: web.Application, settings: AdapterSettings, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Listen, and give the port. Raises BadInput where the address cannot be had."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, settings.host, settings.port, ssl_context=context).start()
        except OSError as error:
            raise BadInput(
                f"host, port: were {settings.host!r}, {settings.port}, must be an address of this machine "
                f"and a free port ({error.strerror or error}); pass another, or port 0 for any free one"
            ) from error
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextmanager
def _signalled() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set. Outside the main thread, signals are its owner's: never set."""
    stopped = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
