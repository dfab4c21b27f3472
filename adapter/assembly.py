"""The adapter's parts, put together from its settings."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

import aiohttp

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
from adapter.security import Security, make_security
from adapter.settings import AdapterSettings, CrossNamespace
from adapter.source_status import SourceStatus
from adapter.sources.kubernetes.client import KubeClient
from adapter.sources.kubernetes.configuration import BadKubeconfig
from adapter.sources.kubernetes.discovery import KubernetesDiscovery
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.schedule import SourceLoop
from adapter.sources.settings import SourceSettings
from adapter.sources.source import Source
from adapter.store import Store

_BACKOFF_SECONDS = 60.0
"""Longest pause that a failing backend is given beside its interval. Pods get none: where all of their pages fail they
are starting, and the first that is up must not wait."""
_COLLECTION_SECONDS = 25.0
"""For one collection of a source, on top of its own timeouts: less than two of the HPA's periods."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What runs. server: to be started with security.tls.context. inventory, security: have work that runs along.
    loops: source -> its collections. refresh: looks at files of targets and rules, and at what was asked for."""

    server: HttpServer
    security: Security
    inventory: Inventory
    loops: Mapping[str, SourceLoop]
    refresh: Callable[[], Awaitable[None]]


async def assemble(
    settings: AdapterSettings, stack: AsyncExitStack, *, clock: Clock, monotonic: Callable[[], float]
) -> Parts:
    """Everything, not yet running; what must be closed is closed by the stack.

    Raises BadInput where a file or a setting cannot be used.
    """
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
        may_read=_may_read(settings.tenancy.cross_namespace),
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

    return Parts(server, security, inventory, loops, refresh)


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


def _may_read(permissions: Iterable[CrossNamespace]) -> Mapping[str, frozenset[str]]:
    """Namespace -> the others whose series it may read."""
    merged: dict[str, frozenset[str]] = {}
    for one in permissions:
        merged[one.namespace] = merged.get(one.namespace, frozenset()) | frozenset(one.may_read)
    return merged


def _on_demand(settings: AdapterSettings) -> OnDemand | None:
    has_cloud = any(one.cloud_monitoring is not None for one in settings.sources)
    return OnDemand(settings.on_demand) if has_cloud else None


def _pass_on(settings: AdapterSettings, stack: AsyncExitStack) -> Callable[[bytes, User], Awaitable[bytes]] | None:
    if settings.pass_through is None:
        return None
    other = PassThrough(settings.pass_through)
    stack.push_async_callback(other.close)
    return lambda target, user: other.forward(target, user.name, user.groups, dict(user.extra), uid=user.uid)
