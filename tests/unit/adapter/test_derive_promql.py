"""rate and histogram_quantile: against an oracle that is plainly written, and against Prometheus itself."""

import math
import random
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.derive.history import CounterHistory
from adapter.sources.derive.promql import histogram_quantile, share_above

NS = 1_000_000_000
Points = list[tuple[int, float]]
"""(second, counter)"""


def oracle_rate(points: Points, now: int, window: int, *, zero_first: bool = False) -> float | None:
    """Prometheus' extrapolatedRate, step by step. zero_first: in the order of versions before 2.52."""
    inside = [(at, value) for at, value in points if now - window < at <= now]
    if len(inside) < 2:
        return None
    increase = inside[-1][1] - inside[0][1]
    for (_, before), (_, after) in pairwise(inside):
        if after < before:
            increase += before
    sampled = inside[-1][0] - inside[0][0]
    distance = sampled / (len(inside) - 1)
    to_start, to_end = float(inside[0][0] - (now - window)), float(now - inside[-1][0])

    def limit_to_zero(seconds: float) -> float:
        if increase > 0 and inside[0][1] >= 0:
            return min(seconds, sampled * inside[0][1] / increase)
        return seconds

    if zero_first:
        to_start = limit_to_zero(to_start)
    if to_start >= distance * 1.1:
        to_start = distance / 2
    if not zero_first:
        to_start = limit_to_zero(to_start)
    if to_end >= distance * 1.1:
        to_end = distance / 2
    return increase * (sampled + to_start + to_end) / sampled / window


def our_rate(points: Points, now: int, window: int) -> float | None:
    history = CounterHistory(1, window)
    for at, value in points:
        history.add(at * NS, (value,))
    span = history.span(now * NS)
    return None if span is None else span.rate(history.first()[0], history.increases()[0])


COUNTERS = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1000).map(float)), max_size=40).map(
    lambda steps: [(sum(step for step, _ in steps[: index + 1]), value) for index, (_, value) in enumerate(steps)]
)


@given(COUNTERS, st.integers(0, 100), st.integers(1, 240))
def test_a_rate_is_the_oracles_whatever_resets_and_gaps_the_counter_has(
    points: Points, later: int, window: int
) -> None:
    now = (points[-1][0] if points else 0) + later
    """Up to 240 s at samples a second apart: beyond that a history keeps fewer of them."""
    expected = oracle_rate(points, now, window)
    found = our_rate(points, now, window)
    assert (found is None) == (expected is None)
    assert expected is None or found == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.integers(0, 50), min_size=2, max_size=8), st.floats(0, 1))
def test_a_quantile_lies_in_the_bucket_of_its_rank(observations: list[int], quantile: float) -> None:
    """Bounds 1 to n, +Inf; the rank-th observation is in the bucket that the answer is in, or on its edge."""
    bounds = [float(edge) for edge in range(1, len(observations))] + [math.inf]
    counts = [float(sum(observations[: index + 1])) for index in range(len(observations))]
    found = histogram_quantile(quantile, bounds, counts)
    if counts[-1] == 0:
        assert found is None
        return
    assert found is not None
    rank = quantile * counts[-1]
    index = next(index for index, count in enumerate(counts) if count >= rank or index == len(counts) - 1)
    lower = ([0.0, *bounds])[index]
    assert lower <= found <= (bounds[index] if index < len(bounds) - 1 else bounds[-2])


@pytest.mark.parametrize(
    ("quantile", "bounds", "counts", "expected"),
    [
        pytest.param(0.5, [1.0, 2.0, math.inf], [10, 20, 20], 1.0, id="on-an-edge"),
        pytest.param(0.75, [1.0, 2.0, math.inf], [10, 20, 20], 1.5, id="evenly-within-a-bucket"),
        pytest.param(0.25, [1.0, 2.0, math.inf], [10, 20, 20], 0.5, id="the-lowest-from-zero"),
        pytest.param(0.99, [1.0, 2.0, math.inf], [10, 20, 40], 2.0, id="in-the-highest-its-lower-edge"),
        pytest.param(0.5, [-1.0, 2.0, math.inf], [10, 10, 10], -1.0, id="a-lowest-bucket-below-zero"),
        pytest.param(0.9, [1.0, 2.0, math.inf], [10, 8, 10], 0.9, id="a-decrease-is-levelled"),
        pytest.param(0.5, [1.0, math.inf], [0, 0], None, id="no-observations"),
        pytest.param(0.5, [math.inf], [3], None, id="one-bucket-only"),
        pytest.param(0.5, [1.0, 2.0], [3, 4], None, id="without-the-infinite-bucket"),
    ],
)
def test_quantiles(quantile: float, bounds: list[float], counts: list[float], expected: float | None) -> None:
    assert histogram_quantile(quantile, bounds, counts) == (None if expected is None else pytest.approx(expected))


def oracle_fraction(lower: float, upper: float, bounds: list[float], counts: list[float]) -> float | None:
    """Prometheus' BucketFraction, statement by statement, with the first bucket from 0 (pull request 17424)."""
    if counts[-1] == 0:
        return None
    if lower >= upper:
        return 0.0
    ranks: dict[str, float] = {}
    rank = 0.0
    for index, (high, count) in enumerate(zip(bounds, counts, strict=True)):
        low = bounds[index - 1] if index else 0.0
        for which, value in (("lower", lower), ("upper", upper)):
            if which not in ranks and low >= value:
                ranks[which] = rank
            elif which not in ranks and low < value < high:
                ranks[which] = rank + (count - rank) * (value - low) / (high - low)
        rank = count
    lower_rank, upper_rank = (min(ranks.get(which, counts[-1]), counts[-1]) for which in ("lower", "upper"))
    return (upper_rank - lower_rank) / counts[-1]


