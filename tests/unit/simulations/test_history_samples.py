"""Samples as they come, gaps, resets and all: what is made of them is stated, counted, and never an exception."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.history import samples
from simulations.history.samples import Grid, clean, filled, increases, means, spread, unit_slips


@pytest.mark.parametrize(
    ("raw", "values", "repairs"),
    [
        pytest.param([(0, "1"), (60, "2")], [1, 2], {}, id="text-as-prometheus-writes-it"),
        pytest.param([(60, 2), (0, 1), (120, 3)], [1, 2, 3], {samples.OUT_OF_ORDER: 1}, id="unsorted"),
        pytest.param([(0, 1), (0, 5), (60, 2)], [5, 2], {samples.DUPLICATED: 1}, id="the-last-of-an-instant-counts"),
        pytest.param([(0, "NaN"), (60, "+Inf"), (120, 3)], [3], {samples.NOT_FINITE: 2}, id="not-finite"),
        pytest.param([(0, -1), (60, 3)], [3], {samples.NEGATIVE: 1}, id="negative"),
        pytest.param([(0, "x"), 5, (1, 10**400), (60, 3)], [3], {samples.UNREADABLE: 3}, id="no-pairs"),
        pytest.param([], [], {}, id="none"),
    ],
)
def test_what_is_wrong_is_repaired_and_counted(raw, values, repairs):
    counted = Counter()
    assert clean(raw, counted).values.tolist() == values
    assert +counted == repairs  # those of which there were none are left out


def test_a_counter_that_falls_counts_from_zero():
    """A restarted server has served what its counter shows now."""
    counted = Counter()
    grown, fell = increases(clean([(0, 10), (60, 30), (120, 4)], counted), counted)
    assert grown.tolist() == [20, 4]
    assert fell.tolist() == [False, True]
    assert counted[samples.RESETS] == 1


def test_a_counter_knows_what_a_gap_held():
    """Its growth is spread evenly; of more than ten minutes without a sample only the sum is known."""
    grid = Grid(0.0, 30)
    amounts, known = spread(np.array([0.0, 60.0, 240.0, 1_500.0]), np.array([5.0, 9.0, 42.0]), grid)
    assert amounts[:5].tolist() == pytest.approx([5, 3, 3, 3, 2])
    assert amounts.sum() == pytest.approx(56)
    assert known.tolist() == [True] * 4 + [False] * 26


def test_minutes_without_a_sample():
    """Ten in a row are filled from those beside; eleven are filled too, and not judged."""
    counted = Counter()
    values = np.array([1.0] + [np.nan] * 10 + [12.0] + [np.nan] * 11 + [0.0])
    full, known = filled(values, counted)
    assert full[:12].tolist() == pytest.approx(range(1, 13))
    assert known.tolist() == [True] * 12 + [False] * 11 + [True]
    assert counted == {samples.FILLED: 10, samples.UNKNOWN: 11}


def test_finer_samples_are_averaged():
    """Minute k ends with its own edge, as a range query's step does."""
    grid = Grid(600.0, 2)
    gauge = clean([(615, 1), (630, 2), (660, 3), (661, 10)], Counter())
    assert means(gauge, grid).tolist() == [2.0, 10.0]


@pytest.mark.parametrize(
    ("factor", "words"),
    [(60.0, "60 times"), (1 / 60, "a 60th of"), (1_000.0, "1,000 times"), (2.0, None), (10.0, None)],
)
def test_a_unit_slip_is_noticed_where_it_is(factor, words):
    """Per minute for per second; that traffic doubles, or becomes tenfold, is none."""
    rng = np.random.default_rng(3)
    values = rng.poisson(600.0, 600).astype(float)
    values[300:] *= factor
    found = unit_slips(values)
    if words is None:
        assert found == []
    else:
        assert [said for _, said in found] == [words]
        assert found[0][0] == pytest.approx(300, abs=15)


PAIRS = st.lists(
    st.one_of(
        st.tuples(st.floats(), st.floats()),
        st.tuples(st.integers(0, 7_200), st.integers(-5, 1_000)),
        st.tuples(st.just("x"), st.none()),
        st.none(),
    ),
    max_size=60,
)


@given(PAIRS)
def test_no_samples_break_anything(raw):
    """Whatever comes, amounts are finite, 0 or more, and no more than the counter grew."""
    counted, grid = Counter(), Grid(0.0, 120)
    cleaned = clean(raw, counted)
    assert (np.diff(cleaned.seconds) > 0).all()
    grown, _ = increases(cleaned, counted)
    amounts, known = spread(cleaned.seconds, grown, grid)
    assert amounts.shape == known.shape == (120,)
    assert np.isfinite(amounts).all()
    assert amounts.min() >= -1e-6 * max(1.0, grown.sum())
    assert amounts.sum() <= grown.sum() * (1 + 1e-9) + 1e-6
    filled(means(cleaned, grid), counted)
