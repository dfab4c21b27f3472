"""Online quantile regression against laws whose quantiles are known."""

from statistics import NormalDist

import numpy as np
import pytest

from policies.forecast import calibration
from policies.forecast import quantile_regression as regression
from policies.forecast.experts import mixed, weights
from policies.forecast.levels import LEVELS, between


def _learned(features, outcomes):
    prior = np.zeros((1, features.shape[1], len(LEVELS)))
    state = regression.starting(prior, targets=1, ridge=10.0, spread=1.0)
    for row, outcome in zip(features, outcomes, strict=True):
        said = regression.quantiles(state, row[None, None])
        state = regression.learned(
            state, row[None, None], said, np.array([[outcome]]), prior=prior, ridge=10.0, memory_bins=4_000.0
        )
    return state


def test_quantiles_of_a_spread_that_a_feature_says():
    """Outcome 2 + x e, e normal: the 90 % quantile is 2 + 1.28 x, at a small x and at a large one."""
    rng = np.random.default_rng(1)
    x = rng.uniform(0.5, 2.0, 6_000)
    state = _learned(np.stack([np.ones_like(x), x], axis=1), 2.0 + x * rng.standard_normal(len(x)))
    for at in (0.7, 1.8):
        said = regression.quantiles(state, np.array([[[1.0, at]]]))[0, 0]
        assert said[LEVELS.index(0.9)] == pytest.approx(2.0 + 1.2816 * at, abs=0.2)
        assert said[LEVELS.index(0.5)] == pytest.approx(2.0, abs=0.15)


def test_an_unknown_outcome_changes_nothing():
    """NaN teaches nothing."""
    state = _learned(np.ones((50, 1)), np.arange(50.0))
    prior = np.zeros((1, 1, len(LEVELS)))
    said = regression.quantiles(state, np.ones((1, 1, 1)))
    after = regression.learned(
        state, np.ones((1, 1, 1)), said, np.array([[np.nan]]), prior=prior, ridge=10.0, memory_bins=100.0
    )
    assert np.array_equal(after.weights, state.weights)
    assert np.array_equal(after.moments, state.moments)


@pytest.mark.parametrize("probability", [0.001, 0.025, 0.2, 0.5, 0.8, 0.99, 0.999])
def test_quantiles_between_levels_are_exact_for_a_normal_law(probability):
    """Also beyond the outermost levels."""
    law = NormalDist(3.0, 2.0)
    values = np.array([law.inv_cdf(level) for level in LEVELS])
    assert float(between(values, probability)) == pytest.approx(law.inv_cdf(probability))


def test_the_worse_expert_is_hardly_heard():
    """Twice the loss over many outcomes: nearly no weight; without outcomes: equal ones."""
    losses = np.array([1.0, 2.0])[None, None, :, None] * np.full((1, 1, 2, len(LEVELS)), 500.0)
    assert weights(losses, np.array([[500.0]]))[0, 0, 1].max() < 1e-6
    assert weights(losses, np.array([[0.0]])) == pytest.approx(0.5)


def test_an_average_of_quantiles_lies_between_them():
    """Equal shares: the mean of the experts' quantiles."""
    said = np.sort(np.random.default_rng(1).normal(size=(1, 1, 2, len(LEVELS))), axis=-1)
    assert mixed(said, np.full(said.shape, 0.5))[0, 0] == pytest.approx(said[0, 0].mean(axis=0))


def test_calibration_finds_the_coverage_of_a_band_that_is_too_narrow():
    """Outcomes 1.3 times as wide as the band says: after a while 95 % lie within the moved one."""
    rng = np.random.default_rng(9)
    band = np.array([NormalDist().inv_cdf(level) for level in LEVELS])[None, None]
    offsets, within = np.zeros_like(band), []
    for outcome in 1.3 * rng.standard_normal(6_000):
        said = calibration.calibrated(band, offsets)
        within.append(said[0, 0, LEVELS.index(0.025)] <= outcome <= said[0, 0, LEVELS.index(0.975)])
        offsets = calibration.corrected(offsets, said, np.array([[outcome]]))
    assert np.mean(within[:400]) < 0.91
    assert 0.93 <= np.mean(within[3_000:]) <= 0.97
