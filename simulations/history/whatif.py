"""What policies would have done with a service's past: runs over all of it, judged on its last part."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from policies.errors import BadInput
from policies.policy import Policy
from simulations.counts.capacity import initial_replicas
from simulations.counts.demand_counts import BIN_SECONDS
from simulations.counts.run import CountRun, CountWorld, count_run
from simulations.history.bounds import Bounds, recorded_run
from simulations.history.decision_log import logged
from simulations.history.need import Need, need_for
from simulations.history.outcome import DAY_BINS, Outcome
from simulations.history.samples import F8, Known

_WEEK_BINS = 7 * DAY_BINS
_QUARTER_BINS = 900 // BIN_SECONDS

OnProgress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """own: asked attainment -> leadtime's policy. rivals: (the attainment that it was tuned for, the policy); None
    where it has no such knob. One policy for several attainments is run once. first_bin: of the judged part.

    known: False where demand is not; shape (bins,). ready_replicas: that really were, per minute; None if not known.
    """

    world: CountWorld
    own: Mapping[float, Policy[Any, Any]]
    rivals: Sequence[tuple[float | None, Policy[Any, Any]]]
    first_bin: int
    known: Known
    max_replicas: int
    ready_replicas: F8 | None = None

    @property
    def lead_seconds(self) -> float:
        """Median."""
        lead_time = self.world.lead_time
        return lead_time.start_median_seconds + lead_time.load_median_seconds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WhatIf:
    """The answer. needs: asked attainment -> what it took. outcomes: leadtime's first, then in the order of the table.

    Runs of policies and of what ran cover the whole history, those of the bounds the judged part.
    """

    question: Question
    needs: Mapping[float, Need]
    outcomes: Sequence[Outcome]

    @property
    def start_ns(self) -> int:
        return self.question.world.counts.start_ns

    @property
    def bins(self) -> int:
        return self.question.world.counts.bins

    def of(self, asked: float) -> Outcome:
        """leadtime's run for an asked attainment."""
        return next(each for each in self.outcomes if each.asked == asked and each.log)


def default_first_bin(bins: int) -> int:
    """The last week of two or more, else the second half."""
    return bins - _WEEK_BINS if bins >= 2 * _WEEK_BINS else bins // 2


def check_first_bin(first_bin: int, bins: int, name: str) -> None:
    """Raise BadInput where a quarter of an hour cannot be learned from, or judged."""
    if not _QUARTER_BINS <= first_bin <= bins - _QUARTER_BINS:
        days = bins / DAY_BINS
        raise BadInput(
            f"judge-days: was {(bins - first_bin) / DAY_BINS:.3g}, must be in [{_QUARTER_BINS / DAY_BINS:.3g}, "
            f"{days - _QUARTER_BINS / DAY_BINS:.3g}] for {name}, which lasts {days:.3g} days"
        )


def replicas_at_start(world: CountWorld, replicas: tuple[int, int]) -> int:
    """What the beginning needs; within (least, most)."""
    low, high = replicas
    return min(max(low, initial_replicas(world.counts, world.profile, world.slo.tpot_seconds)), high)


def answer(question: Question, on_progress: OnProgress = lambda _what, _share: None) -> WhatIf:
    """Run everything. Raises BadInput."""
    world, first, known = question.world, question.first_bin, question.known
    counts = world.counts
    if not (counts.requests[first:] * known[first:]).any():
        raise BadInput(
            f"demand: {counts.name} has no known request in the judged part; choose another span or --judge-days"
        )
    outcomes = []
    for asked, policy in question.own.items():
        recording, log = logged(policy)
        run = count_run(world, recording, share_of(f"{policy.name}, {asked:g} asked", counts.bins, on_progress))
        outcomes.append(Outcome(asked=asked, run=run, start_bin=0, known=known, log=log))
    if question.ready_replicas is not None and not np.isnan(question.ready_replicas).all():
        on_progress("what ran", 0.0)
        run = recorded_run(world, question.ready_replicas, question.lead_seconds)
        outcomes.append(Outcome(asked=None, run=run, start_bin=0, known=known))
    runs: dict[int, CountRun] = {}
    for goal, policy in question.rivals:
        if id(policy) not in runs:
            what = policy.name if goal is None else f"{policy.name}, {goal:g} asked"
            runs[id(policy)] = count_run(world, policy, share_of(what, counts.bins, on_progress))
        outcomes.append(Outcome(asked=goal, run=runs[id(policy)], start_bin=0, known=known))
    bounds = Bounds(replace(world, counts=counts.part(first, counts.bins)))
    for asked in question.own:
        for name, run_for in (("static", bounds.cheapest_static), ("clairvoyant", bounds.cheapest_clairvoyant)):
            on_progress(f"{name}, {asked:g} asked", 0.0)
            outcomes.append(Outcome(asked=asked, run=run_for(asked), start_bin=first, known=known))
    needs = {asked: need_for(world, asked) for asked in question.own}
    return WhatIf(question=question, needs=needs, outcomes=outcomes)


def share_of(what: str, bins: int, on_progress: OnProgress) -> Callable[[int], None]:
    """For `count_run`: tell `on_progress` the finished share now and then."""

    def on_bin(number: int) -> None:
        if number % 100 == 0:
            on_progress(what, number / bins)

    return on_bin
