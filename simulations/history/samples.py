"""Samples as a monitoring system keeps them -> one value a minute. What is wrong is repaired in a stated way, counted.

Minute k of a grid is (first + 60 k, first + 60 (k + 1)], in Unix seconds: what a counter's samples at both ends say.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]
Known = NDArray[np.bool_]

MINUTE_SECONDS = 60
LONGEST_FILLED_MINUTES = 10
"""Without a sample: as long as this the minutes beside say what came; longer, it is not known."""

UNREADABLE = "samples that are no pair of numbers: dropped"
NOT_FINITE = "samples NaN, infinite or above 1e15: dropped"
_LARGEST = 1e15
NEGATIVE = "samples below 0: dropped"
OUT_OF_ORDER = "samples out of order: sorted"
DUPLICATED = "samples of an instant that was there already: dropped"
RESETS = "counters that fell: counted from 0, as of a restarted server"
FILLED = f"minutes without a sample, up to {LONGEST_FILLED_MINUTES} in a row: filled evenly from those beside"
UNKNOWN = f"minutes without a sample, more than {LONGEST_FILLED_MINUTES} in a row: filled evenly, and not judged"
LEFT = "minutes in which more requests left than came: 0 arrivals"

_SLIPS = {
    60.0: "60 times",
    1 / 60.0: "a 60th of",
    1_000.0: "1,000 times",
    1 / 1_000.0: "a 1,000th of",
    3_600.0: "3,600 times",
    1 / 3_600.0: "a 3,600th of",
}
_SLIP_TOLERANCE = 0.25
_SLIP_MINUTES = 30


@dataclass(frozen=True, slots=True)
class Grid:
    """Minutes from `first_seconds`, Unix time."""

    first_seconds: float
    minutes: int

    @property
    def edges(self) -> F8:
        """Unix seconds; shape (minutes + 1,)."""
        return self.first_seconds + MINUTE_SECONDS * np.arange(self.minutes + 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """In order of time, one an instant, finite, 0 or more; each of shape (samples,). seconds: Unix time."""

    seconds: F8
    values: F8

    def __len__(self) -> int:
        return len(self.seconds)


def clean(raw: Iterable[Any], repairs: Counter[str]) -> Samples:
    """raw: pairs of time and value, numbers or text, as Prometheus answers. Of two at one instant the last counts."""
    table = np.array(list(_pairs(raw, repairs)), np.float64).reshape(-1, 2)
    finite = (np.abs(table) <= _LARGEST).all(axis=1)
    positive = table[:, 1] >= 0
    repairs[NOT_FINITE] += int((~finite).sum())
    repairs[NEGATIVE] += int((finite & ~positive).sum())
    seconds, values = table[finite & positive].T
    late = int((np.diff(seconds) < 0).sum())
    if late:
        repairs[OUT_OF_ORDER] += late
        order = np.argsort(seconds, kind="stable")
        seconds, values = seconds[order], values[order]
    is_last = np.append(np.diff(seconds) > 0, True)[: len(seconds)]
    if not is_last.all():
        repairs[DUPLICATED] += int((~is_last).sum())
    return Samples(seconds[is_last], values[is_last])


def _pairs(raw: Iterable[Any], repairs: Counter[str]) -> Iterator[tuple[float, float]]:
    for pair in raw:
        try:
            at, value = pair
            yield float(at), float(value)
        except (TypeError, ValueError, OverflowError):
            repairs[UNREADABLE] += 1


def increases(counter: Samples, repairs: Counter[str]) -> tuple[F8, Known]:
    """(growth since the sample before, whether it fell back there), of every sample but the first."""
    grown = np.diff(counter.values)
    fell = grown < 0
    repairs[RESETS] += int(fell.sum())
    return np.where(fell, counter.values[1:], grown), fell


def spread(seconds: F8, grown: F8, grid: Grid) -> tuple[F8, Known]:
    """(amount in each minute, whether samples say so), from amounts between samples, each spread evenly.

    seconds: of the samples, shape (samples,). grown: shape (samples - 1,). A stretch longer than what is filled counts
    its amount all the same: a counter knows it. Shapes (minutes,).
    """
    amounts, known = np.zeros(grid.minutes), np.zeros(grid.minutes, bool)
    if len(seconds) < 2:
        return amounts, known
    amounts = np.diff(np.interp(grid.edges, seconds, np.concatenate([[0.0], np.cumsum(grown)])))
    near = np.diff(seconds) <= MINUTE_SECONDS * (LONGEST_FILLED_MINUTES + 1)
    middles = grid.edges[:-1] + MINUTE_SECONDS / 2
    stretch = np.searchsorted(seconds, middles) - 1
    within = (stretch >= 0) & (stretch < len(near))
    known[within] = near[stretch[within]]
    return amounts, known


def means(gauge: Samples, grid: Grid) -> F8:
    """The mean of each minute's samples, NaN where it has none; shape (minutes,)."""
    place = np.ceil((gauge.seconds - grid.first_seconds) / MINUTE_SECONDS - 1e-6).astype(np.int64) - 1
    inside = (place >= 0) & (place < grid.minutes)
    counts = np.bincount(place[inside], minlength=grid.minutes)
    sums = np.bincount(place[inside], weights=gauge.values[inside], minlength=grid.minutes)
    minutes: F8 = np.full(grid.minutes, np.nan)
    np.divide(sums, counts, out=minutes, where=counts > 0)
    return minutes


def filled(values: F8, repairs: Counter[str]) -> tuple[F8, Known]:
    """(values with their NaN filled linearly, False where a run of them is too long to be known)."""
    missing = np.isnan(values)
    if missing.all() or not missing.any():
        return np.nan_to_num(values), ~missing
    places = np.arange(len(values))
    unknown = np.zeros(len(values), bool)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], missing.astype(np.int8), [0]])))
    for start, end in edges.reshape(-1, 2).tolist():
        unknown[start:end] = end - start > LONGEST_FILLED_MINUTES
    repairs[FILLED] += int((missing & ~unknown).sum())
    repairs[UNKNOWN] += int(unknown.sum())
    return np.interp(places, places[~missing], values[~missing]), ~unknown


def unit_slips(values: F8) -> list[tuple[int, str]]:
    """(minute, how many times what it was before) of jumps by what units differ by, as a minute and a second do.

    Medians of half an hour on either side are compared; nothing is changed: a real jump can be as large.
    """
    if len(values) < 2 * _SLIP_MINUTES:
        return []
    medians = np.median(np.lib.stride_tricks.sliding_window_view(values, _SLIP_MINUTES), axis=1)
    before, after = medians[:-_SLIP_MINUTES], medians[_SLIP_MINUTES:]
    ratio = np.divide(after, before, out=np.ones_like(after), where=(before > 0) & (after > 0))
    found: list[tuple[int, str]] = []
    last = -_SLIP_MINUTES
    for factor, words in _SLIPS.items():
        near = np.abs(np.log(ratio / factor)) < _SLIP_TOLERANCE
        runs = np.flatnonzero(np.diff(np.concatenate([[0], near.astype(np.int8), [0]]))).reshape(-1, 2)
        for start, end in runs.tolist():
            last = (start + end - 1) // 2 + _SLIP_MINUTES
            found.append((last, words))
    return sorted(found)
