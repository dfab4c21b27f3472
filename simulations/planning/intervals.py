"""How sure a figure is: its spread over seeds, and with several days a bootstrap over days and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]

FEWEST_DAYS = 3
"""Fewer days than this cannot be resampled to anything: the spread over seeds is told instead."""

LEVEL = 0.9
_DRAWS = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A figure and what it may as well have been."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Interval":
        """In another unit; factor is 0 or more."""
        return Interval(value=self.value * factor, low=self.low * factor, high=self.high * factor)

    def plus(self, more: float) -> "Interval":
        """All of it shifted."""
        return Interval(value=self.value + more, low=self.low + more, high=self.high + more)


def spread(values: Sequence[float]) -> Interval:
    """The mean, the lowest and the highest of a few runs."""
    assert values, "a spread of nothing"
    return Interval(value=float(np.mean(values)), low=float(min(values)), high=float(max(values)))


def largest(values: Sequence[float]) -> Interval:
    """For what must suffice in every run, such as a quota: the median, the lowest and the highest."""
    assert values, "a spread of nothing"
    return Interval(value=float(np.median(values)), low=float(min(values)), high=float(max(values)))


def ratio(parts: F8, wholes: F8, *, seed: int = 1) -> Interval:
    """Sum of parts over sum of wholes, each of shape (runs, days).

    From `FEWEST_DAYS` days on, the middle 90 % of 2,000 resamples of runs and of days, both with replacement and apart
    from each other: days are common to all runs (the pigeonhole bootstrap; A. Owen, "The pigeonhole bootstrap", Annals
    of Applied Statistics 1, 2007). With fewer, the lowest and the highest run.
    """
    assert parts.shape == wholes.shape, "a part of each whole"
    value = float(parts.sum() / wholes.sum())
    runs, days = parts.shape
    if days < FEWEST_DAYS:
        each = parts.sum(axis=1) / wholes.sum(axis=1)
        return Interval(value=value, low=float(each.min()), high=float(each.max()))
    rng = np.random.default_rng(seed)
    of_runs = rng.multinomial(runs, np.full(runs, 1.0 / runs), _DRAWS).astype(np.float64)
    of_days = rng.multinomial(days, np.full(days, 1.0 / days), _DRAWS).astype(np.float64)
    sums = np.einsum("kr,rd,kd->k", of_runs, parts, of_days) / np.maximum(
        np.einsum("kr,rd,kd->k", of_runs, wholes, of_days), 1e-300
    )
    low, high = np.quantile(sums, [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0])
    return Interval(value=value, low=float(min(low, value)), high=float(max(high, value)))


def method(runs: int, days: int) -> str:
    """What an interval of `ratio` is, for people."""
    if days < FEWEST_DAYS:
        return f"lowest to highest of {runs} runs with seeds of their own" if runs > 1 else "one run: no interval"
    return f"{LEVEL:.0%} of {_DRAWS:,} bootstrap resamples of {days} days and {runs} seeds"
