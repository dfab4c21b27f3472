"""Traits of a load: what was recorded at once is what was seen step by step, and each means what its name says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.predictive.load_history import BIN_SECONDS, BINS_PER_DAY
from policies.predictive.load_traits import TRAITS, advance, all_traits, begin, recursive_traits
from policies.predictive.observed_load import ObservedLoad, observe, traits_at
from policies.snapshot import NS_PER_SECOND

LEAD_SECONDS = 300.0


def trait(traits: np.ndarray, name: str) -> float:
    return float(traits[TRAITS.index(name)])


@settings(max_examples=25)
@given(
    loads=st.lists(st.floats(0, 60, width=32), min_size=1, max_size=60),
    missing=st.sets(st.integers(1, 59), max_size=10),
)
def test_a_recording_has_the_traits_that_were_seen_at_the_time(loads: list[float], missing: set[int]) -> None:
    """One sample a bin, some bins without any; the last sample is of the bin that is still open."""
    seen = ObservedLoad()
    grid = np.array([np.nan if at in missing else load for at, load in enumerate(loads)])
    for at, load in enumerate(grid):
        seen = observe(seen, (at * BIN_SECONDS + 7) * NS_PER_SECOND, load)
    if np.isnan(grid[-1]):
        return  # the open bin is an older one: there is nothing to compare
    now = traits_at(seen, LEAD_SECONDS)
    assert now is not None
    np.testing.assert_allclose(now, all_traits(grid, LEAD_SECONDS)[:, -1], rtol=1e-5, atol=1e-6)


def test_yesterday_is_seen_a_lead_time_ahead() -> None:
    """A day whose load steps from 4 to 8 at noon: shortly before noon of the next day the step is seen to come."""
    day = np.where(np.arange(BINS_PER_DAY) < BINS_PER_DAY // 2, 4.0, 8.0)
    loads = np.concatenate([day, day])
    traits = all_traits(loads, LEAD_SECONDS)
    before = BINS_PER_DAY + BINS_PER_DAY // 2 - 40
    at_noon_less_5_min = BINS_PER_DAY + BINS_PER_DAY // 2 - 10
    assert trait(traits[:, before], "yesterday_ahead") == pytest.approx(4.0)
    assert trait(traits[:, at_noon_less_5_min + 15], "yesterday_ahead") == pytest.approx(8.0)
    assert trait(traits[:, at_noon_less_5_min], "yesterdays_rise") > 1.0
    assert trait(traits[:, 100], "yesterday_ahead") == 0.0, "there was no day before"


def test_peaks_fade_towards_the_present_load() -> None:
    state = begin(2.0)
    for load in [10.0] * 4 + [2.0] * 30:  # 15 minutes later
        state = advance(state, load)
    traits = recursive_traits(state)
    names = [name for name in TRAITS if name.startswith("peak_")]
    fading = [trait(traits, name) for name in names]
    assert fading == sorted(fading), "the slower the higher"
    assert trait(traits, "peak_900s") == pytest.approx(2.0 + 8.0 * np.exp(-1.0))
    assert trait(traits, "level_now") == 2.0


def test_many_workloads_are_one_step() -> None:
    loads = np.array([[1.0, 5.0], [7.0, 0.5]])
    together = begin(loads[0])
    apart = [begin(load) for load in loads[0]]
    for row in loads:
        together = advance(together, row)
        apart = [advance(state, load) for state, load in zip(apart, row, strict=True)]
    np.testing.assert_array_equal(recursive_traits(together), [recursive_traits(state) for state in apart])


def test_a_missing_load_is_the_last_one_again() -> None:
    known = advance(begin(3.0), 5.0)
    np.testing.assert_array_equal(advance(known, np.nan), advance(known, 5.0))