@given(
    st.lists(st.floats(0.001, 100), min_size=1, max_size=8, unique=True).map(sorted),
    st.lists(st.floats(0, 50), min_size=9, max_size=9),
    st.one_of(st.floats(0, 200), st.integers(0, 7)),
)
def test_a_share_is_prometheus_fraction(edges: list[float], counts: list[float], where: float) -> None:
    """Also on a bucket's edge, and for counts that are not monotonic, as rates of buckets may be."""
    bound = edges[min(where, len(edges) - 1)] if isinstance(where, int) else where
    bounds = [*edges, math.inf]
    expected = oracle_fraction(bound, math.inf, bounds, counts[: len(bounds)])
    found = share_above(bound, bounds, counts[: len(bounds)])
    assert found == (None if expected is None else pytest.approx(expected, rel=1e-9, abs=1e-12))


@pytest.mark.parametrize(
    ("bound", "counts", "expected"),
    [
        pytest.param(2.0, [10, 20, 40], 0.5, id="on-an-edge-it-is-exact"),
        pytest.param(1.5, [10, 20, 40], 0.625, id="evenly-within-a-bucket"),
        pytest.param(0.5, [10, 20, 40], 0.875, id="the-lowest-from-zero"),
        pytest.param(9.0, [10, 20, 40], 0.5, id="all-of-the-highest-lie-above"),
        pytest.param(0.0, [10, 20, 40], 1.0, id="all-lie-above-zero"),
        pytest.param(1.0, [0, 0, 0], None, id="no-observations"),
        pytest.param(2.0, [1, 7e-57, 7e-57], 0.0, id="on-an-edge-where-counts-fall"),
    ],
)
def test_shares(bound: float, counts: list[float], expected: float | None) -> None:
    assert share_above(bound, [1.0, 2.0, math.inf], counts) == expected


def test_a_histogram_without_its_infinite_bucket_has_no_share() -> None:
    assert share_above(1.0, [1.0, 2.0], [3, 4]) is None
    assert share_above(1.0, [], []) is None


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_gives_the_same_numbers(tmp_path: Path) -> None:
    """60 counters with resets and gaps, and 20 histograms, each asked of `promtool test rules` at 199 s.

    Samples every 7 s, so that none lies on a window's edge, which Prometheus 2 counts in and 3 does not.
    Cases in which versions before 2.52 extrapolate differently are left out.
    """
    draw = random.Random(7)  # noqa: S311
    series, checks = [], []
    for number in range(60):
        window = draw.choice([25, 60, 120])
        values: list[float | None] = []
        level = 0.0
        for _ in range(29):
            level = draw.choice([level + draw.randint(0, 9), level + draw.randint(0, 9), float(draw.randint(0, 5))])
            values.append(None if draw.random() < 0.2 else level)
        points = [(index * 7, value) for index, value in enumerate(values) if value is not None]
        if (expected := our_rate(points, 199, window)) is None:
            continue
        if expected != pytest.approx(oracle_rate(points, 199, window, zero_first=True)):
            continue
        written = " ".join("_" if value is None else f"{value:g}" for value in values)
        series.append(f"      - {{series: 'c{{n=\"{number}\"}}', values: '{written}'}}")
        checks.append((f'rate(c{{n="{number}"}}[{window}s])', expected))
    bounds = ["0.1", "0.5", "1", "5", "+Inf"]
    for number in range(20):
        quantile = draw.choice([0.5, 0.9, 0.99])
        history = CounterHistory(len(bounds), 60)
        rows = [[0.0] * len(bounds)]
        for _ in range(28):
            seen = [draw.randint(0, 3) for _ in bounds]
            rows.append([one + sum(seen[: index + 1]) for index, one in enumerate(rows[-1])])
        for index, row in enumerate(rows):
            history.add(index * 7 * NS, row)
        for index, bound in enumerate(bounds):
            written = " ".join(f"{row[index]:g}" for row in rows)
            series.append(f"      - {{series: 'h_bucket{{n=\"{number}\",le=\"{bound}\"}}', values: '{written}'}}")
        span = history.span(199 * NS)
        assert span is not None
        rates = [span.rate(*pair) for pair in zip(history.first(), history.increases(), strict=True)]
        expected = histogram_quantile(quantile, [float(bound) for bound in bounds], rates)
        assert expected is not None
        checks.append((f'histogram_quantile({quantile}, rate(h_bucket{{n="{number}"}}[60s]))', expected))
    assert len(checks) > 60
    tests = [
        f"      - {{expr: 'abs({query} - {value!r}) <= bool 1e-9', eval_time: 199s,"
        f" exp_samples: [{{labels: '{{{query.split('{')[1].split('}')[0]}}}', value: 1}}]}}"
        for query, value in checks
    ]
    file = tmp_path / "rates.yaml"
    lines = [
        "evaluation_interval: 1s",
        "tests:",
        "  - interval: 7s",
        "    input_series:",
        *series,
        "    promql_expr_test:",
        *tests,
    ]
    file.write_text("\n".join(lines) + "\n")
    command = ["promtool", "test", "rules", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    assert result.returncode == 0, result.stdout + result.stderr
