"""More or fewer requests at the same times of day: scaling a demand's rate.

Three things are called scaling. This one changes how many ask; `thinned` keeps a share of what is there; `time_warped`
changes how fast it happens, so that also a day's profile passes faster.
"""

import math
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np

from policies.errors import BadInput
from simulations.demand.merged import Merged, merged
from simulations.demand.transformations import Transformed, delayed, has_users, thinned
from simulations.trace import Demand

COPY_DELAY_SECONDS = 60.0
"""A copy of a recording comes at most so much later: long against bursts, short against a day's profile."""


@runtime_checkable
class Rescalable(Protocol):
    """Demand that is drawn, and can be drawn at another rate."""

    def with_rate_factor(self, factor: float) -> Demand: ...


def rate_scaled(demand: Demand, factor: float, seed: int = 1) -> Demand:
    """The demand at `factor` times its rate. Raises BadInput.

    What is drawn is drawn at that rate. A recording of n-fold rate is n copies of itself over one another, the last one
    thinned to the fraction that is left; each copy but the first comes up to a minute later, so that its bursts are its
    own, and stands for other people: it shares no prefix with the others. Below 1, a recording is thinned.
    """
    if not 1e-6 <= factor <= 1_000:
        raise BadInput(f"rate_factor: was {factor:g}, must be in [1e-06, 1000]")
    if factor == 1:
        return demand
    if has_users(demand):
        raise BadInput(
            f"rate_factor: was {factor:g}, must be 1 for users, whose rate follows from the answers; change users"
        )
    if isinstance(demand, Merged):
        return merged([rate_scaled(each, factor, seed) for each in demand.demands])
    if isinstance(demand, Transformed):
        # A slice, a share or a stretch of more requests is more requests of the slice, the share or the stretch.
        scaled = rate_scaled(demand.demand, factor, seed)
        return replace(demand, demand=scaled, expected_requests=demand.expected_requests * factor)
    if isinstance(demand, Rescalable):
        return demand.with_rate_factor(factor)
    whole = math.floor(factor)
    if whole == 0:
        return thinned(demand, factor, seed)
    shares = [1.0] * whole + ([factor - whole] if factor > whole else [])
    delays = np.random.Generator(np.random.PCG64DXSM(seed)).uniform(0.0, COPY_DELAY_SECONDS, len(shares))
    delays[0] = 0.0
    reach = demand.duration_seconds
    return merged(
        [
            thinned(delayed(demand, min(float(delay), reach)) if delay else demand, share, seed + copy)
            for copy, (share, delay) in enumerate(zip(shares, delays, strict=True))
        ]
    )
