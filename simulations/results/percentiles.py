"""How one latency was distributed, in five figures."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulations.latency_buckets import quantiles

LEVELS = (0.50, 0.90, 0.95, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """Seconds; NaN of nothing."""

    p50: float
    p90: float
    p95: float
    p99: float
    mean: float

    @classmethod
    def of_values(cls, seconds: NDArray[np.float64]) -> "Percentiles":
        """Exact; NaN values are left out."""
        known = seconds[~np.isnan(seconds)]
        if not len(known):
            return cls.of_nothing()
        p50, p90, p95, p99 = np.quantile(known, LEVELS).tolist()
        return cls(p50=p50, p90=p90, p95=p95, p99=p99, mean=float(known.mean()))

    @classmethod
    def of_counts(cls, counts: NDArray[np.int64], mean: float) -> "Percentiles":
        """Of a histogram over `latency_buckets`, within their relative error; the mean is known beside it."""
        p50, p90, p95, p99 = quantiles(counts, LEVELS)
        return cls(p50=p50, p90=p90, p95=p95, p99=p99, mean=mean)

    @classmethod
    def of_nothing(cls) -> "Percentiles":
        return cls(p50=math.nan, p90=math.nan, p95=math.nan, p99=math.nan, mean=math.nan)
