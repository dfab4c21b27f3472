"""From samples to bins: the load of each half minute, and what is known of the one that is not over yet."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from policies.predictive.load_history import BINS_PER_DAY, F8, LoadHistory, bin_of
from policies.predictive.load_traits import advance, begin, level_of_minutes, traits_now


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ObservedLoad:
    """history: bins that are over. traits: their recursive state; None before the first sample.

    open_bin, total, samples: the bin of the last sample, the sum of its loads and their number.
    """

    history: LoadHistory = field(default_factory=LoadHistory)
    traits: F8 | None = None
    open_bin: int = 0
    total: float = 0.0
    samples: int = 0

    @property
    def level(self) -> float:
        """The mean of the open bin."""
        return self.total / self.samples


def observe(seen: ObservedLoad, at_ns: int, load: float) -> ObservedLoad:
    """Add one sample, in replicas. What is older than the open bin, negative, or no number changes nothing."""
    now = bin_of(at_ns)
    if not np.isfinite(load) or load < 0 or now < seen.open_bin:
        return seen
    if seen.traits is None:
        return ObservedLoad(traits=begin(load), open_bin=now, total=load, samples=1)
    if now == seen.open_bin:
        return replace(seen, total=seen.total + load, samples=seen.samples + 1)
    traits = advance(seen.traits, seen.level)
    for _ in range(min(now - seen.open_bin - 1, _MOST_STEPS)):  # bins without a sample: the last load goes on
        traits = advance(traits, np.nan)
    history = seen.history.append(seen.open_bin, seen.level)
    return ObservedLoad(history=history, traits=traits, open_bin=now, total=load, samples=1)


_MOST_STEPS = 2_880
"""After a day without samples nothing of what was before has weight."""


def traits_at(seen: ObservedLoad, lead_seconds: float) -> F8 | None:
    """TRAITS with what is known of the open bin; None before the first sample."""
    if seen.traits is None:
        return None
    return traits_now(advance(seen.traits, seen.level), seen.history, seen.open_bin, lead_seconds)


def usual_level(seen: ObservedLoad) -> float:
    """The mean load of the last minutes before the open bin; 0 before the first sample."""
    return float(level_of_minutes(seen.traits)) if seen.traits is not None else 0.0


def mean_level(seen: ObservedLoad) -> float:
    """The mean load of the last day; while none of it is known, the usual level."""
    mean = _mean_of_a_day(seen.history)
    return usual_level(seen) if mean is None else mean


@lru_cache(maxsize=4)  # a history stays the same for two scrapes
def _mean_of_a_day(history: LoadHistory) -> float | None:
    """Of the last day that is known; None where nothing is."""
    day = history.between(history.end - BINS_PER_DAY, history.end)
    known = day[~np.isnan(day)]
    return float(known.mean()) if len(known) else None
