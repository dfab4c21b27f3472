"""The compiled batching servers against slow ones that follow the sources line by line, on drawn workloads.

Instants are multiples of 1/64 s and everything else is a binary fraction, so both add exactly: times must be equal.
"""

from typing import Any

import numpy as np
import pytest
from batching_reference import Answers, Ruled, SlowServer
from engine_runs import InPieces, trace_of
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.batching import BatchingEngine, BatchProfile, FixedBatch, TorchServe, Triton
from simulations.batching.rule import COLLECTING, DYNAMIC, FIXED, BatchingServer, Rule
from simulations.request_rows import REJECTED, SERVED

TICK = 1 / 64


@st.composite
def workloads(draw: st.DrawFn) -> tuple[Rule, BatchProfile, list[float], list[int]]:
    size = draw(st.sampled_from([1, 3, 6, 9]))
    kind = draw(st.sampled_from([FIXED, DYNAMIC, DYNAMIC, COLLECTING]))
    queue, timeout = 0, float("inf")
    if draw(st.booleans()):
        queue = draw(st.sampled_from([0, 1, 3])) if kind != FIXED else 0
        timeout = draw(st.sampled_from([float("inf"), 4 * TICK, 20 * TICK])) if kind == DYNAMIC else float("inf")
    rule = Rule(
        kind=kind,
        instances=draw(st.integers(1, 3)),
        max_batch_size=size,
        delay_seconds=draw(st.sampled_from([0, 1, 5, 40])) * TICK,
        pads=kind == FIXED and draw(st.booleans()),
        max_queue_size=queue,
        timeout_seconds=timeout,
        preferred_batch_sizes=tuple(sorted(draw(st.sets(st.integers(1, size), min_size=min(2, size), max_size=3)))),
        prefetches=not queue and timeout == float("inf"),
    )
    profile = BatchProfile(
        name="drawn",
        base_seconds=draw(st.sampled_from([1, 4, 20])) * TICK,
        per_item_seconds=draw(st.integers(0, 3)) * TICK,
        per_prompt_token_seconds=draw(st.integers(0, 1)) * TICK,
        source="drawn",
    )
    gaps = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 7, 30]), min_size=12, max_size=60))
    arrivals = (np.cumsum(gaps) * TICK).tolist()
    prompts = draw(st.lists(st.integers(1, 4), min_size=len(gaps), max_size=len(gaps)))
    return rule, profile, arrivals, prompts


def served(server: BatchingServer, profile: BatchProfile, demand: Any) -> tuple[Any, Any]:
    """Every request after the end, and what the server counted."""
    engine = BatchingEngine(server, profile, demand)
    engine.open(engine.add_server(0))
    engine.advance(1e6)
    assert engine.finished
    return np.concatenate([piece.copy() for piece in engine.take()]), engine.batchers[0]


@settings(max_examples=300)
@given(workloads())
def test_every_request_begins_and_ends_when_the_sources_say(
    workload: tuple[Rule, BatchProfile, list[float], list[int]],
) -> None:
    rule, profile, arrivals, prompts = workload
    rows, counted = served(Ruled(rule), profile, trace_of(arrivals, prompts, 1))
    slow: Answers = SlowServer(rule, profile, arrivals, prompts).run()
    refused = [finish is None for finish in slow.finish]
    assert (rows["outcome"] == np.where(refused, REJECTED, SERVED)).all()
    for fast, expected in (("last_token", slow.begun), ("finish", slow.finish)):
        assert [
            None if lost else value for lost, value in zip(refused, rows[fast].tolist(), strict=True)
        ] == expected, fast
    assert counted["executions"] == len(slow.batches)


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(FixedBatch(batch_size=5, max_wait_seconds=0.01), id="fixed"),
        pytest.param(Triton(max_batch_size=6, preferred_batch_size=(2, 6), instance_group_count=2), id="triton"),
        pytest.param(TorchServe(batch_size=4, job_queue_size=60_000, workers=2), id="torchserve"),
    ],
)
def test_a_demand_in_pieces_is_served_as_one(server: BatchingServer) -> None:
    """The ring of requests is copied into a larger one while batches wait and run."""
    rng = np.random.default_rng(3)
    profile = BatchProfile(name="test", base_seconds=0.02, per_item_seconds=0.001, source="made up")
    whole = trace_of(np.cumsum(rng.exponential(0.001, 20_000)), 1, 1)
    assert BatchingEngine(server, profile, InPieces.of_size(whole, 300)).requests.size < len(whole) / 4
    rows, _ = served(server, profile, whole)
    in_pieces, _ = served(server, profile, InPieces.of_size(whole, 300))
    for name in ("outcome", "last_token", "finish"):
        np.testing.assert_array_equal(rows[name], in_pieces[name])
