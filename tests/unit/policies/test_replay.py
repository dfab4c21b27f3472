"""Replay: the array form equals a plain loop, and capacity costs what it costs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.predictive.load_history import BIN_SECONDS
from policies.predictive.replay import Recording, replay, trailing_minimum

SLACK_SECONDS = 2.0


def recording(loads: list[float], lead_bins: int, traits: np.ndarray | None = None) -> Recording:
    return Recording(
        loads=np.array(loads),
        traits=np.array([loads]) if traits is None else traits,
        lead_bins=lead_bins,
        slack_seconds=SLACK_SECONDS,
    )


def by_loop(each: Recording, weight: float) -> tuple[float, float]:
    """The model in words, one bin after the other."""
    wanted = [max(1.0, math.ceil(weight * value - 1e-9)) for value in each.traits[0]]
    asked = [wanted[0], *wanted[:-1]]
    waiting = met = work = replica_seconds = 0.0
    for at in range(each.lead_bins + 1, len(asked)):
        ready = min(asked[at - each.lead_bins : at + 1])
        load = each.loads[at]
        before = waiting / ready
        waiting = max(0.0, waiting + (load - ready) * BIN_SECONDS)
        after = waiting / ready
        low, high = sorted((before, after))
        share = 1.0 if high <= SLACK_SECONDS else min(max((SLACK_SECONDS - low) / max(high - low, 1e-9), 0.0), 1.0)
        met, work = met + share * load, work + load
        replica_seconds += asked[at] * BIN_SECONDS
    return (met / work if work else 1.0), replica_seconds / 3_600


@given(
    loads=st.lists(st.floats(0, 20), min_size=8, max_size=60),
    lead_bins=st.integers(1, 6),
    weights=st.lists(st.floats(0.3, 3), min_size=1, max_size=4),
)
def test_all_candidates_at_once_are_the_loop_for_each(loads: list[float], lead_bins: int, weights: list[float]) -> None:
    each = recording(loads, lead_bins)
    attainment, hours = replay(each, np.array(weights)[:, None])
    for index, weight in enumerate(weights):
        assert (attainment[index], hours[index]) == pytest.approx(by_loop(each, weight), abs=1e-6)


def test_a_jump_is_missed_for_a_lead_time() -> None:
    """From 1 to 4 replicas' load with capacity that follows: 10 bins late, and 3 x 10 bins of work to catch up with."""
    loads = [1.0] * 30 + [4.0] * 200
    following, doubled = replay(recording(loads, 10), np.array([[1.0], [2.0]]))[0]
    assert following < 0.2, "never caught up with: as much comes as is served"
    assert 0.85 < doubled < 0.95


def test_an_unknown_load_asks_for_nothing_and_is_billed() -> None:
    loads = [2.0] * 20
    gap = [2.0] * 10 + [math.nan] * 5 + [2.0] * 5
    traits = np.full((1, 20), 2.0)
    for each in (loads, gap):
        attainment, hours = replay(recording(each, 3, traits), np.array([[1.0]]))
        assert attainment[0] == 1.0
        assert hours[0] == pytest.approx(2 * 16 * BIN_SECONDS / 3_600)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=40), st.integers(0, 50))
def test_a_trailing_minimum_is_the_least_of_the_last(values: list[float], bins: int) -> None:
    expected = [min(values[max(0, at - bins) : at + 1]) for at in range(len(values))]
    np.testing.assert_array_equal(trailing_minimum(np.array([values]), bins)[0], expected)
