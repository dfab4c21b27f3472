"""A state as if past demand had been observed: from Prometheus or from what a controller kept, after it started anew.

Each sample's rate is the mean since the sample before it. It fills the bins between the two, so that a recording at
60 s leaves none of 30 s empty; across a gap it fills its own bin only. Lead times, the margin and which requests miss
are not in such samples (learned.py).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from policies.predictive.demand import MIX_SECONDS, Demand, DemandState
from policies.predictive.load_history import BIN_SECONDS, BINS_PER_DAY, F8, KEPT_DAYS, LoadHistory, bin_of
from policies.predictive.load_traits import advance, begin
from policies.predictive.observed_load import ObservedLoad, observe
from policies.predictive.replica_capacity import sustained
from policies.predictive.spec import PredictiveSpec
from policies.predictive.state import PredictiveState
from policies.snapshot import NS_PER_SECOND

_LONGEST_STEP_SECONDS = 300.0
"""Samples further apart have a gap between them: Prometheus, too, looks back no further for a value."""

_LARGEST = 1e9
"""Requests/s, and tokens of a request: beyond, it is no rate and no size, but a mistake or a float's end."""

_TRAITS_BINS = 3 * BINS_PER_DAY
"""What was before has no weight in the present traits: the slowest, a peak that fades in 24,300 s, keeps 2e-5 of it."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Past demand, oldest first; all of shape (samples,).

    at_ns: Unix ns. requests_per_second: mean since the sample before. prompt_tokens, output_tokens: means per request;
    NaN where none is known, as in a minute without requests: the sizes before it then go on.
    """

    at_ns: NDArray[np.int64]
    requests_per_second: F8
    prompt_tokens: F8
    output_tokens: F8


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """How many samples were used, how many gaps lie between them, and how many were dropped, by the first reason.

    not_a_number: NaN, infinite or absurdly large. not_newer: than one before, or beyond until_ns. without_sizes: no
    request's size was known yet.
    """

    used: int = 0
    gaps: int = 0
    not_a_number: int = 0
    negative: int = 0
    not_newer: int = 0
    without_sizes: int = 0
    too_old: int = 0

    @property
    def dropped(self) -> int:
        """All that were not used."""
        return self.not_a_number + self.negative + self.not_newer + self.without_sizes + self.too_old


def begun(spec: PredictiveSpec, samples: Samples, until_ns: int | None = None) -> tuple[PredictiveState, Taken]:
    """The state after these samples, ready to learn from, and what became of them.

    until_ns: the present; a sample of the future would stop live ones from being observed until then. What is
    older than 14 days before the last sample is dropped.
    """
    clean, taken = _clean(samples, until_ns)
    loads, demand, last = [], DemandState(), None
    for sample, demand in _demands(clean):  # noqa: B007 - the last one is used below
        per_replica = sustained(spec, sample)
        if per_replica is None:
            taken = replace(taken, without_sizes=taken.without_sizes + 1)
            continue
        last = sample
        loads.append((sample.at_ns, sample.requests_per_second / per_replica))
    if last is None:
        return PredictiveState(), taken
    load, gaps = _observed(loads)
    taken = replace(taken, used=len(loads), gaps=gaps)
    return PredictiveState(demand=demand, last=last, load=load), taken


def with_past(state: PredictiveState, past: PredictiveState) -> PredictiveState:
    """A state that already decides, with a past that became known meanwhile put before what it has seen itself."""
    if past.last is None:
        return state
    load = past.load
    history = state.load.history
    for at, value in enumerate(history.loads(), start=history.first):
        load = observe(load, _start_ns(at), float(value))  # an unknown bin is NaN, which changes nothing
    if state.load.traits is not None and state.load.open_bin >= load.open_bin:
        load = observe(load, _start_ns(state.load.open_bin), state.load.level)
        load = replace(load, total=state.load.total, samples=state.load.samples)
    demand = state.demand
    since_seconds = 0.0 if demand.at_ns is None else max(0.0, (demand.at_ns - past.last.at_ns) / NS_PER_SECOND)
    fade = math.exp(-since_seconds / MIX_SECONDS)
    demand = replace(
        demand,
        started=demand.started + fade * past.demand.started,
        prompt_tokens=demand.prompt_tokens + fade * past.demand.prompt_tokens,
        generation_tokens=demand.generation_tokens + fade * past.demand.generation_tokens,
    )
    return replace(state, load=load, demand=demand, last=state.last or past.last)


