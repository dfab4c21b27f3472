"""A histogram of latencies answers what a sort of them would, within half a percent."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations import latency_buckets as buckets
from simulations.results.percentiles import Percentiles

SECONDS = st.floats(buckets.LOWEST_SECONDS, buckets.HIGHEST_SECONDS)


@given(seconds=st.lists(SECONDS, min_size=1, max_size=60), level=st.floats(0, 1))
def test_every_quantile_is_within_the_stated_error_of_numpys(seconds: list[float], level: float) -> None:
    exact = float(np.quantile(seconds, level))
    assert buckets.quantile(buckets.counts_of(np.array(seconds)), level) == pytest.approx(
        exact, rel=buckets.RELATIVE_ERROR * (1 + 1e-9)
    )


@given(seconds=SECONDS)
def test_the_formula_of_compiled_loops_gives_the_same_bucket(seconds: float) -> None:
    """One off where the value is an edge to the last bit: either bucket is then right."""
    scale, per_lowest = buckets.BUCKETS_PER_E_FOLD, buckets.PER_LOWEST_SECOND
    compiled = min(int(math.log(max(seconds, buckets.LOWEST_SECONDS) * per_lowest) * scale), buckets.BUCKETS - 1)
    position = math.log(seconds * per_lowest) * scale
    own = int(buckets.bucket_of(np.array([seconds]))[0])
    assert own == compiled or (abs(own - compiled) == 1 and abs(position - round(position)) < 1e-9)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        pytest.param(0.0, 0, id="zero-is-in-the-first"),
        pytest.param(1e-4, 0, id="so-is-the-lowest"),
        pytest.param(1.0, 921, id="a-second: floor(100 ln 10^4)"),
        pytest.param(1e5, buckets.BUCKETS - 1, id="the-highest-is-in-the-last"),
        pytest.param(math.inf, buckets.BUCKETS - 1, id="so-is-what-lies-beyond"),
    ],
)
def test_bucket(seconds: float, bucket: int) -> None:
    assert buckets.bucket_of(np.array([seconds])).tolist() == [bucket]


def test_nothing_has_no_quantile_and_no_mean() -> None:
    nothing = buckets.counts_of(np.array([math.nan]))
    assert nothing.sum() == 0
    assert math.isnan(buckets.quantile(nothing, 0.5))
    assert math.isnan(buckets.mean(nothing))
    assert all(math.isnan(value) for value in (Percentiles.of_values(np.array([math.nan])).p99,))


@given(seconds=st.lists(SECONDS, min_size=1, max_size=60))
def test_the_mean_is_within_the_stated_error(seconds: list[float]) -> None:
    mean = buckets.mean(buckets.counts_of(np.array(seconds)))
    assert mean == pytest.approx(float(np.mean(seconds)), rel=buckets.RELATIVE_ERROR * (1 + 1e-9))
