"""The band of demand one lead time ahead: as wide as it promises, told only of what is known, and never in the way."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.predictive.band import Band, BandState, follow
from policies.predictive.load_history import BIN_SECONDS, BINS_PER_DAY, F8, LoadHistory
from policies.snapshot import NS_PER_SECOND

LEAD_SECONDS = 600.0
LEAD_BINS = round(LEAD_SECONDS / BIN_SECONDS)
MINUTE_BINS = 2
HOUR_BINS = 3_600 // BIN_SECONDS


def office_days(days: int, *, seed: int, restless: float = 0.012) -> F8:
    """Replicas' worth: 1 at night, 8 from 8:30 to 18:00, ramps of half an hour; each day wanders by its own 5 to 15 %,
    and half a minute has the requests that a Poisson process gives."""
    rng = np.random.default_rng(seed)
    hours = np.arange(days * BINS_PER_DAY) % BINS_PER_DAY / HOUR_BINS
    wave = 1.0 + 7.0 * np.clip((hours - 8.0) * 2.0, 0.0, 1.0) * np.clip((18.0 - hours) * 2.0, 0.0, 1.0)
    wander, steps = 0.0, rng.normal(0.0, restless, len(wave))
    log_level = np.empty(len(wave))
    for at, step in enumerate(steps):
        wander = 0.995 * wander + step
        log_level[at] = wander
    return rng.poisson(wave * np.exp(log_level) * 60.0) / 60.0


def told(loads: F8, since: int, until: int, state: BandState) -> tuple[list[Band], BandState]:
    """What is told each minute from bin `since` to `until`, by what was known then."""
    bands = []
    for end in range(since, until, MINUTE_BINS):
        state = follow(state, LoadHistory.of(0, loads[:end]), LEAD_SECONDS)
        assert state.band is not None
        bands.append(state.band)
    return bands, state


def came(loads: F8, bands: list[Band]) -> F8:
    """The mean of each band's minute."""
    return np.array([loads[band.due - 1 : band.due + 1].mean() for band in bands])


@pytest.mark.parametrize("seed", [1, 2])
def test_four_of_five_outcomes_of_days_never_seen_lie_within(seed: int) -> None:
    """Out of sample: each band is made of what was before it, and judged by what came after."""
    loads = office_days(6, seed=seed)
    bands, state = told(loads, 4 * BINS_PER_DAY, 6 * BINS_PER_DAY - LEAD_BINS, BandState())
    outcomes = came(loads, bands)
    below = np.mean(outcomes < [band.lower for band in bands])
    above = np.mean(outcomes > [band.upper for band in bands])
    assert 0.75 <= 1.0 - below - above <= 0.9
    assert 0.05 <= below <= 0.15
    assert 0.05 <= above <= 0.15
    assert 0.4 <= np.mean(outcomes < [band.median for band in bands]) <= 0.6
    assert state.covered_share == pytest.approx(1.0 - below - above, abs=0.05)


def test_a_ramp_that_came_every_day_is_seen_before_it_begins() -> None:
    """At 8:00 a third is there of what there will be at 8:10: the same minutes of the days before tell so, the last
    three hours cannot."""
    loads = office_days(6, seed=3, restless=0.004)
    eight = 5 * BINS_PER_DAY + 8 * HOUR_BINS
    bands, _ = told(loads, eight, eight + 20 * MINUTE_BINS, BandState())
    outcomes = came(loads, bands)
    assert outcomes[0] > 2.0 * loads[eight - 4 : eight].mean()
    assert bands[0].upper > 2.0 * loads[eight - 4 : eight].mean()
    assert np.mean([band.lower <= one <= band.upper for band, one in zip(bands, outcomes, strict=True)]) >= 0.7
    unprepared = follow(BandState(), LoadHistory.of(0, loads[eight - 4 * HOUR_BINS : eight]), LEAD_SECONDS).band
    assert unprepared is not None
    assert unprepared.upper < 1.3 * loads[eight - 4 : eight].mean()


