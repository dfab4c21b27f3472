"""Replay: the array form equals a plain loop, and capacity costs what it costs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.predictive.load_history import BIN_SECONDS
from policies.predictive.replay import Recording, Rules, replay
from policies.predictive.trailing import trailing_minimum
from policies.predictive.within_slo import WithinSLO

SLACK_SECONDS = 2.0
HARD = WithinSLO(loads=np.array([0.0, 1.0]), shares=np.array([1.0, 1.0]))
SOFT = WithinSLO(loads=np.array([0.0, 0.6, 1.0, 1.4]), shares=np.array([1.0, 0.99, 0.5, 0.1]))


def recording(
    loads: list[float],
    lead_bins: int,
    traits: np.ndarray | None = None,
    *,
    window_bins: int = 0,
    floor_load: float = 1e9,
    within: WithinSLO = HARD,
) -> Recording:
    rules = Rules(
        within=within,
        floor_load=floor_load,
        lead_seconds=lead_bins * BIN_SECONDS,
        slack_seconds=SLACK_SECONDS,
        window_seconds=window_bins * BIN_SECONDS,
    )
    values = np.array(loads)
    return Recording(
        loads=values, traits=values[None] if traits is None else traits, levels=np.nan_to_num(values), rules=rules
    )


def by_loop(each: Recording, weight: float) -> tuple[float, float]:
    """The model in words, one bin after the other."""
    rules = each.rules
    lead, window = round(rules.lead_seconds / BIN_SECONDS), round(rules.window_seconds / BIN_SECONDS)
    wanted = [
        max(1.0, math.ceil(max(weight * value, level / rules.floor_load) - 1e-9))
        for value, level in zip(each.traits[0], each.levels, strict=True)
    ]
    wanted = [wanted[0], *wanted[:-1]]
    asked = [max(wanted[max(0, at - window) : at + 1]) for at in range(len(wanted))]
    waiting = met = work = replica_seconds = 0.0
    for at in range(lead + 1, len(asked)):
        ready = min(asked[at - lead : at + 1])
        load, most = each.loads[at], rules.within.most
        before = waiting / (ready * most)
        waiting = max(0.0, waiting + (load - ready * most) * BIN_SECONDS)
        after = waiting / (ready * most)
        low, high = sorted((before, after))
        share = 1.0 if high <= SLACK_SECONDS else min(max((SLACK_SECONDS - low) / max(high - low, 1e-9), 0.0), 1.0)
        share *= np.interp(most if waiting > 0 else load / ready, rules.within.loads, rules.within.shares)
        met, work = met + share * load, work + load
        replica_seconds += asked[at] * BIN_SECONDS
    return (met / work if work else 1.0), replica_seconds / 3_600


@given(
    loads=st.lists(st.floats(0, 20), min_size=8, max_size=60),
    lead_bins=st.integers(1, 6),
    window_bins=st.integers(0, 5),
    weights=st.lists(st.floats(0.3, 3), min_size=1, max_size=4),
    within=st.sampled_from([HARD, SOFT]),
)
def test_all_candidates_at_once_are_the_loop_for_each(
    loads: list[float], lead_bins: int, window_bins: int, weights: list[float], within: WithinSLO
) -> None:
    each = recording(loads, lead_bins, window_bins=window_bins, floor_load=0.7, within=within)
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


def test_a_fuller_replica_delivers_less() -> None:
    """Two for a load of 2 deliver what SOFT says of 1, three what it says of two thirds; none of it waits."""
    attainment, _ = replay(recording([2.0] * 20, 3, np.ones((1, 20)), within=SOFT), np.array([[2.0], [3.0]]))
    np.testing.assert_allclose(attainment, [0.5, np.interp(2 / 3, SOFT.loads, SOFT.shares)])
