"""Which share of requests misses the SLO, by how much room their steps leave: learned from what servers count.

Room is ln(TPOT target / mean step). Before anything was seen, requests' TPOT is taken to spread around the mean step
like a lognormal of scale 0.13 (measured in the simulator on ServeGen's m-small near the target: 0.12 to 0.15). Far
from it services differ: on deepseek-r1 2.4 % miss at any load, on m-small 4 % from a replica that is a third busy
down to one that is hardly busy, on m-large misses fall by e over 0.2 of room. So the shares are counted by room and
only made to fall with it (isotonic regression; Barlow et al., "Statistical Inference under Order Restrictions", 1972,
1.2).
"""

import math
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Self

import numpy as np

from policies.predictive.load_history import F8

_ROOMS = np.arange(0.0, 2.4, 0.03)
"""From steps at the target to a tenth of it."""

_PRIOR_SPREAD = 0.13
_PRIOR_REQUESTS = 200.0
"""At each room: what is known beforehand weighs as much as so many requests."""

_ENOUGH_REQUESTS = 1_000.0
_FALLS_BY_E = 0.15
"""With more room than was ever seen, misses are taken to fall by e over so much."""

_NORMAL = NormalDist()
_PRIOR = np.array([_NORMAL.cdf(-float(room) / _PRIOR_SPREAD) for room in _ROOMS])
_OVER = np.arange(-0.8, 0.01, 0.01)
_PRIOR_OVER = np.array([_NORMAL.cdf(-float(room) / _PRIOR_SPREAD) for room in _OVER])
_FORGET_SECONDS = 3 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MissModel:
    """requests, missed: counted by room, both fading over three days; shares: of misses, falling; shape (rooms,)."""

    requests: F8 = field(default_factory=lambda: np.zeros(len(_ROOMS)))
    missed: F8 = field(default_factory=lambda: np.zeros(len(_ROOMS)))
    shares: F8 = field(default_factory=lambda: _PRIOR)

    @property
    def is_whole(self) -> bool:
        """Whether it is of these rooms: one that was kept may be another version's."""
        return len(self.requests) == len(self.missed) == len(self.shares) == len(_ROOMS)

    def seen(self, *, log_room: float, requests: float, missed_share: float, seconds: float) -> Self:
        """After `requests` at this room, of which a share missed, `seconds` after the last.

        Steps beyond the target teach nothing: there the queue decides.
        """
        if log_room < 0.0 or not math.isfinite(log_room):
            return self
        fade = math.exp(-seconds / _FORGET_SECONDS)
        new = requests * _one_at(log_room)
        all_requests, missed = fade * self.requests + new, fade * self.missed + new * missed_share
        shares = falling((missed + _PRIOR_REQUESTS * _PRIOR) / (all_requests + _PRIOR_REQUESTS), all_requests)
        known = np.flatnonzero(all_requests >= _ENOUGH_REQUESTS)
        if len(known):  # beyond it, the prior alone would promise that no request misses
            most = int(known[-1])
            shares[most:] = np.maximum(
                shares[most:], shares[most] * np.exp((_ROOMS[most] - _ROOMS[most:]) / _FALLS_BY_E)
            )
        return type(self)(requests=all_requests, missed=missed, shares=shares)

    def missed_at(self, log_room: F8 | float) -> F8:
        """Share of requests that miss at these rooms; beyond the target, where it is below 0, at least half of them."""
        over = np.interp(log_room, _OVER, _PRIOR_OVER)
        shares: F8 = np.where(
            np.less(log_room, 0.0), np.maximum(over, self.shares[0]), np.interp(log_room, _ROOMS, self.shares)
        )
        return shares


def falling(shares: F8, requests: F8) -> F8:
    """The nearest values that never rise, each weighed by its requests and the prior's: pool adjacent violators."""
    values: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for value, weight in zip(shares.tolist(), (requests + _PRIOR_REQUESTS).tolist(), strict=True):
        size = 1
        while values and values[-1] < value:
            total = weights[-1] + weight
            value = (values.pop() * weights[-1] + value * weight) / total
            weight, size = total, size + sizes.pop()
            weights.pop()
        values.append(value)
        weights.append(weight)
        sizes.append(size)
    return np.repeat(values, sizes)


def _one_at(log_room: float) -> F8:
    """One request at this room, laid on the two nearest of _ROOMS."""
    place = min(log_room / (_ROOMS[1] - _ROOMS[0]), len(_ROOMS) - 1.0)
    lower = min(int(place), len(_ROOMS) - 2)
    shares = np.zeros(len(_ROOMS))
    shares[lower], shares[lower + 1] = 1.0 - (place - lower), place - lower
    return shares
