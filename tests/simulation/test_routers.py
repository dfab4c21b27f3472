"""Each router against its rule, worked out here from what the servers showed just before the request arrived."""

from typing import Any

import numpy as np
import pytest
from engine_runs import all_rows, engine_with, model_with, prefixes_of, trace_of
from numpy.typing import NDArray

from simulations.engine import Engine, Router, ServerModel
from simulations.trace import Trace

BUSY = ServerModel(
    base=0.0213,
    per_prefill_token=0.000_317,
    per_decode_seq=0.000_71,
    per_kv_token=0.000_001_3,
    kv_blocks=60,
    max_num_seqs=4,
    max_num_batched_tokens=128,
)
"""Small enough for queues and full caches; no iteration ends at the instant of an arrival."""

SERVERS = 4


def crowd(seed: int, count: int = 400, lora: bool = False) -> Trace:
    """More than four such servers can do, in waves."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(0.05, count) * (1 + 4 * (np.arange(count) // 50 % 2)))
    adapters = rng.integers(-1, 5, count).astype(np.int32) if lora else None
    return trace_of(arrivals, rng.integers(5, 150, count), rng.geometric(1 / 25, count), lora=adapters)


def chosen(engine: Engine, trace: Trace) -> Any:
    """For each request, the servers as they were just before it arrived, and then who got it."""
    for index, arrival in enumerate(trace.arrival_seconds):
        engine.advance(float(np.nextafter(arrival, 0.0)))
        before = engine.servers[:SERVERS].copy()
        yield index, float(arrival), before, lambda index=index, arrival=arrival: sent_to(engine, index, arrival)


def sent_to(engine: Engine, index: int, arrival: float) -> int:
    engine.advance(float(arrival))
    return int(engine.requests["replica"][index])


def scores(servers: Any, router: Router) -> NDArray[np.float64]:
    """As simulations/engine/router.py says: queue 1 for the shortest, 0 for the longest; kv 1 - usage."""
    waiting = servers["waiting"].astype(float)
    spread = waiting.max() - waiting.min()
    queue = (waiting.max() - waiting) / spread if spread else np.ones(len(servers))
    score: NDArray[np.float64] = (
        router.queue_weight * queue + router.kv_weight * servers["free_blocks"] / BUSY.kv_blocks
    )
    return score


def test_round_robin_gives_every_server_its_turn() -> None:
    rows = all_rows(engine_with(crowd(1), BUSY, servers=3, router=Router(policy="round-robin")))
    np.testing.assert_array_equal(rows["replica"], np.arange(len(rows)) % 3)


def test_round_robin_takes_turns_among_prefill_and_among_decode_servers() -> None:
    """Requests that come one by one alternate between the phases, and still see every server of both."""
    trace = trace_of(np.arange(8) * 20.0)
    roles = ["prefill", "prefill", "decode", "decode"]
    model = model_with(base=1.0, transfer_seconds_per_token=0.0)
    engine = engine_with(trace, model, roles=roles, router=Router(policy="round-robin"))
    rows = all_rows(engine)
    np.testing.assert_array_equal(rows["replica"], [2, 3] * 4)
    assert engine.servers["prompt_tokens"][:4].tolist() == [40, 40, 40, 40]


@pytest.mark.parametrize("seed", [1, 2])
def test_least_outstanding_is_the_first_server_with_the_fewest(seed: int) -> None:
    trace = crowd(seed)
    engine = engine_with(trace, BUSY, servers=SERVERS, router=Router(policy="least-outstanding"))
    for index, _, before, choice in chosen(engine, trace):
        assert choice() == int(np.argmin(before["outstanding"])), f"request {index}, {seed=}"


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize(("queue", "kv"), [(1.0, 0.0), (0.0, 1.0), (0.7, 1.9)])
def test_scored_with_fresh_signals_is_the_best_score_of_the_moment(seed: int, queue: float, kv: float) -> None:
    router = Router(policy="scored", queue_weight=queue, kv_weight=kv)
    trace = crowd(seed)
    engine = engine_with(trace, BUSY, servers=SERVERS, router=router)
    contested = 0
    for index, _, before, choice in chosen(engine, trace):
        expected = scores(before, router)
        contested += expected.max() > expected.min()
        assert expected[choice()] == pytest.approx(expected.max(), abs=1e-12), f"request {index}, {seed=}"
    assert contested > len(trace) / 10, "the servers must differ often enough for the test to say something"


@pytest.mark.parametrize("interval", [0.25, 2.0])
@pytest.mark.parametrize("seed", [5, 6])
def test_stale_signals_are_those_of_the_last_multiple_of_the_interval(seed: int, interval: float) -> None:
    router = Router(policy="scored", queue_weight=1.0, kv_weight=1.3, signal_interval_seconds=interval)
    trace = crowd(seed)
    engine = engine_with(trace, BUSY, servers=SERVERS, router=router)
    expected, next_look, differed = scores(engine.servers[:SERVERS], router), 0.0, 0
    for index, arrival in enumerate(trace.arrival_seconds):
        while next_look <= arrival:
            engine.advance(next_look)
            expected = scores(engine.servers[:SERVERS], router)
            next_look += interval
        engine.advance(float(np.nextafter(arrival, 0.0)))
        fresh = scores(engine.servers[:SERVERS], router)
        choice = sent_to(engine, index, arrival)
        assert expected[choice] == pytest.approx(expected.max(), abs=1e-12), f"request {index}, {seed=}"
        differed += fresh[choice] < fresh.max() - 1e-9
    assert differed > 20, "stale signals must mislead often enough for the test to say something"


FAST_AND_SLOW = (model_with(kv_blocks=20), model_with(kv_blocks=22, base=10.0))
"""A server that fills a block every 16 s, and one whose 6 blocks are enough for the first 160 s."""


def two_long_answers(arrival: float) -> Trace:
    """One on each server of FAST_AND_SLOW, then a request that goes where less of the KV cache is used.

    The first has 16 + k - 1 tokens in iteration k: 5 blocks of 20 until 65.0, 6 from then on, 8 from 97.0 on.
    The second has 6 of 22.
    """
    return trace_of([0.0, 0.0, arrival], [16, 80, 10], [200, 20, 1])


@pytest.mark.parametrize("looks", [(), (99.0,), (49.0, 51.0, 98.0, 99.4)])
def test_stale_signals_do_not_depend_on_who_looks_at_the_servers(looks: tuple[float, ...]) -> None:
    """Nothing happens between 50.0, when signals are seen, and 99.5. A look in between books what is done by then; the
    router still sees 5 of 20 blocks, as at 50.0, and not the 8 of the moment."""
    router = Router(policy="scored", kv_weight=1.0, signal_interval_seconds=50.0)
    engine = engine_with(two_long_answers(99.5), *FAST_AND_SLOW, router=router)
    for second in looks:
        engine.advance(second)
    assert all_rows(engine)["replica"].tolist() == [0, 1, 0]


@pytest.mark.parametrize(("arrival", "replica"), [(64.9, 0), (65.0, 0), (65.1, 1)])
@pytest.mark.parametrize("jump", [True, False])
def test_an_arrival_at_an_iterations_end_sees_the_state_before_it(jump: bool, arrival: float, replica: int) -> None:
    """The block that the iteration from 65.0 on takes is not taken yet, whether iterations are jumped over or not."""
    router = Router(policy="scored", kv_weight=1.0)
    engine = engine_with(two_long_answers(arrival), *FAST_AND_SLOW, router=router, jump=jump)
    assert all_rows(engine)["replica"].tolist() == [0, 1, replica]


def test_equal_scores_take_turns() -> None:
    trace = trace_of(np.arange(9) * 100.0)
    rows = all_rows(engine_with(trace, servers=3, router=Router(policy="scored", queue_weight=1.0)))
    np.testing.assert_array_equal(rows["replica"], np.arange(9) % 3)


def test_prefix_aware_sends_a_follow_up_where_its_prefix_is() -> None:
    """Two conversations in turn on three servers: each stays where its blocks are, and finds all full ones there."""
    ids = [[1, 2], [7, 8], [1, 2, 3], [7, 8, 9], [1, 2, 3, 4], [5]]
    trace = trace_of(
        np.arange(6) * 50.0, prompt_tokens=[33, 33, 49, 49, 65, 17], output_tokens=2, prefixes=prefixes_of(ids)
    )
    router = Router(policy="scored", prefix_weight=1.0)
    rows = all_rows(engine_with(trace, model_with(prefix_caching=True), servers=3, router=router))
    first, second, other = rows["replica"][[0, 1, 5]].tolist()
    assert rows["replica"].tolist() == [first, second, first, second, first, other]
    assert first != second
    assert rows["cached_tokens"].tolist() == [0, 0, 32, 32, 48, 0]


def test_prefix_aware_knows_what_was_generated_up_to_now() -> None:
    """A prompt of 15 tokens fills no block; the first token of its answer does, in the iteration from 1.0 on.

    Nobody waits on that server, and its seat is taken for many iterations to come.
    """
    for arrival, expected in ((0.5, 1), (15.5, 0)):
        trace = trace_of([0.0, arrival], [15, 33], [60, 1], prefixes=prefixes_of([[1, 2, 3], [1, 2, 3]]))
        model = model_with(prefix_caching=True, max_num_seqs=1)
        router = Router(policy="scored", prefix_weight=1.0)
        engine = engine_with(trace, model, servers=2, router=router)
        assert all_rows(engine)["replica"].tolist() == [0, expected]


@pytest.mark.parametrize(("queue_weight", "expected"), [(0.6, 1), (0.4, 0)])
def test_a_prefix_weighs_as_the_share_of_the_prompts_blocks_that_is_there(queue_weight: float, expected: int) -> None:
    """2 of 4 blocks are worth 0.5 where the prefix is; the other server's empty queue is worth queue_weight more."""
    trace = trace_of(
        [0.0, 90.0, 90.5, 95.0], [33, 10, 10, 64], [2, 60, 60, 2], prefixes=prefixes_of([[1, 2], [], [], [1, 2]])
    )
    router = Router(policy="scored", prefix_weight=1.0, queue_weight=queue_weight)
    engine = engine_with(trace, model_with(prefix_caching=True, max_num_seqs=1), router=router)
    engine.advance(94.0)  # server 0 has the prefix; one request runs there and one waits
    assert engine.servers["waiting"][0] == 1
    engine.open(engine.add_server(1))
    assert all_rows(engine)["replica"].tolist() == [0, 0, 0, expected]


def test_lora_aware_sends_a_request_where_its_adapter_is_loaded() -> None:
    """Two adapters in turn on two servers with room for one each: each is loaded once."""
    trace = trace_of(np.arange(8) * 50.0, lora=np.array([5, 6, 6, 5, 5, 6, 5, 6], np.int32))
    router = Router(policy="scored", lora_weight=1.0)
    engine = engine_with(trace, model_with(max_loras=1, lora_load_seconds=0.5), servers=2, router=router)
    rows = all_rows(engine)
    home = dict(zip([5, 6], rows["replica"][:2].tolist(), strict=True))
    assert home[5] != home[6]
    assert rows["replica"].tolist() == [home[lora] for lora in trace.lora.tolist()]
    assert engine.servers["lora_loads"][:2].tolist() == [1, 1]
