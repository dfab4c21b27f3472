"""What the past says about the load ahead, as a dozen numbers in replicas: levels, fading peaks, unrest, the trend,
and what came at this time of day.

Capacity is a weighted sum of them (sizing.py). All but those of the day before are recursive: constant memory, and
one step costs the same for one workload and for an array of them.
"""

import math

import numpy as np

from policies.predictive.load_history import BIN_SECONDS, BINS_PER_DAY, F8, LoadHistory

_LEVEL_SECONDS = np.array([60.0, 120.0, 300.0, 600.0])
_PEAK_SECONDS = np.array([300.0, 900.0, 2_700.0, 8_100.0, 24_300.0])
_BROAD_PEAK_SECONDS = 900.0
_UNREST_SECONDS = np.array([3_600.0, 21_600.0])
_AROUND_BINS = 300 // BIN_SECONDS
"""The load at a time of day is the mean over 5 min before and after."""

RECURSIVE = (
    "one_replica",
    "level_now",
    "level_60s",
    "level_300s",
    "peak_300s",
    "peak_900s",
    "peak_2700s",
    "peak_8100s",
    "peak_24300s",
    "broad_peak_900s",
    "unrest_1h",
    "unrest_6h",
    "rise",
    "square_root",
)
TRAITS = (*RECURSIVE, "yesterday_ahead", "yesterday_most", "yesterdays_rise")
"""
level_*: exponential means with that time constant. peak_*: the largest load so far, fading towards the present one
with that time constant; broad_peak_900s: the same of the mean over 120 s. unrest_*: mean distance of the load from its
300 s level, over 1 and 6 h. rise: the 60 s level less the 600 s level, where positive. square_root: of the 60 s level,
as a Poisson margin grows. yesterday_ahead: the load one lead time ahead, a day ago. yesterday_most: the largest there
was within two of them, so that capacity is there before a ramp, and in time where pods take longer than usual.
yesterdays_rise: how much the present level grows if it rises as it did then.
"""

_STATE = len(_LEVEL_SECONDS) + len(_PEAK_SECONDS) + 1 + len(_UNREST_SECONDS) + 1


def _fade(seconds: F8 | float) -> F8:
    return np.asarray(np.exp(-BIN_SECONDS / np.asarray(seconds)))


_LEVEL_FADE, _PEAK_FADE, _UNREST_FADE = _fade(_LEVEL_SECONDS), _fade(_PEAK_SECONDS), _fade(_UNREST_SECONDS)
_BROAD_FADE = float(_fade(_BROAD_PEAK_SECONDS))


def begin(load: F8 | float) -> F8:
    """The state when nothing is known but this load: it was always so. Shape (..., state) for loads of shape (...)."""
    load = np.asarray(load, np.float64)
    state = np.repeat(load[..., None], _STATE, axis=-1)
    state[..., 10:12] = 0.0
    return state


def advance(state: F8, load: F8 | float) -> F8:
    """The state one bin later, in which the load was `load`; where that is NaN, the last known one goes on."""
    load = np.asarray(load, np.float64)
    load = np.where(np.isnan(load), state[..., 12], load)[..., None]
    levels = load + (state[..., 0:4] - load) * _LEVEL_FADE
    peaks = load + np.maximum(state[..., 4:9] - load, 0.0) * _PEAK_FADE
    broad = levels[..., 1:2] + np.maximum(state[..., 9:10] - levels[..., 1:2], 0.0) * _BROAD_FADE
    distance = np.abs(load - levels[..., 2:3])
    unrest = distance + (state[..., 10:12] - distance) * _UNREST_FADE
    return np.concatenate([levels, peaks, broad, unrest, load], axis=-1)


def recursive_traits(state: F8) -> F8:
    """Those of RECURSIVE, in that order; shape (..., 14)."""
    level_60, level_600 = state[..., 0:1], state[..., 3:4]
    return np.concatenate(
        [
            np.ones_like(level_60),
            state[..., 12:13],
            level_60,
            state[..., 2:3],
            state[..., 4:12],
            np.maximum(level_60 - level_600, 0.0),
            np.sqrt(level_60),
        ],
        axis=-1,
    )


def level_of_minutes(state: F8) -> F8:
    """The exponential mean of 300 s; shape (...)."""
    return np.asarray(state[..., 2])


def traits_now(state: F8, history: LoadHistory, now: int, lead_seconds: float) -> F8:
    """All of TRAITS for one workload in bin `now`; shape (traits,)."""
    recursive = recursive_traits(state)
    lead, since = _lead_bins(lead_seconds), now - BINS_PER_DAY - _AROUND_BINS
    around = _means(history.between(since, since + 2 * (lead + _AROUND_BINS) + 1))
    means = around[_AROUND_BINS : len(around) - _AROUND_BINS]
    return np.append(recursive, _of_yesterday(means[None], lead, recursive[3:4]))


def all_traits(loads: F8, lead_seconds: float) -> F8:
    """TRAITS of a recording, as they were at the end of each bin; shape (traits, bins)."""
    rows = np.empty((len(loads), len(RECURSIVE)))
    known = loads[~np.isnan(loads)]
    state = begin(float(known[0]) if len(known) else 0.0)
    for at, load in enumerate(loads):
        state = advance(state, load)
        rows[at] = recursive_traits(state)
    lead = _lead_bins(lead_seconds)
    reach = min(2 * lead, BINS_PER_DAY) + 1
    means = _means(np.concatenate([np.full(BINS_PER_DAY, np.nan), loads]))[: len(loads) + reach - 1]
    windows = np.lib.stride_tricks.sliding_window_view(means, reach)
    return np.concatenate([rows.T, _of_yesterday(windows, lead, rows[:, 3])])


_MOST_RISE = 2.0


def _lead_bins(lead_seconds: float) -> int:
    return max(1, math.ceil(lead_seconds / BIN_SECONDS))


def _means(loads: F8) -> F8:
    """At each bin the mean of those up to _AROUND_BINS before and after it that are known; NaN where none is."""
    sums = np.concatenate([[0.0], np.cumsum(_or_zero(loads))])
    counts = np.concatenate([[0.0], np.cumsum(~np.isnan(loads))])
    middle = np.arange(len(loads))
    low, high = np.maximum(middle - _AROUND_BINS, 0), np.minimum(middle + _AROUND_BINS + 1, len(loads))
    seen = counts[high] - counts[low]
    return np.where(seen > 0, (sums[high] - sums[low]) / np.maximum(seen, 1), np.nan)


def _of_yesterday(windows: F8, lead: int, levels: F8) -> F8:
    """The last three of TRAITS; shape (3, bins). windows: a day ago from this time of day on, to two lead times ahead;
    shape (bins, 2 lead + 1). levels: the present ones of 300 s; shape (bins,). 0 where nothing was known."""
    then, ahead = windows[:, 0], windows[:, min(lead, windows.shape[1] - 1)]
    ratio = np.where(then > 0, ahead / np.where(then > 0, then, 1.0), 1.0)
    rise = _or_zero(np.clip(ratio - 1.0, 0.0, _MOST_RISE)) * levels
    return np.stack([_or_zero(ahead), _or_zero(windows).max(axis=1), rise])


def _or_zero(values: F8) -> F8:
    """0 where nothing is known. np.nan_to_num, which looks for infinities as well, takes five times as long."""
    return np.where(np.isnan(values), 0.0, values)