def test_edges_move_until_the_promise_is_kept() -> None:
    """A day of calm, then unrest of which the past tells nothing: after two hours the band has been widened."""
    loads = np.concatenate([office_days(2, seed=4, restless=0.001), office_days(1, seed=5, restless=0.06)])
    bands, state = told(loads, 2 * BINS_PER_DAY, 3 * BINS_PER_DAY - LEAD_BINS, BandState())
    outcomes = came(loads, bands)
    within = np.array([band.lower <= one <= band.upper for band, one in zip(bands, outcomes, strict=True)])
    assert within[:60].mean() < 0.7
    assert 0.72 <= within[240:].mean() <= 0.9
    assert state.lower_stretch > 1.0 or state.upper_stretch > 1.0


@pytest.mark.parametrize(
    ("bins", "unknown", "is_told"),
    [
        pytest.param(0, slice(0), False, id="nothing-was-seen"),
        pytest.param(2 * HOUR_BINS + LEAD_BINS - 10, slice(0), False, id="less-than-two-hours-of-outcomes"),
        pytest.param(2 * HOUR_BINS + LEAD_BINS + 10, slice(0), True, id="two-hours-of-outcomes"),
        pytest.param(3 * HOUR_BINS, slice(-4, None), False, id="the-last-two-minutes-are-not-known"),
        pytest.param(3 * HOUR_BINS, slice(-2, None), True, id="one-of-the-last-two-minutes-is"),
        pytest.param(6 * HOUR_BINS, slice(50, 5 * HOUR_BINS), False, id="an-outage-is-no-evidence"),
    ],
)
def test_a_band_is_told_of_what_is_known_alone(bins: int, unknown: slice, is_told: bool) -> None:
    loads = office_days(1, seed=6)[:bins]
    loads[unknown] = np.nan
    assert (follow(BandState(), LoadHistory.of(0, loads), LEAD_SECONDS).band is not None) == is_told


def test_it_is_made_once_a_minute_and_stale_after_two() -> None:
    loads = office_days(1, seed=7)
    first = follow(BandState(), LoadHistory.of(0, loads[:1000]), LEAD_SECONDS)
    assert follow(first, LoadHistory.of(0, loads[:1001]), LEAD_SECONDS) is first
    second = follow(first, LoadHistory.of(0, loads[:1002]), LEAD_SECONDS)
    assert second.band is not None
    assert second.band.due == 1001 + LEAD_BINS
    bin_ns = BIN_SECONDS * NS_PER_SECOND
    assert second.band_at(1002 * bin_ns) is second.band
    assert second.band_at(1006 * bin_ns) is second.band
    assert second.band_at(1007 * bin_ns) is None


def test_another_history_begins_anew() -> None:
    """As where the profile changed, and with it the unit of all loads."""
    loads = office_days(1, seed=8)
    before = follow(BandState(lower_stretch=2.0), LoadHistory.of(0, loads), LEAD_SECONDS)
    assert follow(before, LoadHistory(), LEAD_SECONDS) == BandState()


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.0, 0.01, 3.0, 5_000.0]),
    st.floats(0.0, 0.5),
    st.floats(1.0, 86_400.0),
    st.floats(0.0, 3.0),
)
def test_it_is_finite_and_in_order_whatever_the_load(
    seed: int, level: float, unknown_share: float, lead_seconds: float, stretch: float
) -> None:
    rng = np.random.default_rng(seed)
    loads = rng.gamma(2.0, level / 2.0 + 1e-9, BINS_PER_DAY + 500)
    loads[rng.random(len(loads)) < unknown_share] = np.nan
    state = BandState(lower_stretch=stretch, upper_stretch=stretch)
    state = follow(state, LoadHistory.of(7, loads), lead_seconds)
    if state.band is None:
        return
    assert 0.0 <= state.band.lower <= state.band.median <= state.band.upper < math.inf
    assert state.said == (state.band,)


def test_a_load_that_never_moves_has_a_narrow_band_that_closes() -> None:
    loads = np.full(BINS_PER_DAY, 5.0)
    bands, _ = told(loads, BINS_PER_DAY // 2, BINS_PER_DAY, BandState())
    assert bands[0].upper - bands[0].lower == pytest.approx(0.04 * 5.05)
    assert bands[-1].upper - bands[-1].lower < 0.5 * (bands[0].upper - bands[0].lower)
    assert all(band.median == pytest.approx(5.0) for band in bands)
