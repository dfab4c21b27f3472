"""The controller's parts, put together from its settings.

watches -> World -> StepLoop -> Steps: observe, decide, act, report -> status, Events, metrics, page, log
sources -> Demand ----^                        ^-- Learning, NodeLoop, Election beside it
"""

import socket
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from adapter.sources.in_threads import DaemonThreads
from adapter.sources.kubernetes.settings import KubernetesSettings
from autoscaler.act.act import Actor
from autoscaler.act.published import PublishedNeeds
from autoscaler.act.writer import Writer
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.controller import Controller, Parts
from autoscaler.crd.parse import parse_spec
from autoscaler.deletion_costs import DeletionCosts
from autoscaler.explain.decision_log import DecisionLog, RotatingFile, to_stderr
from autoscaler.explain.events import Events
from autoscaler.explain.own_metrics import ControllerMetrics
from autoscaler.explain.status_writes import StatusWrites
from autoscaler.http import application
from autoscaler.lead_times.backfill import DemandHistory
from autoscaler.lead_times.recorder import LeadTimeRecorder
from autoscaler.lead_times.store import Store
from autoscaler.lead_times.summary import Summary
from autoscaler.leader.election import Election
from autoscaler.leader.fenced_client import Api, FencedClient
from autoscaler.leader.leadership import Leadership, Timing
from autoscaler.learning import Learning
from autoscaler.loops import StepLoop, scheduler
from autoscaler.metrics_client import MetricsClient
from autoscaler.next_lead_time import NextLeadTime
from autoscaler.node_pools.make_provider import Providers
from autoscaler.node_pools.node_loop import NodeLoop
from autoscaler.observe.demand import Demand
from autoscaler.observe.demand_targets import DemandTargets
from autoscaler.observe.make_sources import make_sources
from autoscaler.observe.observer import Observer
from autoscaler.observe.scale import ScaleReader
from autoscaler.observe.world import World
from autoscaler.orphaned_floors import OrphanedFloors
from autoscaler.page.history import History
from autoscaler.page.routes import routes
from autoscaler.page.shown import ControllerShown, Shown
from autoscaler.past_demand import PastDemand
from autoscaler.pod_owners import PodOwners
from autoscaler.pool_steps import PoolSteps
from autoscaler.reporting import Reports
from autoscaler.rivals import Rivals
from autoscaler.settings import ControllerSettings, DecisionLogSettings
from autoscaler.step import Steps
from autoscaler.tracing import Tracing
from autoscaler.turn import Around
from autoscaler.workload import Workloads
from policies.errors import BadInput


