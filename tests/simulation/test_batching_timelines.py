"""Each server's rule on timelines that can be counted on fingers. A batch lasts 1 s, whatever is in it."""

import math
from typing import Any

import numpy as np
import pytest
from engine_runs import trace_of, turns_of

from simulations.batching import BatchingEngine, BatchProfile, FixedBatch, TorchServe, Triton
from simulations.batching.rule import BatchingServer
from simulations.request_rows import ABORTED, FAILED, REJECTED, SERVED, TIMED_OUT

ONE_SECOND = BatchProfile(name="1 s", base_seconds=1.0, per_item_seconds=0.0, source="made up")
REFUSED = math.nan
"""Instead of the instant at which a request's batch begins."""

MS = 1e-3


def engine_of(server: BatchingServer, arrivals: Any, profile: BatchProfile = ONE_SECOND, **options: Any) -> Any:
    tokens = options.pop("prompt_tokens", 1), options.pop("output_tokens", 1)
    columns = {name: options.pop(name) for name in ("turns", "ends_seconds") if name in options}
    return BatchingEngine(server, profile, trace_of(arrivals, *tokens, **columns), **options)


def all_rows(engine: Any, until: float = 1e6) -> Any:
    engine.advance(until)
    assert engine.finished
    assert engine.inside == 0
    return np.concatenate([piece.copy() for piece in engine.take()])


def triton(**fields: Any) -> Triton:
    return Triton(**({"max_batch_size": 8, "max_queue_delay_microseconds": 100_000} | fields))


@pytest.mark.parametrize(
    ("server", "timeline"),
    [
        pytest.param(triton(), [(0, 0.1), (0.05, 0.1)], id="triton-waits-until-the-oldest-has-waited-the-delay"),
        pytest.param(
            triton(max_batch_size=2), [(0, 0.05), (0.05, 0.05), (0.06, 1.05)], id="triton-sends-a-full-batch-at-once"
        ),
        pytest.param(
            triton(preferred_batch_size=(2, 4)), [(0, 0.02), (0.02, 0.02)], id="triton-sends-a-preferred-size-at-once"
        ),
        pytest.param(
            triton(preferred_batch_size=(2,)),
            [(0, 0.02), (0.02, 0.02), (0.1, 1.02), (0.3, 1.02), (0.5, 1.02)],
            id="what-waits-longer-than-the-delay-makes-a-batch-larger-than-preferred",
        ),
        pytest.param(
            triton(max_queue_delay_microseconds=0),
            [(0, 0), (0.1, 1), (0.2, 1)],
            id="triton-without-delay-sends-at-once",
        ),
        pytest.param(
            triton(max_queue_delay_microseconds=0, preferred_batch_size=(2, 4)),
            [(0, 0), (0.1, 1), (0.2, 1), (0.3, 2), (0.4, 2), (0.5, 2), (0.6, 2), (0.7, 3), (0.8, 3), (0.9, 4)],
            id="behind-a-busy-instance-the-smallest-preferred-size-saturates-and-with-two-formed-nothing-is-looked-at",
        ),
        pytest.param(
            triton(max_queue_delay_microseconds=2_500_000, preferred_batch_size=(2, 5)),
            [(0, 0), (0, 0), (0.1, 1), (0.2, 1), (0.3, 2.8)],
            id="a-formed-batch-of-a-preferred-size-takes-no-single-request-more",
        ),
        pytest.param(
            triton(dynamic_batching=False), [(0, 0), (0, 1), (0, 2)], id="without-dynamic-batching-one-by-one"
        ),
        pytest.param(
            triton(dynamic_batching=False, instance_group_count=2), [(0, 0), (0, 0), (0, 1)], id="two-instances"
        ),
        pytest.param(
            triton(max_batch_size=1, max_queue_size=1, max_queue_delay_microseconds=0),
            [(0, 0), (0.1, 1), (0.2, REFUSED), (1.5, 2)],
            id="a-full-queue-refuses",
        ),
        pytest.param(
            triton(max_batch_size=1, max_queue_delay_microseconds=0, default_timeout_microseconds=300_000),
            [(0, 0), (0.1, REFUSED), (0.8, 1)],
            id="what-has-expired-is-refused-when-an-instance-is-idle",
        ),
        pytest.param(
            TorchServe(batch_size=2, max_batch_delay=100), [(0, 0.1), (0.2, 1.1), (0.3, 1.1)], id="torchserve-delay"
        ),
        pytest.param(
            TorchServe(batch_size=4, max_batch_delay=500),
            [(0, 0.5), (0.6, 2.0), (0.7, 2.0)],
            id="a-worker-waits-the-delay-anew-for-what-has-waited-already",
        ),
        pytest.param(
            TorchServe(batch_size=8, max_batch_delay=0),
            [(0, 0), (0.1, 1), (0.2, 1), (0.3, 2), (0.4, 2)],
            id="without-delay-no-batch-is-larger-than-2",
        ),
        pytest.param(
            TorchServe(batch_size=2, max_batch_delay=300, workers=2),
            [(0, 0.2), (0.2, 0.2), (0.3, 0.6)],
            id="a-second-worker-collects-after-the-first-has-sent",
        ),
        pytest.param(
            TorchServe(batch_size=1, job_queue_size=1),
            [(0, 0), (0, 1), (0.1, REFUSED), (1.0, 2), (1.0, REFUSED)],
            id="a-full-job-queue-is-answered-503",
        ),
        pytest.param(FixedBatch(batch_size=2), [(0, 0), (0.1, 1), (0.2, 1), (0.3, 2)], id="fixed-without-waiting"),
        pytest.param(
            FixedBatch(batch_size=2, max_wait_seconds=0.5),
            [(0, 0.3), (0.3, 0.3), (0.4, 1.3), (2.5, 3.0)],
            id="fixed-waits-for-a-full-batch-or-so-long",
        ),
    ],
)
def test_when_each_batch_begins(server: BatchingServer, timeline: list[tuple[float, float]]) -> None:
    """Rows: (a request comes, its batch begins)."""
    engine = engine_of(server, [at for at, _ in timeline])
    engine.open(engine.add_server(0))
    rows = all_rows(engine)
    begins = np.where(rows["outcome"] == REJECTED, np.nan, rows["last_token"])
    np.testing.assert_allclose(begins, [begins for _, begins in timeline], atol=2e-6)
    served = rows["outcome"] == SERVED
    np.testing.assert_allclose(rows["finish"][served], begins[served] + 1.0)


