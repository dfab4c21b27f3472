"""The asked attainment, held by feedback: a margin on the capacity that grows with requests that miss the SLO.

It integrates how many more missed than was asked for, in minutes of the usual load, so that it stands still where the
share that misses is what was asked: the quantile tracker of Gibbs and Candes, "Adaptive Conformal Inference Under
Distribution Shift", 2021, on the logarithm of capacity.
"""

import math
from dataclasses import dataclass

_PER_MINUTE = 0.01
"""Growth of the logarithm where all requests of a minute miss. Half a point too few over a day adds 7 %."""

_PER_MINUTE_AT_FIRST = 0.02
"""While sizing is not learned from the workload itself, and may be far off."""

_LEAST, _MOST = math.log(0.6), math.log(2.0)
_LONGEST_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """log: of the factor on capacity."""

    log: float = 0.0

    @property
    def factor(self) -> float:
        return math.exp(self.log)


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
    """The margin after `requests` in `seconds`, of which `missed` missed; usual_requests: in as long, of late.

    is_learned: whether sizing was fitted to this workload.

    After a gap it is as if it had lasted two minutes: what happened meanwhile is not known.
    """
    minutes = min(seconds, _LONGEST_SECONDS) / 60.0
    too_many = (missed - (1.0 - attainment) * requests) / max(usual_requests, requests, 1e-9)
    rate = _PER_MINUTE if is_learned else _PER_MINUTE_AT_FIRST
    return Margin(log=min(max(margin.log + rate * minutes * too_many, _LEAST), _MOST))
