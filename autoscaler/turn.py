"""One step of one PredictiveAutoscaler: the cluster as autoscaler.reconcile asks for it, and what came of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from autoscaler.act.act import why_paused
from autoscaler.act.result import ActResult
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.forecast import Forecast
from autoscaler.leader.leadership import Leadership
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.observe.observer import Seen
from autoscaler.observe.scale import Scale
from autoscaler.outcome import Finding, Outcome, PoolOutcome, Replicas
from autoscaler.tracing import Tracing
from autoscaler.workload import Workload
from policies.combined.state import CombinedState
from policies.decision import Decision
from policies.hpa import Behavior
from policies.snapshot import MetricQuery


class Observer(Protocol):
    async def observe(self, autoscaler: Autoscaler, queries: Iterable[MetricQuery], now_ns: int) -> Seen:
        """Raises TargetError."""
        ...


class LeadTime(Protocol):
    """autoscaler.next_lead_time.NextLeadTime."""

    async def seconds(self, autoscaler: Autoscaler, seen: Seen, now_ns: int) -> float | None: ...


class Actor(Protocol):
    """autoscaler.act.act.Actor."""

    async def act(
        self,
        autoscaler: Autoscaler,
        scale: Scale,
        decision: Decision,
        hpas: Sequence[HpaSeen],
        *,
        behavior: Behavior,
        now_ns: int,
        cluster_paused: bool = False,
        older: Key | None = None,
    ) -> ActResult:
        """Raises nothing for what the API server refuses."""
        ...


class Listing(Protocol):
    """What is asked of autoscaler.observe.world.World."""

    @property
    def autoscalers(self) -> Mapping[Key, Autoscaler]: ...
    def hpas_on(self, namespace: str, ref: ScaleTargetRef) -> tuple[HpaSeen, ...]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a decision was made from and left, for the log of decisions. before, after: the policy's state.

    scale_event_taken_back: between the two, because its change was not made.
    """

    seen: Seen
    before: CombinedState
    after: CombinedState
    scale_event_taken_back: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """What every turn works with. older_of: the object that acts on the same workload in its place, None mostly.

    pools_of: what became of an object's node pools lately. costs_of: what of its pods' deletion costs.
    timeout_seconds: for each of observing, acting and telling.
    """

    world: Listing
    observer: Observer
    lead_time: LeadTime
    actor: Actor
    leadership: Leadership
    older_of: Callable[[Key], Key | None]
    pools_of: Callable[[Key], tuple[PoolOutcome, ...]]
    costs_of: Callable[[Key], tuple[Finding, ...]]
    tracing: Tracing
    timeout_seconds: float


class TookTooLong(Exception):
    """A part of the step did not end in time; the next step tries again."""


class Turn:
    """Implements autoscaler.cluster.Cluster and Clock for one step of one object; how far it has come stays readable
    when it is ended in the middle. findings: what whoever ends it adds. tell: called once, at the end of a step."""

    def __init__(
        self, around: Around, autoscaler: Autoscaler, began_ns: int, tell: Callable[["Turn"], Awaitable[None]]
    ) -> None:
        self.autoscaler = autoscaler
        self.began_ns = began_ns
        self.is_told = False
        self.workload: Workload | None = None
        self.seen: Seen | None = None
        self.decision: Decision | None = None
        self.forecast: Forecast | None = None
        self.result = ActResult()
        self.findings: tuple[Finding, ...] = ()
        self.decided: Decided | None = None
        self._around = around
        self._tell = tell
        self._before: CombinedState | None = None

    def now_ns(self) -> int:
        """The step's one instant."""
        return self.began_ns

    async def observe(self, key: Key, queries: Iterable[MetricQuery], now_ns: int) -> Seen:  # noqa: ARG002 - as Cluster
        assert self.workload is not None
        async with self._part("observe"):
            seen = await self._around.observer.observe(self.autoscaler, queries, now_ns)
            lead_seconds = await self._around.lead_time.seconds(self.autoscaler, seen, now_ns)
        self.seen = replace(seen, snapshot=replace(seen.snapshot, lead_time_seconds=lead_seconds))
        self._before = self.workload.running.state
        return self.seen

    async def act(self, key: Key, seen: Seen, decision: Decision, now_ns: int) -> ActResult:
        workload, spec, around = self.workload, self.autoscaler.spec, self._around
        assert workload is not None and spec is not None and self._before is not None  # noqa: PT018 - one state
        self.decision = decision
        after = workload.running.state
        async with self._part("act", desired_replicas=decision.desired_replicas, reason=decision.reason):
            self.result = await around.actor.act(
                self.autoscaler,
                seen.scale,
                decision,
                around.world.hpas_on(key.namespace, spec.scale_target_ref),
                behavior=workload.spec.predictive.rules,
                now_ns=now_ns,
                cluster_paused=around.leadership.paused,
                older=around.older_of(key),
            )
        not_made = self.result.acted.after is None and decision.desired_replicas != seen.snapshot.replicas
        if not_made:
            after = workload.take_back_scale_event(self._before, after)
        self.decided = Decided(
            seen=seen,
            before=self._before,
            after=after,
            scale_event_taken_back=not_made,
        )
        self.forecast = workload.forecast(now_ns)  # after the act: what is only told must not be in its way
        return self.result

    async def report(self, key: Key, seen: Seen, decision: Decision, done: ActResult) -> None:  # noqa: ARG002 - as Cluster
        await self.tell()

    async def tell(self) -> None:
        """Of this step, as far as it came."""
        self.is_told = True
        async with self._part("report"):
            await self._tell(self)

    @asynccontextmanager
    async def _part(self, name: str, **attributes: str | int) -> AsyncIterator[None]:
        """A span with a limit. Raises TookTooLong."""
        seconds = self._around.timeout_seconds
        with self._around.tracing.span(name, attributes):
            try:
                async with asyncio.timeout(seconds):
                    yield
            except TimeoutError as error:
                raise TookTooLong(f"{name} took more than {seconds:g} s; the next step tries again") from error

    def outcome(self, seconds: float) -> Outcome:
        """As far as it came. seconds: that it took."""
        autoscaler = self.autoscaler
        return Outcome(
            key=autoscaler.key,
            uid=autoscaler.uid,
            at_ns=self.began_ns,
            generation=autoscaler.generation,
            mode=None if autoscaler.spec is None else autoscaler.spec.mode,
            paused=bool(why_paused(autoscaler, cluster_paused=self._around.leadership.paused)),
            decision=self.decision,
            replicas=None if self.seen is None else replicas_of(self.seen),
            acted=self.result.acted,
            findings=(*self.findings, *self.result.findings, *self._around.costs_of(autoscaler.key)),
            pools=self._around.pools_of(autoscaler.key),
            forecast=self.forecast,
            seconds=seconds,
        )


def replicas_of(seen: Seen) -> Replicas:
    """Pods that are ending, or have ended, are none."""
    there = [pod for pod in seen.pods if not pod.pod.deleting and pod.pod.phase in ("Pending", "Running")]
    starting = [pod for pod in there if not pod.pod.is_ready]
    return Replicas(
        asked=seen.snapshot.replicas,
        ready=len(there) - len(starting),
        starting=len(starting),
        pending=sum(not pod.node for pod in starting),
    )
