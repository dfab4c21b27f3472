"""What a setting is searched on, and what it is judged on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.planning.held_out import Split, split


@pytest.mark.parametrize(
    ("runs", "days", "is_drawn", "held_out", "searched", "judged"),
    [
        pytest.param(3, 1, False, "nothing", (3, 1), (3, 1), id="a-recorded-day-has-nothing-to-keep-back"),
        pytest.param(1, 1, True, "nothing", (1, 1), (1, 1), id="nor-has-a-drawn-one-with-a-single-seed"),
        pytest.param(2, 1, True, "seeds", (1, 1), (1, 1), id="one-seed-judges-the-other"),
        pytest.param(3, 1, True, "seeds", (2, 1), (1, 1), id="the-last-of-three"),
        pytest.param(6, 1, True, "seeds", (4, 1), (2, 1), id="a-third-of-six"),
        pytest.param(3, 2, False, "days", (3, 1), (3, 1), id="the-second-day"),
        pytest.param(3, 7, False, "days", (3, 4), (3, 3), id="of-a-week-the-last-three-days"),
        pytest.param(3, 14, True, "days", (3, 7), (3, 7), id="days-before-seeds-where-there-are-both"),
    ],
)
def test_split(
    runs: int, days: int, is_drawn: bool, held_out: str, searched: tuple[int, int], judged: tuple[int, int]
) -> None:
    """searched, judged: shapes, runs x days."""
    found = split(np.ones((runs, days)), is_drawn=is_drawn)
    values = np.arange(float(runs * days)).reshape(runs, days)
    assert found.held_out == held_out
    assert (found.searched(values).shape, found.judged(values).shape) == (searched, judged)


@given(runs=st.integers(1, 6), days=st.integers(1, 15), is_drawn=st.booleans())
def test_what_is_kept_back_is_never_searched_and_nothing_is_lost(runs: int, days: int, is_drawn: bool) -> None:
    values = np.arange(float(runs * days)).reshape(runs, days)
    found = split(np.ones((runs, days)), is_drawn=is_drawn)
    searched, judged = set(found.searched(values).ravel()), set(found.judged(values).ravel())
    assert searched | judged == set(values.ravel())
    assert searched.isdisjoint(judged) or found.held_out == "nothing"


def test_a_day_without_requests_judges_nothing() -> None:
    assert split(np.array([[5.0, 0.0]]), is_drawn=False).held_out == "nothing"
    assert split(np.array([[0.0, 5.0]]), is_drawn=False).held_out == "nothing"
    assert split(np.array([[5.0, 0.0, 4.0]]), is_drawn=False).held_out == "days"


def test_before_the_other_seeds_have_run_the_first_judges_itself() -> None:
    parts = Split(days=1, runs=3, searched_days=1, searched_runs=2)
    assert parts.judged(np.array([[7.0]])).tolist() == [[7.0]]
    assert parts.judged(np.array([[7.0], [8.0], [9.0]])).tolist() == [[9.0]]
