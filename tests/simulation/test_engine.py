"""The engine against a closed form, an independent program's counts, and what can never be broken."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simulations import engine
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

BOUND_MODEL = {
    "base": 6e-3,
    "per_prefill_token": 62e-6,
    "per_decode_seq": 10e-6,
    "per_kv_token": 80e-9,
    "max_num_seqs": 256,
    "max_num_batched_tokens": 2_048,
}


def run(
    model: engine.Model,
    arrival: NDArray[np.float64],
    prompt: NDArray[np.int32],
    output: NDArray[np.int32],
    rows: int = 1,
    *,
    jump: bool = True,
) -> tuple[engine.Requests, engine.Servers]:
    """Serve everything on `rows` ready servers."""
    requests = engine.new_requests(arrival, prompt, output)
    servers = engine.new_servers(rows, model)
    servers.state.routable[:] = 1
    live = np.arange(rows, dtype=np.int32)
    assert engine.dispatch(model, servers, live, requests, 0, 1e12, jump) == len(arrival)
    return requests, servers


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
    trace = read_trace(SHIPPED)
    model = engine.Model(kv_blocks=kv_blocks, **BOUND_MODEL)
    arrival = trace.arrival_seconds - trace.arrival_seconds[0]
    requests, servers = run(model, arrival, trace.prompt_tokens, trace.output_tokens)
    assert (servers.state.iterations[0], servers.state.preemptions[0]) == (iterations, preemptions)
    assert (requests.first_token - requests.arrival).mean() == pytest.approx(mean_ttft, abs=6e-5)
    assert (requests.finish - requests.arrival).mean() == pytest.approx(mean_e2e, abs=6e-5)


@pytest.mark.parametrize("utilization", [0.3, 0.6, 0.8])
def test_one_seat_and_one_token_is_an_m_d_1_queue(utilization: float) -> None:
    """Mean wait within 4 % of Pollaczek-Khinchine: rho * s / (2 * (1 - rho)), 200,000 Poisson arrivals, seed 5."""
    prompt, count = 100, 200_000
    model = engine.Model(0.05, 1e-3, 0.0, 0.0, 1_000, 1, 2_048)
    service = 0.05 + 1e-3 * prompt
    arrival = np.cumsum(np.random.default_rng(5).exponential(service / utilization, count))
    requests, _ = run(model, arrival, np.full(count, prompt, np.int32), np.ones(count, np.int32))
    wait = (requests.finish - requests.arrival - service).mean()
    assert wait == pytest.approx(utilization * service / (2 * (1 - utilization)), rel=0.04)


def test_a_lone_request_takes_the_time_written_on_paper() -> None:
    """3,000 prompt tokens in chunks of 2,048: two prefill steps, then 3 decode steps over a growing context."""
    model = engine.Model(1.0, 0.01, 0.1, 0.001, 1_000, 8, 2_048)
    requests, servers = run(model, np.zeros(1), np.array([3_000], np.int32), np.array([4], np.int32))
    first = (1 + 20.48 + 2.048) + (1 + 9.52 + 3.0)
    assert requests.first_token[0] == pytest.approx(first)
    decodes = sum(1 + 0.1 + 0.001 * (3_000 + token) for token in (1, 2, 3))
    assert requests.finish[0] == pytest.approx(first + decodes)
    assert servers.state.iterations[0] == 5


def test_the_last_in_is_preempted_first_and_recomputed() -> None:
    """Two requests outgrow the cache: the younger gives way, finishes later, and still writes every token."""
    model = engine.Model(1.0, 0.0, 0.0, 0.0, 9, 8, 2_048)  # 144 tokens of cache
    prompt, output = np.array([64, 64], np.int32), np.array([40, 40], np.int32)
    requests, servers = run(model, np.zeros(2), prompt, output)
    assert servers.state.preemptions[0] >= 1
    assert requests.finish[0] < requests.finish[1]
    assert requests.generated.tolist() == [40, 40]


def test_a_request_longer_than_the_cache_is_refused_and_blocks_nobody() -> None:
    model = engine.Model(1.0, 0.0, 0.0, 0.0, 9, 8, 2_048)
    requests, servers = run(model, np.zeros(2), np.array([200, 10], np.int32), np.array([1, 1], np.int32))
    assert requests.outcome.tolist() == [engine.REJECTED, engine.SERVED]
    assert servers.state.succeeded[0] == 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 60),
    kv_blocks=st.integers(30, 400),
    max_num_seqs=st.integers(1, 16),
    budget=st.sampled_from([16, 64, 512, 2_048]),
    rows=st.integers(1, 4),
)
def test_every_request_ends_once_and_nothing_leaks(
    seed: int, count: int, kv_blocks: int, max_num_seqs: int, budget: int, rows: int
) -> None:
    """Conservation over random workloads, preemption-heavy ones included: requests, tokens, blocks, time."""
    rng = np.random.default_rng(seed)
    model = engine.Model(0.01, 1e-4, 1e-4, 1e-6, kv_blocks, max_num_seqs, budget)
    arrival = np.cumsum(rng.exponential(0.05, count))
    prompt = rng.integers(1, 600, count, dtype=np.int32)
    output = rng.integers(1, 200, count, dtype=np.int32)
    requests, servers = run(model, arrival, prompt, output, rows)
    served = requests.outcome == engine.SERVED
    assert (requests.outcome != engine.PENDING).all()
    assert (served == (prompt + output <= kv_blocks * engine.BLOCK_TOKENS)).all()
    assert (requests.generated[served] == output[served]).all()
    assert (requests.first_token[served] > requests.arrival[served]).all()
    assert (requests.finish[served] >= requests.first_token[served]).all()
    assert servers.state.succeeded.sum() == served.sum()
    assert servers.state.generation_tokens.sum() == output[served].sum()
    assert servers.state.prompt_tokens.sum() == prompt[served].sum()
    assert (servers.state.free_blocks == kv_blocks).all()
    assert not servers.state.running.any()
    assert not servers.state.waiting.any()
    assert servers.counts[:, engine.TTFT].sum() == served.sum()
    assert servers.counts[:, engine.E2E].sum() == served.sum()
    assert servers.counts[:, engine.TPOT].sum() == (served & (output > 1)).sum()
    assert (servers.state.busy_seconds <= requests.finish[served].max(initial=0.0) + 1e-9).all()


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.integers(1, 80),
    kv_blocks=st.integers(20, 400),
    max_num_seqs=st.integers(1, 16),
    budget=st.sampled_from([8, 64, 512, 2_048]),
    rows=st.integers(1, 4),
    gap=st.sampled_from([0.0, 0.02, 0.2, 2.0]),
)
def test_jumping_gives_the_run_of_stepping(
    seed: int, count: int, kv_blocks: int, max_num_seqs: int, budget: int, rows: int, gap: float
) -> None:
    """The same iterations, preemptions, servers, and times within 1e-9 s, over random workloads."""
    rng = np.random.default_rng(seed)
    model = engine.Model(0.01, 1e-4, 1e-4, 1e-6, kv_blocks, max_num_seqs, budget)
    arrival = np.cumsum(rng.exponential(gap, count))
    prompt = rng.integers(1, 500, count, dtype=np.int32)
    output = rng.integers(1, 300, count, dtype=np.int32)
    jumped, jumped_servers = run(model, arrival, prompt, output, rows)
    stepped, stepped_servers = run(model, arrival, prompt, output, rows, jump=False)
    np.testing.assert_array_equal(jumped.replica, stepped.replica)
    for field in ("iterations", "preemptions", "generation_tokens", "succeeded", "free_blocks"):
        np.testing.assert_array_equal(jumped_servers.state[field], stepped_servers.state[field])
    np.testing.assert_allclose(jumped.first_token, stepped.first_token, rtol=0, atol=1e-9)
    np.testing.assert_allclose(jumped.finish, stepped.finish, rtol=0, atol=1e-9)
    np.testing.assert_allclose(jumped_servers.state.busy_seconds, stepped_servers.state.busy_seconds, atol=1e-8)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), until=st.floats(0.01, 12.0))
def test_what_is_seen_in_mid_jump_is_what_stepping_shows(seed: int, until: float) -> None:
    """Stopped anywhere, both show the same batch, tokens, blocks and queue."""
    rng = np.random.default_rng(seed)
    model = engine.Model(0.01, 1e-4, 1e-4, 1e-6, 150, 8, 256)
    arrival = np.cumsum(rng.exponential(0.1, 60))
    prompt = rng.integers(1, 400, 60, dtype=np.int32)
    output = rng.integers(1, 200, 60, dtype=np.int32)
    seen = []
    for jump in (True, False):
        requests = engine.new_requests(arrival, prompt, output)
        servers = engine.new_servers(2, model)
        servers.state.routable[:] = 1
        engine.dispatch(model, servers, np.arange(2, dtype=np.int32), requests, 0, until, jump)
        seen.append(servers)
    jumped_servers, stepped_servers = seen
    for row in range(2):
        batch = slice(0, jumped_servers.state.running[row])
        for field in ("request", "computed", "blocks", "generated"):
            np.testing.assert_array_equal(
                jumped_servers.slots[field][row, batch], stepped_servers.slots[field][row, batch]
            )
    for field in ("running", "waiting", "free_blocks", "iterations", "generation_tokens", "prompt_tokens"):
        np.testing.assert_array_equal(jumped_servers.state[field], stepped_servers.state[field], err_msg=field)
    np.testing.assert_allclose(jumped_servers.state.step_start, stepped_servers.state.step_start, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), cuts=st.lists(st.floats(0, 20), max_size=12))
def test_looking_does_not_change_the_run(seed: int, cuts: list[float]) -> None:
    """Advancing in pieces, as scrapes do, gives bit-equal times to advancing at once."""
    rng = np.random.default_rng(seed)
    model = engine.Model(0.01, 1e-4, 1e-4, 1e-6, 120, 8, 256)
    count = 40
    arrival = np.cumsum(rng.exponential(0.2, count))
    prompt = rng.integers(1, 400, count, dtype=np.int32)
    output = rng.integers(1, 100, count, dtype=np.int32)
    whole, _ = run(model, arrival, prompt, output, rows=2)
    pieces = engine.new_requests(arrival, prompt, output)
    servers = engine.new_servers(2, model)
    servers.state.routable[:] = 1
    live, cursor = np.arange(2, dtype=np.int32), 0
    for until in [*sorted(cuts), 1e12]:
        cursor = engine.dispatch(model, servers, live, pieces, cursor, until)
    np.testing.assert_array_equal(whole.finish, pieces.finish)
    np.testing.assert_array_equal(whole.first_token, pieces.first_token)


def test_the_router_prefers_the_least_outstanding_server() -> None:
    model = engine.Model(1.0, 0.0, 0.0, 0.0, 100, 8, 2_048)
    requests, _ = run(model, np.array([0.0, 0.1, 0.2, 0.3]), np.full(4, 10, np.int32), np.full(4, 50, np.int32), rows=3)
    assert requests.replica.tolist() == [0, 1, 2, 0]
