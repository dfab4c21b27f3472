"""The engine against closed forms, an independent program's counts, and what can never be broken."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from policies.capacity.kv_cache import BLOCK_TOKENS
from policies.errors import BadInput
from simulations.engine import Engine, Router, ServerModel
from simulations.engine.layout import E2E, NONE, TPOT, TTFT
from simulations.request_rows import PENDING, REJECTED, SERVED
from simulations.trace import SHIPPED, Demand, Trace
from simulations.trace_files import read_trace

BOUND_MODEL = ServerModel(
    base=6e-3,
    per_prefill_token=62e-6,
    per_decode_seq=10e-6,
    per_kv_token=80e-9,
    kv_blocks=27_000,
    max_num_seqs=256,
    max_num_batched_tokens=2_048,
)
ONE_SECOND_STEPS = ServerModel(
    base=1.0,
    per_prefill_token=0.0,
    per_decode_seq=0.0,
    per_kv_token=0.0,
    kv_blocks=1_000,
    max_num_seqs=8,
    max_num_batched_tokens=2_048,
)
SMALL = ServerModel(
    base=0.01,
    per_prefill_token=1e-4,
    per_decode_seq=1e-4,
    per_kv_token=1e-6,
    kv_blocks=150,
    max_num_seqs=8,
    max_num_batched_tokens=256,
)
ROUTERS = (Router(policy="round-robin"), Router(policy="least-outstanding"))
LEAST_OUTSTANDING = ROUTERS[1]


def trace(arrival: NDArray[np.float64], prompt: NDArray[np.int32], output: NDArray[np.int32]) -> Trace:
    return Trace("test", 0, arrival, prompt, output)


def equal_requests(arrivals: list[float], prompt: int, output: int) -> Trace:
    count = len(arrivals)
    return trace(np.array(arrivals), np.full(count, prompt, np.int32), np.full(count, output, np.int32))


def drawn(seed: int, count: int, *, gap: float, prompt: int, output: int) -> Trace:
    """Poisson arrivals a mean `gap` apart, lengths uniform up to those."""
    rng = np.random.default_rng(seed)
    return trace(
        np.cumsum(rng.exponential(gap, count)),
        rng.integers(1, prompt, count, dtype=np.int32),
        rng.integers(1, output, count, dtype=np.int32),
    )


def started(
    model: ServerModel, demand: Demand, rows: int = 1, *, router: Router = LEAST_OUTSTANDING, jump: bool = True
) -> Engine:
    """An engine with `rows` open servers, at second 0."""
    engine = Engine([model], demand, router=router, jump=jump)
    for pod in range(rows):
        engine.open(engine.add_server(pod))
    return engine


def run(
    model: ServerModel, demand: Trace, rows: int = 1, *, router: Router = LEAST_OUTSTANDING, jump: bool = True
) -> tuple[Any, Any]:
    """Serve everything: (REQUEST records in order of arrival, SERVER records)."""
    engine = started(model, demand, rows, router=router, jump=jump)
    engine.advance(1e12)
    assert engine.finished
    assert engine.sent == len(demand)
    return engine.requests[: len(demand)], engine.servers[:rows]


@pytest.mark.parametrize(
    ("kv_blocks", "iterations", "preemptions", "mean_ttft", "mean_e2e"),
    [
        pytest.param(27_000, 277_354, 0, 0.2047, 3.6212, id="ample-cache"),
        pytest.param(3_000, 120_031, 11_940, 271.5322, 278.3759, id="preemption-heavy"),
    ],
)
def test_counts_equal_those_of_an_independent_c_program(
    kv_blocks: int, iterations: int, preemptions: int, mean_ttft: float, mean_e2e: float
) -> None:
    """The shipped hour on one server: iterations and preemptions exactly, mean times to the four decimals it prints.

    The expected figures were printed by a C program written separately from the same scheduler rules.
    """
    hour = read_trace(SHIPPED)
    demand = replace(hour, arrival_seconds=hour.arrival_seconds - hour.arrival_seconds[0])
    requests, servers = run(replace(BOUND_MODEL, kv_blocks=kv_blocks), demand)
    assert (servers["iterations"][0], servers["preemptions"][0]) == (iterations, preemptions)
    assert (requests["first_token"] - requests["arrival"]).mean() == pytest.approx(mean_ttft, abs=6e-5)
    assert (requests["finish"] - requests["arrival"]).mean() == pytest.approx(mean_e2e, abs=6e-5)


@pytest.mark.parametrize("utilization", [0.3, 0.6, 0.8])
def test_one_seat_and_one_token_is_an_m_d_1_queue(utilization: float) -> None:
    """Mean wait within 4 % of Pollaczek-Khinchine: rho * s / (2 * (1 - rho)), 200,000 Poisson arrivals, seed 5."""
    prompt, count = 100, 200_000
    model = replace(ONE_SECOND_STEPS, base=0.05, per_prefill_token=1e-3, max_num_seqs=1)
    service = 0.05 + 1e-3 * prompt
    arrival = np.cumsum(np.random.default_rng(5).exponential(service / utilization, count))
    requests, _ = run(model, trace(arrival, np.full(count, prompt, np.int32), np.ones(count, np.int32)))
    wait = (requests["finish"] - requests["arrival"] - service).mean()
    assert wait == pytest.approx(utilization * service / (2 * (1 - utilization)), rel=0.04)


def test_a_lone_request_takes_the_time_written_on_paper() -> None:
    """3,000 prompt tokens in chunks of 2,048: two prefill steps, then 3 decode steps over a growing context."""
    model = replace(ONE_SECOND_STEPS, per_prefill_token=0.01, per_decode_seq=0.1, per_kv_token=0.001)
    requests, servers = run(model, equal_requests([0.0], 3_000, 4))
    first = (1 + 20.48 + 2.048) + (1 + 9.52 + 3.0)
    assert requests["first_token"][0] == pytest.approx(first)
    decodes = sum(1 + 0.1 + 0.001 * (3_000 + token) for token in (1, 2, 3))
    assert requests["finish"][0] == pytest.approx(first + decodes)
    assert servers["iterations"][0] == 5


@pytest.mark.parametrize("jump", [True, False])
@pytest.mark.parametrize(
    ("arrival", "first_token"),
    [
        pytest.param(1.5, 3.0, id="in-an-iteration-it-waits-for-the-next"),
        pytest.param(2.0, 3.0, id="at-an-iterations-end-it-joins-the-one-that-begins-there"),
        pytest.param(2.0 + 2**-20, 4.0, id="just-after-it-waits-one-more"),
        pytest.param(5.0, 6.0, id="when-the-batch-becomes-empty-it-begins-at-once"),
        pytest.param(7.25, 8.25, id="at-an-idle-server-it-begins-at-once"),
    ],
)
def test_a_request_joins_the_first_iteration_that_begins_at_or_after_its_arrival(
    jump: bool, arrival: float, first_token: float
) -> None:
    """The request before it is served in iterations that end at 1, 2, 3, 4 and 5 s."""
    requests, _ = run(ONE_SECOND_STEPS, equal_requests([0.0, arrival], 16, 5), jump=jump)
    assert requests["finish"][0] == 5.0
    assert requests["first_token"][1] == first_token
    assert requests["finish"][1] == first_token + 4.0


@dataclass(frozen=True)
class Pieces:
    """A demand that gives a trace in pieces of `size` requests."""

    whole: Trace
    size: int
    name = "pieces"
    start_ns = 0
    expected_requests = 0.0

    @property
    def duration_seconds(self) -> float:
        return self.whole.duration_seconds

    def pieces(self) -> Iterator[Trace]:
        for start in range(0, len(self.whole), self.size):
            yield self.whole.part(slice(start, start + self.size))


@pytest.mark.parametrize("jump", [True, False])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_all_that_arrive_at_one_instant_at_an_idle_server_join_its_first_iteration(jump: bool, size: int) -> None:
    """Whether they come in one piece of the demand or in several."""
    engine = started(ONE_SECOND_STEPS, Pieces(equal_requests([2.0, 2.0, 2.0], 16, 3), size), jump=jump)
    engine.advance(2.0)
    assert engine.servers["running"][0] == 3
    engine.advance(10.0)
    assert engine.requests["first_token"][:3].tolist() == [3.0, 3.0, 3.0]
    assert engine.servers["iterations"][0] == 3


def test_the_last_in_is_preempted_first_and_recomputed() -> None:
    """Two requests outgrow the cache: the younger gives way, finishes later, and still writes every token."""
    model = replace(ONE_SECOND_STEPS, kv_blocks=9)  # 144 tokens of cache
    requests, servers = run(model, equal_requests([0.0, 0.0], 64, 40))
    assert servers["preemptions"][0] >= 1
    assert requests["preemptions"].tolist() == [0, servers["preemptions"][0]]
    assert requests["finish"][0] < requests["finish"][1]
    assert requests["generated"].tolist() == [40, 40]


def test_a_request_longer_than_the_cache_is_refused_and_blocks_nobody() -> None:
    demand = trace(np.zeros(3), np.array([200, 10, 144], np.int32), np.array([1, 1, 1], np.int32))
    requests, servers = run(replace(ONE_SECOND_STEPS, kv_blocks=9), demand)
    assert requests["outcome"].tolist() == [REJECTED, SERVED, REJECTED]
    assert requests["finish"].tolist() == [0.0, 1.0, 0.0]
    assert np.isnan(requests["first_token"]).tolist() == [True, False, True]
    assert servers["succeeded"][0] == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        pytest.param({"max_num_seqs": 0}, r"max_num_seqs: was 0, must be in \[1, 2048\]", id="no-seat"),
        pytest.param({"max_num_seqs": 4_096}, r"max_num_seqs: was 4096, must be in", id="more-seats-than-budget"),
        pytest.param({"kv_blocks": 0}, "kv_blocks: was 0, must be 1 or more", id="no-cache"),
        pytest.param({"base": 0.0}, "base: an iteration must last longer than 0 s", id="no-time"),
    ],
)
def test_an_impossible_server_is_refused_by_name(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        replace(ONE_SECOND_STEPS, **changes)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 60),
    kv_blocks=st.integers(30, 400),
    max_num_seqs=st.integers(1, 16),
    budget=st.sampled_from([16, 64, 512, 2_048]),
    rows=st.integers(1, 4),
    router=st.sampled_from(ROUTERS),
)
def test_every_request_ends_once_and_nothing_leaks(
    seed: int, count: int, kv_blocks: int, max_num_seqs: int, budget: int, rows: int, router: Router
) -> None:
    """Conservation over random workloads, preemption-heavy ones included: requests, tokens, blocks, time."""
    model = replace(SMALL, kv_blocks=kv_blocks, max_num_seqs=max_num_seqs, max_num_batched_tokens=budget)
    demand = drawn(seed, count, gap=0.05, prompt=600, output=200)
    prompt, output = demand.prompt_tokens, demand.output_tokens
    engine = started(model, demand, rows, router=router)
    engine.advance(1e12)
    requests, servers = engine.requests[:count], engine.servers[:rows]
    served = requests["outcome"] == SERVED
    assert (requests["outcome"] != PENDING).all()
    assert (served == (prompt + output <= kv_blocks * BLOCK_TOKENS)).all()
    assert (requests["generated"][served] == output[served]).all()
    assert (requests["first_token"][served] > requests["arrival"][served]).all()
    assert (requests["finish"][served] >= requests["first_token"][served]).all()
    assert servers["succeeded"].sum() == served.sum()
    assert servers["generation_tokens"].sum() == output[served].sum()
    assert servers["prompt_tokens"].sum() == prompt[served].sum()
    assert servers["preemptions"].sum() == requests["preemptions"].sum()
    assert (servers["free_blocks"] == kv_blocks).all()
    for field in ("running", "waiting", "outstanding"):
        assert not servers[field].any(), field
    counted = np.array([[engine.histogram(row, which).sum() for which in (TTFT, TPOT, E2E)] for row in range(rows)])
    assert counted.sum(axis=0).tolist() == [served.sum(), (served & (output > 1)).sum(), served.sum()]
    assert engine.itl_counts.sum() == (output[served] - 1).sum()
    assert (servers["busy_seconds"] <= requests["finish"][served].max(initial=0.0) + 1e-9).all()


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 80),
    kv_blocks=st.integers(20, 400),
    max_num_seqs=st.integers(1, 16),
    budget=st.sampled_from([8, 64, 512, 2_048]),
    rows=st.integers(1, 4),
    gap=st.sampled_from([0.0, 0.02, 0.2, 2.0]),
    router=st.sampled_from(ROUTERS),
)
def test_jumping_gives_the_run_of_stepping(
    seed: int, count: int, kv_blocks: int, max_num_seqs: int, budget: int, rows: int, gap: float, router: Router
) -> None:
    """The same iterations, preemptions, servers, and times within 1e-9 s, over random workloads."""
    seats = min(max_num_seqs, budget)
    model = replace(SMALL, kv_blocks=kv_blocks, max_num_seqs=seats, max_num_batched_tokens=budget)
    demand = drawn(seed, count, gap=gap, prompt=500, output=300)
    jumped, jumped_servers = run(model, demand, rows, router=router)
    stepped, stepped_servers = run(model, demand, rows, router=router, jump=False)
    for field in ("replica", "outcome", "preemptions", "generated"):
        np.testing.assert_array_equal(jumped[field], stepped[field], err_msg=field)
    for field in ("iterations", "preemptions", "generation_tokens", "succeeded", "free_blocks"):
        np.testing.assert_array_equal(jumped_servers[field], stepped_servers[field], err_msg=field)
    for field in ("first_token", "finish"):
        np.testing.assert_allclose(jumped[field], stepped[field], rtol=0, atol=1e-9, err_msg=field)
    np.testing.assert_allclose(jumped_servers["busy_seconds"], stepped_servers["busy_seconds"], atol=1e-8)


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    instants=st.lists(st.floats(0.01, 12.0), min_size=1, max_size=6).map(sorted),
    rows=st.integers(1, 4),
    kv_blocks=st.sampled_from([60, 150]),
    router=st.sampled_from(ROUTERS),
)
def test_what_is_seen_in_mid_jump_is_what_stepping_shows(
    seed: int, instants: list[float], rows: int, kv_blocks: int, router: Router
) -> None:
    """Stopped anywhere, again and again, both show the same batches, tokens, blocks and queues."""
    model = replace(SMALL, kv_blocks=kv_blocks)
    demand = drawn(seed, 60, gap=0.1, prompt=400, output=200)
    jumping, stepping = (started(model, demand, rows, router=router, jump=jump) for jump in (True, False))
    for instant in instants:
        jumping.advance(instant)
        stepping.advance(instant)
        jumped, stepped = jumping.servers[:rows], stepping.servers[:rows]
        for field in (
            "outstanding",
            "running",
            "waiting",
            "free_blocks",
            "iterations",
            "preemptions",
            "generation_tokens",
            "prompt_tokens",
            "succeeded",
        ):
            np.testing.assert_array_equal(jumped[field], stepped[field], err_msg=f"{field} at {instant}")
        for field in ("step_start", "busy_seconds"):
            np.testing.assert_allclose(jumped[field], stepped[field], rtol=0, atol=1e-9, err_msg=field)
        for row in range(rows):
            assert batch(jumping, row) == batch(stepping, row), f"server {row} at {instant}"


def batch(engine: Engine, row: int) -> list[tuple[int, int, int]]:
    """A server's running requests in order of admission: (request, tokens with KV, output tokens)."""
    server, slots = engine.servers[row], engine._world.slots
    running = []
    index = server["first"]
    while index != NONE:
        slot = slots[index]
        more = server["decoded"] if slot["decoding"] else 0
        running.append((int(slot["request"]), int(slot["computed"] + more), int(slot["generated"] + more)))
        index = slot["next"]
    return running


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    instants=st.lists(st.floats(0, 20), max_size=12).map(sorted),
    router=st.sampled_from(ROUTERS),
)
def test_looking_does_not_change_the_run(seed: int, instants: list[float], router: Router) -> None:
    """Advancing in pieces, as scrapes do, gives bit-equal times to advancing at once."""
    model = replace(SMALL, kv_blocks=120)
    demand = drawn(seed, 40, gap=0.2, prompt=400, output=100)
    whole, _ = run(model, demand, rows=2, router=router)
    looked_at = started(model, demand, rows=2, router=router)
    for until in [*instants, 1e12]:
        looked_at.advance(until)
    for field in ("first_token", "finish"):
        np.testing.assert_array_equal(whole[field], looked_at.requests[field][:40], err_msg=field)


@pytest.mark.parametrize(
    ("router", "replicas"),
    [
        pytest.param(LEAST_OUTSTANDING, [0, 1, 2, 0, 1, 1, 1], id="least-outstanding"),
        pytest.param(Router(policy="round-robin"), [0, 1, 2, 0, 1, 2, 0], id="round-robin"),
    ],
)
def test_the_router_takes_the_first_of_equals_or_the_next_in_turn(router: Router, replicas: list[int]) -> None:
    """Server 1's first two requests are short: at 6 s it has none, then one, as many as server 2."""
    arrivals = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 6.0, 6.1])
    outputs = np.array([50, 2, 50, 50, 2, 50, 50], np.int32)
    requests, _ = run(ONE_SECOND_STEPS, trace(arrivals, np.full(7, 10, np.int32), outputs), rows=3, router=router)
    assert requests["replica"].tolist() == replicas
