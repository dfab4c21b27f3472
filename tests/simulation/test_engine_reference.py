"""The engine against an independent server that runs one iteration at a time, on workloads that stress both.

Instants are compared with == where the workloads' own arithmetic is exact, and within 1e-9 s where it is not.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference.server import ReferenceModel, ReferenceRequest, ReferenceResult, Totals, serve
from reference_workloads import GRID_SECONDS, Workload, workloads

from simulations.engine import Engine, ServerModel
from simulations.latency_buckets import bucket_of
from simulations.request_rows import ABORTED, REJECTED, SERVED
from simulations.trace import Prefixes, Trace

OUTCOMES = {"served": SERVED, "rejected": REJECTED, "aborted": ABORTED}
TOTALS = ("iterations", "preemptions", "prompt_tokens", "generation_tokens", "lora_loads")
PATIENCE = st.sampled_from([math.inf] * 3 + [GRID_SECONDS * steps for steps in (0, 5, 16, 30, 64, 200)])
"""Seconds until a client gives up: none of them, at once, in the queue, while it prefills, while it decodes."""

LOOKS = st.integers(0, 3)
SETTINGS = settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@SETTINGS
@given(
    workload=workloads(prefix_caching=False, adapters=False, priorities=False, aborts=False),
    jump=st.booleans(),
    looks=LOOKS,
)
def test_plain_scheduling_is_the_references(workload: Workload, jump: bool, looks: int) -> None:
    """Chunked prefill, KV blocks, recompute preemption; stepping or jumping, looked at on the way or not."""
    check(workload, jump=jump, looks=looks)


@SETTINGS
@given(
    workload=workloads(prefix_caching=False, adapters=False, priorities=False, aborts=False),
    patience=PATIENCE,
    jump=st.booleans(),
)
def test_clients_that_give_up_leave_as_in_the_reference(workload: Workload, patience: float, jump: bool) -> None:
    """From the queue at once, from the batch with the iteration under way and without its token."""
    check(workload, patience=patience, jump=jump)


@SETTINGS
@given(
    workload=workloads(prefix_caching=False, adapters=True, priorities=False, aborts=False),
    patience=PATIENCE,
    jump=st.booleans(),
)
def test_adapters_load_and_hold_back_as_in_the_reference(workload: Workload, patience: float, jump: bool) -> None:
    check(workload, patience=patience, jump=jump)


@SETTINGS
@given(
    workload=workloads(prefix_caching=False, adapters=False, priorities=True, aborts=False),
    patience=PATIENCE,
    jump=st.booleans(),
)
def test_priorities_admit_and_preempt_as_in_the_reference(workload: Workload, patience: float, jump: bool) -> None:
    check(workload, patience=patience, jump=jump)


@SETTINGS
@given(
    workload=workloads(prefix_caching=True, adapters=False, priorities=False, aborts=False),
    patience=PATIENCE,
    jump=st.booleans(),
)
def test_the_prefix_cache_finds_and_evicts_as_in_the_reference(workload: Workload, patience: float, jump: bool) -> None:
    check(workload, patience=patience, jump=jump)


@SETTINGS
@given(workload=workloads(aborts=False), patience=PATIENCE, jump=st.booleans(), looks=LOOKS)
def test_all_features_together_are_the_references(workload: Workload, patience: float, jump: bool, looks: int) -> None:
    check(workload, patience=patience, jump=jump, looks=looks)


@SETTINGS
@given(workload=workloads(aborts=False, exact=False), jump=st.booleans(), looks=LOOKS)
def test_all_features_together_are_the_references_where_sums_round(workload: Workload, jump: bool, looks: int) -> None:
    check(workload, jump=jump, looks=looks, tolerance_seconds=1e-9)


ONE_SECOND_STEPS = ReferenceModel(
    base=1.0,
    per_prefill_token=0.0,
    per_decode_seq=0.0,
    per_kv_token=0.0,
    per_prefill_context_token=0.0,
    kv_blocks=20,
    max_num_seqs=4,
    max_num_batched_tokens=17,
)


@pytest.mark.parametrize("jump", [True, False])
def test_a_prompt_computed_in_part_goes_on_after_an_iteration_without_a_token_for_it(jump: bool) -> None:
    """At 18 s the cache is full, and the least urgent request, which needs a block, gives way: the prompt admitted
    after it gets nothing in that iteration, and its next chunk in the one after."""
    model = replace(ONE_SECOND_STEPS, priority_scheduling=True)
    requests = (
        ReferenceRequest(0.0, 16, 40, priority=0),
        ReferenceRequest(1.0, 16, 40, priority=2),
        ReferenceRequest(2.0, 300, 2, priority=1),
    )
    check(Workload(model, requests), jump=jump)


@pytest.mark.parametrize("jump", [True, False])
def test_of_blocks_with_the_same_content_the_one_that_was_full_first_is_found(jump: bool) -> None:
    """Both write the same 16 tokens, and the second gives way at the 17th: it finds the first one's block, which is in
    use, and so needs one free block, not two."""
    model = replace(ONE_SECOND_STEPS, kv_blocks=3, enable_prefix_caching=True)
    requests = (ReferenceRequest(0.0, 1, 18, prefix_ids=(0,)), ReferenceRequest(0.0, 1, 17, prefix_ids=(0,)))
    check(Workload(model, requests), jump=jump)


def check(
    workload: Workload,
    *,
    jump: bool,
    patience: float = math.inf,
    looks: int = 0,
    tolerance_seconds: float = 0.0,
) -> None:
    """Both serve the workload, whose clients all wait that many seconds: requests, totals and gaps must be equal."""
    requests = tuple(replace(request, abort_at=request.arrival + patience) for request in workload.requests)
    expected, totals = serve(workload.model, requests)
    engine = served(workload.model, requests, jump=jump, patience=patience, looks=looks)
    _check_requests(engine.requests[: len(requests)], expected, tolerance_seconds)
    server = engine.servers[0]
    assert {name: int(server[name]) for name in TOTALS} == {name: getattr(totals, name) for name in TOTALS}
    assert server["busy_seconds"] == pytest.approx(totals.busy_seconds, abs=1e-9)
    assert server["free_blocks"] == workload.model.kv_blocks
    assert engine.itl_counts.sum() == len(totals.inter_token_gaps)
    # Skipped with priorities: a request that got no token in an iteration has a gap of two, and the engine books it as
    # the second one alone.
    if not tolerance_seconds and not workload.model.priority_scheduling:
        np.testing.assert_array_equal(engine.itl_counts, _gap_counts(totals, len(engine.itl_counts)))


def served(
    model: ReferenceModel, requests: tuple[ReferenceRequest, ...], *, jump: bool, patience: float, looks: int
) -> Engine:
    """An engine of one server that has served the requests. looks: how often it was stopped on the way."""
    kind = ServerModel(
        base=model.base,
        per_prefill_token=model.per_prefill_token,
        per_decode_seq=model.per_decode_seq,
        per_kv_token=model.per_kv_token,
        per_prefill_context_token=model.per_prefill_context_token,
        overhead=model.overhead_seconds,
        kv_blocks=model.kv_blocks,
        max_num_seqs=model.max_num_seqs,
        max_num_batched_tokens=model.max_num_batched_tokens,
        max_loras=model.max_loras,
        lora_load_seconds=model.lora_load_seconds,
        prefix_caching=model.enable_prefix_caching,
        priority_scheduling=model.priority_scheduling,
    )
    engine = Engine(
        [kind], _trace(requests, has_adapters=model.max_loras > 0), client_timeout_seconds=patience, jump=jump
    )
    engine.open(engine.add_server(0))
    for look in range(looks):
        engine.advance(requests[-1].arrival * look / looks + look * 0.0017)
    engine.advance(1e9)
    assert engine.finished
    return engine


def _trace(requests: tuple[ReferenceRequest, ...], *, has_adapters: bool) -> Trace:
    ids = [request.prefix_ids for request in requests]
    return Trace(
        "drawn",
        0,
        np.array([request.arrival for request in requests]),
        np.array([request.prompt_tokens for request in requests], np.int32),
        np.array([request.output_tokens for request in requests], np.int32),
        prefixes=Prefixes(
            block_tokens=requests[0].prefix_block_tokens,
            offsets=np.cumsum([0, *map(len, ids)]).astype(np.int64),
            ids=np.array([each for some in ids for each in some], np.int64),
        ),
        lora=np.array([request.lora if has_adapters else -1 for request in requests], np.int32),
        priority=np.array([request.priority for request in requests], np.int32),
    )


def _check_requests(rows: Any, expected: list[ReferenceResult], tolerance_seconds: float) -> None:
    assert rows["outcome"].tolist() == [OUTCOMES[each.outcome] for each in expected]
    assert rows["preemptions"].tolist() == [each.preemptions for each in expected]
    for field in ("first_token", "finish"):
        wanted = np.array([getattr(each, field) for each in expected], np.float64)  # None becomes NaN
        np.testing.assert_allclose(rows[field], wanted, rtol=0, atol=tolerance_seconds, err_msg=field)
    looked_up = rows["cached_tokens"] >= 0
    assert rows["cached_tokens"][looked_up].tolist() == [
        each.cached_tokens for each, known in zip(expected, looked_up, strict=True) if known
    ]


def _gap_counts(totals: Totals, buckets: int) -> NDArray[np.int64]:
    gaps = np.array(totals.inter_token_gaps, np.float64)
    return np.bincount(bucket_of(gaps), minlength=buckets)
