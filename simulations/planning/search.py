"""The cheapest place of one setting that attains what was asked, found by runs: each place that is asked for is a run.

A place is in [0, 1] along the setting's range, oriented so that more means more capacity. Where a miss and a hit are
known, the next place is interpolated in the logarithm of the misses, which is nearly a straight line there, and kept
away from both ends of the bracket (the safeguard of regula falsi: Dowell and Jarratt, "A modified regula falsi
method", BIT 11, 1971, with a plain bound instead of their weights). Runs are noisy and not quite monotone: the answer
is the cheapest place that was run and attained, never one that was interpolated.
"""

import math
from dataclasses import dataclass, replace

_NEAR = 0.85
"""Done where a hit uses up this share of the misses that are allowed, and a miss is nearly as dear:"""
_NEARLY = 1.05
"""the hit costs at most so many times as much as that miss, and what lies between cannot save more."""
_FINEST = 0.01
"""Done where a hit and a miss are this near: a hundredth of the range."""
_AIM = 0.97
"""Interpolation aims at so much of the allowed misses: just on the side that attains."""
_SAFE = 0.12
"""No nearer to an end of the bracket than this share of it."""
_STEP = 0.08
"""First step from a known place towards where the bracket's other end must lie; it doubles."""
_LEAST_MISSES = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One run. place: in [0, 1]. attainment: in [0, 1]. cost: in any unit."""

    place: float
    attainment: float
    cost: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search as a value: ask `next_place`, run it, `told` its outcome, until there is none.

    target: attainment, in (0, 1). first: place to begin with. most: runs at most, known ones not counted.
    """

    target: float
    first: float
    most: int = 8
    tried: tuple[Tried, ...] = ()
    asked: int = 0

    def told(self, outcome: Tried) -> "Search":
        """With the run that was asked for."""
        return replace(self, tried=(*self.tried, outcome), asked=self.asked + 1)

    def with_target(self, target: float) -> "Search":
        """The same setting for another attainment: what was run stays known, the count of runs begins anew."""
        return replace(self, target=target, asked=0)

    @property
    def best(self) -> Tried | None:
        """The cheapest run that attained; None where none did."""
        hits = [each for each in self.tried if each.attainment >= self.target]
        return min(hits, key=lambda each: each.cost, default=None)

    @property
    def nearest(self) -> Tried | None:
        """The run that attained most; None before the first."""
        return max(self.tried, key=lambda each: each.attainment, default=None)

    def next_place(self) -> float | None:
        """Where to run next; None where no further run is worth it."""
        if not self.tried:
            return self.first
        if self.asked >= self.most:
            return None
        hit, miss = self._bracket()
        if hit is None:
            assert miss is not None, "something was tried"
            return self._up(miss)
        if miss is None:
            return self._down(hit)
        if self._misses(hit) >= _NEAR * (1.0 - self.target) and hit.cost <= _NEARLY * miss.cost:
            return None
        width = hit.place - miss.place
        if width <= _FINEST:
            return None
        low, high = math.log(self._misses(miss)), math.log(self._misses(hit))
        wanted = math.log(max(_AIM * (1.0 - self.target), _LEAST_MISSES))
        share = (low - wanted) / (low - high) if low > high else 0.5
        return self._unless_known(miss.place + width * min(max(share, _SAFE), 1.0 - _SAFE))

    def _bracket(self) -> tuple[Tried | None, Tried | None]:
        """The lowest hit that has no miss above it but by noise, and the highest miss below it."""
        hits = [each for each in self.tried if each.attainment >= self.target]
        hit = min(hits, key=lambda each: each.place, default=None)
        misses = [
            each for each in self.tried if each.attainment < self.target and (hit is None or each.place < hit.place)
        ]
        return hit, max(misses, key=lambda each: each.place, default=None)

    def _up(self, miss: Tried) -> float | None:
        if miss.place >= 1.0:
            return None
        step = _STEP * 2.0 ** len([each for each in self.tried if each.attainment < self.target])
        return min(1.0, miss.place + step)

    def _down(self, hit: Tried) -> float | None:
        if hit.place <= 0.0:
            return None
        step = _STEP * 2.0 ** len([each for each in self.tried if each.attainment >= self.target])
        return max(0.0, hit.place - step)

    def _unless_known(self, place: float) -> float | None:
        return None if any(abs(each.place - place) < 1e-9 for each in self.tried) else place

    @staticmethod
    def _misses(each: Tried) -> float:
        return max(1.0 - each.attainment, _LEAST_MISSES)
