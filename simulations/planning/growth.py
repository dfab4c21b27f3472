"""Demand that grows: the same day with more people in it, and when a quota no longer holds it."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from policies.capacity.profile import Profile
from simulations.counts.capacity import needed_replicas
from simulations.counts.demand_counts import BIN_SECONDS, Counts

DAYS_A_MONTH = 365.25 / 12
_SUMS = ("requests", "prompt_tokens", "output_tokens", "prompt_token_squares", "kv_token_steps")
_HOUR_BINS = 3_600 // BIN_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Bins [first, end)."""

    first: int
    end: int


def busiest_hour(counts: Counts, profile: Profile, tpot_seconds: float) -> Span:
    """The hour that needs most replicas in the mean; all of a demand that is shorter. Raises BadInput."""
    width = min(_HOUR_BINS, counts.bins)
    sums = np.convolve(needed_replicas(counts, profile, tpot_seconds), np.ones(width), mode="valid")
    first = int(np.argmax(sums))
    return Span(first=first, end=first + width)


def scaled(counts: Counts, factor: float, *, busiest: Span | None = None, peak_factor: float = 1.0) -> Counts:
    """As if each user were `factor` users, and in the busiest hour `peak_factor` times as many again.

    Bursts grow with the rate: the users are thought to be alike, not independent, which is on the dear side.
    """
    weights = np.full(counts.bins, factor)
    if busiest is not None:
        weights[busiest.first : busiest.end] *= peak_factor
    changed = {name: getattr(counts, name) * weights for name in _SUMS}
    return replace(counts, **changed)


def months_until(needs: Sequence[float], limit: float) -> float | None:
    """Months until a need exceeds a limit; needs: of month 0, 1, 2, ... None where it never does.

    Between two months the need is taken to grow by a constant factor, as the demand does.
    """
    if needs and needs[0] > limit:
        return 0.0
    for month, (before, after) in enumerate(itertools.pairwise(needs)):
        if after > limit:
            return month + math.log(limit / before) / math.log(after / before) if before > 0 else float(month)
    return None


def after_months(start: date, months: float) -> date:
    """The day so many mean months later, rounded down: quota is wanted before it is needed."""
    return start + timedelta(days=math.floor(months * DAYS_A_MONTH))
