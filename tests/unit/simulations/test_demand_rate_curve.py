"""Window means become a continuous rate that keeps each of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from simulations.demand.rate_curve import RateCurve, mean_preserving

RATES = st.one_of(st.just(0.0), st.floats(1e-6, 1e4))


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=RATES))
def test_every_window_keeps_its_mean_and_no_rate_is_negative(means: np.ndarray) -> None:
    """Both halves of a window are linear, so its mean is (start + 2 middle + next start) / 4."""
    starts, middles = mean_preserving(means)
    kept = (starts + 2.0 * middles + np.roll(starts, -1, axis=-1)) / 4.0
    assert np.allclose(kept, means, rtol=1e-12, atol=0.0)
    assert (starts >= 0).all()
    assert (middles >= 0).all()
    assert (middles[means == 0] == 0).all(), "a silent window stays silent"
    assert (starts[means == 0] == 0).all()


def test_a_constant_rate_stays_constant() -> None:
    starts, middles = mean_preserving(np.full((2, 5), 7.0))
    assert starts.tolist() == [[7.0] * 5] * 2
    assert middles.tolist() == [[7.0] * 5] * 2


def test_a_lone_window_becomes_a_triangle() -> None:
    starts, middles = mean_preserving(np.array([0.0, 6.0, 0.0]))
    assert starts.tolist() == [0.0, 0.0, 0.0]
    assert middles.tolist() == [0.0, 12.0, 0.0]


def test_what_a_curve_expects_is_its_integral() -> None:
    curve = RateCurve.through([(0, 0), (10, 4), (10, 1), (20, 1)])
    assert curve.expected().tolist() == [0.0, 20.0, 20.0, 30.0]
    assert curve.at(np.array([-1.0, 5.0, 15.0, 21.0])).tolist() == [0.0, 2.0, 1.0, 0.0]
    assert curve.expected()[-1] == pytest.approx(30.0)
