"""The reference server against timelines worked out by hand: priorities, LoRA adapters. Iterations last 1 s."""

from typing import Any

import pytest
from reference.adapters import Adapters
from reference.server import ReferenceModel, ReferenceRequest, ReferenceResult, Totals, serve

Request = ReferenceRequest


def run(requests: list[Request], **changes: Any) -> tuple[list[ReferenceResult], Totals]:
    room: dict[str, Any] = {"kv_blocks": 1_000, "max_num_seqs": 8, "max_num_batched_tokens": 1_000}
    return serve(ReferenceModel(1.0, 0.0, 0.0, 0.0, 0.0, **(room | changes)), requests)


def finishes(results: list[ReferenceResult]) -> list[float | None]:
    return [result.finish for result in results]


@pytest.mark.parametrize(
    ("priority_scheduling", "expected"),
    [pytest.param(False, [2, 3, 4, 5], id="fcfs"), pytest.param(True, [2, 5, 3, 4], id="priority-then-arrival")],
)
def test_queue_order(priority_scheduling, expected):
    """Smaller priorities are admitted first, the earlier arrival among equals; without the policy nobody looks."""
    first, late = Request(0, 1, 2), Request(0, 1, 1, priority=2)
    requests = [first, late, Request(0.25, 1, 1, priority=1), Request(0.5, 1, 1, priority=1)]
    results, _ = run(requests, max_num_seqs=1, priority_scheduling=priority_scheduling)
    assert finishes(results) == expected


def test_the_victim_has_the_largest_priority():
    """Even when it was scheduled already in this step: then the step goes on without it.

    Three blocks, a budget of 17. The first request (priority 5) runs alone until the second comes at 1 with a prompt of
    32, computed 16 at a time beside the first one's decodes: two blocks. At 3 the second decodes its 33rd token and
    needs a third block: the first gives way and comes back at 4, when the second has left, to compute its prompt of 10
    and the 3 tokens that it had written.
    """
    requests = [Request(0, 10, 5, priority=5), Request(1, 32, 2, priority=0)]
    results, totals = run(requests, kv_blocks=3, max_num_batched_tokens=17, priority_scheduling=True)
    assert [result.preemptions for result in results] == [1, 0]
    assert [result.first_token for result in results] == [1, 3]
    assert finishes(results) == [6, 4]
    assert sorted(totals.inter_token_gaps) == [1, 1, 1, 1, 2]
    assert totals.prefill_tokens == 10 + 32 + 13


def test_what_a_victim_was_given_is_refunded():
    """Its token of this step goes to those behind it.

    Four blocks, a budget of 17. At 3 the first decodes, the second's 17th token finds no block, the first (two blocks)
    gives way, and of the 16 tokens left to the budget (15 without the refund) the third computes the last 16 of its
    31. The first comes back at 4 when the third has left: 16 of its 17 + 3 tokens then, 4 at 5.
    """
    requests = [Request(0, 17, 4, priority=9), Request(1, 15, 6), Request(2, 31, 1)]
    results, totals = run(requests, kv_blocks=4, max_num_batched_tokens=17, priority_scheduling=True)
    assert [result.first_token for result in results] == [1, 2, 4]
    assert finishes(results) == [6, 7, 4]
    assert totals.preemptions == 1


def test_who_preempts_itself_ends_the_step_for_those_behind():
    """The one before it has been scheduled; the one behind, who needs no block, is not.

    Four blocks: two for the first, one each for the others. At 3 the second (priority 9) needs its second and gives
    way; the third, which got its first token at 3, gets the others at 5 and 6. The second comes back at 6.
    """
    requests = [Request(0, 17, 6), Request(0.5, 15, 3, priority=9), Request(1.5, 1, 3)]
    results, totals = run(requests, kv_blocks=4, priority_scheduling=True)
    assert [result.first_token for result in results] == [1, 2, 3]
    assert finishes(results) == [6, 7, 6]
    assert sorted(totals.inter_token_gaps)[-2:] == [2, 4]
    assert totals.preemptions == 1


