"""Weights by search: those that had delivered the asked attainment on the recorded load with the fewest replica-hours.

Each candidate direction is scaled until its replay (replay.py) just delivers what is asked; what it then costs is its
score. A cross-entropy search over directions (Rubinstein and Kroese, "The Cross-Entropy Method", 2004) keeps the best
and looks around them; the answer is the mean of the last ones kept, which owes less to accidents of this one recording
than the very best does. It is deterministic: its draws come from a generator with a fixed seed.
"""

from dataclasses import dataclass

import numpy as np

from policies.predictive.load_history import F8
from policies.predictive.replay import Recording, replay

_SEED = 20_261_121
_SCALE = (0.3, 5.0)
_HALVINGS = 10
_SMALLEST = 0.01
"""A weight below this share of all of them is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How much is searched: generations x candidates replays, each eleven times."""

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
    """The best weights found from `start` on; None where no candidate delivers what is asked.

    attainment: share of the work within the SLO, in (0, 1).
    """
    chance = np.random.default_rng(_SEED)
    middle = np.log(np.maximum(start / start.sum(), _SMALLEST / 2))
    spread = np.full(len(start), search.widest)
    best = start[None]
    for _ in range(search.generations):
        logs = middle + spread * chance.standard_normal((search.candidates, len(start)))
        logs[0] = middle
        directions = np.exp(logs)
        directions /= directions.sum(axis=1, keepdims=True)
        directions[directions < _SMALLEST] = 0.0
        scale, delivered, hours = _scaled(recording, directions, attainment)
        order = np.argsort(np.where(delivered >= attainment, hours, np.inf), kind="stable")[: search.kept]
        if delivered[order[0]] < attainment:
            return None
        best = directions[order] * scale[order, None]
        middle = logs[order].mean(axis=0)
        spread = np.maximum(0.6 * spread + 0.6 * logs[order].std(axis=0), search.narrowest)
    mean = best.mean(axis=0)[None]
    scale, delivered, hours = _scaled(recording, mean, attainment)
    return Fitted(weights=mean[0] * scale[0], attainment=float(delivered[0]), replica_hours=float(hours[0]))


def _scaled(recording: Recording, directions: F8, attainment: float) -> tuple[F8, F8, F8]:
    """(scale, attainment, replica-hours) of each direction at the least scale that delivers, by bisection."""
    low, high = (np.full(len(directions), end) for end in _SCALE)
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        delivered, _ = replay(recording, directions * middle[:, None])
        short = delivered < attainment
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    delivered, hours = replay(recording, directions * high[:, None])
    return high, delivered, hours
