"""Linear quantile regression that learns from one outcome at a time, for many targets and horizons at once.

The coefficients of each probability p follow the gradient of the pinball loss, p - 1{outcome < quantile} (Koenker and
Bassett 1978, "Regression quantiles"), through the inverse of the features' second moments, as Newton's method would:
the loss's second derivative is that matrix times the density of the outcome at the quantile, taken as a normal one's
with the spread of the errors so far. Old outcomes fade; a ridge holds coefficients that nothing is known about at
their prior. Since the constant is a feature, the same steps hold coverage over time: this is the online quantile
tracking of Gibbs and Candès 2021 ("Adaptive conformal inference under distribution shift"), conditional on features.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.forecast.levels import LEVELS, NORMAL_DENSITIES

F8 = NDArray[np.float64]

LONGEST_STEP = 0.5
"""How far one outcome may move a quantile, in spreads of the error: what bounds the steps of the first minutes."""

_LARGEST_SURPRISE = 5.0
"""In spreads: a larger error counts as one of this size, so that one jump does not make all steps long."""

_SLOWEST_SPREAD = 0.005
"""Share of the newest error in the spread once there are many: a memory of 200 minutes."""

_KEPT_RIDGE = 0.02
"""Of the prior's worth, that is left when all else was forgotten several times."""

ABS_TO_SIGMA = 1.25
"""Mean absolute deviation -> standard deviation of a normal law: sqrt(pi / 2)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regression:
    """moments: decayed sums of the features' products, shape (targets, horizons, features, features).

    weights: shape (targets, horizons, features, levels). spread: standard deviation of the error, shape (targets,
    horizons). outcomes: how many were learned from, same shape.
    """

    moments: F8
    weights: F8
    spread: F8
    outcomes: F8


def starting(prior: F8, *, targets: int, ridge: float, spread: float) -> Regression:
    """Nothing learned. prior: weights, shape (horizons, features, levels). ridge: outcomes that the prior is worth."""
    horizons, features, _ = prior.shape
    return Regression(
        moments=np.tile(ridge * np.eye(features), (targets, horizons, 1, 1)),
        weights=np.tile(prior, (targets, 1, 1, 1)),
        spread=np.full((targets, horizons), spread),
        outcomes=np.zeros((targets, horizons)),
    )


def quantiles(regression: Regression, features: F8) -> F8:
    """Ascending, shape (targets, horizons, levels). features: shape (targets, horizons, features)."""
    said: F8 = np.einsum("thf,thfl->thl", features, regression.weights, optimize=False)
    return np.sort(said, axis=-1)


def learned(
    regression: Regression, features: F8, said: F8, outcome: F8, *, prior: F8, ridge: float, memory_bins: float
) -> Regression:
    """One step. outcome: NaN where unknown, shape (targets, horizons); said: the quantiles forecast for it.

    memory_bins: half-life of what was learned, in outcomes.
    """
    is_known = np.isfinite(outcome)
    fade = np.where(is_known, 0.5 ** (1.0 / memory_bins), 1.0)
    seen = np.where(is_known[..., None], features, 0.0)
    moments = regression.moments * fade[..., None, None]
    moments += seen[..., :, None] * seen[..., None, :]
    diagonal = np.einsum("thff->thf", moments)  # a view
    kept = (_KEPT_RIDGE * ridge * (1.0 - fade))[..., None]
    diagonal += kept

    middle = said[..., LEVELS.index(0.5)]
    outcomes = regression.outcomes + is_known
    surprise = np.minimum(ABS_TO_SIGMA * np.abs(outcome - middle), _LARGEST_SURPRISE * regression.spread)
    share = np.maximum(_SLOWEST_SPREAD, 1.0 / (outcomes + 1.0))
    spread = np.where(is_known, regression.spread + share * (surprise - regression.spread), regression.spread)

    toward = kept[..., None] * (prior - regression.weights)
    solved = np.linalg.solve(moments, np.concatenate([seen[..., None], toward], axis=-1))
    direction, pull = solved[..., 0], solved[..., 1:]
    reach = np.maximum(np.einsum("thf,thf->th", seen, direction), 1e-12)
    gain = np.minimum(1.0 / NORMAL_DENSITIES, LONGEST_STEP / reach[..., None])
    gradient = np.where(is_known[..., None], np.array(LEVELS) - (outcome[..., None] < said), 0.0)
    step = direction[..., :, None] * (spread[..., None] * gain * gradient)[..., None, :]
    weights = regression.weights + pull + step
    return Regression(moments=moments, weights=weights, spread=spread, outcomes=outcomes)
