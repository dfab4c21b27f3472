"""A plan: one or more iterations with the same batch, whose ends are known in closed form.

While every running request decodes, each iteration lasts `plan_growth` longer than the one before, because each
request has one more KV token. So k iterations take k * plan_seconds + plan_growth * k (k - 1) / 2. A plan is booked
when it ends; before that, in part, when somebody looks; and an arrival that could join the batch cuts it short. In
every case with the same iterations, preemptions and instants as one iteration at a time.
"""

import math
from typing import Any

import numpy as np

from simulations.engine.cache_folder import part
from simulations.engine.cells import gap_at, residue_at
from simulations.latency_buckets import BUCKETS, BUCKETS_PER_E_FOLD, LOWEST_SECONDS, PER_LOWEST_SECOND

_EDGES = LOWEST_SECONDS * np.exp(np.arange(BUCKETS + 1) / BUCKETS_PER_E_FOLD)
_EDGES[0], _EDGES[-1] = -1.0, np.inf
"""Shape (BUCKETS + 1,): bucket i of simulations.latency_buckets holds [edge i, edge i + 1)."""


@part
def boundary(server: Any, iterations: int) -> float:
    """When that many iterations of the plan are done."""
    end: float = (
        server.plan_start
        + iterations * server.plan_seconds
        + server.plan_growth * (iterations * (iterations - 1) / 2.0)
    )
    return end


@part
def boundary_at_or_after(server: Any, time: float) -> int:
    """The smallest number of iterations, 0 or more, whose end is not before `time`."""
    half = server.plan_growth / 2.0
    linear = server.plan_seconds - half
    span = max(time - server.plan_start, 0.0)
    if half > 0.0:
        iterations: int = math.ceil((math.sqrt(linear * linear + 4.0 * half * span) - linear) / (2.0 * half))
    else:
        iterations = math.ceil(span / linear)
    while iterations > 0 and boundary(server, iterations - 1) >= time:  # what rounding did, undone
        iterations -= 1
    while boundary(server, iterations) < time:
        iterations += 1
    return iterations


@part
def cut(server: Any, now: float) -> None:
    """End the plan with the first iteration that ends at or after `now`: the batch may change there."""
    if server.planned <= server.completed + 1:
        return
    iterations = max(boundary_at_or_after(server, now), server.completed + 1)
    if iterations < server.planned:
        server.planned = iterations
        server.plan_end = boundary(server, iterations)


@part
def blocks_for(w: Any, row: int, decoding: int, first: int, iterations: int) -> int:
    """KV blocks that decoding takes in so many iterations, the first of them when the batch has `first` behind it.

    A request whose tokens fill its blocks takes one for its next token. residues counts requests by
    (tokens - decoded) mod 16, so those are the ones at -first mod 16: one look an iteration, whatever the batch.
    """
    base = row * 16
    taken = iterations // 16 * decoding
    for index in range(first, first + iterations % 16):
        taken += residue_at(w, base + (-index & 15)).count
    return taken


@part
def iterations_with_blocks(w: Any, row: int, decoding: int, first: int, wanted: int, free: int) -> int:
    """How many of `wanted` iterations the free blocks are enough for; see `blocks_for`."""
    cycles = (wanted // 16) if decoding == 0 else min(wanted // 16, free // decoding)
    left = free - cycles * decoding
    iterations = cycles * 16
    while iterations < wanted:
        left -= residue_at(w, row * 16 + (-(first + iterations) & 15)).count
        if left < 0:
            break
        iterations += 1
    return iterations


@part
def add_gaps(w: Any, server: Any, iterations: int) -> None:
    """Count the inter-token gaps of the plan's next iterations: one a request with a token, as long as it lasts."""
    shortest = server.plan_seconds + server.completed * server.plan_growth
    bucket = server.gap_bucket  # most likely the same as the last time
    if shortest < _EDGES[bucket] or shortest >= _EDGES[bucket + 1]:
        bucket = latency_bucket(shortest)
        server.gap_bucket = bucket
    tokens = server.decoding - server.stalled
    longest = shortest + (iterations - 1) * server.plan_growth
    done = 0
    while longest >= _EDGES[bucket + 1]:
        fits = min(iterations, math.ceil((_EDGES[bucket + 1] - shortest) / server.plan_growth))
        gap_at(w, bucket).count += max(fits - done, 0) * tokens
        done = max(fits, done)
        bucket += 1
    gap_at(w, bucket).count += (iterations - done) * tokens


@part
def add_gap(w: Any, seconds: float, count: int) -> None:
    """Count a gap of one request: after a preemption (1), or that nobody saw (-1)."""
    gap_at(w, latency_bucket(seconds)).count += count


@part
def latency_bucket(seconds: float) -> int:
    """simulations.latency_buckets.bucket_of, for one."""
    return min(int(math.log(max(seconds, LOWEST_SECONDS) * PER_LOWEST_SECOND) * BUCKETS_PER_E_FOLD), BUCKETS - 1)
