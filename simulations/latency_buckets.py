"""One set of logarithmic buckets for every latency: a histogram of them answers any percentile within 0.5 %.

Bucket i holds [lowest x e^(i / 100), lowest x e^((i + 1) / 100)): 1.005 % wide, as HdrHistogram's buckets are at two
significant digits. Reported values are the buckets' geometric middles, at most e^0.005 - 1 = 0.501 % from any value in
it. What lies outside the range counts in the first or the last bucket: exact ties with 100 us or 100,000 s (27.8 h)
mean "this or beyond".

A compiled loop finds the bucket as
`min(int(math.log(max(seconds, LOWEST_SECONDS) * PER_LOWEST_SECOND) * BUCKETS_PER_E_FOLD), BUCKETS - 1)`.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

LOWEST_SECONDS = 1e-4
HIGHEST_SECONDS = 1e5
BUCKETS_PER_E_FOLD = 100
PER_LOWEST_SECOND = 1.0 / LOWEST_SECONDS
BUCKETS = math.ceil(BUCKETS_PER_E_FOLD * math.log(HIGHEST_SECONDS / LOWEST_SECONDS))  # 2,073
RELATIVE_ERROR = math.exp(0.5 / BUCKETS_PER_E_FOLD) - 1.0

MIDDLE_SECONDS: NDArray[np.float64] = LOWEST_SECONDS * np.exp((np.arange(BUCKETS) + 0.5) / BUCKETS_PER_E_FOLD)
"""Shape (BUCKETS,): what a count in each bucket is reported as."""


def bucket_of(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket of each of `seconds`, which must not be NaN; same shape."""
    within = np.clip(seconds, LOWEST_SECONDS, HIGHEST_SECONDS)
    index = (np.log(within * PER_LOWEST_SECOND) * BUCKETS_PER_E_FOLD).astype(np.int64)
    return np.minimum(index, BUCKETS - 1)


def counts_of(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The histogram of `seconds`, NaN left out; shape (BUCKETS,)."""
    known = seconds[~np.isnan(seconds)]
    return np.bincount(bucket_of(known), minlength=BUCKETS).astype(np.int64)


def quantile(counts: NDArray[np.int64], q: float) -> float:
    """Quantile `q` (0 to 1) in seconds of what was counted, as `numpy.quantile` defines it; NaN of nothing."""
    return quantiles(counts, (q,))[0]


def quantiles(counts: NDArray[np.integer[Any]], levels: Sequence[float]) -> tuple[float, ...]:
    """The quantile at each of `levels` (0 to 1), in seconds; NaN of nothing. counts: shape (BUCKETS,).

    Linear between the two nearest ranks, so within RELATIVE_ERROR of the exact one even where those are far apart.
    """
    ends = np.cumsum(counts, dtype=np.int64)
    last = int(ends[-1]) - 1
    if last < 0:
        return (math.nan,) * len(levels)
    ranks = np.multiply(levels, last)
    lower = np.floor(ranks).astype(np.int64)
    share = ranks - lower
    below = MIDDLE_SECONDS[np.searchsorted(ends, lower, side="right")]
    above = MIDDLE_SECONDS[np.searchsorted(ends, np.minimum(lower + 1, last), side="right")]
    return tuple((below * (1.0 - share) + above * share).tolist())


def mean(counts: NDArray[np.int64]) -> float:
    """Mean in seconds of what was counted, within RELATIVE_ERROR; NaN of nothing."""
    total = int(counts.sum())
    return float(counts @ MIDDLE_SECONDS) / total if total else math.nan
