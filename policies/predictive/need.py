"""What leadtime's rule recommends, before bounds and behavior: a count, the numbers behind it and the words for it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from policies.predictive.load_traits import TRAITS
from policies.predictive.observed_load import traits_at
from policies.predictive.replica_capacity import sustained, within_slo
from policies.predictive.sizing import LEVEL, prior
from policies.predictive.spec import PredictiveSpec
from policies.predictive.state import PredictiveState, lead_seconds, observe
from policies.snapshot import NS_PER_SECOND, Snapshot

_STALE_SECONDS = 60.0
"""A demand sample older than this is no longer the present: four scrapes at the usual 15 s."""

_LEAST_DAYS = 0.2
"""Less than this is told in hours."""

NOT_KNOWN = "demand is not known (no complete and recent scrape of the ready pods)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """replicas: >= 0, neither bounded nor stabilized. learned_days: of its own load behind it; 0 for the prior.

    words: why so many, as a part of a sentence. numbers: as in a Decision.
    """

    replicas: int
    learned_days: float
    numbers: Mapping[str, float]
    words: str


def recommend(
    spec: PredictiveSpec, state: PredictiveState, snapshot: Snapshot, now_ns: int
) -> tuple[Need | None, PredictiveState]:
    """Replicas for the load of now and of one lead time ahead; None while either is unknown.

    The state's `scaling` is not touched: bounds, windows and policies are the caller's.
    """
    state = observe(spec, state, snapshot)
    seen = state.replacements.seen(snapshot, lead_seconds=lead_seconds(spec, state), now_ns=now_ns)
    state = replace(state, replacements=seen)
    return _need(spec, state, now_ns), state


def is_current(state: PredictiveState, now_ns: int) -> bool:
    """Whether the last complete scrape is still the present. Request sizes may be unknown all the same."""
    return state.last is not None and now_ns - state.last.at_ns <= _STALE_SECONDS * NS_PER_SECOND


def _need(spec: PredictiveSpec, state: PredictiveState, now_ns: int) -> Need | None:
    last = state.last
    if last is None or not is_current(state, now_ns):
        return None
    within = within_slo(spec, state.misses, last, state.work.value)
    lead_time_seconds = lead_seconds(spec, state)
    traits = traits_at(state.load, lead_time_seconds)
    if within is None or traits is None:
        return None
    per_replica = sustained(spec, last)
    assert per_replica is not None
    aim = within.aim(spec.attainment)
    floor_load = within.load_for(aim)
    capacity = floor_load * per_replica
    sizing = state.sizing or prior(aim, floor_load)
    ahead = sizing.replicas(traits, floor_load) * state.margin.factor
    level = float(traits[LEVEL])
    floor = _floor(level / floor_load, state.margin.factor)
    present = floor + last.backlog / spec.drain_seconds / capacity
    replicas = math.ceil(max(present, ahead) - 1e-9)
    largest = int(np.argmax(sizing.weights * traits))
    numbers = {
        "demand_requests_per_second": last.requests_per_second,
        "level_requests_per_second": level * per_replica,
        "backlog_requests": last.backlog,
        "capacity_requests_per_second": capacity,
        "load_replicas": level / floor_load,
        "ahead_replicas": ahead,
        "margin": state.margin.factor,
        "work_factor": state.work.value,
        "unavoidable_misses": 1.0 - float(within.shares[0]),
        "aimed_attainment": aim,
        f"from_{TRAITS[largest]}_replicas": float(sizing.weights[largest] * traits[largest]),
        "lead_time_seconds": lead_time_seconds,
        "prompt_tokens": last.prompt_tokens or 0.0,
        "output_tokens": last.output_tokens or 0.0,
        "needed_replicas": float(replicas),
    }
    return Need(
        replicas=replicas,
        learned_days=sizing.days,
        numbers=numbers,
        words=_words(spec, replicas, sizing.days, numbers),
    )


def _floor(load_replicas: float, margin: float) -> float:
    """Replicas for the load of now, whatever was learned."""
    return load_replicas * margin


def _words(spec: PredictiveSpec, replicas: int, learned_days: float, numbers: Mapping[str, float]) -> str:
    past = own_load(learned_days) if learned_days else "other services' load"
    words = (
        f"{numbers['level_requests_per_second']:.1f} req/s now at {numbers['capacity_requests_per_second']:.2f} a "
        f"replica are {numbers['load_replicas']:.1f} replicas; {numbers['aimed_attainment']:.4g} within the SLO over "
        f"{numbers['lead_time_seconds']:.0f} s take {numbers['ahead_replicas']:.1f} (as {past} teaches, margin "
        f"{numbers['margin']:.2f}): {replicas} needed"
    )
    if numbers["aimed_attainment"] < spec.attainment - 1e-9:
        idle = f"{numbers['unavoidable_misses']:.1%} miss on idle replicas"
        words += f" ({spec.attainment:.4g} is out of reach, or nearly: {idle})"
    if numbers["backlog_requests"] >= 1:
        words += f", {numbers['backlog_requests']:.0f} waiting"
    return words


def own_load(days: float) -> str:
    """How much was learned from, as people read it."""
    return f"{days:.1f} days of its own load" if days >= _LEAST_DAYS else f"{24 * days:.1f} hours of its own load"
