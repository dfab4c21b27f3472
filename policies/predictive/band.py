"""How much demand there will be one lead time ahead: a band for four of five outcomes, from the load's own past.

    moments like this one -> growth of the load over one lead time after each -> its quantiles, applied to the present
    load -> edges stretched until as much lies below and above as they promise

Moments like this one are those of the last three hours and those within a quarter of an hour of this time of day on
each day that is kept, newer days first; the nearer their load is to the present one, the more they count. That is the
method of analogues: Lorenz 1969, "Atmospheric predictability as revealed by naturally occurring analogues". Demand of
the same hour on few days is alike, so that plain quantiles of it are too narrow; each edge is therefore moved after
every outcome, as Gibbs and Candès 2021, "Adaptive conformal inference under distribution shift", do: whatever demand
does, in the long run a tenth of it comes to lie beyond either edge.

Sizing does not go by it (policies/predictive/sizing.py): it tells people what was expected. It needs nothing but the
load's history, which is kept anyway, so it is there again at once after a restart; the edges' distances begin anew.

Beside policies/forecast, 600 s ahead on ServeGen's m-large, m-small (their last three days) and deepseek-r1 (the last
ten hours of its only day): the mean pinball loss at the three probabilities is 3 to 4 % higher, and 0.80, 0.80 and 0.75
of the outcomes lie within, as there. It takes 0.4 ms a minute (there 1.7), keeps nothing of its own (160 kB a
workload), and is at work in one step after a restart (35 s of work for 14 days).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from policies.predictive.load_history import BIN_SECONDS, BINS_PER_DAY, F8, LoadHistory, bin_of

LOWER, MEDIAN, UPPER = 0.1, 0.5, 0.9
"""Probabilities of the edges and of the middle: no more than this comes."""

_REFRESHED_BINS = 60 // BIN_SECONDS
_STALE_BINS = 120 // BIN_SECONDS
_LEVEL_BINS = 120 // BIN_SECONDS
"""The present load is the mean over so many bins."""
_COMES_BINS = 60 // BIN_SECONDS
"""What comes is the mean over the minute that ends one lead time from now."""

_LATELY_BINS = 3 * 3_600 // BIN_SECONDS
_AROUND_BINS = 900 // BIN_SECONDS
_NEAR_BINS = 300 / BIN_SECONDS
"""Standard deviation of the weight by the distance from this time of day."""
_SAME_TIME_WEIGHT = 6.0
"""Of a moment at this time of day, where one of late counts 1."""
_DAYS_FADE = 7.0
"""A moment so many days ago counts e times less than one of yesterday."""
_ALIKE = 0.3
"""Standard deviation of the weight by ln(load then / load now)."""
_UNLIKE_WEIGHT = 0.02
"""What a moment of quite another load counts all the same: a load never seen before has no moments alike."""
_LEAST_PAIRS = 2 * 3_600 // BIN_SECONDS
"""Moments whose outcome is known, below which no band is told."""

_SMALL_LOAD = 0.05
"""Replicas, added to every load before ratios are taken: of 0.01 one request more is a multiple."""

_STEP = 0.02
"""Of an edge's distance from the median, for one outcome: a level that lasts an hour moves it by a quarter."""
_MOST_STRETCH = 3.0
_LEAST_DISTANCE = 0.02
"""Of the median. A load that never moved has a band of 2 % to either side, which outcomes may then stretch."""
_COVERED_FADE = math.exp(-1.0 / 1_440.0)
"""Of an outcome, each minute: what is told of past bands is of about a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Loads in replicas, ascending, at LOWER, MEDIAN and UPPER; of the minute that ends with bin `due`."""

    due: int
    lower: float
    median: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BandState:
    """The newest band, made when the history ended before bin `end`, and what bands before it taught.

    band: None while the history is too short or its end unknown. said: bands whose minute has not come yet, at most one
    for each minute of a lead time. lower_stretch, upper_stretch: what the edges' distances from the median are
    multiplied by, in [0, 3]. outcomes, covered: fading counts of minutes that a band was told of, and of those that lay
    within it.
    """

    band: Band | None = None
    end: int = 0
    said: tuple[Band, ...] = ()
    lower_stretch: float = 1.0
    upper_stretch: float = 1.0
    outcomes: float = 0.0
    covered: float = 0.0

    def band_at(self, now_ns: int) -> Band | None:
        """The newest; None while there is none, and once it is older than two minutes: then demand is not known."""
        return self.band if bin_of(now_ns) - self.end <= _STALE_BINS else None

    @property
    def covered_share(self) -> float | None:
        """Of the last day's minutes those that lay within the band told of them, in [0, 1]; None before an hour."""
        return self.covered / self.outcomes if self.outcomes >= 60.0 else None


