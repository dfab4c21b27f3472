"""rate(), histogram_quantile() and histogram_fraction() as Prometheus computes them, so that a value does not jump when
its source changes.

Source: prometheus v3.4 (module v0.304.2), promql/functions.go extrapolatedRate and promql/quantile.go
BucketQuantile and BucketFraction. Ranges are left-open, as since Prometheus 3.0.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

_NS_PER_SECOND = 1_000_000_000
_SMALL_DELTA = 1e-12


@dataclass(frozen=True, slots=True)
class Span:
    """How a range is covered by the samples of one series. All in seconds.

    sampled: from its first to its last sample, > 0. to_start: from the range's start to the first. to_end: from
    the last to the range's end. samples: how many, two or more. window: the range.
    """

    sampled: float
    to_start: float
    to_end: float
    samples: int
    window: float

    def rate(self, first: float, increase: float) -> float:
        """The counter's increase per second. first: the first sample's value. increase: between first and last.

        Where a sample lies within 1.1 average distances of the range's edge, the increase is extended to the
        edge, else by half a distance; and never to before the counter was 0.
        """
        distance = self.sampled / (self.samples - 1)
        to_start = self.to_start if self.to_start < distance * 1.1 else distance / 2
        to_end = self.to_end if self.to_end < distance * 1.1 else distance / 2
        if increase > 0 and first >= 0:
            to_start = min(to_start, self.sampled * (first / increase))
        return increase * ((self.sampled + to_start + to_end) / self.sampled) / self.window


def span(first_ns: int, last_ns: int, samples: int, *, now_ns: int, window_seconds: int) -> Span:
    """The span of samples within (now - window, now]."""
    start_ns = now_ns - window_seconds * _NS_PER_SECOND
    return Span(
        sampled=(last_ns - first_ns) / _NS_PER_SECOND,
        to_start=(first_ns - start_ns) / _NS_PER_SECOND,
        to_end=(now_ns - last_ns) / _NS_PER_SECOND,
        samples=samples,
        window=float(window_seconds),
    )


def histogram_quantile(quantile: float, upper_bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """The quantile (0..1) of a histogram, in the unit of its bounds; None where it has no observations.

    upper_bounds: ascending, distinct, the last +Inf. counts: cumulative, of the same length.
    Within a bucket observations are taken to be spread evenly, in the lowest from 0; in the highest the answer is
    its lower bound.
    """
    if len(upper_bounds) < 2 or upper_bounds[-1] != math.inf:
        return None
    cumulative = _monotonic(counts)
    if cumulative[-1] == 0:
        return None
    rank = quantile * cumulative[-1]
    bucket = next(index for index, count in enumerate(cumulative) if count >= rank or index == len(cumulative) - 1)
    if bucket == len(cumulative) - 1:
        return upper_bounds[-2]
    upper = upper_bounds[bucket]
    if bucket == 0:
        return upper if upper <= 0 else upper * (rank / (cumulative[0] or 1.0))  # 0 / 0 only at the quantile 0
    lower, below = upper_bounds[bucket - 1], cumulative[bucket - 1]
    return lower + (upper - lower) * ((rank - below) / (cumulative[bucket] - below))


def share_above(bound: float, upper_bounds: Sequence[float], counts: Sequence[float]) -> float | None:
    """The share (0..1) of a histogram's observations above a bound; None where it has none: PromQL's
    histogram_fraction(bound, +Inf, ...).

    bound: 0 or more. upper_bounds: ascending, distinct, the last +Inf. counts: cumulative, of the same length.
    Within a bucket observations are taken to be spread evenly, in the lowest from 0 (as since prometheus/prometheus
    pull request 17424; before, the answer there was NaN); in the highest all of them lie above.
    """
    if not upper_bounds or upper_bounds[-1] != math.inf or not counts[-1]:
        return None
    bucket = bisect_left(upper_bounds, bound)  # the one that holds the bound, or ends at it
    lower, below = (upper_bounds[bucket - 1], counts[bucket - 1]) if bucket else (0.0, 0.0)
    upper = upper_bounds[bucket]
    at_most = counts[bucket]  # on its edge the count itself: where counts fall, a difference could cancel it
    if bound < upper:
        at_most = below + (counts[bucket] - below) * (bound - lower) / (upper - lower)
    return (counts[-1] - min(at_most, counts[-1])) / counts[-1]


def _monotonic(counts: Sequence[float]) -> list[float]:
    """The counts without decreases, and without increases that are only rounding."""
    result = [counts[0]]
    for count in counts[1:]:
        before = result[-1]
        is_rounding = before != 0 and count != 0 and abs(count - before) / (abs(count) + abs(before)) < _SMALL_DELTA
        result.append(before if is_rounding or count < before else count)
    return result
