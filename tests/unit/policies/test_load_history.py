"""The load's history: a grid of half minutes that keeps two weeks and invents nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.predictive.load_history import BINS_PER_DAY, KEPT_DAYS, LoadHistory, bin_of
from policies.snapshot import NS_PER_SECOND


def filled(*loads: tuple[int, float]) -> LoadHistory:
    history = LoadHistory()
    for at, load in loads:
        history = history.append(at, load)
    return history


def test_a_bin_is_half_a_minute_since_the_epoch() -> None:
    assert [bin_of(second * NS_PER_SECOND) for second in (0, 29, 30, 90)] == [0, 0, 1, 3]


def test_bins_of_which_nothing_was_seen_are_unknown() -> None:
    history = filled((100, 1.0), (103, 2.0))
    assert (history.first, history.end) == (100, 104)
    np.testing.assert_array_equal(history.loads(), [1.0, np.nan, np.nan, 2.0])


@pytest.mark.parametrize("late", [99, 100, 103])
def test_what_is_not_newer_changes_nothing(late: int) -> None:
    history = filled((100, 1.0), (103, 2.0))
    assert history.append(late, 9.0) is history


def test_after_a_gap_longer_than_is_kept_it_begins_anew() -> None:
    history = filled((0, 1.0), (1 + KEPT_DAYS * BINS_PER_DAY, 2.0))
    assert (history.first, len(history)) == (1 + KEPT_DAYS * BINS_PER_DAY, 1)


def test_two_weeks_and_the_present_day_are_kept() -> None:
    history = LoadHistory()
    for at in range(0, 16 * BINS_PER_DAY, 90):  # gaps of 45 min are unknown
        history = history.append(at, float(at))
    assert KEPT_DAYS * BINS_PER_DAY <= len(history) < (KEPT_DAYS + 1) * BINS_PER_DAY
    loads = history.loads()
    known = np.flatnonzero(~np.isnan(loads))
    np.testing.assert_array_equal(loads[known], np.float32(known + history.first))


@given(
    gaps=st.lists(st.integers(1, BINS_PER_DAY // 2), min_size=1, max_size=20),
    window=st.tuples(st.integers(-10, 30_000), st.integers(0, 9_000)),
)
def test_a_window_holds_the_known_bins_and_nothing_else(gaps: list[int], window: tuple[int, int]) -> None:
    bins = np.cumsum(gaps)
    history = filled(*((int(at), float(number)) for number, at in enumerate(bins)))
    since, until = window[0], window[0] + window[1]
    inside = {int(at) - since: float(number) for number, at in enumerate(bins) if since <= at < until}
    found = history.between(since, until)
    assert len(found) == until - since
    assert {int(at): float(found[at]) for at in np.flatnonzero(~np.isnan(found))} == inside
