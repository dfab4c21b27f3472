"""Runs at count level: a policy's own decide in the loop, or a plan of replicas, over a demand's counts."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from policies.capacity.profile import Profile
from policies.policy import Policy, Running
from simulations.counts.demand_counts import BIN_SECONDS, F8, Counts
from simulations.counts.fleet import CountFleet
from simulations.counts.judge import Curves, good_requests
from simulations.counts.metrics import CountMetrics
from simulations.counts.queue import Flow, Mix
from simulations.counts.serving_curve import ServingCurve
from simulations.lead_time import LeadTime
from simulations.slo import SLO

_LONGEST_STRETCH_SECONDS = 5.0
_MIX_SECONDS = 60.0
"""Time constant of the mean request: those that run came over about as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CountWorld:
    """Everything about a run except the policy. curve: of the same demand, profile and SLO."""

    counts: Counts
    profile: Profile
    slo: SLO
    curve: ServingCurve
    lead_time: LeadTime = field(default_factory=LeadTime)
    initial_replicas: int = 1
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of some bins. violations: requests that missed the SLO. rescales: changes of what was asked for."""

    requests: float
    attainment: float
    violations: float
    gpu_hours: float
    rescales: int


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CountRun:
    """A finished run, bin by bin; each of shape (bins,). replicas, ready_replicas, waiting: at the bin's end."""

    policy: str
    requests: F8
    good: F8
    gpu_seconds: F8
    replicas: NDArray[np.int64]
    ready_replicas: NDArray[np.int64]
    waiting: F8
    rescales: NDArray[np.int64]

    def figures(self, first_bin: int = 0, end_bin: int | None = None) -> Figures:
        """Of the bins [first, end). attainment is NaN where nothing arrived."""
        part = slice(first_bin, end_bin)
        requests, good = float(self.requests[part].sum()), float(self.good[part].sum())
        return Figures(
            requests=requests,
            attainment=good / requests if requests else math.nan,
            violations=requests - good,
            gpu_hours=float(self.gpu_seconds[part].sum()) / 3600,
            rescales=int(self.rescales[part].sum()),
        )


class _Controller(Protocol):
    """What sets the replicas: called at its own instants."""

    def due_seconds(self) -> float: ...
    def act(self, fleet: CountFleet, mix: Mix, flow: Flow, seconds: float) -> None: ...


def count_run(world: CountWorld, policy: Policy[Any, Any], on_bin: Callable[[int], None] = lambda _: None) -> CountRun:
    """Run a policy over all of the demand; `on_bin` is told the number of each finished bin.

    Scrapes and syncs come at the instants of the simulator's loop: every `scrape_seconds` from 0, and every
    `period_seconds` from up to 5 s later.
    """
    return _run(world, policy.name, lambda fleet: _Synced(fleet, policy, world), on_bin)


def planned_run(world: CountWorld, plan: NDArray[np.int64], name: str = "plan") -> CountRun:
    """Run a plan: `plan[b]` replicas are asked for from the beginning of bin b on; shape (bins,)."""
    return _run(world, name, lambda _: _Planned(plan), lambda _: None)


