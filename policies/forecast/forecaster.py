"""Demand at several horizons, as distributions that are learned and calibrated online, for one target or thousands.

    samples -> minutes -> features -> experts (quantile regressions) -> averaged by measured skill -> calibrated

Everything is relative to the present level: an expert says by which share of it demand will have changed. What was
said is kept until its minute comes; then each expert is corrected, its loss is noted, and the offsets that hold
coverage move. Nothing looks ahead, and equal samples give equal forecasts.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from policies.forecast import quantile_regression as regression
from policies.forecast.bins import BIN_SECONDS, ClosedBin, OpenBin, add
from policies.forecast.calibration import calibrated, corrected
from policies.forecast.experts import EXPERTS, PLACES, mixed, pinball, weights
from policies.forecast.features import Smoothed, features, smoothed, unit
from policies.forecast.history import History, appended
from policies.forecast.levels import LEVELS, NORMAL_SCORES, between
from policies.forecast.quantile_regression import Regression
from policies.forecast.spec import ForecastSpec
from policies.snapshot import NS_PER_SECOND

F8 = NDArray[np.float64]

_PRIOR_WIDTH = (("moved_10", 0.3), ("moved_60", 0.4), ("moved_360", 0.3))
"""The first width: a mean of how much demand has moved over one horizon, recent moves first."""

_PRIOR_MIDDLE = {
    "level": (("level_15", 0.5), ("level_60", 0.5)),
    "profile": (("change_1d", 0.25),),
}
"""Where experts begin that do not begin at persistence: demand returns to its level, or does part of what it did."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Said:
    """What was forecast after one minute. newest: the demand it was relative to; unit: what 1 stands for; (targets,).

    features: (targets, horizons, NAMES). experts: their quantiles, (targets, horizons, experts, LEVELS). all of it
    relative; demand itself is newest + unit x relative. quantiles: the calibrated ones, (targets, horizons, LEVELS).
    """

    newest: F8
    unit: F8
    features: NDArray[np.float32]
    experts: NDArray[np.float32]
    quantiles: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ForecastState:
    """All that is remembered; a value: observing makes a new one.

    said: of the last minutes, newest last, as many as the longest horizon has; None for a minute that was a gap.
    losses, outcomes: of the experts, as `experts.weights` takes them. offsets: of the calibration, (targets, horizons,
    LEVELS).
    """

    open_bin: OpenBin
    history: History
    smooth: Smoothed
    regressions: tuple[Regression, ...]
    losses: F8
    outcomes: F8
    offsets: F8
    said: tuple[Said | None, ...]

    @property
    def targets(self) -> int:
        return len(self.outcomes)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Forecast:
    """A distribution of demand for each target. values: at LEVELS, ascending, 0 or more, shape (targets, LEVELS).

    NaN for a target that had no sample yet.

    shares: how much each expert of EXPERTS was listened to, mean over levels, shape (targets, experts).
    """

    values: F8
    shares: F8

    def quantile(self, probability: float) -> F8:
        """The demand that is not exceeded with this probability, in (0, 1); shape (targets,)."""
        return np.maximum(between(self.values, probability), 0.0)

    @property
    def median(self) -> F8:
        return self.quantile(0.5)


def initial_state(spec: ForecastSpec, targets: int = 1) -> ForecastState:
    """Nothing seen yet."""
    shape = targets, len(spec.horizons_seconds)
    return ForecastState(
        open_bin=OpenBin.empty(targets),
        history=History(),
        smooth=Smoothed.empty(targets, shape[1]),
        regressions=tuple(
            regression.starting(prior, targets=targets, ridge=spec.ridge, spread=spec.prior_sigma)
            for prior in _priors(spec)
        ),
        losses=np.zeros((*shape, len(EXPERTS), len(LEVELS))),
        outcomes=np.zeros(shape),
        offsets=np.zeros((*shape, len(LEVELS))),
        said=(),
    )


def observe(spec: ForecastSpec, state: ForecastState, at_ns: int, values: ArrayLike) -> ForecastState:
    """Add a sample: one value for each target. What is wrong with samples is said in `bins`; nothing raises."""
    open_bin, closed = add(state.open_bin, at_ns, values)
    state = replace(state, open_bin=open_bin)
    for each in closed:
        state = _after_minute(spec, state, each)
    return state


def forecast(
    spec: ForecastSpec, state: ForecastState, horizon_seconds: float, now_ns: int | None = None
) -> Forecast | None:
    """The demand `horizon_seconds` from now, averaged over the minute that ends then; None before any minute is over.

    now_ns: None for the end of the newest minute; else the time since then adds to the horizon, so that the band
    widens while samples are missing. Between the horizons of the spec quantiles are interpolated linearly; below the
    shortest it is that one; beyond the longest, distances from the median grow with the square root of time.
    """
    last = next((said for said in reversed(state.said) if said is not None), None)
    is_known = state.smooth.counts > 0
    if last is None or state.history.number is None or not is_known.any():
        return None
    if now_ns is not None:
        newest_ns = (state.history.number + 1) * BIN_SECONDS * NS_PER_SECOND
        horizon_seconds += max(now_ns - newest_ns, 0) / NS_PER_SECOND
    known = np.array(spec.horizons_seconds, np.float64)
    horizon = float(np.clip(horizon_seconds, known[0], known[-1]))
    upper = min(int(np.searchsorted(known, horizon)), len(known) - 1)
    lower = max(upper - 1, 0)
    share = (horizon - known[lower]) / (known[upper] - known[lower]) if upper > lower else 1.0
    relative = (1.0 - share) * last.quantiles[:, lower].astype(np.float64) + share * last.quantiles[:, upper]
    if horizon_seconds > known[-1]:
        middle = relative[:, [LEVELS.index(0.5)]]
        relative = middle + (relative - middle) * np.sqrt(horizon_seconds / known[-1])
    values = np.maximum(last.newest[:, None] + last.unit[:, None] * relative, 0.0)
    values = np.where(is_known[:, None], values, np.nan)
    shares = weights(state.losses, state.outcomes)[:, upper].mean(axis=2)
    return Forecast(values=values, shares=shares)


