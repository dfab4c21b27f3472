"""Forecasts: distributions that hold what they say, whatever the samples are."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.errors import BadInput
from policies.forecast.forecaster import forecast, initial_state, observe
from policies.forecast.spec import ForecastSpec, check
from policies.snapshot import NS_PER_SECOND

SPEC = ForecastSpec(horizons_seconds=(120, 600))
MINUTE_NS = 60 * NS_PER_SECOND


def _after(values, spec=SPEC):
    """The state after one sample a minute; values: (minutes,) or (minutes, targets)."""
    state = initial_state(spec, np.asarray(values[0]).size)
    for minute, value in enumerate(values):
        state = observe(spec, state, (minute + 1) * MINUTE_NS, value)
    return state


def _bands(series, horizon_seconds, levels):
    """Quantiles said after each minute but the last ones, and what came.

    series: (minutes, targets). Shapes (origins, targets, levels), (origins, targets).
    """
    state, said, steps = initial_state(SPEC, series.shape[1]), [], horizon_seconds // 60
    for minute, values in enumerate(series):
        state = observe(SPEC, state, (minute + 1) * MINUTE_NS, values)
        ahead = forecast(SPEC, state, horizon_seconds)
        said.append(np.stack([ahead.quantile(level) for level in levels], axis=-1))
    return np.array(said[:-steps]), series[steps:]


def test_before_any_minute_there_is_none():
    """Nothing seen is nothing said."""
    assert forecast(SPEC, initial_state(SPEC), 300) is None


def test_the_first_minute_gives_a_band_of_the_prior_width():
    """One sample: the median is that sample, and the quarters are the prior's."""
    ahead = forecast(SPEC, _after([10.0]), 300)
    assert ahead.median[0] == pytest.approx(10.0)
    sigma = (ahead.quantile(0.75)[0] - 10.0) / 0.6745
    assert sigma == pytest.approx(10.0 * SPEC.prior_sigma * 1.25, rel=0.01)


def test_a_steady_demand_gets_a_narrow_band():
    """An hour without change: the band is a small part of the first one."""
    narrow, first = (forecast(SPEC, _after([10.0] * minutes), 120) for minutes in (240, 1))
    widths = [each.quantile(0.975)[0] - each.quantile(0.025)[0] for each in (narrow, first)]
    assert widths[0] < 0.2 * widths[1]


def test_the_band_covers_what_it_says_and_the_median_is_smooth():
    """A level that wanders, with little noise and with much: 93 to 97 % of 20 hours lie within the central 95 %.

    Noise alone, of deviation 2: the median's errors are the noise's, not sqrt(2) times that as the last value's are.
    """
    rng = np.random.default_rng(7)
    level = 50.0 * np.exp(np.sin(np.arange(1_800) / 150.0))
    noise = rng.standard_normal((1_800, 3))
    series = np.stack(
        [level * np.exp(0.05 * noise[:, 0]), level * np.exp(0.3 * noise[:, 1]), 10.0 + 2.0 * noise[:, 2].clip(-3, 3)],
        axis=1,
    )
    said, came = _bands(series, 120, (0.025, 0.5, 0.975))
    within = ((came >= said[..., 0]) & (came <= said[..., 2]))[600:].mean(axis=0)
    assert ((within >= 0.93) & (within <= 0.97)).all(), within
    error = np.sqrt(((came[600:, 2] - said[600:, 2, 1]) ** 2).mean())
    assert error < 1.15 * 2.0


def test_a_unit_slip_widens_the_band_and_is_learned():
    """Samples 60 times as high from one minute on: the band is wide at once, and holds the new level soon."""
    rng = np.random.default_rng(5)
    series = 10.0 * np.exp(0.05 * rng.standard_normal(500))
    series[300:] *= 60.0
    bands, outcomes = _bands(series[:, None], 120, (0.025, 0.975))
    said, came = bands[:, 0], outcomes[:, 0]
    widths = said[:, 1] - said[:, 0]
    assert widths[301] > 60.0 * widths[290:299].mean()
    late = slice(400, None)
    assert ((came >= said[:, 0]) & (came <= said[:, 1]))[late].mean() > 0.9


