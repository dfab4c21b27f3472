"""The probabilities at which forecasts are held, and how others lie between them."""

from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]

LEVELS = (0.01, 0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99)
"""Learned one by one: the quarters, both ends of the central 95 %, and the upper tail that capacity is sized by."""

NORMAL_SCORES: F8 = np.array([NormalDist().inv_cdf(level) for level in LEVELS])

NORMAL_DENSITIES: F8 = np.array([NormalDist().pdf(float(score)) for score in NORMAL_SCORES])


def between(values: F8, probability: float) -> F8:
    """The quantile at any probability in (0, 1). values: at LEVELS, ascending, shape (..., levels).

    Linear in the normal score, and beyond the outermost levels with the slope of the outermost two: exact for a normal
    law, a guess for any other.
    """
    score = NormalDist().inv_cdf(probability)
    upper = int(np.clip(np.searchsorted(NORMAL_SCORES, score), 1, len(LEVELS) - 1))
    low, high = NORMAL_SCORES[upper - 1], NORMAL_SCORES[upper]
    share = (score - low) / (high - low)
    value: F8 = values[..., upper - 1] + share * (values[..., upper] - values[..., upper - 1])
    return value
