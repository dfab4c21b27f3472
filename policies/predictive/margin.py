"""The asked attainment, held by feedback: a margin on the capacity that grows while requests miss the SLO.

A step up for each bin in which they do, a small step down for each in which they do not, so that it stands still where
the share of missed bins is what was asked for: the quantile tracker of Gibbs and Candes, "Adaptive Conformal Inference
Under Distribution Shift", 2021, on the logarithm of capacity.
"""

import math
from dataclasses import dataclass

_STEP = 0.006
_LEAST, _MOST = math.log(0.8), math.log(2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """log: of the factor on capacity. last_bin: the last that was counted."""

    log: float = 0.0
    last_bin: int | None = None

    @property
    def factor(self) -> float:
        return math.exp(self.log)


def follow(margin: Margin, at_bin: int, *, missed: bool, attainment: float) -> Margin:
    """The margin after a bin was seen to miss the SLO or not; a bin that was counted already changes nothing."""
    if margin.last_bin is not None and at_bin <= margin.last_bin:
        return margin
    log = margin.log + _STEP * (missed - (1.0 - attainment))
    return Margin(log=min(max(log, _LEAST), _MOST), last_bin=at_bin)
