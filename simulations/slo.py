"""What users were promised, per request."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """A request is good when its TTFT and its mean TPOT are both within these seconds."""

    ttft_seconds: float = 2.0
    tpot_seconds: float = 0.15

    def met(self, ttft: NDArray[np.float64], tpot: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Per request; NaN TTFT (never answered) misses, NaN TPOT (a single token) has nothing to miss."""
        return (ttft <= self.ttft_seconds) & ~(tpot > self.tpot_seconds)
