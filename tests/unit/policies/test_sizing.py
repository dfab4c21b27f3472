"""Sizing: weights that deliver what is asked, learned when there is something to learn from."""

import numpy as np
import pytest

from policies.predictive.load_history import BINS_PER_DAY, LoadHistory
from policies.predictive.load_traits import TRAITS, all_traits
from policies.predictive.margin import Margin, follow
from policies.predictive.replay import Recording, replay
from policies.predictive.sizing import Sizing, is_due, learned, prior
from policies.predictive.sizing_fit import Search, fit

LEAD_SECONDS = 300.0
QUICK = Search(generations=4, candidates=10, kept=3)


def restless(days: float, seed: int = 5) -> np.ndarray:
    """A daily wave with jumps that come and go, in replicas."""
    chance = np.random.default_rng(seed)
    at = np.arange(round(days * BINS_PER_DAY))
    jumps = np.zeros(len(at))
    for start in chance.integers(0, len(at), round(12 * days)):
        jumps[start : start + 40] += chance.uniform(1, 4)
    return 10.0 + 4.0 * np.sin(2 * np.pi * at / BINS_PER_DAY) + jumps + 0.3 * chance.standard_normal(len(at))


def recorded(loads: np.ndarray) -> Recording:
    return Recording.of(loads, all_traits(loads, LEAD_SECONDS), lead_seconds=LEAD_SECONDS, slack_seconds=2.0)


def history_of(loads: np.ndarray) -> LoadHistory:
    history = LoadHistory()
    for at, load in enumerate(loads):
        history = history.append(at, float(load))
    return history


@pytest.mark.parametrize("asked", [0.95, 0.99])
def test_what_was_learned_delivers_what_was_asked_for_less_than_the_prior(asked: float) -> None:
    each = recorded(restless(1.0))
    found = fit(each, prior(asked).weights, attainment=asked, search=QUICK)
    assert found is not None
    assert (found.weights >= 0).all()
    delivered, hours = replay(each, found.weights[None])
    assert asked <= delivered[0] < asked + 0.01
    assert (delivered[0], hours[0]) == (found.attainment, found.replica_hours)
    scales = np.linspace(0.5, 2.0, 200)
    by_prior, cost = replay(each, prior(asked).weights * scales[:, None])
    assert found.replica_hours < cost[by_prior >= asked].min()


def test_the_same_recording_teaches_the_same() -> None:
    each = recorded(restless(0.3))
    first, second = (fit(each, prior(0.98).weights, attainment=0.98, search=QUICK) for _ in range(2))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.weights, second.weights)


def test_an_idle_workload_teaches_nothing_and_breaks_nothing() -> None:
    before = prior(0.99)
    after = learned(before, history_of(np.zeros(800)), attainment=0.99, lead_seconds=LEAD_SECONDS, slack_seconds=2.0)
    assert np.isfinite(after.weights).all()
    assert after.replicas(np.zeros(len(TRAITS))) == 0.0
    assert not is_due(after, history_of(np.zeros(800)))


def test_it_is_due_after_six_hours_when_doubled_and_daily() -> None:
    day = BINS_PER_DAY
    rows = [  # bins there are, bins learned from, at which end, due
        (day // 4 - 1, 0, 0, False),
        (day // 4, 0, 0, True),
        (day // 3, day // 4, day // 4, False),
        (day // 2, day // 4, day // 4, True),
        (day + 100, day, day, False),
        (2 * day, day, day, True),
        (9 * day, 7 * day, 8 * day, True),
    ]
    for bins, learned_bins, end, due in rows:
        history = history_of(np.ones(bins))
        sizing = Sizing(weights=np.ones(len(TRAITS)), bins=learned_bins, end=end)
        assert is_due(sizing, history) is due, (bins, learned_bins, end)


def test_more_attainment_never_takes_less_capacity_before_anything_is_learned() -> None:
    totals = [prior(asked).weights.sum() for asked in (0.5, 0.9, 0.93, 0.98, 0.99, 0.997, 0.9999)]
    assert totals == sorted(totals)


def test_the_margin_settles_where_the_asked_share_of_bins_misses() -> None:
    """A service that misses whenever the margin is below a threshold that moves: 5 % of bins, within half a point."""
    chance = np.random.default_rng(3)
    margin, missed = Margin(), 0
    for at in range(20_000):
        misses = margin.log < 0.1 + 0.05 * chance.standard_normal()
        missed += misses
        margin = follow(margin, at, missed=bool(misses), attainment=0.95)
    assert 0.045 <= missed / 20_000 <= 0.055


def test_a_bin_counts_once() -> None:
    once = follow(Margin(), 7, missed=True, attainment=0.99)
    assert follow(once, 7, missed=True, attainment=0.99) is once
    assert follow(once, 6, missed=True, attainment=0.99) is once
