"""Which share of requests meets the SLO at a given load: the mean step time says it, and how widely requests differ.

With a load of x replicas' worth of requests on each ready replica, a step lasts base / (1 - share of the time that
requests take), and a request's TPOT is about the mean step of its life. Of requests whose TPOT spreads around that mean
step s like a lognormal of scale sigma,

    share within the target = Phi(ln(target / s) / sigma)

Measured in the simulator on ServeGen's m-small (L4, 75 ms): sigma 0.12 at half of the requests missing, 0.15 at 1 %.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Self

import numpy as np

from policies.capacity.profile import Profile
from policies.capacity.sustained import seconds_per_request, sustained_batch
from policies.predictive.load_history import F8

_NORMAL = NormalDist()
_GRID = np.linspace(-6.0, 6.0, 481)
_PHI = np.array([_NORMAL.cdf(float(z)) for z in _GRID])
_FULLEST = 0.95
"""Of a replica's time, or of its KV cache and seats in the mean: beyond, a queue grows that no share describes."""

_POINTS = 64


def share_within(log_room: F8, spread: F8 | float) -> F8:
    """Share of requests within the target; log_room: ln(target / mean step), spread: sigma > 0. Shapes broadcast."""
    shares: F8 = np.interp(log_room / spread, _GRID, _PHI)
    return shares


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class WithinSLO:
    """What a ready replica delivers by its load. Loads are in replicas at the mean TPOT (`sustained_batch`).

    loads: per ready replica, ascending from 0 to the most that is served without a growing queue; shape (points,).
    shares: of requests within the TPOT there.
    """

    loads: F8
    shares: F8

    @classmethod
    def of(
        cls, profile: Profile, *, prompt_tokens: float, output_tokens: float, tpot_seconds: float, spread: float
    ) -> Self:
        """For requests of these mean sizes (> 0); tpot_seconds above the profile's base; spread as share_within."""
        tokens = {"prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
        each = seconds_per_request(profile, **tokens)
        batch = sustained_batch(profile, **tokens, tpot_seconds=tpot_seconds)
        sustained = each * batch / (profile.base_seconds + each * batch)  # share of a replica's time at load 1
        full = sustained_batch(profile, **tokens, tpot_seconds=math.inf)
        most = _FULLEST * (each * full / (profile.base_seconds + each * full))
        busy = np.linspace(0.0, most, _POINTS)
        room = np.log(tpot_seconds / profile.base_seconds) + np.log1p(-busy)
        return cls(loads=busy / sustained, shares=share_within(room, spread))

    @property
    def most(self) -> float:
        """The load per ready replica beyond which a queue grows."""
        return float(self.loads[-1])

    def load_for(self, attainment: float) -> float:
        """The largest steady load per ready replica at which this share of requests is within the target; where even
        a replica that is nearly idle has less, a tenth of the most, for more replicas would not help."""
        return max(float(np.interp(-attainment, -self.shares, self.loads)), 0.1 * self.most)


_SPREADS = np.geomspace(0.02, 0.8, 24)
_PRIOR_SPREAD, _PRIOR_ROOM, _PRIOR_REQUESTS = 0.13, 0.2, 500.0
_FORGET_SECONDS = 3 * 86_400.0
_LEAST_ROOM = 0.03


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spread:
    """Sigma, learned from what servers count: the one under which as many requests were expected to miss as did.

    expected: misses under each of a grid of sigmas; missed: those seen; both fade over three days.
    """

    expected: F8
    missed: float

    @classmethod
    def prior(cls) -> Self:
        """As if 500 requests had been seen at a step of e^-0.2 of the target, with a sigma of 0.13."""
        expected = _PRIOR_REQUESTS * (1.0 - share_within(np.full(len(_SPREADS), _PRIOR_ROOM), _SPREADS))
        return cls(expected=expected, missed=float(np.interp(_PRIOR_SPREAD, _SPREADS, expected)))

    @property
    def value(self) -> float:
        """Sigma."""
        return float(np.interp(self.missed, self.expected, _SPREADS))

    def seen(self, *, log_room: float, requests: float, missed_share: float, seconds: float) -> Self:
        """After `requests` at ln(target / mean step) = log_room, of which a share missed, `seconds` after the last.

        Steps at or above the target change nothing: there a larger sigma means fewer misses, not more.
        """
        if log_room < _LEAST_ROOM:
            return self
        fade = math.exp(-seconds / _FORGET_SECONDS)
        expected = requests * (1.0 - share_within(np.full(len(_SPREADS), log_room), _SPREADS))
        return type(self)(expected=fade * self.expected + expected, missed=fade * self.missed + requests * missed_share)
