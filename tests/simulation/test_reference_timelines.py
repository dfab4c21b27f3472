"""The reference server against timelines worked out by hand: how long iterations last, who is in them, who gives way.

Where nothing else is said an iteration lasts 1 s and has room for everything.
"""

import math
from typing import Any

import pytest
from reference.server import ReferenceModel, ReferenceRequest, ReferenceResult, Totals, serve

SECOND_LONG: dict[str, Any] = {
    "base": 1.0,
    "per_prefill_token": 0.0,
    "per_decode_seq": 0.0,
    "per_kv_token": 0.0,
    "per_prefill_context_token": 0.0,
    "kv_blocks": 1_000,
    "max_num_seqs": 8,
    "max_num_batched_tokens": 1_000,
}
Request = ReferenceRequest


def run(requests: list[Request], **changes: Any) -> tuple[list[ReferenceResult], Totals]:
    return serve(ReferenceModel(**(SECOND_LONG | changes)), requests)


def tokens_at(results: list[ReferenceResult]) -> list[tuple[float | None, float | None]]:
    return [(result.first_token, result.finish) for result in results]


@pytest.mark.parametrize(
    ("coefficient", "value", "ends"),
    [
        # Prompt 40 under a budget of 32, output 3: chunks of 32 and 8, then two decodes.
        ("per_prefill_token", 0.125, [5, 7, 8, 9]),  # 1 + 32/8, 1 + 8/8, 1, 1
        ("per_decode_seq", 0.5, [1, 2, 3.5, 5]),
        ("per_kv_token", 0.25, [9, 20, 31.25, 42.75]),  # computed + scheduled: 32, 40, 41, 42
        ("per_prefill_context_token", 0.125, [65, 102, 103, 104]),  # 32 * 16 / 8 = 64; 8 * (32 + 4) / 8 = 36
    ],
)
def test_step_seconds(coefficient, value, ends):
    """Each term of the step time counts what it says, chunk by chunk; the first token comes with the last chunk."""
    results, totals = run([Request(0, 40, 3)], max_num_batched_tokens=32, **{coefficient: value})
    assert totals.iteration_ends == ends
    assert tokens_at(results) == [(ends[1], ends[3])]
    assert totals.inter_token_gaps == [ends[2] - ends[1], ends[3] - ends[2]]
    assert (totals.iterations, totals.busy_seconds) == (4, ends[3])
    assert (totals.prompt_tokens, totals.prefill_tokens, totals.generation_tokens) == (40, 40, 3)


@pytest.mark.parametrize(
    ("changes", "requests", "expected"),
    [
        pytest.param(
            {}, [(2.5, 16, 1), (10, 16, 2)], [(3.5, 3.5), (11, 12)], id="an-idle-server-begins-at-the-arrival"
        ),
        pytest.param(
            {}, [(0, 16, 3), (1, 16, 1), (1.25, 16, 1)], [(1, 3), (2, 2), (3, 3)], id="boundary-arrival-joins"
        ),
        pytest.param({"overhead_seconds": 0.25}, [(0, 16, 2), (2, 9, 1)], [(1.25, 2.25), (3.25, 3.25)], id="overhead"),
        pytest.param(
            {"max_num_seqs": 1}, [(0, 16, 2), (0, 16, 1)], [(1, 2), (3, 3)], id="max-num-seqs-makes-them-wait"
        ),
        # Budget 32: 20 + 12 of the second; then 1 + 28 of the second + 3 of the third; then 1 + 1 + 17.
        pytest.param(
            {"max_num_batched_tokens": 32},
            [(0, 20, 4), (0, 40, 2), (0, 20, 1)],
            [(1, 4), (2, 3), (3, 3)],
            id="running-first-then-waiting-share-one-budget",
        ),
        # 4 decodes leave nothing of a budget of 4: the fifth waits until one has finished.
        pytest.param(
            {"max_num_batched_tokens": 4},
            [(0, 1, 3), (0, 1, 3), (0, 1, 3), (0, 1, 3), (0, 1, 1)],
            [(1, 3), (1, 3), (1, 3), (1, 3), (4, 4)],
            id="no-budget-left-for-waiting",
        ),
        pytest.param(
            {"kv_blocks": 2}, [(0, 31, 1), (5, 32, 1)], [(1, 1), (None, 5)], id="too-long-is-rejected-as-it-comes"
        ),
        # Three blocks: the second needs two and blocks the third, which would fit, until the first has left.
        pytest.param(
            {"kv_blocks": 3},
            [(0, 20, 2), (0, 20, 1), (0, 5, 1)],
            [(1, 2), (3, 3), (3, 3)],
            id="the-head-without-blocks-blocks-the-queue",
        ),
    ],
)
def test_timeline(changes, requests, expected):
    """Rows: (arrival, prompt, output); expected (first token, finish)."""
    results, _ = run([Request(*request) for request in requests], **changes)
    assert tokens_at(results) == expected


