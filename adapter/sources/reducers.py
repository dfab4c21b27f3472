"""REDUCE_*: Cloud Monitoring's ways to make one value of several, which an HPA asks for by the selector key `reducer`.

Source: google/monitoring/v3/common.proto, Aggregation.Reducer; the list is the Stackdriver adapter's (query_builder.go,
allowedReducers). Google leaves open how percentiles lie between values and which standard deviation it is: here they
lie linearly between the closest ranks (rank p/100 x (n - 1), numpy's default), and it is the population's.
"""

import math
from collections.abc import Sequence
from typing import Final

PERCENTILES: Final = {
    "REDUCE_PERCENTILE_99": 99.0,
    "REDUCE_PERCENTILE_95": 95.0,
    "REDUCE_PERCENTILE_50": 50.0,
    "REDUCE_PERCENTILE_05": 5.0,
}
OF_NUMBERS: Final = frozenset(
    {"REDUCE_MEAN", "REDUCE_MIN", "REDUCE_MAX", "REDUCE_SUM", "REDUCE_STDDEV", "REDUCE_COUNT", *PERCENTILES}
)
OF_BOOLEANS: Final = frozenset({"REDUCE_COUNT_TRUE", "REDUCE_COUNT_FALSE", "REDUCE_FRACTION_TRUE"})
ALLOWED: Final = OF_NUMBERS | OF_BOOLEANS | {"REDUCE_NONE"}


def reduce_series(reducer: str, values: Sequence[float]) -> float:
    """One value of one or more. reducer: one of OF_NUMBERS."""
    match reducer:
        case "REDUCE_SUM":
            return math.fsum(values)
        case "REDUCE_MEAN":
            return math.fsum(values) / len(values)
        case "REDUCE_MIN":
            return min(values)
        case "REDUCE_MAX":
            return max(values)
        case "REDUCE_COUNT":
            return float(len(values))
        case "REDUCE_STDDEV":
            mean = math.fsum(values) / len(values)
            return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        case _:
            return _percentile(PERCENTILES[reducer], values)


def _percentile(percent: float, values: Sequence[float]) -> float:
    ordered = sorted(values)
    rank = percent / 100.0 * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    part = rank - below
    return ordered[below] * (1.0 - part) + ordered[above] * part