def test_missing_samples_widen_the_band():
    """Asked ten minutes after the newest minute, the band is that of a horizon ten minutes longer."""
    rng = np.random.default_rng(2)
    state = _after(20.0 * np.exp(0.1 * np.cumsum(rng.standard_normal(400)) / 3))
    newest_ns = 400 * MINUTE_NS
    fresh, stale = (forecast(SPEC, state, 120, now_ns=newest_ns + age * MINUTE_NS) for age in (0, 8))
    assert stale.values == pytest.approx(forecast(SPEC, state, 600).values)
    assert np.ptp(stale.values) > np.ptp(fresh.values)


def test_a_target_without_a_sample_is_unknown():
    """Not 0: NaN beside one that has samples, None alone."""
    state = _after(np.array([[5.0, np.nan]] * 3))
    assert np.isnan(forecast(SPEC, state, 120).values[1]).all()
    assert np.isfinite(forecast(SPEC, state, 120).values[0]).all()
    assert forecast(SPEC, _after([np.nan, np.nan]), 120) is None


def test_targets_do_not_see_each_other():
    """Three targets at once get what each gets alone."""
    rng = np.random.default_rng(4)
    values = np.exp(rng.standard_normal((80, 3)))
    values[40:45, 1] = np.nan
    together = forecast(SPEC, _after(values), 600).values
    alone = [forecast(SPEC, _after(values[:, [at]]), 600).values[0] for at in range(3)]
    assert together == pytest.approx(np.array(alone), rel=1e-6)


def test_a_state_is_a_value():
    """Observing leaves the state before as it was."""
    state = _after([1.0, 2.0, 3.0, 2.0])
    before = forecast(SPEC, state, 120).values.copy()
    observe(SPEC, observe(SPEC, state, 5 * MINUTE_NS, 50.0), 6 * MINUTE_NS, 0.0)
    assert np.array_equal(forecast(SPEC, state, 120).values, before)


def test_a_daily_profile_is_used():
    """A demand that doubles at the same time every day is expected to, ten minutes before it does on the third day."""
    rng = np.random.default_rng(6)
    minute = np.arange(3 * 1_440)
    series = np.where(minute % 1_440 < 720, 10.0, 20.0) * np.exp(0.02 * rng.standard_normal(len(minute)))
    spec = ForecastSpec(horizons_seconds=(600,))
    state = _after(series[: 2 * 1_440 + 715], spec)
    assert forecast(spec, state, 600).quantile(0.9)[0] > 14.0


@settings(max_examples=25)
@given(
    values=st.lists(st.one_of(st.floats(allow_nan=True, allow_infinity=True, width=32), st.just(0.0)), max_size=60),
    steps=st.lists(st.integers(-100, 100_000), max_size=60),
    horizon_seconds=st.floats(1.0, 10_000.0),
)
def test_nothing_that_samples_can_be_raises(values, steps, horizon_seconds):
    """Any values at any instants: quantiles are finite, 0 or more, and ascend with the probability."""
    state, second = initial_state(SPEC), 0
    for value, step in zip(values, steps, strict=False):
        second += step
        state = observe(SPEC, state, second * NS_PER_SECOND, min(value, 1e12) if math.isfinite(value) else value)
    ahead = forecast(SPEC, state, horizon_seconds)
    if ahead is not None:
        quantiles = [float(ahead.quantile(p)[0]) for p in (0.001, 0.01, 0.3, 0.5, 0.8, 0.99, 0.999)]
        assert all(math.isfinite(each) and each >= 0 for each in quantiles)
        assert quantiles == sorted(quantiles)


@pytest.mark.parametrize("horizons", [(), (90,), (300, 120), (120, 120), (0, 60)])
def test_horizons_are_checked(horizons):
    """A wrong horizon is named."""
    with pytest.raises(BadInput, match="horizonsSeconds: was"):
        check(ForecastSpec(horizons_seconds=horizons))
