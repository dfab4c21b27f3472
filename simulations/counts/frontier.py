"""Frontiers of settings: which no other beats, and what a wanted attainment costs along them."""

import math
from collections.abc import Sequence
from typing import NamedTuple

LEVELS = (0.95, 0.99, 0.995)
"""Attainments at which frontiers are compared."""

_USEFUL = 0.5
"""A point that attains less says nothing about what lies between it and the next."""


class Point(NamedTuple):
    """One setting's outcome."""

    gpu_hours: float
    attainment: float


def undominated(points: Sequence[Point]) -> list[int]:
    """Indices of the points than which no other costs less, or as much, and attains more; the cheapest first."""
    best = -math.inf
    kept = []
    for index in sorted(range(len(points)), key=lambda index: (points[index].gpu_hours, -points[index].attainment)):
        if points[index].attainment > best:
            best = points[index].attainment
            kept.append(index)
    return kept


def gpu_hours_at(points: Sequence[Point], attainment: float) -> float | None:
    """What the frontier of these points costs at an attainment, linear between two of them: what running the one for a
    share of the time and the other for the rest would cost.

    None where no point attains it. Where the cheapest useful point attains more, what that one costs: no less is known.
    """
    useful = [point for point in points if point.attainment >= _USEFUL]
    frontier = [useful[index] for index in undominated(useful)]
    for before, after in zip([None, *frontier], frontier, strict=False):
        if after.attainment < attainment:
            continue
        if before is None:
            return after.gpu_hours
        share = (attainment - before.attainment) / (after.attainment - before.attainment)
        return before.gpu_hours + share * (after.gpu_hours - before.gpu_hours)
    return None


def setting_for(points: Sequence[Point], attainment: float) -> int | None:
    """The index of the cheapest point that attains it: what is deployed when so much is asked. None: there is none."""
    return next((index for index in undominated(points) if points[index].attainment >= attainment), None)
