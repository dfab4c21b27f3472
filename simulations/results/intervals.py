"""A run minute by minute: what arrived in each, and how that was served."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INTERVAL_SECONDS = 60.0
LEVELS = (0.50, 0.90, 0.99)
"""Quantiles of each interval's latencies."""

I8 = NDArray[np.int64]
F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Intervals:
    """One entry a minute from second zero to the last arrival or answer; shape (minutes,), latencies (minutes, 3).

    All but `finished` are of the requests that arrived in the minute, whenever they were answered.

    arrivals: requests sent. good: of them, served within the SLO. finished: answers that were completed in the minute.
    prompt_tokens, output_tokens: asked for. generation_tokens: generated, lost ones included.
    ttft, tpot, e2e: seconds at LEVELS; NaN of nothing.
    """

    arrivals: I8
    finished: I8
    good: I8
    prompt_tokens: I8
    output_tokens: I8
    generation_tokens: I8
    ttft: F8
    tpot: F8
    e2e: F8

    def __len__(self) -> int:
        return len(self.arrivals)

    @property
    def start_seconds(self) -> F8:
        """When each begins."""
        return INTERVAL_SECONDS * np.arange(len(self), dtype=np.float64)

    def widths(self, duration_seconds: float) -> F8:
        """Seconds of each within the demand's duration: the last of it may be short, those after it are 0."""
        return np.clip(duration_seconds - self.start_seconds, 0.0, INTERVAL_SECONDS)
