"""How good quantile forecasts were: pinball loss, coverage and width."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]

LEVELS = (0.025, 0.5, 0.9, 0.95, 0.975, 0.99)
"""What every model forecasts: the four that are scored, and the ends of the central 95 % band."""

SCORED = (0.5, 0.9, 0.95, 0.99)
_SCORED_AT = [LEVELS.index(level) for level in SCORED]
LOW, HIGH = LEVELS.index(0.025), LEVELS.index(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Of one model at one horizon. pinball: mean loss at each of SCORED, in the demand's unit.

    coverage: share of the outcomes within the central 95 % band. width: its mean width, in the demand's unit.
    outcomes: how many were judged. how: where a model comes in several forms, which one this is.
    """

    model: str
    horizon_seconds: int
    pinball: tuple[float, ...]
    coverage: float
    width: float
    outcomes: int
    how: str = ""

    @property
    def mean_pinball(self) -> float:
        return sum(self.pinball) / len(self.pinball)


def score(model: str, horizon_seconds: int, outcomes: F8, said: F8, how: str = "") -> Score:
    """outcomes: shape (origins,). said: shape (origins, LEVELS). Origins whose forecast is NaN are not allowed."""
    assert np.isfinite(said).all(), f"{model} left a forecast out"
    miss = outcomes[:, None] - said[:, _SCORED_AT]
    levels = np.array(SCORED)
    losses = np.maximum(levels * miss, (levels - 1.0) * miss).mean(axis=0)
    return Score(
        model=model,
        horizon_seconds=horizon_seconds,
        pinball=tuple(float(loss) for loss in losses),
        coverage=float(((outcomes >= said[:, LOW]) & (outcomes <= said[:, HIGH])).mean()),
        width=float((said[:, HIGH] - said[:, LOW]).mean()),
        outcomes=len(outcomes),
        how=how,
    )
