"""The engine against the closed forms of queueing theory, each within a confidence interval that the test computes.

The interval is of batch means: consecutive batches, long beside the time in which a queue forgets, are nearly
independent. Z = 3.5 standard errors are exceeded once in 2,000 runs by chance, and the seeds are fixed. A test demands
as well that its interval is narrow enough for a mean that is 5 % wrong to lie outside.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from engine_runs import all_rows, engine_with, trace_of
from numpy.typing import NDArray

from simulations.engine import Engine, Router, ServerModel
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

Z = 3.5
BATCHES = 64
WIDEST = 0.025
"""Half-width over the mean: at 5 % off, the sample mean is beyond the bound unless it errs by as much again."""

F8 = NDArray[np.float64]


def mean_and_bound(values: F8, controls: Sequence[F8] = ()) -> tuple[float, float]:
    """The mean of a stationary series and Z standard errors of it, the first batch left out as warm-up.

    controls: series of the same length whose mean is known to be 0; what of the batches' variance they explain is
    taken out by linear regression (control variates: Law, Simulation Modeling and Analysis, 11.4).
    """
    batches = batch_means(values)
    columns = np.column_stack([np.ones(len(batches)), *map(batch_means, controls)])
    solution = np.linalg.lstsq(columns, batches, rcond=None)[0]
    residuals = batches - columns @ solution
    error = math.sqrt(residuals @ residuals / (len(batches) - columns.shape[1]) / len(batches))
    return float(solution[0]), Z * error


def batch_means(values: F8) -> F8:
    means: F8 = values[: len(values) // BATCHES * BATCHES].reshape(BATCHES, -1).mean(axis=1)[1:]
    return means


def assert_mean(
    values: F8, expected: float, *, controls: Sequence[F8] = (), bias: tuple[float, float] = (0.0, 0.0), seed: int
) -> None:
    """bias: what the discrete model may add to the expected mean, from and to, in the same unit."""
    mean, bound = mean_and_bound(values, controls)
    assert bound < WIDEST * expected, f"{bound=} is too wide to tell 5 % of {expected}; seed {seed}"
    low, high = expected + bias[0] - bound, expected + bias[1] + bound
    assert low <= mean <= high, f"mean {mean:.6g}, expected {expected:.6g}, accepted [{low:.6g}, {high:.6g}], {seed=}"


def one_seat(**seconds: float) -> ServerModel:
    """A server that works on one request after the other, with room for the longest."""
    terms = {"base": 0.0, "per_prefill_token": 0.0, "per_decode_seq": 1e-9, "per_kv_token": 0.0}
    return ServerModel(**(terms | seconds), kv_blocks=10_000, max_num_seqs=1, max_num_batched_tokens=160_000)


def poisson(rng: np.random.Generator, rate: float, count: int) -> tuple[F8, F8]:
    """The gaps before arrivals at that rate, over their mean and less 1, and the arrivals."""
    gaps = rng.exponential(1.0 / rate, count)
    return gaps * rate - 1.0, np.cumsum(gaps)


def waits(rows: Any, service_seconds: Any) -> F8:
    """Time in the queue of each request."""
    return np.asarray(rows["finish"] - rows["arrival"] - service_seconds, np.float64)


@pytest.mark.parametrize(("utilization", "count"), [(0.5, 300_000), (0.7, 500_000)])
@pytest.mark.parametrize("output_tokens", [1, 40])
def test_equal_requests_on_one_seat_wait_as_in_m_d_1(utilization: float, count: int, output_tokens: int) -> None:
    """Pollaczek-Khinchine: mean wait rho * s / (2 * (1 - rho)). The 40 tokens are one prefill and 39 jumped steps."""
    seed = 5
    service = 0.4
    rng = np.random.default_rng(seed)
    gaps, arrivals = poisson(rng, utilization / service, count)
    model = one_seat(base=service / output_tokens, per_decode_seq=0.0)
    rows = all_rows(engine_with(trace_of(arrivals, 16, output_tokens), model), until=1e9)
    assert_mean(waits(rows, service), utilization * service / (2 * (1 - utilization)), controls=[gaps], seed=seed)


def test_exponential_prompts_on_one_seat_wait_as_in_m_m_1() -> None:
    """Mean wait rho * s / (1 - rho), and a share rho waits at all. Whole tokens: s = 2,000.5 us, C_s^2 = 0.9995."""
    seed, utilization, count = 11, 0.6, 1_000_000
    rng = np.random.default_rng(seed)
    prompts = rng.geometric(1 / 2_000, count)
    per_token = 1e-6
    service = 2_000 * per_token
    gaps, arrivals = poisson(rng, utilization / service, count)
    rows = all_rows(engine_with(trace_of(arrivals, prompts, 1), one_seat(per_prefill_token=per_token)), until=1e9)
    wait = waits(rows, prompts * per_token)
    controls = [gaps, prompts / 2_000 - 1]
    assert_mean(wait, utilization * service / (1 - utilization), controls=controls, seed=seed)
    assert_mean((wait > 1e-9).astype(np.float64), utilization, controls=controls, seed=seed)


def test_geometric_answers_on_c_seats_wait_as_erlang_c_says() -> None:
    """M/M/4 at rho = 0.7: mean wait C(4, 2.8) * s / (4 * (1 - rho)), C being Erlang's probability of waiting.

    Steps of 1/1000 of the mean service make the only differences: a request that finds a seat free and others running
    waits for the step's end, at most 1/1000 s here; and answers of geometric length have C_s^2 = 0.999, which takes
    at most 0.1 % off the mean wait.
    """
    seed, seats, utilization, count = 17, 4, 0.7, 1_800_000
    rng = np.random.default_rng(seed)
    mean_tokens, step = 1_000, 0.001
    outputs = rng.geometric(1 / mean_tokens, count)
    load = utilization * seats
    gaps, arrivals = poisson(rng, load, count)  # the mean service is 1 s
    model = ServerModel(
        base=step, per_prefill_token=0, per_decode_seq=0, per_kv_token=0,
        kv_blocks=10**6, max_num_seqs=seats, max_num_batched_tokens=1_000,
    )  # fmt: skip
    rows = all_rows(engine_with(trace_of(arrivals, 1, outputs), model), until=1e9)
    expected = erlang_c(seats, load) / (seats * (1 - utilization))
    bias = (-0.001 * expected, step)
    assert_mean(waits(rows, outputs * step), expected, controls=[gaps, outputs * step - 1], bias=bias, seed=seed)


def erlang_c(seats: int, load: float) -> float:
    """The probability that an arrival finds all seats taken. Source: Erlang 1917; by the recursion for Erlang B."""
    blocked = 1.0
    for seat in range(1, seats + 1):
        blocked = load * blocked / (seat + load * blocked)
    return blocked / (1 - load / seats * (1 - blocked))


def test_erlang_c_of_a_textbook() -> None:
    """One seat waits with probability rho; two seats at 1 Erlang with 1/3."""
    assert erlang_c(1, 0.6) == pytest.approx(0.6)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)


@pytest.mark.parametrize("policy", ["round-robin", "least-outstanding"])
def test_littles_law_holds_on_a_real_hour(policy: str) -> None:
    """Requests in the system, seen every 0.5 s, are those that arrived and have not finished: their mean is lambda * W.

    At each instant the count is exact. A sum of samples at a fixed distance d differs from the integral by the ends of
    each request's stay: at most d, uniform, so sqrt(n / 6) * d for n independent stays.
    """
    trace = read_trace(SHIPPED)
    model = ServerModel(
        base=0.02, per_prefill_token=100e-6, per_decode_seq=50e-6, per_kv_token=400e-9, kv_blocks=2_000,
        max_num_seqs=64, max_num_batched_tokens=2_048,
    )  # fmt: skip
    engine = engine_with(trace, model, servers=3, router=Router(policy=policy))
    every = 0.5
    instants, inside = sampled(engine, every)
    rows = np.concatenate([piece.copy() for piece in engine.take()])
    arrived = np.searchsorted(rows["arrival"], instants, side="right")
    left = np.searchsorted(np.sort(rows["finish"]), instants, side="right")
    np.testing.assert_array_equal(inside, arrived - left)

    seconds = len(instants) * every
    rate, stay = len(rows) / seconds, float((rows["finish"] - rows["arrival"]).mean())
    bound = Z * math.sqrt(len(rows) / 6) * every / seconds
    assert bound < WIDEST * rate * stay
    assert abs(float(inside.mean()) - rate * stay) <= bound


def sampled(engine: Engine, every_seconds: float) -> tuple[F8, NDArray[np.int64]]:
    """Instants, from 0 until all is over, and the requests on servers at each."""
    instants: list[float] = []
    inside: list[int] = []
    while not engine.finished:
        instants.append(len(instants) * every_seconds)
        engine.advance(instants[-1])
        inside.append(int(engine.outstanding.sum()))
    return np.array(instants), np.array(inside)
