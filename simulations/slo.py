"""What users were promised, per request."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SLO:
    """A request is good when its TTFT, its mean TPOT and, where promised, its E2E are all within these seconds.

    e2e_seconds: from arrival to the last token; None promises nothing.
    """

    ttft_seconds: float = 2.0
    tpot_seconds: float = 0.15
    e2e_seconds: float | None = None

    def met(
        self,
        ttft: NDArray[np.float64],
        tpot: NDArray[np.float64],
        e2e: NDArray[np.float64] | None = None,
        e2e_limit: NDArray[np.float64] | None = None,
    ) -> NDArray[np.bool_]:
        """Per request; NaN TTFT (never answered) misses, NaN TPOT (a single token) has nothing to miss.

        e2e: needed for a promised or a limited E2E; NaN (never finished) misses either.
        e2e_limit: where it is not NaN, the request is judged by its E2E against it and by nothing else.
        """
        met: NDArray[np.bool_] = (ttft <= self.ttft_seconds) & ~(tpot > self.tpot_seconds)
        if e2e is not None and self.e2e_seconds is not None:
            met &= e2e <= self.e2e_seconds
        if e2e is not None and e2e_limit is not None:
            met = np.where(np.isnan(e2e_limit), met, e2e <= e2e_limit)
        return met

    def __str__(self) -> str:
        """`TTFT ≤ 2 s and TPOT ≤ 0.15 s`."""
        parts = [f"TTFT ≤ {self.ttft_seconds:g} s", f"TPOT ≤ {self.tpot_seconds:g} s"]
        if self.e2e_seconds is not None:
            parts.append(f"E2E ≤ {self.e2e_seconds:g} s")
        return " and ".join(parts)
