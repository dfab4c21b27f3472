"""What a forecast may depend on: smoothed levels, how much demand has moved, and other days, all relative to the level.

Everything is divided by a level of the last minutes and clipped, so that coefficients mean the same at every size of
demand and a jump of any height is a number that can be learned from.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from policies.forecast.bins import BIN_SECONDS
from policies.forecast.history import BINS_PER_DAY, History, around

F8 = NDArray[np.float64]

LEVEL_BINS = (2, 5, 15, 60, 240, 1_440)
MOVED_BINS = (10, 60, 360, 1_440)
STEP_BINS = (5, 30)
DAYS_BACK = (1, 7)

NAMES = (
    *(f"level_{bins}" for bins in LEVEL_BINS),  # mean of the last minutes, less the newest
    *(f"moved_{bins}" for bins in MOVED_BINS),  # mean |change over one horizon|
    *(f"step_{bins}" for bins in STEP_BINS),  # mean |change over one minute|
    "away_15",  # |newest - level_15|
    "away_60",
    *(name for day in DAYS_BACK for name in (f"change_{day}d", f"profile_{day}d")),  # what that day did from here on
    "height",  # newest / level_1440 - 1
    "constant",
)
"""In this order along the last axis of `features`."""

_UNIT_LEVELS = [LEVEL_BINS.index(15), LEVEL_BINS.index(1_440)]
_MOST = 2.0
"""No feature is larger, in levels: what a few jumps would otherwise teach holds for nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Smoothed:
    """Decayed means; in the first minutes they are plain means, so that they start without a bias.

    newest: shape (targets,). levels: (targets, LEVEL_BINS). moved: (targets, horizons, MOVED_BINS). steps: (targets,
    STEP_BINS). counts: minutes that went in, (targets,).
    """

    newest: F8
    levels: F8
    moved: F8
    steps: F8
    counts: F8

    @classmethod
    def empty(cls, targets: int, horizons: int) -> "Smoothed":
        return cls(
            newest=np.zeros(targets),
            levels=np.zeros((targets, len(LEVEL_BINS))),
            moved=np.zeros((targets, horizons, len(MOVED_BINS))),
            steps=np.zeros((targets, len(STEP_BINS))),
            counts=np.zeros(targets),
        )


def smoothed(before: Smoothed, means: F8, earlier: F8, *, prior_sigma: float) -> Smoothed:
    """With one more minute; a target whose mean is NaN keeps what it had.

    earlier: demand one horizon before this minute, shape (targets, horizons); NaN counts as a move of the prior size.
    """
    is_known = np.isfinite(means)
    newest = np.where(is_known, means, before.newest)
    counts = before.counts + is_known
    moved = np.abs(newest[:, None] - earlier)
    moved = np.where(np.isfinite(moved), moved, (prior_sigma * newest)[:, None])
    step = np.where(before.counts > 0, np.abs(newest - before.newest), prior_sigma * newest)
    return Smoothed(
        newest=newest,
        levels=_toward(before.levels, newest[:, None], LEVEL_BINS, counts[:, None], is_known[:, None]),
        moved=_toward(before.moved, moved[..., None], MOVED_BINS, counts[:, None, None], is_known[:, None, None]),
        steps=_toward(before.steps, step[:, None], STEP_BINS, counts[:, None], is_known[:, None]),
        counts=counts,
    )


def unit(smooth: Smoothed, floor: float) -> F8:
    """What the features, and the outcomes, are divided by: half the last minutes' level, half the day's; (targets,)."""
    level: F8 = np.maximum(smooth.levels[:, _UNIT_LEVELS].mean(axis=1), floor)
    return level


def features(smooth: Smoothed, history: History, horizons_bins: tuple[int, ...], floor: float) -> F8:
    """Shape (targets, horizons, NAMES). A look back to where nothing is known is 0: it then says nothing."""
    targets, horizons = len(smooth.newest), len(horizons_bins)
    newest, levels = smooth.newest[:, None], smooth.levels
    away = [np.abs(newest - levels[:, [LEVEL_BINS.index(bins)]]) for bins in (15, 60)]
    scale = unit(smooth, floor)[:, None]
    alike = np.concatenate([levels - newest, smooth.steps, *away], axis=1) / scale
    height = newest / np.maximum(levels[:, [LEVEL_BINS.index(1_440)]], floor) - 1.0
    rows = np.empty((targets, horizons, len(NAMES)))
    first_moved, first_step = len(LEVEL_BINS), len(LEVEL_BINS) + len(MOVED_BINS)
    first_look = first_step + len(STEP_BINS) + len(away)
    rows[..., :first_moved] = alike[:, None, :first_moved]
    rows[..., first_moved:first_step] = smooth.moved / scale[..., None]
    rows[..., first_step:first_look] = alike[:, None, first_moved:]
    rows[..., first_look:-2] = _other_days(smooth, history, horizons_bins) / scale[..., None]
    rows[..., -2] = height
    rows[..., -1] = 1.0
    return np.clip(rows, -_MOST, _MOST)


def _other_days(smooth: Smoothed, history: History, horizons_bins: tuple[int, ...]) -> F8:
    """(how demand changed over the horizon, how far it then was from now), for each of DAYS_BACK, in its own unit."""
    columns = []
    for day in DAYS_BACK:
        then = around(history, day * BINS_PER_DAY, len(smooth.newest))
        for bins in horizons_bins:
            ahead = around(history, day * BINS_PER_DAY - bins, len(smooth.newest))
            columns += [ahead - then, ahead - smooth.newest]
    looks = np.stack(columns, axis=1).reshape(len(smooth.newest), len(DAYS_BACK), len(horizons_bins), 2)
    return np.nan_to_num(looks.swapaxes(1, 2).reshape(len(smooth.newest), len(horizons_bins), -1))


def _toward(mean: F8, value: F8, memory_bins: tuple[int, ...], counts: F8, is_known: NDArray[np.bool_]) -> F8:
    """Each mean one minute on: a share 1 - exp(-1 / memory) of the newest, or 1 / count while that is more."""
    share = np.maximum(1.0 - np.exp(-1.0 / np.array(memory_bins)), 1.0 / np.maximum(counts, 1.0))
    return np.where(is_known, mean + share * (value - mean), mean)


assert BIN_SECONDS == 60, "the names and constants above are in minutes"