def _run(
    world: CountWorld, name: str, control: Callable[[CountFleet], _Controller], on_bin: Callable[[int], None]
) -> CountRun:
    counts = world.counts
    fleet = CountFleet(world.profile, counts, world.lead_time, initial_replicas=world.initial_replicas, seed=world.seed)
    controller = control(fleet)
    mixes = _mixes(counts, world.profile)
    gpu_seconds, waiting = np.zeros(counts.bins), np.zeros(counts.bins)
    replicas, ready, rescales = (np.zeros(counts.bins, np.int64) for _ in range(3))
    seconds, arrived, admitted, steps = [0.0], [0.0], [0.0], [0.0]
    spent, flow, length = 0.0, Flow(admitted=0.0, finished=0.0, generated_tokens=0.0, step_seconds=0.0), 0.0
    for number, (requests, mix) in enumerate(zip(counts.requests.tolist(), mixes, strict=True)):
        end = float((number + 1) * BIN_SECONDS)
        while True:
            while controller.due_seconds() <= fleet.now_seconds + 1e-9 < end:
                before = fleet.replicas
                controller.act(fleet, mix, flow, length)
                rescales[number] += fleet.replicas != before
            length = min(
                end - fleet.now_seconds,
                _LONGEST_STRETCH_SECONDS,
                max(1e-3, controller.due_seconds() - fleet.now_seconds),
                max(1e-3, fleet.next_change_seconds() - fleet.now_seconds),
            )
            if length <= 1e-9:
                break
            arrivals = requests * length / BIN_SECONDS
            flow = fleet.advance(length, arrivals, mix)
            seconds.append(fleet.now_seconds)
            arrived.append(arrived[-1] + arrivals)
            admitted.append(admitted[-1] + flow.admitted)
            steps.append(steps[-1] + (length / flow.step_seconds if flow.step_seconds else 0.0))
        fleet.now_seconds = end
        total = fleet.spent_gpu_seconds()
        gpu_seconds[number], spent = total - spent, total
        replicas[number], ready[number], waiting[number] = fleet.replicas, len(fleet.ready), fleet.queue.waiting
        on_bin(number)
    curves = Curves(
        seconds=np.array(seconds), arrived=np.array(arrived), admitted=np.array(admitted), steps=np.array(steps)
    )
    return CountRun(
        policy=name,
        requests=counts.requests,
        good=good_requests(curves, counts, world.profile, world.slo, world.curve),
        gpu_seconds=gpu_seconds,
        replicas=replicas,
        ready_replicas=ready,
        waiting=waiting,
        rescales=rescales,
    )


class _Synced:
    """A policy at its syncs, with scrapes between them."""

    def __init__(self, fleet: CountFleet, policy: Policy[Any, Any], world: CountWorld) -> None:
        self._metrics = CountMetrics(fleet, world.curve, policy.queries, seed=world.seed)
        self._running = Running.start(policy)
        self._scrape_at = 0
        self._sync_at = min(5, policy.period_seconds // 2)

    def due_seconds(self) -> float:
        return float(min(self._scrape_at, self._sync_at))

    def act(self, fleet: CountFleet, mix: Mix, flow: Flow, seconds: float) -> None:
        policy = self._running.policy
        if self._scrape_at <= self._sync_at:
            self._metrics.scrape(mix, flow, seconds)
            self._scrape_at += policy.scrape_seconds
            return
        decision = self._running.step(self._metrics.snapshot(), fleet.now_ns)
        if decision.desired_replicas != fleet.replicas:
            fleet.scale(decision.desired_replicas)
        self._sync_at += policy.period_seconds
        self._running.learn_if_due(fleet.now_ns)


class _Planned:
    """A plan, one count a bin."""

    def __init__(self, plan: NDArray[np.int64]) -> None:
        changes = np.flatnonzero(np.diff(plan, prepend=-1))
        self._changes = [(float(bin_ * BIN_SECONDS), int(plan[bin_])) for bin_ in changes.tolist()]
        self._next = 0

    def due_seconds(self) -> float:
        return self._changes[self._next][0] if self._next < len(self._changes) else math.inf

    def act(self, fleet: CountFleet, mix: Mix, flow: Flow, seconds: float) -> None:  # noqa: ARG002 - a plan sees nothing
        replicas = self._changes[self._next][1]
        if replicas != fleet.replicas:
            fleet.scale(replicas)
        self._next += 1


def _mixes(counts: Counts, profile: Profile) -> list[Mix]:
    """Per bin, the mean request of those that came until then, the older ones counting less."""
    columns = np.stack(
        [
            counts.requests,
            counts.prompt_tokens,
            counts.output_tokens,
            counts.prefill_seconds(profile),
            counts.kv_token_steps,
        ],
        axis=1,
    )
    first = int(np.flatnonzero(counts.requests)[0])
    fade = math.exp(-BIN_SECONDS / _MIX_SECONDS)
    total = columns[first] * 1e-9  # before the first request, what it will be like
    mixes: list[Mix] = []
    for row in columns:
        total = total * fade + row
        requests, prompt, output, prefill, read = total.tolist()
        if requests < 1e-300:  # hours without a request: the last mean stays
            mixes.append(mixes[-1])
            continue
        mixes.append(
            Mix(
                prompt_tokens=prompt / requests,
                output_tokens=output / requests,
                prefill_seconds=prefill / requests,
                context_tokens=read / output,
            )
        )
    return mixes
