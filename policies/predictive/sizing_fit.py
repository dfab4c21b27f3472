"""Weights by search: those that had delivered the asked attainment on the recorded load with the fewest replica-hours.

Each candidate direction is scaled until its replay (replay.py) just delivers what is asked; what it then costs is its
score. A cross-entropy search over directions (Rubinstein and Kroese, "The Cross-Entropy Method", 2004) keeps the best
and looks around them; the answer is the mean of the last ones kept, which owes less to accidents of this one recording
than the very best does. It is deterministic: its draws come from a generator with a fixed seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.predictive.load_history import F8
from policies.predictive.replay import Recording, replay

_SEED = 20_261_121
_SCALE = (0.3, 5.0)
_HALVINGS = 5
_FEWEST_MISSES = 1e-7
_FAR_TOO_MUCH = 1e12
"""Replica-hours."""

_PATIENCE = 5
"""Generations after the first in which nothing has to deliver what is asked yet: those that come nearest lead."""

_SMALLEST = 0.01
"""A weight below this share of all of them is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How much is searched: generations x candidates replays, each seven times."""

    generations: int = 16
    candidates: int = 20
    kept: int = 5
    widest: float = 1.0
    narrowest: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitted:
    """weights: of TRAITS, >= 0; shape (traits,). attainment, replica_hours: of their replay."""

    weights: F8
    attainment: float
    replica_hours: float


def fit(recording: Recording, start: F8, *, attainment: float, search: Search = Search()) -> Fitted | None:
    """The best weights found from `start` on; None where nothing is found that delivers what is asked.

    attainment: share of the work within the SLO, in (0, 1).
    """
    chance = np.random.default_rng(_SEED)
    middle = np.log(np.maximum(start / start.sum(), _SMALLEST / 2))
    spread = np.full(len(start), search.widest)
    best, found = start[None], False
    for generation in range(search.generations):
        logs = middle + spread * chance.standard_normal((search.candidates, len(start)))
        logs[0] = middle
        directions = np.exp(logs)
        directions /= directions.sum(axis=1, keepdims=True)
        directions[directions < _SMALLEST] = 0.0
        scale, delivered, hours = _scaled(recording, directions, attainment)
        cost = np.where(delivered >= attainment, hours, (2.0 - delivered) * _FAR_TOO_MUCH)  # those that fail come last
        order = np.argsort(cost, kind="stable")[: search.kept]
        found = bool(delivered[order[0]] >= attainment)
        if not found and generation >= _PATIENCE:
            return None
        best = directions[order] * scale[order, None]
        middle = logs[order].mean(axis=0)
        spread = np.maximum(0.6 * spread + 0.6 * logs[order].std(axis=0), search.narrowest)
    return delivering(recording, best.mean(axis=0), attainment) if found else None


def delivering(recording: Recording, weights: F8, attainment: float) -> Fitted:
    """These weights, scaled so that their replay just delivers what is asked, as far as a scale can."""
    scale, _, _ = _scaled(recording, weights[None] / weights.sum(), attainment)
    weights = weights / weights.sum() * scale[0]
    delivered, hours = replay(recording, weights[None])
    return Fitted(weights=weights, attainment=float(delivered[0]), replica_hours=float(hours[0]))


def _scaled(recording: Recording, directions: F8, attainment: float) -> tuple[F8, F8, F8]:
    """(scale, attainment, replica-hours) of each direction where it just delivers: between the ends of a bisection,
    misses and hours are taken to be even in the logarithm."""
    low, high = (np.full(len(directions), end) for end in _SCALE)
    at_low, at_high = (replay(recording, directions * end[:, None]) for end in (low, high))
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        found = replay(recording, directions * middle[:, None])
        is_short = found[0] < attainment
        at_low, at_high = _where(is_short, found, at_low), _where(is_short, at_high, found)
        low, high = np.where(is_short, middle, low), np.where(is_short, high, middle)
    asked, at_low_misses, at_high_misses = (
        np.log(np.maximum(1.0 - share, _FEWEST_MISSES)) for share in (attainment, at_low[0], at_high[0])
    )
    part = np.clip((asked - at_low_misses) / np.minimum(at_high_misses - at_low_misses, -1e-12), 0.0, 1.0)
    hours = at_low[1] ** (1.0 - part) * at_high[1] ** part
    return low ** (1.0 - part) * high**part, at_high[0], hours


def _where(chosen: NDArray[np.bool_], these: tuple[F8, F8], others: tuple[F8, F8]) -> tuple[F8, F8]:
    return np.where(chosen, these[0], others[0]), np.where(chosen, these[1], others[1])
