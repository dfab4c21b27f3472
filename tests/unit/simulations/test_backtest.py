"""Back-tests: scores by hand, rivals that see nothing of what comes, demand as minutes."""

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.backtest.minutes import minute_rates
from simulations.backtest.residuals import WAYS, Way, with_residuals
from simulations.backtest.scores import LEVELS, SCORED, score
from simulations.backtest.walk_forward import (
    LEADTIME,
    MSTL,
    PERSISTENCE,
    SEASONAL,
    BacktestPlan,
    backtest,
    default_start,
)
from simulations.demand.text import demand_from
from simulations.report.backtest_page import backtest_html


def test_pinball_coverage_and_width_by_hand():
    """A point forecast of 10: an outcome of 12 costs 2 p, one of 8 costs 2 (1 - p), and no band covers either."""
    judged = score("x", 60, np.array([12.0, 8.0]), np.full((2, len(LEVELS)), 10.0))
    assert judged.pinball == pytest.approx([(2 * p + 2 * (1 - p)) / 2 for p in SCORED])
    assert (judged.coverage, judged.width) == (0.0, 0.0)


def test_a_band_that_holds_covers():
    """The outcome on its edge counts as within."""
    said = np.tile(np.array([5.0, 10.0, 12.0, 13.0, 15.0, 17.0]), (2, 1))
    judged = score("x", 60, np.array([15.0, 4.9]), said)
    assert judged.coverage == 0.5
    assert judged.width == 10.0


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_residuals_look_at_the_past_only(way):
    """What comes after an origin changes nothing of its quantiles."""
    rng = np.random.default_rng(1)
    series = 10.0 + rng.random(400)
    origins = range(200, 300)
    said = with_residuals(series, series, 5, origins, LEVELS, way)
    other = series.copy()
    other[251:] = 1_000.0
    changed = with_residuals(other, other, 5, origins, LEVELS, way)
    assert np.array_equal(said[:51], changed[:51])
    assert not np.array_equal(said[51:], changed[51:])


def test_residuals_are_the_empirical_quantiles():
    """Differences of 0, 1, ... 100, equally often: the median forecast is 50 above the point."""
    series = np.zeros(404)
    series[1::2] = np.arange(202) % 101  # from each 0 to the next minute: 0..100
    points = np.where(np.arange(404) % 2 == 0, 0.0, np.nan)
    way = Way(is_ratio=False, window_days=1)
    said = with_residuals(series, points, 1, range(402, 403), LEVELS, way)
    assert said[0, LEVELS.index(0.5)] == pytest.approx(50.0)
    assert said[0, LEVELS.index(0.9)] == pytest.approx(90.0)


@pytest.mark.parametrize(
    ("minutes", "start"), [(58, 29), (1_440, 720), (11_519, 5_759), (11_520, 10_080), (20_160, 10_080)]
)
def test_where_judging_begins(minutes, start):
    """Half of a short recording, a week of one of eight days or more."""
    assert default_start(minutes) == start


def test_minutes_hold_every_request_once():
    """Minutes' rates times 60 are the requests of the whole minutes, drawn ones too."""
    for text in ("poisson:rate=3,minutes=50", "poisson:rate=2,minutes=45 + poisson:rate=1,minutes=45"):
        demand = demand_from(text)
        rates = minute_rates(demand)
        arrivals = np.concatenate([piece.arrival_seconds for piece in demand.pieces()])
        assert len(rates) == demand.duration_seconds // 60
        assert 60 * rates.sum() == pytest.approx((arrivals < 60 * len(rates)).sum())


def test_a_short_recording_is_refused():
    """The message says how long it must be."""
    with pytest.raises(BadInput, match="lasts 20 whole minutes, must last at least 40"):
        minute_rates(demand_from("poisson:rate=3,minutes=20"))


@pytest.fixture(scope="module")
def judged():
    """Noise around a level for four hours: a day's season cannot be known."""
    series = 10.0 + np.random.default_rng(8).standard_normal(300)
    plan = BacktestPlan(start=200, horizons_seconds=(120, 300), rivals=(PERSISTENCE, SEASONAL, MSTL))
    return backtest("noise", series, plan)


def test_what_needs_more_history_is_not_applicable(judged):
    """It is named, with what it needs, and has no score."""
    assert judged.not_applicable[SEASONAL] == "needs 24 h of history before the judged part, has 3.3 h"
    assert judged.not_applicable[MSTL].startswith("needs 48 h")
    assert {each.model for each in judged.scores} == {LEADTIME, PERSISTENCE}


def test_noise_is_forecast_better_than_by_persistence(judged):
    """Its level has 1 / sqrt(2) of the last value's error: more than 10 % less pinball loss."""
    for seconds in (120, 300):
        assert judged.gain(seconds) > 0.1
        assert judged.best_rival(seconds).model == PERSISTENCE


def test_nothing_of_the_future_is_seen():
    """Another end of the series leaves the forecasts before it as they were."""
    series = 10.0 + np.random.default_rng(8).standard_normal(120)
    other = series.copy()
    other[100:] = 500.0
    plan = BacktestPlan(start=80, horizons_seconds=(120,), rivals=())
    first, second = (backtest("x", each, plan).bands[120] for each in (series, other))
    assert np.array_equal(first[:20], second[:20])
    assert not np.array_equal(first[20:], second[20:])


def test_too_little_to_judge_is_refused():
    """Training that leaves nothing to judge."""
    with pytest.raises(BadInput, match=r"train: was 95 minutes, must be in \[10, 85\]"):
        backtest("x", np.ones(100), BacktestPlan(start=95, horizons_seconds=(300,), rivals=()))


def test_the_page_shows_scores_and_bands(judged):
    """Every score is in it, and one plot a horizon."""
    page = backtest_html([judged])
    assert page.count('<div class="plot"') == 2
    for each in judged.scores:
        assert f"{each.mean_pinball:.4g}" in page
    assert "seasonal naive: needs 24 h" in page


def test_auto_ets_forecasts_the_level_of_noise():
    """statsforecast's own model, walked forward: its point is the level, its 95 % band covers."""
    pytest.importorskip("statsforecast")
    from simulations.backtest import statistical

    series = 10.0 + np.random.default_rng(8).standard_normal(200)
    walked = statistical.walk(series, (2,), range(160, 198), LEVELS, is_seasonal=False)
    assert np.abs(walked.points[0, 160:198] - 10.0).mean() < 0.5
    own = walked.own[0, 160:198]
    covered = (series[162:200] >= own[:, LEVELS.index(0.025)]) & (series[162:200] <= own[:, LEVELS.index(0.975)])
    assert 0.88 <= covered.mean() <= 1.0


def test_mstl_knows_the_time_of_day():
    """A demand that follows the hour: its season is off by little, wherever the series ends."""
    pytest.importorskip("statsforecast")
    from simulations.backtest import statistical

    minute = np.arange(3 * 1_440 + 137)
    series = 10.0 + 5.0 * np.sin(2 * np.pi * minute / 1_440)
    season = statistical._season(series)
    ahead = np.arange(len(series), len(series) + 600)
    assert np.abs(season[ahead % len(season)] - 5.0 * np.sin(2 * np.pi * ahead / 1_440)).max() < 0.5