def _clean(samples: Samples, until_ns: int | None) -> tuple[Samples, Taken]:
    """Those with a rate that can be, each newer than all before it."""
    at_ns, rates = samples.at_ns, samples.requests_per_second
    assert len(at_ns) == len(rates) == len(samples.prompt_tokens) == len(samples.output_tokens)
    is_number = np.abs(rates) <= _LARGEST  # NaN fails the comparison too
    usable = is_number & (np.where(is_number, rates, 0.0) >= 0.0)
    is_past = usable if until_ns is None else usable & (at_ns <= until_ns)
    newest = np.maximum.accumulate(np.where(is_past, at_ns, np.iinfo(np.int64).min))
    before = np.concatenate([[np.iinfo(np.int64).min], newest[:-1]]) if len(newest) else newest
    is_newer = is_past & (at_ns > before)
    oldest_ns = int(newest[-1]) - KEPT_DAYS * 86_400 * NS_PER_SECOND if is_newer.any() else 0
    kept = is_newer & (at_ns > oldest_ns)
    taken = Taken(
        not_a_number=int((~is_number).sum()),
        negative=int((is_number & ~usable).sum()),
        not_newer=int((usable & ~is_newer).sum()),
        too_old=int((is_newer & ~kept).sum()),
    )
    clean = Samples(
        at_ns=at_ns[kept],
        requests_per_second=rates[kept],
        prompt_tokens=samples.prompt_tokens[kept],
        output_tokens=samples.output_tokens[kept],
    )
    return clean, taken


def _demands(samples: Samples) -> Iterator[tuple[Demand, DemandState]]:
    """Each sample with the mean sizes as `demand.estimate` fades them; after idle hours the last ones still hold."""
    started = prompt = generation = 0.0
    prompt_mean = output_mean = None
    before_ns = None
    rows = zip(
        samples.at_ns.tolist(),
        samples.requests_per_second.tolist(),
        samples.prompt_tokens.tolist(),
        samples.output_tokens.tolist(),
        strict=True,
    )
    for at_ns, rate, prompt_tokens, output_tokens in rows:
        seconds = float(BIN_SECONDS) if before_ns is None else (at_ns - before_ns) / NS_PER_SECOND
        before_ns = at_ns
        fade = math.exp(-seconds / MIX_SECONDS)
        started, prompt, generation = started * fade, prompt * fade, generation * fade
        if 0 < prompt_tokens <= _LARGEST and 0 < output_tokens <= _LARGEST:
            requests = rate * min(seconds, _LONGEST_STEP_SECONDS)
            started += requests
            prompt += requests * prompt_tokens
            generation += requests * output_tokens
        if started >= 1:
            prompt_mean, output_mean = prompt / started, generation / started
        yield (
            Demand(
                at_ns=at_ns,
                requests_per_second=rate,
                started_per_second=rate,
                tokens_per_second=0.0,
                backlog=0.0,
                running=0.0,
                prompt_tokens=prompt_mean,
                output_tokens=output_mean,
            ),
            DemandState(started=started, prompt_tokens=prompt, generation_tokens=generation),
        )


def _observed(loads: list[tuple[int, float]]) -> tuple[ObservedLoad, int]:
    """(what `observed_load.observe` would have made of them, gaps). loads: at least one."""
    first = bin_of(loads[0][0])
    span = bin_of(loads[-1][0]) - first + 1
    totals, counts = np.zeros(span), np.zeros(span)
    gaps = 0
    before_ns = loads[0][0]
    for at_ns, load in loads:
        at = bin_of(at_ns) - first
        is_gap = at_ns - before_ns > _LONGEST_STEP_SECONDS * NS_PER_SECOND
        gaps += is_gap
        since = at if is_gap else min(bin_of(before_ns) - first + 1, at)
        totals[since : at + 1] += load
        counts[since : at + 1] += 1
        before_ns = at_ns
    bins = np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
    over = bins[:-1]
    start = max(0, len(over) - _TRAITS_BINS)
    known = bins[: start + 1][~np.isnan(bins[: start + 1])]
    traits = begin(float(known[-1]) if start else loads[0][1])
    for load in over[start:]:
        traits = advance(traits, load)
    last_known = int(np.flatnonzero(counts[:-1]).max(initial=-1))  # a gap is kept once the bin after it is over
    observed = ObservedLoad(
        history=LoadHistory.of(first, over[: last_known + 1]),
        traits=traits,
        open_bin=first + span - 1,
        total=float(totals[-1]),
        samples=int(counts[-1]),
    )
    return observed, gaps


def _start_ns(at: int) -> int:
    return at * BIN_SECONDS * NS_PER_SECOND
