"""Random numbers, gaps, merging and lengths: each against its law."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import BadInput
from simulations.demand.drawn import arrivals
from simulations.demand.gaps import EVEN, POISSON, Gaps
from simulations.demand.histograms import HistogramLengths, alias_tables
from simulations.demand.processes import Processes, knots_of, streams
from simulations.demand.rate_curve import RateCurve
from simulations.demand.time_order import in_order

GAPS = [
    pytest.param(POISSON, 1.0, id="exponential"),
    pytest.param(EVEN, 0.0, id="even"),
    pytest.param(Gaps.gamma(0.1), math.sqrt(10), id="gamma-0.1"),
    pytest.param(Gaps.gamma(0.8), math.sqrt(1 / 0.8), id="gamma-0.8"),
    pytest.param(Gaps.gamma(4.0), 0.5, id="gamma-4"),
    pytest.param(Gaps.gamma(40_000.0), 0.005, id="gamma-40000"),
    pytest.param(Gaps.weibull(0.5), math.sqrt(5), id="weibull-0.5"),
    pytest.param(Gaps.weibull(2.0), math.sqrt(4 / math.pi - 1), id="weibull-2"),
]


def drawn_gaps(gaps: Gaps, count: int) -> np.ndarray:
    """Gaps between the arrivals of one client at one arrival a second."""
    curve = RateCurve.through([(0, 1), (2.0 * count, 1)])
    times = np.concatenate([seconds for seconds, _ in arrivals(Processes.of(curve, gaps), seed=3, seconds=2.0 * count)])
    return np.diff(times)[:count]


@pytest.mark.parametrize(("gaps", "cv"), GAPS)
def test_gaps_have_their_mean_and_coefficient_of_variation(gaps: Gaps, cv: float) -> None:
    seen = drawn_gaps(gaps, 200_000)
    assert seen.mean() == pytest.approx(1.0, abs=0.005 + 0.012 * cv)
    assert seen.std() / seen.mean() == pytest.approx(cv, rel=0.05, abs=1e-6)


@pytest.mark.parametrize(
    ("gaps", "survival"),
    [
        pytest.param(POISSON, lambda x: np.exp(-x), id="exponential"),
        pytest.param(Gaps.weibull(0.5), lambda x: np.exp(-np.sqrt(2 * x)), id="weibull"),  # scale 1 / Gamma(3) = 1/2
        pytest.param(Gaps.gamma(2.0), lambda x: np.exp(-2 * x) * (1 + 2 * x), id="gamma"),
    ],
)
def test_gaps_follow_their_law(gaps: Gaps, survival: object) -> None:
    """Kolmogorov's distance of 200,000 gaps; its 0.1 % point is 1.95 / sqrt(n) = 0.0044."""
    seen = np.sort(drawn_gaps(gaps, 200_000))
    law = 1.0 - survival(seen)  # type: ignore[operator]
    ranks = np.arange(len(seen) + 1) / len(seen)
    assert max(np.abs(law - ranks[1:]).max(), np.abs(law - ranks[:-1]).max()) < 0.0044


@pytest.mark.parametrize(("gaps", "cv"), GAPS)
def test_every_stretch_expects_the_integral_of_its_rate(gaps: Gaps, cv: float) -> None:
    """Also the first, and also where the law changes: a stretch does not inherit the gap before it."""
    clients, other = 1_000, Gaps.gamma(0.3)
    knots = knots_of(RateCurve.through([(0, 0), (10, 2), (20, 2), (30, 1), (40, 1)]), gaps)
    for field, value in (("family", other.family), ("shape", other.shape), ("scale", other.scale)):
        knots[field][2:] = value
    processes = Processes.side_by_side(np.arange(clients), [knots] * clients)
    times = np.concatenate([seconds for seconds, _ in arrivals(processes, seed=5, seconds=40.0)])
    counts, _ = np.histogram(times, [0, 10, 20, 30, 40])
    for seen, mean, law_cv in zip(counts, [10, 20, 15, 10], [cv, cv, 1.83, 1.83], strict=True):
        # The count of a stretch has about cv^2 times the variance of a Poisson count; 4 standard errors.
        assert seen / clients == pytest.approx(mean, abs=4 * max(law_cv, 1.0) * math.sqrt(1.5 * mean / clients))