def test_equal_victims_first_in():
    """Of equal (priority, arrival) Python's max, and so vLLM, takes the one that was admitted first."""
    results, totals = run([Request(0, 16, 3), Request(0, 16, 3)], kv_blocks=2, priority_scheduling=True)
    # At t = 1 the first needs a second block and is itself the victim: nothing was scheduled before it, so no time
    # goes by; then the second has both blocks until 3. The first computes 17 tokens again.
    assert finishes(results) == [5, 3]
    assert (totals.iterations, totals.preemptions) == (5, 1)


def test_a_request_is_passed_over_for_want_of_an_adapter_slot_only():
    """Behind one that must wait for a slot, the base model and the running adapter go on; order is kept."""
    requests = [
        Request(0, 1, 3, lora=0),
        Request(0, 1, 1, lora=1),
        Request(0, 1, 1, lora=2),
        Request(0, 1, 2),
        Request(0, 1, 2, lora=0),
    ]
    results, totals = run(requests, max_loras=1)
    assert finishes(results) == [3, 4, 5, 2, 2]
    assert totals.lora_loads == 3
    results, totals = run(requests, max_loras=0)
    assert finishes(results) == [3, 1, 1, 2, 2], "without LoRA every request is one to the base model"
    assert totals.lora_loads == 0


def test_a_passed_over_request_is_not_a_blocked_one():
    """No blocks for the second in line ends admission, though the one before it was only passed over."""
    requests = [Request(0, 16, 3, lora=0), Request(0, 1, 1, lora=1), Request(0, 33, 1), Request(0, 1, 1)]
    results, _ = run(requests, max_loras=1, kv_blocks=3)
    assert finishes(results) == [3, 4, 5, 6]  # the third needs all three blocks, and the fourth stands behind it


@pytest.mark.parametrize(
    ("adapters", "slots", "ends", "loads"),
    [
        pytest.param([0, 0, 0], 1, [3, 4, 5], 1, id="loaded-once"),
        pytest.param([0, 1, 0], 1, [3, 6, 9], 3, id="one-slot-thrashes"),
        pytest.param([0, 1, 0, 2, 0, 1], 2, [3, 6, 7, 10, 11, 14], 4, id="the-least-recently-used-makes-room"),
        pytest.param([-1, 0, -1, 0], 1, [1, 4, 5, 6], 1, id="the-base-model-needs-no-slot"),
    ],
)
def test_loads(adapters, slots, ends, loads):
    """One after the other, each load 2 s on top of the iteration that needs it."""
    requests = [Request(0, 1, 1, lora=adapter) for adapter in adapters]
    results, totals = run(requests, max_loras=slots, lora_load_seconds=2.0, max_num_seqs=1)
    assert finishes(results) == ends
    assert totals.lora_loads == loads


def test_two_loads_in_one_step_add_up():
    results, totals = run([Request(0, 1, 2, lora=4), Request(0, 1, 1, lora=7)], max_loras=2, lora_load_seconds=2.0)
    assert finishes(results) == [6, 5]
    assert totals.lora_loads == 2


def test_an_adapter_in_use_is_not_evicted():
    """However long ago it was loaded."""
    adapters = Adapters(2)
    assert adapters.load(5, set(), now=0.0)
    assert adapters.load(6, {5}, now=1.0)
    adapters.left_running(6, now=2.0)
    assert adapters.load(7, {5}, now=3.0)
    assert not adapters.load(5, {7}, now=4.0), "5 was in use, so 6 made room"
    adapters.left_running(5, now=5.0)
    adapters.left_running(7, now=5.0)
    assert adapters.load(6, set(), now=6.0)
    assert not adapters.load(7, {6}, now=7.0), "of two last used at the same instant the smaller number made room"
