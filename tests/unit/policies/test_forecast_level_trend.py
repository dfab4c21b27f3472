"""The forecaster: persistence where nothing trends, the trend where it does, a band that covers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.forecast.level_trend import History, LevelTrendSpec, forecast, observe
from policies.snapshot import NS_PER_SECOND

SPEC = LevelTrendSpec()
STEP = 15


def seen(samples: list[float], spec: LevelTrendSpec = SPEC) -> History:
    history: History = ()
    for index, demand in enumerate(samples):
        history = observe(spec, history, index * STEP * NS_PER_SECOND, demand)
    return history


def test_constant_demand_is_forecast_as_itself() -> None:
    history = seen([7.0] * 200)
    ahead = forecast(SPEC, history, 240)
    assert ahead.median == pytest.approx(7.0)
    assert ahead.quantile(0.9) < 7.0 * 1.15  # the prior width has faded: nothing ever went wrong


def test_a_steady_ramp_is_followed_by_the_trend() -> None:
    """After 40 minutes of growth the trend expert speaks, and its forecast lies above the level."""
    history = seen([5.0 + 0.01 * STEP * index for index in range(160)])
    ahead = forecast(SPEC, history, 240)
    assert ahead.expert == "trend"
    assert ahead.median > history[-1].level * 1.05


def test_the_first_sample_gives_the_prior_band() -> None:
    ahead = forecast(SPEC, seen([4.0]), 240)
    assert ahead.median == pytest.approx(4.0)
    assert ahead.sigma == pytest.approx(SPEC.prior_sigma)


def test_the_90_percent_quantile_covers_about_90_percent_of_noisy_demand() -> None:
    """On an AR(1) process in logs, seed 3, one-lead-time-ahead quantiles cover 84 to 97 % of what comes."""
    rng = np.random.default_rng(3)
    log_rate, covered, total = 0.0, 0, 0
    history: History = ()
    promised: dict[int, float] = {}
    for index in range(2_000):
        log_rate = 0.995 * log_rate + 0.03 * rng.standard_normal()
        history = observe(SPEC, history, index * STEP * NS_PER_SECOND, 10 * math.exp(log_rate))
        if index in promised:
            total += 1
            covered += history[-1].level <= promised.pop(index)
        if index > 240:
            promised[index + 16] = forecast(SPEC, history, 240).quantile(0.9)
    assert 0.84 <= covered / total <= 0.97


def test_old_errors_are_forgotten() -> None:
    history = seen([5.0] * 1_000)
    assert len(history) <= SPEC.memory_seconds / STEP + 2


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param([0.0] * 50, id="all-zero"),
        pytest.param([0.0] * 20 + [50.0] * 20, id="from-nothing-to-much"),
        pytest.param([-3.0, 5.0, -1.0], id="negative-counts-as-zero"),
        pytest.param([1e9, 0.0, 1e9], id="extremes"),
    ],
)
def test_odd_histories_give_finite_forecasts(samples: list[float]) -> None:
    ahead = forecast(SPEC, seen(samples), 240)
    assert math.isfinite(ahead.quantile(0.99))
    assert ahead.quantile(0.99) >= ahead.median >= 0


@given(st.lists(st.floats(0, 1e4), min_size=1, max_size=80), st.floats(1, 3_600))
def test_a_higher_quantile_is_never_a_lower_demand(samples: list[float], horizon: float) -> None:
    ahead = forecast(SPEC, seen(samples), horizon)
    assert ahead.quantile(0.5) <= ahead.quantile(0.8) <= ahead.quantile(0.99)


def test_a_sample_that_is_not_newer_is_ignored() -> None:
    history = seen([3.0, 4.0])
    assert observe(SPEC, history, history[-1].at_ns, 99.0) == history
