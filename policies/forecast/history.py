"""The last 14 days of demand, minute by minute, one array a day: 80,640 bytes a target (float32) once it is full."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

F4 = NDArray[np.float32]
F8 = NDArray[np.float64]

BINS_PER_DAY = 1_440
KEPT_DAYS = 14

_AROUND = 2
"""Minutes on either side that a look back is averaged over: another day's very minute says no more than those."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class History:
    """days: number since the epoch -> minutes, shape (targets, BINS_PER_DAY), NaN where nothing is known.

    number: of the newest minute since the epoch; None before any.
    """

    days: Mapping[int, F4] = field(default_factory=dict)
    number: int | None = None


def appended(history: History, number: int, means: F8) -> History:
    """With one more minute, later than the newest; those in between stay unknown. Only that day's array is copied."""
    day, minute = divmod(number, BINS_PER_DAY)
    before = history.days.get(day)
    today = np.full((len(means), BINS_PER_DAY), np.nan, np.float32) if before is None else before.copy()
    today[:, minute] = means
    kept = {each: minutes for each, minutes in history.days.items() if day - KEPT_DAYS < each < day}
    return History(days={**kept, day: today}, number=number)


def around(history: History, bins_ago: int, targets: int) -> F8:
    """Mean demand around a past minute; shape (targets,), NaN where nothing is known there."""
    assert history.number is not None
    totals, counts = np.zeros(targets), np.zeros(targets)
    for number in range(history.number - bins_ago - _AROUND, history.number - max(bins_ago - _AROUND, 0) + 1):
        day, minute = divmod(number, BINS_PER_DAY)
        if day in history.days:
            values = history.days[day][:, minute]
            is_known = np.isfinite(values)
            totals += np.where(is_known, values, 0.0)
            counts += is_known
    mean: F8 = np.divide(totals, counts, out=np.full(targets, np.nan), where=counts > 0)
    return mean
