"""Servers that die, clients and gateways that give up: every row counted by hand, one second an iteration."""

import math
from typing import Any

import numpy as np
import pytest
from engine_runs import all_rows, engine_with, model_with, trace_of, turns_of

from simulations.engine import Engine
from simulations.request_rows import OUTCOMES


def seen(rows: Any) -> list[tuple[str, int, float, float]]:
    """(outcome, tokens, first token, finish) of each request, times -1 where there are none."""
    return [
        (
            OUTCOMES[row["outcome"]],
            int(row["generated"]),
            *(-1.0 if math.isnan(row[name]) else float(row[name]) for name in ("first_token", "finish")),
        )
        for row in rows
    ]


@pytest.mark.parametrize(
    ("retries", "row", "restarted"),
    [
        pytest.param(False, ("failed", 2, 1.0, -1.0), 0, id="it-fails-with-the-two-tokens-it-had"),
        pytest.param(True, ("served", 5, 3.5, 7.5), 2, id="it-begins-again-on-the-other-server"),
    ],
)
def test_a_server_dies_in_the_middle_of_an_answer(retries: bool, row: tuple[Any, ...], restarted: int) -> None:
    """Tokens at 1.0 and 2.0, death at 2.5; a client that sends again starts from nothing."""
    engine = engine_with(trace_of([0.0], output_tokens=5), servers=2)
    engine.advance(2.5)
    engine.fail(0, 2.5, retries=retries)
    rows = all_rows(engine)
    assert seen(rows) == [row]
    assert rows["arrival"].tolist() == [0.0], "it counts from its first arrival"
    assert rows["replica"].tolist() == [1 if retries else 0]
    assert engine.restarted_tokens == restarted


def test_a_dead_servers_requests_are_sent_again_in_the_order_of_its_batch_and_queue() -> None:
    """Two seats: the two that ran go first, then the one that waited."""
    engine = engine_with(trace_of([0.0, 0.1, 0.2], output_tokens=4), model_with(max_num_seqs=2))
    engine.advance(2.5)
    engine.fail(0, 2.5, retries=True)
    engine.advance(3.0)
    assert engine.gateway_queue == 3
    engine.open(engine.add_server(1))
    assert seen(all_rows(engine)) == [
        ("served", 4, 4.0, 7.0),
        ("served", 4, 4.0, 7.0),
        ("served", 4, 8.0, 11.0),
    ]


def test_a_server_that_dies_with_a_request_that_was_given_up_holds_nothing_any_more() -> None:
    """The client left at 2.4; its seat would be free at 3.0, but the server dies at 2.5."""
    engine = engine_with(trace_of([0.0], output_tokens=9), client_timeout_seconds=2.4)
    engine.advance(2.5)
    engine.fail(0, 2.5, retries=True)
    assert (engine.inside, engine.outstanding.sum()) == (0, 0)
    assert seen(all_rows(engine)) == [("aborted", 2, 1.0, -1.0)]


def passed_over(**options: Any) -> Engine:
    """A server at 7.5 s, in the middle of an iteration in which a running request gets no token.

    4 blocks: one for the first request, one for the second, two for the third. At 7.0 the second, the least urgent,
    needs another block for its 17th token and is preempted; vLLM then schedules nothing behind it in that iteration,
    so the third, which came a second later, is passed over. They have 7, 7 and 6 tokens; the first is being given
    its 8th.
    """
    model = model_with(kv_blocks=4, priority_scheduling=True)
    trace = trace_of([0.0, 0.0, 0.5], [1, 10, 20], [12, 20, 20], priority=np.array([0, 1, 0], np.int32))
    engine = engine_with(trace, model, **options)
    engine.advance(7.5)
    assert engine.servers[0]["preemptions"] == engine.servers[0]["stalled"] == 1
    return engine


def test_a_dying_server_had_given_a_passed_over_request_all_its_tokens() -> None:
    engine = passed_over()
    engine.fail(0, 7.5, retries=False)
    assert all_rows(engine)["generated"].tolist() == [7, 7, 6]
    assert engine.servers["generation_tokens"][0] == 20


def test_a_passed_over_request_that_is_given_up_keeps_all_its_tokens() -> None:
    """The first loses the 8th, of the iteration under way; the third had none to lose."""
    engine = passed_over(client_timeout_seconds=7.2)
    assert all_rows(engine)["generated"].tolist() == [7, 7, 6]
    assert engine.servers["generation_tokens"][0] == 20
    assert engine.itl_counts.sum() == 6 + 6 + 5


