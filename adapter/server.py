"""The running adapter: everything put together, followed, collected, served, and stopped cleanly."""

import asyncio
import logging
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from datetime import UTC

import aiohttp
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from adapter.api.app import App
from adapter.api.served import Served
from adapter.auth.identity import User
from adapter.clock import Clock, SystemClock
from adapter.collector import Collector, SourceSpec
from adapter.errors import BadInput
from adapter.http_server.server import HttpServer
from adapter.inventory import ClusterInventory, FileInventory, Inventory
from adapter.make_sources import make_source
from adapter.metrics import AdapterMetrics
from adapter.names.on_demand import OnDemand
from adapter.names.resolve import NameIndex
from adapter.names.view import Place
from adapter.own_metrics import series_families, source_families, state_families, target_families
from adapter.pass_through.forwarder import PassThrough
from adapter.pod_pages import PodPages
from adapter.rules.watcher import RulesWatcher
from adapter.rules_in_use import RulesInUse, discovery_of
from adapter.security import make_security
from adapter.settings import AdapterSettings, SourceSettings
from adapter.source_status import SourceStatus
from adapter.sources.kubernetes.client import KubeClient
from adapter.sources.kubernetes.configuration import BadKubeconfig
from adapter.sources.kubernetes.discovery import KubernetesDiscovery
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.schedule import SourceLoop
from adapter.sources.source import Source
from adapter.store import Store
from adapter.trigger import Trigger

logger = logging.getLogger(__name__)
_REFRESH_SECONDS = 5.0
"""Between looks at files of rules and targets. The kubelet itself takes up to a minute to bring a changed ConfigMap."""
_GRACE_SECONDS = 5.0  # answers come from memory: whoever is still connected is idle
_BACKOFF_SECONDS = 60.0
"""Longest pause that a failing backend is given beside its interval. Pods get none: where all of their pages fail they
are starting, and the first that is up must not wait."""
_COLLECTION_SECONDS = 25.0
"""For one collection of a source, on top of its own timeouts: less than two of the HPA's periods."""


async def serve(
    settings: AdapterSettings, *, clock: Clock, on_listening: Callable[[int], None], trigger: Trigger | None = None
) -> None:
    """Serve until SIGTERM or SIGINT arrives (in the main thread), or the trigger ends.

    on_listening: called once with the port. trigger: decides when every source is collected, all of them once for
    each of its items; without one each source has its own interval.
    Raises BadInput where a file, a setting or the address cannot be used.
    """
    async with AsyncExitStack() as stack:
        client = await _connect(settings)
        if client is not None:
            stack.push_async_callback(client.close)
        inventory = _inventory(settings, client)
        security = make_security(settings, client, SystemClock())  # certificates are valid in real time
        store = Store()
        collector = Collector(
            store,
            [SourceSpec(one.named, one.lag) for one in settings.sources],
            failback_after_seconds=settings.failback_seconds,
        )
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        monotonic = time.monotonic if trigger is None else _standing_still
        sources = {
            one.named: make_source(one, inventory=inventory, session=session, monotonic=monotonic)
            for one in settings.sources
        }
        for source in sources.values():
            stack.push_async_callback(source.close)
        loops = {one.named: _loop(one, sources[one.named], collector, inventory, clock) for one in settings.sources}
        status = SourceStatus(collector, loops)
        served = Served(
            store=store,
            names=NameIndex(()),
            place=_place(settings),
            why_empty=status.why_empty,
            source_fault=status.fault,
            may_read={one.namespace: one.may_read for one in settings.tenancy.cross_namespace},
            on_demand=_on_demand(settings),
        )
        watcher = RulesWatcher(settings.rules)
        rules = RulesInUse(watcher, collector, served)
        metrics = AdapterMetrics()
        app = App(
            served=served,
            gate=security.gate,
            clock=clock,
            metrics=metrics,
            discovery=discovery_of(watcher.read()),
            not_ready=lambda: security.awaited() or _awaited(inventory) or status.awaited(),
            sources=status.of,
            pages=PodPages(inventory, sources.values()).of,
            pass_on=_pass_on(settings, stack),
        )
        rules.tell(app)
        server = HttpServer(app.handle, settings.server.http)
        metrics.add(
            *source_families(collector, loops),
            *series_families(store, clock),
            *target_families(list(sources.values())),
            *state_families(rules=watcher, inventory=inventory, security=security, server=server),
        )

        def pods_changed() -> None:
            store.set_pods(inventory.pods())

        inventory.on_change = pods_changed
        pods_changed()

        async def refresh() -> None:
            await inventory.refresh()
            await rules.refresh(clock.now_ns())

        with _signalled() as stopped:
            on_listening(await _listen(server, settings, security.tls.context))
            stack.push_async_callback(server.close, _GRACE_SECONDS)
            follow = [inventory.run, *security.follow]
            if trigger is not None:
                await _until(stopped, [*follow, lambda: _driven(trigger, refresh, loops)])
                return
            with _every(_REFRESH_SECONDS, refresh):
                await _until(stopped, [*follow, lambda: _when_synced(inventory, loops)])


