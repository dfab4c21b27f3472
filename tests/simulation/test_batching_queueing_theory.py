"""Servers that batch against queueing theory; how intervals are made is told in test_queueing_theory.py."""

from typing import Any

import numpy as np
import pytest
from engine_runs import trace_of
from numpy.typing import NDArray
from test_queueing_theory import Z, assert_mean, erlang_c, mean_and_bound, poisson

from simulations.batching import BatchingEngine, BatchProfile, FixedBatch, TorchServe, Triton
from simulations.batching.rule import BatchingServer

F8 = NDArray[np.float64]
ONE_BY_ONE = [
    pytest.param(FixedBatch(batch_size=1), id="fixed"),
    pytest.param(Triton(max_batch_size=1), id="triton"),
    pytest.param(Triton(max_batch_size=8, dynamic_batching=False), id="triton-without-dynamic-batching"),
    pytest.param(TorchServe(batch_size=1, job_queue_size=60_000), id="torchserve"),
]


def rows_of(server: BatchingServer, profile: BatchProfile, arrivals: F8, prompts: Any = 1) -> Any:
    engine = BatchingEngine(server, profile, trace_of(arrivals, prompts, 1))
    engine.open(engine.add_server(0))
    engine.advance(1e9)
    assert engine.finished
    return np.concatenate([piece.copy() for piece in engine.take()])


def waits(rows: Any) -> F8:
    return np.asarray(rows["last_token"] - rows["arrival"], np.float64)


@pytest.mark.parametrize("server", ONE_BY_ONE)
def test_batches_of_one_with_equal_times_wait_as_in_m_d_1(server: BatchingServer) -> None:
    """Pollaczek-Khinchine: mean wait rho * s / (2 * (1 - rho))."""
    seed, utilization, service, count = 5, 0.5, 0.4, 200_000
    gaps, arrivals = poisson(np.random.default_rng(seed), utilization / service, count)
    profile = BatchProfile(name="d", base_seconds=0.3, per_item_seconds=0.1, source="made up")
    rows = rows_of(server, profile, arrivals)
    assert_mean(waits(rows), utilization * service / (2 * (1 - utilization)), controls=[gaps], seed=seed)


def test_batches_of_one_with_exponential_times_wait_as_in_m_m_1() -> None:
    """Mean wait rho * s / (1 - rho). The time is in the prompt: geometric, 2,000 tokens in the mean."""
    seed, utilization, count = 11, 0.5, 600_000
    rng = np.random.default_rng(seed)
    prompts = rng.geometric(1 / 2_000, count)
    service = 2_000 * 1e-6
    gaps, arrivals = poisson(rng, utilization / service, count)
    profile = BatchProfile(
        name="m", base_seconds=0.0, per_item_seconds=0.0, per_prompt_token_seconds=1e-6, source="made up"
    )
    rows = rows_of(Triton(max_batch_size=1), profile, arrivals, prompts)
    controls = [gaps, prompts / 2_000 - 1]
    assert_mean(waits(rows), utilization * service / (1 - utilization), controls=controls, seed=seed)


def test_instances_wait_as_erlang_c_says() -> None:
    """M/M/2 at rho = 0.6: mean wait C(2, 1.2) * s / (2 * (1 - rho)). An instance is a server of its own."""
    seed, instances, utilization, count = 17, 2, 0.6, 1_100_000
    rng = np.random.default_rng(seed)
    prompts = rng.geometric(1 / 2_000, count)
    load = utilization * instances
    gaps, arrivals = poisson(rng, load, count)  # the mean service is 1 s
    profile = BatchProfile(
        name="m", base_seconds=0.0, per_item_seconds=0.0, per_prompt_token_seconds=1 / 2_000, source="made up"
    )
    rows = rows_of(FixedBatch(batch_size=1, instances=instances), profile, arrivals, prompts)
    expected = erlang_c(instances, load) / (instances * (1 - utilization))
    assert_mean(waits(rows), expected, controls=[gaps, prompts / 2_000 - 1], seed=seed)


