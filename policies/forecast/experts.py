"""The experts, and how much each is listened to: by the pinball loss that it had, for each horizon and probability."""

import numpy as np
from numpy.typing import NDArray

from policies.forecast.features import NAMES
from policies.forecast.levels import LEVELS

F8 = NDArray[np.float64]

_WIDTH = (*(name for name in NAMES if name.startswith("moved_")), "height", "constant")

EXPERTS: dict[str, tuple[str, ...]] = {
    # Demand stays where it is, give or take what it has moved lately.
    "persistence": _WIDTH,
    # It also goes on, or back, as levels of the last minutes and hours say: damped trends and mean reversion.
    "level": tuple(name for name in NAMES if not name.endswith("d")),
    # It also does what it did yesterday and a week ago.
    "profile": NAMES,
}
"""Each is a quantile regression on these features; a richer one may be better, and needs longer to learn."""

PLACES = {expert: np.array([NAMES.index(name) for name in names]) for expert, names in EXPERTS.items()}
"""Of each expert's features along the last axis of all features."""

_SHARPNESS = 60.0
"""An expert whose loss is 1 % above the mean weighs exp(-0.6) of one at the mean."""

_TRUST_AFTER = 10.0
"""Outcomes after which skill counts by half."""


def pinball(outcome: F8, said: F8) -> F8:
    """Loss of quantiles at LEVELS (last axis). outcome: without that axis."""
    miss = outcome[..., None] - said
    levels = np.array(LEVELS)
    loss: F8 = np.maximum(levels * miss, (levels - 1.0) * miss)
    return loss


def weights(losses: F8, outcomes: F8) -> F8:
    """Shape of losses, sum 1 over experts: exponential in the loss relative to the experts' mean.

    losses: decayed sums, shape (targets, horizons, experts, levels). outcomes: their decayed count, shape (targets,
    horizons). Exponentially weighted averages of forecasters: Cesa-Bianchi and Lugosi 2006, "Prediction, learning, and
    games", chapter 2; relative losses make them the same in every unit of demand.
    """
    mean = losses.mean(axis=2, keepdims=True)
    relative = np.divide(losses, mean, out=np.ones_like(losses), where=mean > 0) - 1.0
    trust = outcomes / (outcomes + _TRUST_AFTER)
    raw = np.exp(-_SHARPNESS * trust[..., None, None] * relative)
    shares: F8 = raw / raw.sum(axis=2, keepdims=True)
    return shares


def mixed(said: F8, shares: F8) -> F8:
    """Quantiles averaged over experts, ascending: each expert's shape is kept, where averaged probabilities widen it.

    Ratcliff 1979, "Group reaction time distributions and an analysis of distribution statistics" (Vincentization).
    """
    return np.sort((said * shares).sum(axis=2), axis=-1)