def _after_minute(spec: ForecastSpec, state: ForecastState, closed: ClosedBin) -> ForecastState:
    """Learn from what was said about this minute, then say what comes."""
    horizons = spec.horizons_bins
    said = state.said
    if state.history.number is not None:
        gap = min(closed.number - state.history.number - 1, horizons[-1])
        said = (*said, *(None for _ in range(gap)))
    state = _learned(spec, state, said, closed.means)
    history = appended(state.history, closed.number, closed.means)
    earlier = np.stack([_newest_before(said, bins, state.targets) for bins in horizons], axis=1)
    smooth = smoothed(state.smooth, closed.means, earlier, prior_sigma=spec.prior_sigma)
    state = replace(state, history=history, smooth=smooth)
    return replace(state, said=(*said, _say(spec, state))[-horizons[-1] :])


def _say(spec: ForecastSpec, state: ForecastState) -> Said:
    rows = features(state.smooth, state.history, spec.horizons_bins, spec.floor)
    each = [
        regression.quantiles(known, rows[..., PLACES[name]])
        for name, known in zip(EXPERTS, state.regressions, strict=True)
    ]
    said = np.stack(each, axis=2)
    together = mixed(said, weights(state.losses, state.outcomes))
    return Said(
        newest=state.smooth.newest,
        unit=unit(state.smooth, spec.floor),
        features=rows.astype(np.float32),
        experts=said.astype(np.float32),
        quantiles=calibrated(together, state.offsets).astype(np.float32),
    )


def _learned(spec: ForecastSpec, state: ForecastState, said: tuple[Said | None, ...], means: F8) -> ForecastState:
    """Correct experts, skill and offsets by one minute's demand, for every horizon at which it was forecast."""
    made = [said[-bins] if len(said) >= bins else None for bins in spec.horizons_bins]
    if all(each is None for each in made) or not np.isfinite(means).any():
        return state
    empty = next(each for each in made if each is not None)
    outcome = np.stack([np.full_like(means, np.nan) if it is None else (means - it.newest) / it.unit for it in made], 1)
    filled = [each or empty for each in made]
    rows = np.stack([each.features[:, at] for at, each in enumerate(filled)], axis=1).astype(np.float64)
    experts = np.stack([each.experts[:, at] for at, each in enumerate(filled)], axis=1).astype(np.float64)
    final = np.stack([each.quantiles[:, at] for at, each in enumerate(filled)], axis=1).astype(np.float64)
    is_known = np.isfinite(outcome)
    fade = np.where(is_known, 0.5 ** (1.0 / _SKILL_MEMORY_BINS), 1.0)
    loss = np.where(is_known[..., None, None], pinball(outcome[:, :, None], experts), 0.0)
    return replace(
        state,
        regressions=tuple(
            regression.learned(
                known,
                rows[..., PLACES[name]],
                experts[:, :, at],
                outcome,
                prior=prior,
                ridge=spec.ridge,
                memory_bins=spec.memory_bins,
            )
            for at, (name, known, prior) in enumerate(zip(EXPERTS, state.regressions, _priors(spec), strict=True))
        ),
        losses=state.losses * fade[..., None, None] + loss,
        outcomes=state.outcomes * fade + is_known,
        offsets=corrected(state.offsets, final, outcome),
    )


_SKILL_MEMORY_BINS = 1_440.0
"""Half-life of an expert's loss: a day."""


def _newest_before(said: tuple[Said | None, ...], bins: int, targets: int) -> F8:
    """Demand so many minutes before the present one, else the nearest known before or after; NaN at the very start."""
    at = max(len(said) - bins, 0)
    nearest = next((each for each in (*reversed(said[: at + 1]), *said[at + 1 :]) if each is not None), None)
    return np.full(targets, np.nan) if nearest is None else nearest.newest


def _priors(spec: ForecastSpec) -> tuple[F8, ...]:
    """Of each expert, shape (horizons, features, LEVELS): a width by how much demand has moved, around persistence.

    The one that knows other days begins with part of what yesterday did from here on.
    """
    priors = []
    for expert, names in EXPERTS.items():
        prior = np.zeros((len(spec.horizons_seconds), len(names), len(LEVELS)))
        for name, share in _PRIOR_WIDTH:
            prior[:, names.index(name)] = share * regression.ABS_TO_SIGMA * NORMAL_SCORES
        for name, share in _PRIOR_MIDDLE.get(expert, ()):
            prior[:, names.index(name)] = share
        priors.append(prior)
    return tuple(priors)
