"""Which batch size: throughput against latency, each size simulated, and the best one under a latency SLO.

A larger batch answers more requests a second and keeps each of them longer: until the batch begins, and while it runs.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from simulations.batching.batch_profile import BatchProfile
from simulations.batching.engine import BatchingEngine
from simulations.batching.fixed_batch import FixedBatch
from simulations.request_rows import SERVED
from simulations.trace import Trace

SIZES = (1, 2, 4, 8, 16, 32)

_WARM_UP = 0.1
"""Share of the requests that come first and are not judged: the queue begins empty."""

_LONG_AFTER = 1e12
"""Seconds by which any run has ended."""

Tokens = int | NDArray[np.int32]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizeRow:
    """One batch size on one server.

    saturation_requests_per_second: answered when there is always a full queue. p50_seconds, p99_seconds: from arrival
    to answer at the given load; inf where that is at or above saturation, since the queue then grows for ever.
    mean_batch_size, utilization (0 to 1): at that load.
    """

    batch_size: int
    saturation_requests_per_second: float
    p50_seconds: float
    p99_seconds: float
    mean_batch_size: float
    utilization: float


def batch_size_table(
    profile: BatchProfile,
    *,
    requests_per_second: float,
    sizes: Sequence[int] = SIZES,
    max_wait_seconds: float = 0.0,
    instances: int = 1,
    pads: bool = False,
    prompt_tokens: Tokens = 1,
    output_tokens: Tokens = 1,
    requests: int = 50_000,
    seed: int = 1,
) -> tuple[BatchSizeRow, ...]:
    """Every size at the same Poisson arrivals, in the order of `sizes`. Raises BadInput.

    max_wait_seconds, instances, pads: of FixedBatch. prompt_tokens, output_tokens: of each request, one number for
    all or shape (requests,).
    """
    if not 0 < requests_per_second < math.inf:
        raise BadInput(f"requests_per_second: was {requests_per_second}, must be above 0 and finite")
    if requests < 1_000:
        raise BadInput(f"requests: was {requests}, must be 1,000 or more: a p99 needs ten requests above it")
    gaps = np.random.default_rng(seed).exponential(1.0 / requests_per_second, requests)
    steady = _trace(np.cumsum(gaps), prompt_tokens, output_tokens)
    at_once = _trace(np.zeros(requests), prompt_tokens, output_tokens)
    rows = []
    for size in sizes:
        server = FixedBatch(batch_size=size, max_wait_seconds=max_wait_seconds, instances=instances, pads=pads)
        finished, _ = _run(server, profile, at_once)
        rows.append(_row(server, profile, steady, requests / float(finished["finish"].max()), requests_per_second))
    return tuple(rows)


def best_batch_size(rows: Iterable[BatchSizeRow], *, p99_seconds: float) -> BatchSizeRow:
    """Of the sizes whose p99 keeps to the SLO, the one with the highest throughput; of equals the smaller.

    Raises BadInput that says how far off the closest is.
    """
    table = list(rows)
    kept = [row for row in table if row.p99_seconds <= p99_seconds]
    if kept:
        return max(kept, key=lambda row: (row.saturation_requests_per_second, -row.batch_size))
    closest = min(table, key=lambda row: row.p99_seconds)
    if math.isinf(closest.p99_seconds):
        most = max(table, key=lambda row: row.saturation_requests_per_second)
        raise BadInput(
            f"requests_per_second: every batch size is saturated; {most.batch_size} answers the most, "
            f"{most.saturation_requests_per_second:.0f} a second. Spread the load over more servers"
        )
    raise BadInput(
        f"p99_seconds: was {p99_seconds:g}, must be {closest.p99_seconds:.4g} or more at this load: batch size "
        f"{closest.batch_size} comes closest. Spread the load over more servers, or take a faster GPU"
    )


def _row(
    server: FixedBatch, profile: BatchProfile, demand: Trace, saturation: float, requests_per_second: float
) -> BatchSizeRow:
    if requests_per_second >= saturation:
        return BatchSizeRow(
            batch_size=server.batch_size,
            saturation_requests_per_second=saturation,
            p50_seconds=math.inf,
            p99_seconds=math.inf,
            mean_batch_size=float(server.batch_size),
            utilization=1.0,
        )
    finished, engine = _run(server, profile, demand)
    judged = finished[int(_WARM_UP * len(finished)) :]
    p50, p99 = np.quantile(judged["finish"] - judged["arrival"], (0.5, 0.99)).tolist()
    counted = engine.servers[0]
    return BatchSizeRow(
        batch_size=server.batch_size,
        saturation_requests_per_second=saturation,
        p50_seconds=p50,
        p99_seconds=p99,
        mean_batch_size=float(counted["succeeded"] / counted["iterations"]),
        utilization=float(counted["busy_seconds"]) / float(counted["last_finish"]),
    )


def _run(server: FixedBatch, profile: BatchProfile, demand: Trace) -> tuple[NDArray[np.void], BatchingEngine]:
    """All requests, each answered by one server, and the engine at the end; row 0 is the server's."""
    engine = BatchingEngine(server, profile, demand)
    row = engine.add_server(0)
    assert row == 0
    engine.open(row)
    engine.advance(_LONG_AFTER)
    finished = np.concatenate([piece.copy() for piece in engine.take()])
    assert (finished["outcome"] == SERVED).all()
    return finished, engine


def _trace(arrivals: NDArray[np.float64], prompt_tokens: Tokens, output_tokens: Tokens) -> Trace:
    count = len(arrivals)
    return Trace(
        "batch sizes",
        0,
        arrivals,
        np.broadcast_to(np.asarray(prompt_tokens, np.int32), (count,)),
        np.broadcast_to(np.asarray(output_tokens, np.int32), (count,)),
    )