def test_a_batch_takes_as_long_as_its_longest_answer_and_all_its_prompts() -> None:
    """1 s + 2 x 0.1 s + (3 + 4) x 0.01 s + (5 + 20) x 0.001 s + 20 x 0.05 s = 2.295 s."""
    profile = BatchProfile(
        name="llm", base_seconds=1.0, per_item_seconds=0.1, per_prompt_token_seconds=0.01,
        per_output_token_seconds=0.001, per_output_step_seconds=0.05, source="made up",
    )  # fmt: skip
    engine = engine_of(FixedBatch(batch_size=2), [0, 0], profile, prompt_tokens=[3, 4], output_tokens=[5, 20])
    engine.open(engine.add_server(0))
    rows = all_rows(engine)
    np.testing.assert_allclose(rows["finish"], 2.295)
    assert profile.batch_seconds([3, 4], [5, 20]) == pytest.approx(2.295)


def test_a_padded_batch_takes_as_long_as_a_full_one() -> None:
    profile = BatchProfile(name="p", base_seconds=1.0, per_item_seconds=0.5, source="made up")
    engine = engine_of(FixedBatch(batch_size=4, pads=True), [0], profile)
    engine.open(engine.add_server(0))
    assert all_rows(engine)["finish"].tolist() == [3.0]


@pytest.mark.parametrize(
    ("retries", "outcomes", "finish"),
    [
        pytest.param(True, [SERVED] * 3, [3.0, 3.0, 4.0], id="clients-send-again-to-the-next-server"),
        pytest.param(False, [FAILED] * 3, [math.nan] * 3, id="requests-fail-with-their-server"),
    ],
)
def test_a_dying_server_loses_what_waits_and_what_runs(retries: bool, outcomes: list[int], finish: list[float]) -> None:
    engine = engine_of(FixedBatch(batch_size=2), [0, 0, 0.2])
    row = engine.add_server(0)
    engine.open(row)
    engine.advance(0.5)
    engine.fail(row, 0.5, retries=retries)
    assert engine.gateway_queue == (3 if retries else 0)
    engine.remove(row)
    engine.advance(2.0)
    again = engine.add_server(1)
    assert engine.servers[again]["succeeded"] == 0
    assert engine.batchers[again]["received"] == 0
    engine.open(again)
    rows = all_rows(engine)
    assert rows["outcome"].tolist() == outcomes
    np.testing.assert_array_equal(rows["finish"], finish)


def test_clients_and_the_gateway_give_up_and_a_running_batch_goes_on() -> None:
    """No server until 1.0; the gateway gives up after 0.6 s, clients after 1.3 s."""
    engine = engine_of(
        FixedBatch(batch_size=1), [0.0, 0.5, 0.6, 0.7], gateway_timeout_seconds=0.6, client_timeout_seconds=1.3
    )
    engine.advance(1.0)
    engine.open(engine.add_server(0))
    engine.advance(1.95)
    assert engine.servers[0]["outstanding"] == 2, "the second runs though its client is gone; the fourth waits"
    rows = all_rows(engine)
    assert rows["outcome"].tolist() == [TIMED_OUT, ABORTED, ABORTED, ABORTED]
    assert engine.servers[0]["iterations"] == 1
    assert engine.servers[0]["succeeded"] == 0


def test_a_refused_request_is_followed_by_its_next_turn() -> None:
    """503 at 0.1; the next turn comes 2 s later and is served."""
    engine = engine_of(
        TorchServe(batch_size=1, job_queue_size=1), [0, 0, 0.1, 0.1],
        turns=turns_of([-1, -1, 3, -1], think_seconds=2.0), ends_seconds=100.0,
    )  # fmt: skip
    engine.open(engine.add_server(0))
    rows = all_rows(engine)
    assert rows["outcome"].tolist() == [SERVED, SERVED, REJECTED, SERVED]
    assert rows["arrival"][3] == pytest.approx(2.1)


def test_many_servers_share_the_load_and_a_closed_one_drains() -> None:
    """40 servers: the tables grow. Each gets the same number; one that is closed answers what it has."""
    engine = engine_of(triton(), np.arange(400) * 0.01, ONE_SECOND)
    rows = [engine.add_server(pod) for pod in range(40)]
    for row in rows:
        engine.open(row)
    engine.advance(2.0)
    engine.close(rows[0])
    received = engine.batchers["received"][rows].sum()
    assert received == engine.sent
    finished = all_rows(engine)
    assert (finished["outcome"] == SERVED).all()
    assert engine.servers["succeeded"][rows].sum() == 400
    assert engine.batchers["received"][rows[0]] < 10 <= engine.batchers["received"][rows[1]]