def follow(state: BandState, history: LoadHistory, lead_seconds: float) -> BandState:
    """The state after what `history` has new: once a minute; between, nothing changes.

    lead_seconds: in (0, 86,400]; the band is of the minute that ends so much later than the history. A history that
    ends earlier than it did is another one, and begins anew.
    """
    if history.end < state.end:
        state = BandState()
    if len(history) == 0 or history.end - state.end < _REFRESHED_BINS:
        return state
    state = _judged(state, history)
    band = _ahead(state, history, lead_seconds)
    return replace(state, band=band, end=history.end, said=state.said if band is None else (*state.said, band))


def _judged(state: BandState, history: LoadHistory) -> BandState:
    """The edges moved by every band whose minute is over; one of which something is unknown teaches nothing."""
    waiting = []
    for band in state.said:
        if band.due >= history.end:
            waiting.append(band)
            continue
        came = float(history.between(band.due - _COMES_BINS + 1, band.due + 1).mean())
        if math.isnan(came):
            continue
        below, above = came < band.lower, came > band.upper
        state = replace(
            state,
            lower_stretch=min(max(state.lower_stretch + _STEP * (below - LOWER), 0.0), _MOST_STRETCH),
            upper_stretch=min(max(state.upper_stretch + _STEP * (above - (1.0 - UPPER)), 0.0), _MOST_STRETCH),
            outcomes=state.outcomes * _COVERED_FADE + 1.0,
            covered=state.covered * _COVERED_FADE + (not below and not above),
        )
    return replace(state, said=tuple(waiting))


def _ahead(state: BandState, history: LoadHistory, lead_seconds: float) -> Band | None:
    lead = max(_COMES_BINS, math.ceil(lead_seconds / BIN_SECONDS))
    now = history.between(history.end - _LEVEL_BINS, history.end)
    now = now[~np.isnan(now)]
    if len(now) < _LEVEL_BINS // 2:
        return None
    level = math.log(float(now.mean()) + _SMALL_LOAD)
    levels, growths, weights = _moments(history, lead)
    if len(growths) < _LEAST_PAIRS:
        return None
    weights = weights * (np.exp(-0.5 * ((levels - level) / _ALIKE) ** 2) + _UNLIKE_WEIGHT)
    lower, median, upper = np.exp(level + _quantiles(growths, weights))
    least = _LEAST_DISTANCE * median
    loads = np.array(
        [
            median - state.lower_stretch * (median - lower + least),
            median,
            median + state.upper_stretch * (upper - median + least),
        ]
    )
    loads = np.maximum(loads - _SMALL_LOAD, 0.0)
    return Band(due=history.end - 1 + lead, lower=float(loads[0]), median=float(loads[1]), upper=float(loads[2]))


def _moments(history: LoadHistory, lead: int) -> tuple[F8, F8, F8]:
    """(ln load, ln growth over `lead` bins from then on, weight) of moments like the last bin, all of shape (moments,).

    Those with an unknown bin are left out.
    """
    loads = np.concatenate([*history.days, history.today, np.array([np.nan], np.float32)])
    last = len(history) - 1
    days = np.arange(1, last // BINS_PER_DAY + 1)
    around = np.arange(-_AROUND_BINS, _AROUND_BINS + 1)
    lately = np.arange(max(last - lead - _LATELY_BINS, 0), last - lead + 1)
    moments = np.concatenate([lately, (last - days[:, None] * BINS_PER_DAY + around).ravel()])
    same_time = _SAME_TIME_WEIGHT * np.exp(-0.5 * (around / _NEAR_BINS) ** 2)
    fades = np.exp(-(days - 1) / _DAYS_FADE)
    weights = np.concatenate([np.ones(len(lately)), np.outer(fades, same_time).ravel()])
    levels = np.log(_mean_until(loads, moments, _LEVEL_BINS) + _SMALL_LOAD)
    growths = np.log(_mean_until(loads, moments + lead, _COMES_BINS) + _SMALL_LOAD) - levels
    known = ~np.isnan(growths)
    return levels[known], growths[known], weights[known]


def _mean_until(loads: NDArray[np.float32], ends: NDArray[np.int64], bins: int) -> F8:
    """The mean over `bins` bins of which `ends` are the last; NaN where one of them is not known.

    loads: with a NaN behind the last, for all that lies outside.
    """
    outside = len(loads) - 1
    total = np.zeros(len(ends))
    for back in range(bins):
        places = ends - back
        total += loads[np.where((places >= 0) & (places < outside), places, outside)]
    return total / bins


def _quantiles(values: F8, weights: F8) -> F8:
    """At LOWER, MEDIAN and UPPER, shape (3,): linear between the values, each in the middle of its share of weight."""
    order = np.argsort(values)
    shares = weights[order]
    middles = (np.cumsum(shares) - 0.5 * shares) / shares.sum()
    return np.interp((LOWER, MEDIAN, UPPER), middles, values[order])
