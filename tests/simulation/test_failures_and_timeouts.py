"""Servers that die, clients and gateways that give up: every row counted by hand, one second an iteration."""

import math
from typing import Any

import numpy as np
import pytest
from engine_runs import all_rows, engine_with, model_with, trace_of, turns_of

from policies.capacity.profile import PROFILES
from simulations.engine import Engine
from simulations.exporter import vllm_page, vllm_series
from simulations.fleet import Fleet
from simulations.lead_time import LeadTime
from simulations.request_rows import OUTCOMES
from simulations.scenario import Failures, Scenario, Timeouts
from simulations.trace import Trace

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
EXACT = LeadTime(start_median_seconds=100.0, load_median_seconds=60.0, sigma=0.0)


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
    so the third, which came a second later, is passed over. They have 7, 7 and 6 tokens; the first is being given its 8th.
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


def fleet(arrivals: list[float], *, output_tokens: int = 400, **fields: Any) -> Fleet:
    trace: Trace = trace_of(arrivals, 100, output_tokens)
    return Fleet(Scenario(trace=trace, profile=PROFILE, lead_time=EXACT, **fields))


def crashed(seed: int = 3, *, retry: bool = True, arrivals: list[float] | None = None) -> tuple[Fleet, float]:
    """A fleet of one pod at the instant of its first crash, and that instant."""
    failing = Failures(mtbf_seconds=300.0, retry=retry)
    each = fleet(arrivals or [1.0, 5_000.0], initial_replicas=1, failures=failing, seed=seed)
    at = each.pods[0].fails_at
    assert 1.0 < at < 5_000.0, f"{seed=}"
    each.advance(at)
    return each, at


def test_a_crashed_pod_is_ready_again_one_load_time_later() -> None:
    """The container restarts at once on its node, which has the image: only the model is loaded anew."""
    each, at = crashed()
    pod = each.pods[0]
    states = []
    for second in (at, at + 59.9, at + 60.0):
        each.advance(second)
        shown = each.pod_list()[0]
        states.append((shown.phase, shown.ready, each.serves_metrics(pod)))
    assert states == [("Running", "False", False), ("Running", "False", False), ("Running", "True", True)]
    assert (pod.restarts, pod.created, pod.first_ready_at) == (1, 0.0, 0.0)
    assert pod.ready_at == pytest.approx(at + 60.0)
    assert each.pod_list()[0].ready_transition_ns == each.trace.start_ns + round((at + 60.0) * 1e9)
    assert len(each.pods) == 1, "a container restart is not a new pod"


def test_a_crash_comes_at_the_same_instant_however_time_is_advanced() -> None:
    each, at = crashed()
    other = fleet([1.0, 5_000.0], initial_replicas=1, failures=Failures(mtbf_seconds=300.0), seed=3)
    for second in range(int(at) + 200):
        other.advance(float(second))
    each.advance(other.now_seconds)
    assert other.pods[0].restarts == each.pods[0].restarts > 0
    assert other.pods[0].ready_at == each.pods[0].ready_at


def test_counters_and_histograms_begin_at_zero_after_a_restart() -> None:
    """As those of a real container do; the gauges are those of an empty server."""
    each, at = crashed(arrivals=[0.5, 0.6, 5_000.0])
    before = fleet([0.5, 0.6, 5_000.0], initial_replicas=1, seed=3)
    before.advance(at)
    assert vllm_series(before, before.pods[0])["vllm:generation_tokens_total"] > 0
    assert not all_zero(vllm_page(before, before.pods[0]))
    each.advance(at + 61.0)
    assert set(vllm_series(each, each.pods[0]).values()) == {0.0}
    assert all_zero(vllm_page(each, each.pods[0]))


def all_zero(page: str) -> bool:
    """Whether every sample of a metrics page is 0."""
    samples = [line for line in page.splitlines() if not line.startswith("#")]
    return {float(line.rpartition(" ")[2]) for line in samples} == {0.0}


@pytest.mark.parametrize(("retry", "outcome"), [(True, "served"), (False, "failed")])
def test_what_a_crashed_pod_had_is_sent_again_or_fails(retry: bool, outcome: str) -> None:
    """The request arrives a second before the crash; the only pod is back 60 s after it, with the answer to begin."""
    _, at = crashed()
    each, _ = crashed(retry=retry, arrivals=[at - 1.0, 5_000.0])
    assert each.gateway_queue == retry
    each.advance(at + 60.0)
    assert each.gateway_queue == 0
    each.advance(at + 120.0)
    row = each.engine.requests[0]
    assert OUTCOMES[row["outcome"]] == outcome
    if retry:
        assert row["enqueued"] == pytest.approx(at + 60.0)
        assert row["first_token"] > at + 60.0
    assert (each.engine.restarted_tokens > 0) == retry


def test_a_fleet_without_a_ready_pod_times_requests_out_at_the_gateway() -> None:
    """The first pod is ready at 160 s: of a request every 20 s, those before 100 s waited 60 s in vain."""
    arrivals = [20.0 * number for number in range(12)]
    each = fleet(arrivals, output_tokens=5, initial_replicas=0, timeouts=Timeouts(gateway_seconds=59.0))
    each.scale(1)
    each.advance(600.0)
    outcomes = [OUTCOMES[code] for code in each.engine.requests["outcome"][:12]]
    assert outcomes == ["timed_out"] * 6 + ["served"] * 6
    waited = each.engine.requests["enqueued"][6:12] - arrivals[6:]
    assert waited.tolist() == pytest.approx([40.0, 20.0, 0.0, 0.0, 0.0, 0.0])


def test_a_pod_that_crashes_while_it_drains_ends_then() -> None:
    """It is not started again: nobody wants it, and it is billed until the crash."""
    _, at = crashed()
    each = fleet([at - 1.0, 5_000.0], initial_replicas=1, failures=Failures(mtbf_seconds=300.0), seed=3)
    each.advance(at - 0.5)
    each.scale(0)
    pod = each.pods[0]
    each.advance(at + 100.0)
    assert pod.ended == pytest.approx(at)
    assert not each.existing()
    assert each.gpu_seconds(pod, 1e6) == pytest.approx(at)
    assert each.gateway_queue == 1


def test_a_drained_pod_has_ended_even_if_it_would_have_crashed_before_that_is_noticed() -> None:
    """Its last answer comes half a second before the crash, and drained pods are looked at once a second."""
    _, at = crashed()
    failing = Failures(mtbf_seconds=300.0)
    each = fleet([at - 0.7, 5_000.0], output_tokens=1, initial_replicas=1, failures=failing, seed=3)
    each.advance(at - 0.6)
    each.scale(0)
    each.advance(at + 100.0)
    pod = each.pods[0]
    assert pod.restarts == 0
    assert pod.ended == pytest.approx(max(float(each.engine.requests["finish"][0]), at - 0.6), abs=0.1)
    assert pod.ended < at - 0.4