def test_last_in_is_preempted_and_recomputed_in_front_of_the_queue():
    """With 4 blocks the older request's 33rd token takes the younger one's place; it comes back when there is room.

    The older one: 31 + 20 tokens. It needs its third block at t = 2 and its fourth at 18, and ends at 20. The younger
    one: 16 + 20, two blocks from t = 1 on, has written 2 tokens when it is preempted. It comes back at 20 with 18
    tokens to compute, before the third request, which arrived at 5 and is one block long.
    """
    requests = [Request(0, 31, 20), Request(0, 16, 20), Request(5, 8, 1)]
    results, totals = run(requests, kv_blocks=4, max_num_batched_tokens=47)
    assert tokens_at(results) == [(1, 20), (1, 38), (21, 21)]
    assert [result.preemptions for result in results] == [0, 1, 0]
    assert totals.preemptions == 1
    assert totals.prefill_tokens == 31 + 16 + 18 + 8
    assert totals.prompt_tokens == 31 + 16 + 8, "a recomputed prompt counts once"
    assert sorted(totals.inter_token_gaps)[-1] == 19  # its second token at 2, its third at 21
    assert totals.iterations == 38


def test_nobody_is_admitted_in_a_step_that_preempted():
    """A free seat and a short request in the queue change nothing: both come one step later."""
    # 3 blocks. At t = 1 the first needs a second block: the second (16 + 16, two blocks) gives up two, one is left.
    requests = [Request(0, 16, 16), Request(0, 17, 3), Request(0.5, 1, 1)]
    results, totals = run(requests, kv_blocks=3)
    assert totals.preemptions == 1
    # The second needs two blocks for 18 tokens: only one is free until 16, and it stands before the third.
    assert tokens_at(results) == [(1, 16), (1, 18), (17, 17)]
    priorities = [Request(0, 16, 16), Request(0, 17, 3, priority=1), Request(0.5, 1, 1)]
    results, _ = run(priorities, kv_blocks=3, priority_scheduling=True)
    # Now the third may pass: not at 1, when the second was preempted, but at 2.
    assert tokens_at(results) == [(1, 16), (1, 18), (3, 3)]


@pytest.mark.parametrize(
    ("abort_at", "left", "first_token", "tokens"),
    [
        pytest.param(0.5, 1, None, 0, id="its-iteration-runs-to-the-end-and-its-token-is-lost"),
        pytest.param(1, 1, None, 0, id="at-the-boundary-is-in-time"),
        pytest.param(1.5, 2, 1, 1, id="what-it-had-got-stays"),
        pytest.param(3, 3, 1, 2, id="the-last-token-at-that-instant-is-too-late"),
        pytest.param(math.inf, 3, 1, 3, id="never"),
    ],
)
def test_abort_while_running(abort_at, left, first_token, tokens):
    """A running request leaves at the first end of an iteration at or after `abort_at`, without that one's token."""
    [result], totals = run([Request(0, 16, 3, abort_at=abort_at)], overhead_seconds=0)
    assert (result.left, result.first_token, totals.generation_tokens) == (left, first_token, tokens)
    assert (result.outcome, result.finish) == (("served", 3) if tokens == 3 else ("aborted", None))
    assert totals.iterations == left


def test_abort_while_waiting():
    """It leaves at once, without having been in an iteration; whoever stood behind it is next."""
    requests = [Request(0, 16, 4), Request(0, 16, 1, abort_at=1.5), Request(0, 16, 1), Request(9, 16, 1, abort_at=9)]
    results, totals = run(requests, max_num_seqs=1)
    assert [result.outcome for result in results] == ["served", "aborted", "served", "aborted"]
    assert tokens_at(results) == [(1, 4), (None, None), (5, 5), (None, None)]
    assert (results[1].left, results[3].left) == (1.5, 9)
    assert totals.iterations == 5
    assert totals.prompt_tokens == 32


def test_an_abort_makes_room_at_the_boundary():
    """Its blocks are there for the very next iteration."""
    results, _ = run([Request(0, 16, 9, abort_at=2), Request(0.5, 20, 1)], kv_blocks=2)
    assert tokens_at(results) == [(1, None), (3, 3)]