def test_gaps_of_a_coefficient_of_variation() -> None:
    assert Gaps.of_cv(0.0) == EVEN
    assert Gaps.of_cv(1.0) == POISSON
    assert Gaps.of_cv(2.0) == Gaps.gamma(0.25)
    with pytest.raises(BadInput, match=r"cv: was -1, must be in \[0, 10\]"):
        Gaps.of_cv(-1.0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 10), st.integers(0, 3)), min_size=1, max_size=200), st.integers(1, 80))
def test_arrivals_are_sorted_and_ties_stay_in_order(rows: list[tuple[float, int]], burst: int) -> None:
    """Bursts too, which fill one bucket."""
    times = np.array([time for time, _ in rows] + [5.0, 5.0 + 1e-9] * burst)
    clients = np.arange(len(times), dtype=np.int32)
    seen_times, seen_clients = in_order(times, clients, 0.0, 10.0)
    order = np.argsort(times, kind="stable")
    assert seen_times.tolist() == times[order].tolist()
    assert seen_clients.tolist() == clients[order].tolist()


def lengths(histograms: list[dict[tuple[float, float], float]], blocks: int, blend_seconds: float) -> HistogramLengths:
    """One client whose block b has prompts from histogram b, outputs from histogram 0; blocks of 100 s."""
    bins, first = alias_tables(histograms)
    table = np.zeros((1, blocks, 4), np.int32)
    for block in range(blocks):
        table[0, block] = first[block], first[block + 1] - first[block], first[0], first[1] - first[0]
    return HistogramLengths(
        clock_seconds=np.zeros(1),
        block_seconds=100.0,
        circle_seconds=100.0 * blocks,
        blend_seconds=blend_seconds,
        histograms=table,
        bins=bins,
    )


def draw(which: HistogramLengths, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return which.sampler(7, np.zeros(1, np.int64)).draw(seconds, np.zeros(len(seconds), np.int32))


def test_lengths_have_their_bins_probabilities_and_are_log_uniform_within() -> None:
    """Bin [2.1, 5) holds 3 and 4, which have weights ln(4 / 3) and ln(5 / 4)."""
    bins = {(0.0, 1.0): 0.1, (2.1, 5.0): 0.6, (7.5, 9.0): 0.3}
    prompts, outputs = draw(lengths([bins], 1, 0.0), np.zeros(400_000))
    third = math.log(4 / 3) / math.log(5 / 3)
    expected = {1: 0.1, 3: 0.6 * third, 4: 0.6 * (1 - third), 8: 0.3}
    for tokens in (prompts, outputs):
        seen = dict(zip(*np.unique(tokens, return_counts=True), strict=True))
        assert set(seen) == set(expected)
        for length, share in expected.items():
            assert seen[length] / len(tokens) == pytest.approx(share, abs=0.004)
    assert abs(np.corrcoef(prompts, outputs)[0, 1]) < 0.01, "prompts and outputs are independent"


def test_one_block_gives_way_to_the_next_within_the_blend() -> None:
    """At the edge of two blocks half of the requests take either; the last block is followed by the first."""
    blocks = lengths([{(10.0, 11.0): 1.0}, {(20.0, 21.0): 1.0}], 2, 40.0)
    for second, share in (
        (50.0, 0.0),
        (80.0, 0.0),
        (90.0, 0.25),
        (100.0, 0.5),
        (110.0, 0.75),
        (150.0, 1.0),
        (200.0, 0.5),
    ):
        prompts, _ = draw(blocks, np.full(40_000, second))
        assert (prompts == 20).mean() == pytest.approx(share, abs=0.01), f"at {second:g} s"


def test_a_client_has_the_same_stream_whoever_else_there_is() -> None:
    alone, among = streams(1, np.array([7]), "arrivals"), streams(1, np.array([3, 7]), "arrivals")
    assert among[1] == alone[0] != among[0]
    assert streams(2, np.array([7]), "arrivals")[0] != alone[0] != streams(1, np.array([7]), "coins")[0]
