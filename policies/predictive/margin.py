"""The asked attainment, held by feedback: a margin on the capacity that grows with requests that miss the SLO.

It integrates how many more missed than was asked for, so that it stands still where the share that misses is what was
asked: the quantile tracker of Gibbs and Candes, "Adaptive Conformal Inference Under Distribution Shift", 2021, on the
logarithm of capacity. Every request counts alike, in minutes of the mean load of a day: where all misses come with the
ramps of the morning, a calm night says little.
"""

import math
from dataclasses import dataclass
from typing import Self

_PER_MINUTE = 0.005
"""Growth of the logarithm where all requests of a minute miss. Half a point too few over a day adds 4 %."""

_PER_MINUTE_AT_FIRST = 0.02
"""While sizing is not learned from the workload itself, and may be far off."""

_LEAST, _MOST = math.log(0.6), math.log(2.0)
_LONGEST_SECONDS = 120.0
_HEAVIEST = 4.0
"""No minute counts for more than so many of the mean load: after an idle day, the first requests would."""

_KEPT_AT_A_FIT = 0.5
"""Of the logarithm: new weights have seen a part of what it had to mend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """log: of the factor on capacity."""

    log: float = 0.0

    @property
    def factor(self) -> float:
        return math.exp(self.log)

    def at_a_fit(self, *, is_first: bool) -> Self:
        """With new weights. is_first: what mended the prior would spoil the first that are learned."""
        return type(self)(log=0.0 if is_first else _KEPT_AT_A_FIT * self.log)


def follow(
    margin: Margin,
    *,
    missed: float,
    requests: float,
    usual_requests: float,
    seconds: float,
    attainment: float,
    is_learned: bool,
) -> Margin:
    """The margin after `requests` in `seconds`, of which `missed` missed.

    usual_requests: in as long, in the mean of a day. is_learned: whether sizing was fitted to this workload.

    After a gap it is as if it had lasted two minutes: what happened meanwhile is not known.
    """
    minutes = min(seconds, _LONGEST_SECONDS) / 60.0
    too_many = (missed - (1.0 - attainment) * requests) / max(usual_requests, requests / _HEAVIEST, 1e-9)
    rate = _PER_MINUTE if is_learned else _PER_MINUTE_AT_FIRST
    return Margin(log=min(max(margin.log + rate * minutes * too_many, _LEAST), _MOST))