async def _driven(trigger: Trigger, refresh: Callable[[], Awaitable[None]], loops: dict[str, SourceLoop]) -> None:
    """Collect as the trigger says, and end with it."""
    async for _ in trigger:
        await refresh()
        await asyncio.gather(*(loop.collect_once() for loop in loops.values()))


async def _when_synced(inventory: Inventory, loops: dict[str, SourceLoop]) -> None:
    """Collect from the moment at which the pods are known: before, every series would be nobody's."""
    while not inventory.synced:  # noqa: ASYNC110 - a state of several watches, and no hurry
        await asyncio.sleep(0.05)
    inventory.on_change()
    await asyncio.gather(*(loop.run() for loop in loops.values()))


def _loop(
    settings: SourceSettings, source: Source, collector: Collector, inventory: Inventory, clock: Clock
) -> SourceLoop:
    return SourceLoop(
        source,
        interval_seconds=settings.interval_seconds,
        timeout_seconds=max(_COLLECTION_SECONDS, settings.interval_seconds),
        rules=lambda: collector.begin(source.name),
        pods=inventory.pods,
        on_reading=lambda name, outcome, now_ns: collector.on_reading(name, outcome, inventory.pods(), now_ns),
        clock=clock.now_ns,
        stagger=settings.scrape is None,  # replicas that start together must not ask a backend together for ever
        max_backoff_seconds=0.0 if settings.scrape is not None else _BACKOFF_SECONDS,
    )


async def _connect(settings: AdapterSettings) -> KubeClient | None:
    """The cluster's client, None where nothing needs one."""
    own_certificate = settings.serving_certificate.cert_file is None
    if (
        settings.discovery.targets_file is not None
        and settings.authentication.client_ca_file is not None
        and not own_certificate
    ):
        return None
    kubernetes = settings.discovery.kubernetes
    try:
        if kubernetes is None:
            return await KubeClient.connect()
        return await KubeClient.connect(kubernetes.kubeconfig, kubernetes.context)
    except BadKubeconfig as error:
        raise BadInput(
            f"{error} (without a cluster set discovery.targetsFile, authentication.clientCAFile and "
            "servingCertificate.certFile)"
        ) from error


def _inventory(settings: AdapterSettings, client: KubeClient | None) -> Inventory:
    if settings.discovery.targets_file is not None:
        return FileInventory(settings.discovery.targets_file)
    assert client is not None
    return ClusterInventory(KubernetesDiscovery(client, settings.discovery.kubernetes or KubernetesSettings()))


def _awaited(inventory: Inventory) -> str:
    if inventory.synced:
        return ""
    return "; ".join(["the pods are not known yet", *inventory.faults])


def _place(settings: AdapterSettings) -> Place:
    """Where the cluster is: as told, else as the first Cloud Monitoring source says."""
    told = settings.place
    cloud = next((one.cloud_monitoring for one in settings.sources if one.cloud_monitoring is not None), None)
    if cloud is None:
        return Place(project=told.project, location=told.location, cluster=told.cluster)
    return Place(
        project=told.project or cloud.project,
        location=told.location or cloud.location,
        cluster=told.cluster or cloud.cluster,
    )


def _on_demand(settings: AdapterSettings) -> OnDemand | None:
    has_cloud = any(one.cloud_monitoring is not None for one in settings.sources)
    return OnDemand(settings.on_demand) if has_cloud else None


def _pass_on(settings: AdapterSettings, stack: AsyncExitStack) -> Callable[[bytes, User], Awaitable[bytes]] | None:
    if settings.pass_through is None:
        return None
    other = PassThrough(settings.pass_through)
    stack.push_async_callback(other.close)
    return lambda target, user: other.forward(target, user.name, user.groups, dict(user.extra), uid=user.uid)


async def _listen(server: HttpServer, settings: AdapterSettings, context: object) -> int:
    try:
        return await server.start(settings.server.host, settings.server.port, context)  # type: ignore[arg-type]
    except OSError as error:
        raise BadInput(
            f"server.host, server.port: were {settings.server.host!r}, {settings.server.port}, must be an address "
            f"of this machine and a free port ({error.strerror or error}); set another, or port 0 for any free one"
        ) from error


async def _until(stopped: asyncio.Event, work: list[Callable[[], Awaitable[None]]]) -> None:
    """Do all the work until the first part of it ends or fails, or until stopped. Raises what it raises."""

    async def done(part: Callable[[], Awaitable[object]]) -> None:
        await part()

    tasks = [asyncio.create_task(done(part)) for part in (*work, stopped.wait)]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


@contextmanager
def _every(seconds: float, work: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Do the work again and again; one that is still under way is not begun again."""
    scheduler = AsyncIOScheduler(timezone=UTC)
    scheduler.add_job(work, "interval", seconds=seconds, coalesce=True, max_instances=1, misfire_grace_time=None)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


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


def _standing_still() -> float:
    """For a driven adapter: its time is the clock's alone."""
    return 0.0
