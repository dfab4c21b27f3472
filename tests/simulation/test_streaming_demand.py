"""Demand that comes in pieces: the same requests, the same answers, and no more memory than what is under way."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engine_runs import InPieces, engine_with, prefixes_of, trace_of, turns_of

from simulations.engine import Engine, Router, ServerModel
from simulations.request_rows import ABORTED, SERVED
from simulations.trace import SHIPPED, Trace
from simulations.trace_files import read_trace

SERVER = ServerModel(
    base=0.0113,
    per_prefill_token=0.000_097,
    per_decode_seq=0.000_051,
    per_kv_token=0.000_000_37,
    kv_blocks=1_500,
    max_num_seqs=32,
    max_num_batched_tokens=2_048,
)


def taken(engine: Engine, every_seconds: float = 60.0) -> tuple[Any, int]:
    """All requests, taken as time goes on, and how long the ring got."""
    pieces, longest, now = [], 0, 0.0
    while not engine.finished:
        now += every_seconds
        engine.advance(now)
        pieces += [piece.copy() for piece in engine.take()]
        longest = max(longest, len(engine.requests))
    return np.concatenate(pieces), longest


def assert_same(rows: Any, others: Any) -> None:
    for field in ("outcome", "replica", "generated", "preemptions", "cached_tokens", "prompt_tokens", "output_tokens"):
        np.testing.assert_array_equal(rows[field], others[field], field)
    for field in ("arrival", "enqueued", "first_token", "finish"):
        np.testing.assert_allclose(rows[field], others[field], rtol=0, atol=1e-9, err_msg=field)


@pytest.mark.parametrize("size", [1, 97, 1_000])
def test_a_real_trace_in_pieces_is_answered_as_in_one(size: int) -> None:
    trace = read_trace(SHIPPED).first(600.0)
    whole, _ = taken(engine_with(trace, SERVER, servers=3))
    parts, _ = taken(engine_with(InPieces.of_size(trace, size), SERVER, servers=3))
    assert len(whole) == len(trace)
    assert_same(whole, parts)


def everything(count: int = 3_000) -> Trace:
    """Turns, shared prefixes, adapters and priorities, and pieces cut wherever no conversation is."""
    rng = np.random.default_rng(4)
    arrivals = np.sort(rng.uniform(0, 900, count // 3)).repeat(3)  # conversations of three turns
    following = np.where(np.arange(count) % 3 < 2, np.arange(count) + 1, -1)
    return trace_of(
        arrivals,
        rng.integers(20, 600, count),
        rng.geometric(1 / 60, count),
        prefixes=prefixes_of([[index // 3, *range(index % 3)] for index in range(count)]),
        lora=rng.integers(-1, 4, count).astype(np.int32),
        priority=rng.integers(0, 3, count).astype(np.int32),
        turns=replace(turns_of(following.tolist()), think_seconds=rng.exponential(20.0, count)),
        ends_seconds=1_000.0,
    )


@pytest.mark.parametrize("size", [3, 99, 1_500])
def test_turns_prefixes_adapters_and_priorities_cross_pieces_unchanged(size: int) -> None:
    """Rings of requests and of prefix ids wrap around many times in the small pieces, and are never larger."""
    trace = everything()
    model = replace(SERVER, prefix_caching=True, priority_scheduling=True, max_loras=2, lora_load_seconds=0.05)
    router = Router(policy="scored", queue_weight=1.0, prefix_weight=1.0, lora_weight=0.5)
    options: dict[str, Any] = {"servers": 3, "router": router, "client_timeout_seconds": 12.3}
    whole, _ = taken(engine_with(trace, model, **options))
    parts, _ = taken(engine_with(InPieces.of_size(trace, size), model, **options))
    assert_same(whole, parts)
    assert (whole["cached_tokens"] > 0).any()
    assert len(set(whole["outcome"].tolist())) > 1


def test_the_ring_stays_as_small_as_what_is_under_way() -> None:
    """200 pieces of 500 requests, taken as they are answered: room for 1,024, and for as many prefix ids."""
    rng = np.random.default_rng(6)
    count = 100_000
    trace = trace_of(
        np.sort(rng.uniform(0, 10_000, count)),
        rng.integers(20, 60, count),
        rng.geometric(1 / 20, count),
        prefixes=prefixes_of([[index % 50, index] for index in range(count)]),
    )
    demand = InPieces.of_size(trace, 500)
    engine = engine_with(demand, replace(SERVER, prefix_caching=True), servers=3)
    rows, longest = taken(engine, every_seconds=10.0)
    assert len(demand.bounds) + 1 == 200
    assert len(rows) == count
    assert longest == 1_024
    assert len(engine._world.ids) <= 4_096
    assert len(engine._world.deferred) == 64


def test_the_ring_grows_with_what_is_under_way_and_keeps_it() -> None:
    """Nobody takes anything, and every request arrives at once: 20,000 in the queues of two servers."""
    rng = np.random.default_rng(7)
    trace = trace_of(np.sort(rng.uniform(0, 2, 20_000)), rng.integers(1, 50, 20_000), rng.integers(1, 9, 20_000))
    engine = engine_with(InPieces.of_size(trace, 300), SERVER, servers=2)
    engine.advance(2.0)
    assert len(engine.requests) == 32_768
    engine.advance(1e5)
    whole = engine_with(trace, SERVER, servers=2)
    whole.advance(1e5)
    assert_same(next(engine.take()), next(whole.take()))


def test_timeouts_of_requests_that_left_the_ring_mean_nothing_after_it_was_copied() -> None:
    """800 are answered and taken long before their clients would give up; then 5,000 at once make the ring grow.

    So the first ones' timeouts come, from 900 s on, when they point at nothing any more. The last ones' still count.
    """
    arrivals = np.concatenate([np.linspace(0.0, 8.0, 800), np.full(5_000, 700.0)])
    demand = InPieces(trace_of(arrivals, 10, 300), (800,))
    engine = engine_with(demand, replace(SERVER, max_num_seqs=8), client_timeout_seconds=900.0)
    rows, longest = taken(engine, every_seconds=100.0)
    assert longest == 8_192
    assert len(rows) == 5_800
    assert set(rows["outcome"][:800].tolist()) == {SERVED}
    served = rows["outcome"][800:] == SERVED
    assert 0 < served.sum() < 5_000
    assert (rows["finish"][800:][served] <= 1_600.0).all()
    assert set(rows["outcome"][800:][~served].tolist()) == {ABORTED}
