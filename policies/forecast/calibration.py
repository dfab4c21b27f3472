"""Coverage held online: offsets that move whenever the quantiles that were given were too low or too high.

Each offset moves by step x (p - 1{outcome <= quantile}), so that over any long stretch a share p of the outcomes lies
below the quantile, whatever the demand does: Gibbs and Candès 2021, "Adaptive conformal inference under distribution
shift"; here on the quantile itself, in units of the band, as Angelopoulos, Candès and Tibshirani 2023, "Conformal PID
control for time series prediction", section 2.
"""

import numpy as np
from numpy.typing import NDArray

from policies.forecast.levels import LEVELS

F8 = NDArray[np.float64]

STEP = 0.004
"""Of half the central 95 % band, for an outcome in the far tail."""

_STEPS = STEP * (2.0 * np.array(LEVELS) - 1.0) ** 2
"""None at the median, which the regressions hold by themselves and where a step costs most."""

_MOST = 2.0

_LOW, _HIGH = LEVELS.index(0.025), LEVELS.index(0.975)


def calibrated(quantiles: F8, offsets: F8) -> F8:
    """The quantiles moved by their offsets, ascending. Both of shape (targets, horizons, levels)."""
    return np.sort(quantiles + offsets * _half_band(quantiles), axis=-1)


def corrected(offsets: F8, said: F8, outcome: F8) -> F8:
    """After one outcome of shape (targets, horizons); NaN moves nothing. said: the calibrated quantiles."""
    is_known = np.isfinite(outcome)[..., None]
    step = _STEPS * (np.array(LEVELS) - (outcome[..., None] <= said))
    return np.clip(offsets + np.where(is_known, step, 0.0), -_MOST, _MOST)


def _half_band(quantiles: F8) -> F8:
    return 0.5 * (quantiles[..., [_HIGH]] - quantiles[..., [_LOW]])