@pytest.mark.parametrize(
    ("opened", "expected"),
    [
        pytest.param(3.9, [("served", 3, 4.9, 6.9), ("served", 3, 4.9, 6.9)], id="just-in-time"),
        pytest.param(4.1, [("timed_out", 0, -1.0, -1.0), ("served", 3, 5.1, 7.1)], id="too-late-for-the-first"),
        pytest.param(9.0, [("timed_out", 0, -1.0, -1.0)] * 2, id="too-late-for-both"),
    ],
)
def test_the_gateway_gives_up_when_no_pod_is_ready(opened: float, expected: list[Any]) -> None:
    engine = engine_with(trace_of([1.0, 1.5]), servers=0, gateway_timeout_seconds=3.0)
    row = engine.add_server(0)
    engine.advance(opened)
    engine.open(row)
    assert seen(all_rows(engine)) == expected


def test_the_gateways_patience_starts_anew_when_a_dead_server_gives_a_request_back() -> None:
    """It waited from 0 to 2 for the first server; the second time it waits from 3.5 to 6.5."""
    engine = engine_with(trace_of([0.0], output_tokens=9), servers=0, gateway_timeout_seconds=3.0)
    engine.advance(2.0)
    first = engine.add_server(0)
    engine.open(first)
    engine.advance(3.5)
    engine.fail(first, 3.5, retries=True)
    engine.advance(6.4)
    assert engine.gateway_queue == 1
    engine.advance(6.6)
    assert engine.gateway_queue == 0
    assert seen(all_rows(engine)) == [("timed_out", 0, -1.0, -1.0)]


@pytest.mark.parametrize(
    ("patience", "expected"),
    [
        pytest.param(4.0, [("aborted", 3, 1.0, -1.0), ("aborted", 0, -1.0, -1.0)], id="waiting-and-running"),
        pytest.param(4.6, [("aborted", 4, 1.0, -1.0), ("aborted", 0, -1.0, -1.0)], id="at-the-end-of-an-iteration"),
        pytest.param(6.0, [("served", 5, 1.0, 5.0), ("aborted", 1, 6.0, -1.0)], id="running-after-it-waited"),
        pytest.param(9.0, [("served", 5, 1.0, 5.0), ("served", 3, 6.0, 8.0)], id="patient"),
    ],
)
def test_clients_give_up_waiting_and_running(patience: float, expected: list[Any]) -> None:
    """One seat; arrivals at 0.0 and 0.5. A token whose iteration ends after the client left is nobody's."""
    trace = trace_of([0.0, 0.5], output_tokens=[5, 3])
    engine = engine_with(trace, model_with(max_num_seqs=1), client_timeout_seconds=patience)
    rows = all_rows(engine)
    assert seen(rows) == expected
    assert engine.servers["generation_tokens"][0] == rows["generated"].sum()
    assert engine.servers["free_blocks"][0] == model_with().kv_blocks


def test_a_seat_that_was_given_up_is_free_at_the_iterations_end() -> None:
    """The first client leaves at 2.5; the second request begins at 3.0, not at 9.0."""
    trace = trace_of([0.0, 1.2], output_tokens=[9, 1])
    engine = engine_with(trace, model_with(max_num_seqs=1), client_timeout_seconds=2.5)
    engine.advance(2.9)
    assert (engine.servers["running"][0], engine.servers["waiting"][0]) == (1, 1)
    assert engine.requests["generated"][0] == 0, "its tokens are booked when it leaves its seat"
    engine.advance(3.0)
    assert engine.requests["slot"][1] >= 0
    assert seen(all_rows(engine)) == [("aborted", 2, 1.0, -1.0), ("aborted", 0, -1.0, -1.0)]


def test_the_next_turn_of_what_was_given_up_comes_all_the_same() -> None:
    """The client gives up at 2.5, thinks for 1 s, and asks again at 3.5."""
    trace = trace_of([0.0, 0.0], output_tokens=[9, 1], turns=turns_of([1, -1], think_seconds=1.0), ends_seconds=50.0)
    rows = all_rows(engine_with(trace, client_timeout_seconds=2.5))
    assert rows["arrival"].tolist() == [0.0, 3.5]
    assert seen(rows) == [("aborted", 2, 1.0, -1.0), ("served", 1, 4.5, 4.5)]
