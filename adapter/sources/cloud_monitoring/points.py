"""Points of a series as one value, with the time at which it was true."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from adapter.sources.derive.promql import histogram_quantile, share_above
from adapter.sources.series import NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class Point:
    """start_ns == end_ns for a gauge; for a counter the increase counts from start_ns (of a cumulative one, its reset).

    values: one number, or a histogram's cumulative bucket counts.
    """

    start_ns: int
    end_ns: int
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Increase:
    """values: how much each of a point's values grew. seconds: in which time. at_ns: its end."""

    values: tuple[float, ...]
    seconds: float
    at_ns: int


def increase_of(points: Sequence[Point], *, metric_kind: str, window_seconds: int) -> Increase | None:
    """The growth over the window before the newest point; None where there are too few points to tell.

    points: newest first, as the API gives them. Of DELTA the increments add up. Else, the growth between the oldest
    and the newest sample in the window (at least the two newest, where the window is shorter than their distance),
    resets bridged: a later start_ns or a decrease means that the counter began at 0 again. Unlike PromQL's rate nothing
    is extrapolated to the window's edges.
    """
    if not points:
        return None
    newest = points[0]
    since_ns = newest.end_ns - window_seconds * NS_PER_SECOND
    if metric_kind == "DELTA":
        within = [point for point in points if point.end_ns > since_ns]
        seconds = (newest.end_ns - min(point.start_ns for point in within)) / NS_PER_SECOND
        columns = zip(*(point.values for point in within), strict=True)
        return Increase(tuple(map(math.fsum, columns)), seconds, newest.end_ns) if seconds > 0 else None
    within = [point for index, point in enumerate(points) if index < 2 or point.end_ns >= since_ns]
    if len(within) < 2:
        return None
    grown = [0.0] * len(newest.values)
    for later, earlier in pairwise(within):
        if len(later.values) != len(earlier.values):
            return None
        is_reset = later.values[-1] < earlier.values[-1]
        is_reset = is_reset or (metric_kind == "CUMULATIVE" and later.start_ns > earlier.start_ns)
        for index, value in enumerate(later.values):
            grown[index] += value if is_reset else value - earlier.values[index]
    return Increase(tuple(grown), (newest.end_ns - within[-1].end_ns) / NS_PER_SECOND, newest.end_ns)


def quantile_of(quantile: float, bounds: Sequence[float], increase: Increase) -> float | None:
    """The quantile of the observations within the increase, in the bounds' unit; None without observations.

    bounds: upper bounds of all buckets but the last, which has none.
    """
    return histogram_quantile(quantile, [*bounds, math.inf], increase.values)


def share_of(above: float, bounds: Sequence[float], increase: Increase) -> float | None:
    """The share (0..1) of the observations within the increase above a bound; None without observations."""
    return share_above(above, [*bounds, math.inf], increase.values)
