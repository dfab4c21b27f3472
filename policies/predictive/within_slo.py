"""Which share of requests meets the SLO at a given load of a replica.

With a load of x replicas' worth of requests on each ready replica, a step lasts base / (1 - share of the time that
requests take); which share of requests misses where steps leave so much room to the target is learned (miss_model.py).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from policies.capacity.profile import Profile
from policies.capacity.sustained import seconds_per_request, sustained_batch
from policies.predictive.load_history import F8
from policies.predictive.miss_model import MissModel

_FULLEST = 0.95
"""Of a replica's time, or of its KV cache and seats in the mean: beyond, a queue grows that no share describes."""

_POINTS = 64
_LEAST_LOAD = 0.1
"""Of the most: below, requests are too few for shares to be known."""

_WORTHWHILE = 0.85
"""Misses that may be left by twice the replicas."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WithinSLO:
    """What a ready replica delivers by its load. Loads are in replicas at the mean TPOT (`sustained_batch`).

    loads: per ready replica, ascending from 0 to the most that is served without a growing queue; shape (points,).
    shares: of requests within the SLO there.
    """

    loads: F8
    shares: F8

    @classmethod
    def of(
        cls,
        profile: Profile,
        *,
        prompt_tokens: float,
        output_tokens: float,
        tpot_seconds: float,
        misses: MissModel,
        work_factor: float = 1.0,
    ) -> Self:
        """For requests of these mean sizes (> 0); tpot_seconds above the profile's base. work_factor: theirs to the
        profile's (work_factor.py)."""
        tokens = {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
        each = seconds_per_request(profile, **tokens)
        batch = sustained_batch(profile, **tokens, tpot_seconds=tpot_seconds)
        sustained = each * batch / (profile.base_seconds + each * batch)  # share of a replica's time at load 1
        full = sustained_batch(profile, **tokens, tpot_seconds=math.inf)
        real = work_factor * each
        most = _FULLEST * (real * full / (profile.base_seconds + real * full))
        busy = np.linspace(0.0, most, _POINTS)
        room = np.log(tpot_seconds / profile.base_seconds) + np.log1p(-busy)
        return cls(loads=busy / (work_factor * sustained), shares=1.0 - misses.missed_at(room))

    @property
    def most(self) -> float:
        """The load per ready replica beyond which a queue grows."""
        return float(self.loads[-1])

    def load_for(self, attainment: float) -> float:
        """The largest steady load per ready replica at which this share of requests is within the target.

        Not below the knee, the least load from which twice the replicas would still avoid 15 % of the misses: where
        what is asked is out of reach, or nearly, a fleet must not grow without end for it.
        """
        return max(float(np.interp(-attainment, -self.shares, self.loads)), _knee(self), _LEAST_LOAD * self.most)

    def aim(self, asked: float) -> float:
        """The attainment that can be held where `asked` is what is wanted: less where the knee is in the way."""
        return min(asked, float(np.interp(self.load_for(asked), self.loads, self.shares)))


@lru_cache(maxsize=4)  # asked for three times in a step
def _knee(within: WithinSLO) -> float:
    """The least load from which twice the replicas would still avoid 15 % of the misses, else the most."""
    misses = 1.0 - within.shares
    at_half = np.interp(within.loads / 2.0, within.loads, misses)
    helps = at_half <= _WORTHWHILE * misses
    return float(within.loads[int(np.argmax(helps))]) if helps.any() else within.most
