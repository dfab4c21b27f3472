"""The running controller: it follows the cluster, decides, acts where it leads, and stops without leaving work undone.

start   the file is read, the server listens, watches and election begin; steps once the cluster is in sight
stop    no step begins, those under way end while the Lease is still renewed, then it is released, the file closed
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from autoscaler.act.act import Actor
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.deletion_costs import DeletionCosts
from autoscaler.http import HttpServer
from autoscaler.lead_times.recorder import LeadTimeRecorder
from autoscaler.lead_times.store import Store
from autoscaler.leader.election import Election
from autoscaler.learning import Learning
from autoscaler.loops import StepLoop, every
from autoscaler.observe.demand import Demand
from autoscaler.observe.world import World
from autoscaler.orphaned_floors import OrphanedFloors
from autoscaler.pool_steps import PoolSteps
from autoscaler.reporting import Reports
from autoscaler.rivals import Rivals
from autoscaler.settings import ControllerSettings
from autoscaler.workload import Workloads

_log = logging.getLogger(__name__)
_LEARNING_SECONDS = 10.0
_TIDY_SECONDS = 60.0
_CATCH_UP_SECONDS = 0.5
_ORPHANS_SECONDS = 2.0
"""From taking the lead to looking for floors of objects that are gone; how often after that is theirs to say."""
_STOP_SECONDS = 20.0
"""For steps under way at the end: within the 30 s that the kubelet gives by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What autoscaler.assembly puts together. election: None where leader election is off."""

    settings: ControllerSettings
    clock: Clock
    world: World
    election: Election | None
    jobs: AsyncIOScheduler
    steps: StepLoop
    demand: Demand
    workloads: Workloads
    learning: Learning
    recorder: LeadTimeRecorder
    store: Store
    pools: PoolSteps
    costs: DeletionCosts
    actor: Actor
    orphans: OrphanedFloors
    reports: Reports
    rivals: Rivals
    app: web.Application


class Controller:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._gone: set[Key] = set()
        parts.world.on_autoscaler_changed = self.changed

    async def run(self, stopped: asyncio.Event, on_listening: Callable[[int], None] = lambda _port: None) -> None:
        """Until stopped, or until a part fails, which is raised. on_listening: called with the port. Raises BadInput
        where the address cannot be had."""
        parts = self._parts
        server = HttpServer(parts.app)
        on_listening(await server.start(parts.settings.server))
        try:
            await parts.recorder.load()
            self._schedule()
            await self._follow(stopped)
        finally:
            await server.close()
            parts.learning.keep()
            await parts.store.close()

    def changed(self, key: Key) -> None:
        """An object came, went, or asks for something else."""
        parts = self._parts
        parts.rivals.changed()
        parts.steps.follow(parts.world.autoscalers)
        if key in parts.world.autoscalers:
            parts.steps.changed(key)
            return
        workload = parts.workloads.get(key)
        if workload is not None:
            parts.jobs.add_job(self._give_back, args=[key, workload.target])
        self._gone.add(key)

    async def tidy(self) -> None:
        """Forget what is gone; apart from its going, because a step of it may have been under way."""
        parts = self._parts
        for key in tuple(self._gone):
            self._gone.discard(key)
            if key not in parts.world.autoscalers:
                parts.workloads.forget(key)
                parts.actor.forget(key)
                parts.reports.forget(key)

    async def _follow(self, stopped: asyncio.Event) -> None:
        parts = self._parts
        tasks = [asyncio.create_task(parts.world.run(), name="watches")]
        if parts.election is not None:
            tasks.append(asyncio.create_task(parts.election.run(), name="election"))
        signal = asyncio.create_task(stopped.wait())
        parts.jobs.start()
        try:
            ended, _ = await asyncio.wait([*tasks, signal], return_when=asyncio.FIRST_COMPLETED)
            await self._steps_ended()
        finally:
            parts.jobs.shutdown(wait=False)
            for task in (*tasks, signal):
                task.cancel()
            await asyncio.gather(*tasks, signal, return_exceptions=True)
            if parts.election is not None:
                await parts.election.release()
        for task in ended:
            task.result()

    async def _steps_ended(self) -> None:
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._parts.steps.stop()
        except TimeoutError:
            _log.warning("steps under way did not end within %g s; they are given up", _STOP_SECONDS)

    def _schedule(self) -> None:
        parts, settings = self._parts, self._parts.settings
        for rank, each in enumerate(parts.demand.sources):
            every(parts.jobs, each.interval_seconds, self._collect(rank), name=f"demand of {each.source.name}")
        every(parts.jobs, _CATCH_UP_SECONDS, parts.steps.catch_up, name="first steps")
        every(parts.jobs, settings.store.flush_seconds, parts.recorder.flush, name="writing what was learned")
        every(parts.jobs, _LEARNING_SECONDS, parts.learning.turn, name="learning")
        every(parts.jobs, settings.node_pools_period_seconds, self._node_pools, name="node pools")
        every(parts.jobs, settings.node_pools_period_seconds, parts.costs.turn, name="deletion costs of pods")
        every(parts.jobs, _ORPHANS_SECONDS, parts.orphans.turn, name="floors of objects that are gone")
        every(parts.jobs, _TIDY_SECONDS, self.tidy, name="tidying")

    def _collect(self, rank: int) -> Callable[[], Awaitable[None]]:
        async def collect() -> None:
            await self._parts.demand.collect(rank, self._parts.clock.now_ns())

        return collect

    async def _node_pools(self) -> None:
        if self._parts.world.synced:
            await self._parts.pools.turn()

    async def _give_back(self, key: Key, target: ScaleTargetRef) -> None:
        """The floor of an object that was deleted."""
        hpas = [hpa.name for hpa in self._parts.world.hpas_on(key.namespace, target)]
        result = await self._parts.actor.give_back(key, hpas)
        if result.acted.error:
            _log.warning("autoscaler=%s/%s is gone: %s", key.namespace, key.name, result.acted.error)