def assemble(
    settings: ControllerSettings,
    api: Api,
    session: aiohttp.ClientSession,
    *,
    clock: Clock,
    monotonic: Callable[[], float],
    tracing: Tracing,
    stack: AsyncExitStack,
) -> Controller:
    """Everything, not yet running; what must be closed is closed by the stack. Raises BadInput.

    api: of the cluster. session: for scrapes, without a limit of connections.
    """
    identity = own_identity()
    leadership, election = _election(settings, api, identity, clock, monotonic)
    world = World(api, namespaces=settings.cluster.namespaces, parse=parse_spec)
    published = PublishedNeeds(
        leadership.may_write, settings.published_max_age_seconds, is_successor=lambda: leadership.transitions > 0
    )
    metrics = ControllerMetrics(published, leadership.may_write, clock.now_ns)
    writer = Writer(FencedClient(api, leadership), field_manager=settings.name, count=metrics.write)

    store = Store(Path(settings.store.path) if settings.store.path else None, clock=clock)
    owners = PodOwners(world.pods)
    recorder = LeadTimeRecorder(workload_of=owners.of, store=store, clock=clock)
    world.on_pod, world.on_pod_gone = recorder.on_pod, recorder.on_pod_gone
    world.on_event, world.on_node = recorder.on_event, recorder.on_node
    lead_time = NextLeadTime(recorder, world, api)

    targets = DemandTargets(world, _pages(settings))
    demand = Demand(tuple(make_sources(settings.sources, targets, session, monotonic=monotonic)), targets)
    stack.push_async_callback(demand.close)
    observer = Observer(
        world,
        ScaleReader(api, timeout_seconds=settings.steps.timeout_seconds / 2),
        demand,
        targets,
        MetricsClient(api, timeout_seconds=settings.steps.timeout_seconds / 2),
    )

    providers = Providers(writer=writer, may_write=leadership.may_write, namespaces=settings.cluster.namespaces)
    node_loop = NodeLoop(
        provider_of=providers.of,
        may_write=leadership.may_write,
        is_paused=lambda: leadership.paused,
        sweep=providers.sweep,
    )
    stack.push_async_callback(node_loop.close)
    pools = PoolSteps(world, node_loop, clock)

    actor = Actor(writer, published)
    history = History()
    reports = Reports(
        leadership=leadership,
        status=StatusWrites(writer),
        events=Events(writer, component=f"leadtime.dev/{settings.name}", instance=identity),
        metrics=metrics,
        history=history,
        decisions=_decision_log(settings.decision_log, stack),
        recorder=recorder,
        lead_time=lead_time,
        owners=owners,
        pools=pools,
        store=store,
    )
    rivals = Rivals(world.autoscalers)
    costs = DeletionCosts(writer, world, leadership, clock, lately=pools.lately, older_of=rivals.older_of)
    workloads = Workloads()
    steps = Steps(
        Around(
            world=world,
            observer=observer,
            lead_time=lead_time,
            actor=actor,
            leadership=leadership,
            older_of=rivals.older_of,
            pools_of=node_loop.outcomes_of,
            costs_of=costs.findings_of,
            tracing=tracing,
            timeout_seconds=settings.steps.timeout_seconds,
        ),
        workloads=workloads,
        reporting=reports,
        clock=clock,
        monotonic=monotonic,
    )
    thread = DaemonThreads(1, name="learning")
    stack.callback(thread.shutdown, wait=False, cancel_futures=True)
    past = PastDemand(world.autoscalers, store, _prometheus(settings, stack, monotonic), clock)
    jobs = scheduler()

    def faults() -> tuple[str, ...]:
        own = (leadership.fault,) if leadership.fault else ()
        return (*own, *world.faults, *demand.faults, *recorder.faults)

    def not_ready() -> tuple[str, ...]:
        return () if world.synced else ("the cluster is not in sight yet", *world.faults)

    def known_lead_times(key: Key) -> Summary | None:
        spec = None if (found := world.autoscalers.get(key)) is None else found.spec
        return None if spec is None else recorder.summary(key, spec.lead_time.assumed_seconds)

    shown = Shown(
        history=history,
        autoscalers=world.autoscalers,
        controller=lambda: ControllerShown(
            identity=identity,
            leader=leadership.holder,
            is_leader=leadership.may_write(),
            paused=leadership.paused,
            faults=faults(),
        ),
        lead_times=known_lead_times,
        now_ns=clock.now_ns,
    )
    return Controller(
        Parts(
            settings=settings,
            clock=clock,
            world=world,
            election=election,
            jobs=jobs,
            steps=StepLoop(
                jobs,
                step=steps.step,
                is_ready=lambda: world.synced,
                clock=clock,
                period_seconds=settings.steps.sync_period_seconds,
                concurrency=settings.steps.concurrency,
            ),
            demand=demand,
            workloads=workloads,
            learning=Learning(workloads, clock=clock, pool=thread, read_past=past.read, store=store),
            recorder=recorder,
            store=store,
            pools=pools,
            costs=costs,
            actor=actor,
            orphans=OrphanedFloors(writer, world, leadership, clock, namespaces=settings.cluster.namespaces),
            reports=reports,
            rivals=rivals,
            app=application(metrics=metrics.page, not_ready=not_ready, page=routes(shown)),
        )
    )


def own_identity() -> str:
    """The pod's name, for people, and what no other process has, not even the one before it in the same pod."""
    return f"{socket.gethostname()}_{uuid.uuid4()}"


def _election(
    settings: ControllerSettings, api: Api, identity: str, clock: Clock, monotonic: Callable[[], float]
) -> tuple[Leadership, Election | None]:
    how = settings.leader_election
    if not how.enabled:
        return Leadership.always(identity, monotonic), None
    timing = Timing(
        lease_duration=how.lease_duration_seconds,
        renew_deadline=how.renew_deadline_seconds,
        retry_period=how.retry_period_seconds,
    )
    election = Election(
        api,
        namespace=settings.namespace,
        name=how.lease_name,
        identity=identity,
        timing=timing,
        clock=clock,
        monotonic=monotonic,
    )
    return election.leadership, election


def _pages(settings: ControllerSettings) -> KubernetesSettings:
    how = settings.page_discovery
    return KubernetesSettings(annotations=how.annotations, known_systems=how.known_systems, pages=how.pages)


def _decision_log(settings: DecisionLogSettings, stack: AsyncExitStack) -> DecisionLog | None:
    if not settings.path:
        return None
    if settings.path == "-":
        return DecisionLog(to_stderr)
    try:
        file = RotatingFile(Path(settings.path), settings.max_bytes)
    except OSError as error:
        raise BadInput(
            f"decisionLog.path: was {settings.path!r}, must be a file that can be written ({error.strerror or error}); "
            'correct it, or "" for none'
        ) from error
    stack.callback(file.close)
    return DecisionLog(file.write)


def _prometheus(
    settings: ControllerSettings, stack: AsyncExitStack, monotonic: Callable[[], float]
) -> DemandHistory | None:
    """The first Prometheus of the sources, for what was before this process."""
    found = next((each.prometheus for each in settings.sources if each.prometheus is not None), None)
    if found is None:
        return None
    history = DemandHistory(found, monotonic=monotonic)
    stack.callback(history.close)
    return history
