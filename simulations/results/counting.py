"""The compiled loop that adds rows to counters and histograms: one pass, nothing kept of a row."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulations.engine.cache_folder import entry
from simulations.engine.plan import latency_bucket
from simulations.request_rows import NEVER_SENT, SERVED

TTFT, TPOT, E2E = 0, 1, 2

# Columns of `totals`.
GOOD, PROMPT, OUTPUT, SERVED_PROMPT, SERVED_OUTPUT, LOST_OUTPUT, CACHED, PREEMPTIONS, LATE = range(9)
TOTALS = 9

# Columns of `minutes`.
ARRIVALS, FINISHED, GOOD_ARRIVALS, PROMPT_TOKENS, OUTPUT_TOKENS, GENERATED = range(6)
MINUTES = 6


@entry
def count_rows(
    rows: Any,
    first: int,
    limits: tuple[float, float, float],
    interval_seconds: float,
    outcomes: NDArray[np.int64],
    totals: NDArray[np.int64],
    seconds: NDArray[np.float64],
    counts: NDArray[np.int64],
    minutes: NDArray[np.int64],
    window: NDArray[np.int32],
    first_open: int,
) -> int:
    """Count rows from `first` on; returns the first that belongs to a minute after the window, or len(rows).

    limits: the SLO's TTFT, TPOT, E2E in seconds.
    outcomes: by code. totals, minutes: columns as above, minutes by number since the start. seconds: sums of TTFT,
    TPOT and E2E; counts: their histograms, (3, buckets). window: the same for the open minutes,
    (open, 3, buckets), minute m in row m % open, those from `first_open` on; what comes later for a closed minute
    is counted in all but these, and in totals[LATE].
    """
    open_minutes = len(window)
    latency = np.empty(3, np.float64)
    for index in range(first, len(rows)):
        row = rows[index]
        outcome = row.outcome
        if outcome == NEVER_SENT:
            outcomes[outcome] += 1
            continue
        minute = int(row.arrival / interval_seconds)
        if minute >= first_open + open_minutes:
            return index
        outcomes[outcome] += 1
        served = outcome == SERVED
        latency[TTFT] = row.first_token - row.arrival
        latency[TPOT] = np.nan
        latency[E2E] = np.nan
        totals[PROMPT] += row.prompt_tokens
        totals[OUTPUT] += row.output_tokens
        totals[PREEMPTIONS] += row.preemptions
        minutes[minute, ARRIVALS] += 1
        minutes[minute, PROMPT_TOKENS] += row.prompt_tokens
        minutes[minute, OUTPUT_TOKENS] += row.output_tokens
        if served:
            latency[E2E] = row.finish - row.arrival
            if row.output_tokens > 1:
                latency[TPOT] = (row.finish - row.first_token) / (row.output_tokens - 1)
            if math.isnan(row.e2e_limit):
                good = (
                    latency[TTFT] <= limits[TTFT] and not latency[TPOT] > limits[TPOT] and latency[E2E] <= limits[E2E]
                )
            else:
                good = latency[E2E] <= row.e2e_limit
            totals[GOOD] += good
            totals[SERVED_PROMPT] += row.prompt_tokens
            totals[SERVED_OUTPUT] += row.output_tokens
            totals[CACHED] += max(row.cached_tokens, 0)
            minutes[minute, GOOD_ARRIVALS] += good
            minutes[minute, GENERATED] += row.output_tokens
            minutes[int(row.finish / interval_seconds), FINISHED] += 1
        else:
            totals[LOST_OUTPUT] += row.generated
            minutes[minute, GENERATED] += row.generated
        is_open = minute >= first_open
        totals[LATE] += not is_open
        slot = minute % open_minutes
        for kind in range(3):
            value = latency[kind]
            if not math.isnan(value):
                seconds[kind] += value
                bucket = latency_bucket(value)
                counts[kind, bucket] += 1
                if is_open:
                    window[slot, kind, bucket] += 1
    return len(rows)
