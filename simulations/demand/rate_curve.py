"""A rate of arrivals over time, linear between knots."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class RateCurve:
    """seconds: knots, never decreasing; two equal ones are a jump. rps: requests/s there, 0 or more. Shape (knots,)."""

    seconds: F8
    rps: F8

    @classmethod
    def through(cls, points: Iterable[tuple[float, float]]) -> "RateCurve":
        """points: (seconds, requests/s), in order of time."""
        seconds, rps = np.array(list(points), np.float64).T
        return cls(np.ascontiguousarray(seconds), np.ascontiguousarray(rps))

    def expected(self) -> F8:
        """Requests expected from the first knot up to each; shape (knots,)."""
        areas = 0.5 * (self.rps[1:] + self.rps[:-1]) * np.diff(self.seconds)
        return np.concatenate([[0.0], np.cumsum(areas)])

    def at(self, seconds: F8) -> F8:
        """Requests/s at some times; same shape. Beyond the knots the rate is 0."""
        return np.interp(seconds, self.seconds, self.rps, left=0.0, right=0.0)


def mean_preserving(means: F8) -> tuple[F8, F8]:
    """Make window means a continuous rate: (rates at the windows' starts, rates at their middles).

    means: requests/s, 0 or more, shape (..., windows); the last window is followed by the first. Both results have the
    same shape. The rate is linear from start to middle to the next start, and then, exactly,

    - every window keeps its mean: (start + 2 middle + next start) / 4 = mean, which fixes the middle;
    - no rate is negative: a start is the harmonic mean 2 a b / (a + b) of the two windows beside it, which is at most
      twice the smaller, so that a middle, 2 mean - (start + next start) / 2, is 0 or more;
    - a window of mean 0 has the rate 0 throughout.

    The task is that of Rymes and Myers 2001 ("Mean preserving algorithm for smoothly interpolating averaged data",
    Solar Energy 71), which keeps no bound by itself; the harmonic mean as the limiter that keeps one is van Leer's 1974
    ("Towards the ultimate conservative difference scheme II", J. Comput. Phys. 14).
    """
    before = np.roll(means, 1, axis=-1)
    total = before + means
    starts = np.divide(2.0 * before * means, total, out=np.zeros_like(means), where=total > 0)
    middles = 2.0 * means - 0.5 * (starts + np.roll(starts, -1, axis=-1))
    # A middle that is 0 in exact arithmetic may be -1e-17 here.
    return starts, np.maximum(middles, 0.0)