@pytest.mark.parametrize(("size", "utilization"), [(4, 0.6), (8, 0.8)])
def test_batches_of_a_fixed_time_are_as_long_as_bulk_service_says(size: int, utilization: float) -> None:
    """M/D(1, b)/1: an idle server begins with 1 to b requests, and any batch takes one second.

    The numbers left behind by batches are a Markov chain: from 0, one comes and is served alone; from n, min(n, b)
    leave; meanwhile a Poisson number comes. Its stationary distribution, from the truncated matrix, gives the mean
    size of a batch, and the share of batches that are full. (Bailey 1954; Neuts 1967.)
    """
    seed, count = 23, 150_000
    rate = utilization * size
    expected = bulk_service(rate, size)
    _, arrivals = poisson(np.random.default_rng(seed), rate, count)
    profile = BatchProfile(name="bulk", base_seconds=1.0, per_item_seconds=0.0, source="made up")
    rows = rows_of(FixedBatch(batch_size=size), profile, arrivals)
    sizes = np.unique(rows["last_token"], return_counts=True)[1].astype(np.float64)
    batches = np.arange(1, size + 1) @ expected
    mean, bound = mean_and_bound(sizes)
    assert bound < 0.02 * batches
    assert abs(mean - batches) < bound
    full, bound = mean_and_bound((sizes == size).astype(np.float64))
    assert abs(full - expected[-1]) < bound < 0.05


def bulk_service(rate: float, size: int, longest: int = 400) -> F8:
    """The share of batches of 1 to `size` requests; shape (size,)."""
    coming = np.zeros(longest)
    coming[0] = np.exp(-rate)
    for n in range(1, longest):
        coming[n] = coming[n - 1] * rate / n
    matrix = np.zeros((longest, longest))
    for left in range(longest):
        start = max(left - size, 0)
        matrix[left, start:] = coming[: longest - start]
        matrix[left, -1] += 1 - matrix[left].sum()
    equations = np.vstack([matrix.T - np.eye(longest), np.ones(longest)])
    left_behind = np.linalg.lstsq(equations, np.append(np.zeros(longest), 1.0), rcond=None)[0]
    shares = np.zeros(size)
    shares[0] = left_behind[0]
    for left in range(1, longest):
        shares[min(left, size) - 1] += left_behind[left]
    return shares


def test_bulk_service_of_one_is_a_plain_queue() -> None:
    """With b = 1 every batch is one request, and the chain is that of M/D/1: 0 is left with probability 1 - rho."""
    assert bulk_service(0.7, 1) == pytest.approx([1.0])
    assert bulk_service(1e-6, 8)[0] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(FixedBatch(batch_size=8, max_wait_seconds=0.02), id="fixed"),
        pytest.param(
            Triton(max_batch_size=8, max_queue_delay_microseconds=20_000, instance_group_count=2), id="triton"
        ),
        pytest.param(TorchServe(batch_size=8, max_batch_delay=20, workers=2, job_queue_size=60_000), id="torchserve"),
    ],
)
def test_littles_law_and_the_busy_time_hold_for_every_kind(server: BatchingServer) -> None:
    """Requests inside, integrated over time by the engine's own state, are the sum of their stays; the GPU is busy
    when any batch runs, by the engine's counter as by the requests' own instants."""
    rng = np.random.default_rng(29)
    profile = BatchProfile(name="p", base_seconds=0.01, per_item_seconds=0.002, source="made up")
    engine = BatchingEngine(server, profile, trace_of(np.cumsum(rng.exponential(0.005, 4_000)), 1, 1))
    engine.open(engine.add_server(0))
    every, inside, now = 0.002, 0, 0.0
    while not engine.finished:
        now += every
        engine.advance(now)
        state = engine.servers[0]
        assert state["outstanding"] == state["waiting"] + state["running"]
        inside += int(state["outstanding"])
    rows = np.concatenate([piece.copy() for piece in engine.take()])
    stay = float((rows["finish"] - rows["arrival"]).sum())
    assert inside * every == pytest.approx(stay, abs=Z * np.sqrt(len(rows) / 6) * every)
    busy, until = 0.0, 0.0
    for begun, end in sorted(set(zip(rows["last_token"].tolist(), rows["finish"].tolist(), strict=True))):
        busy += max(0.0, end - max(begun, until))
        until = max(until, end)
    assert float(engine.servers[0]["busy_seconds"]) == pytest.approx(busy)
