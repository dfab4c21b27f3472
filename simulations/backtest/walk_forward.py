"""leadtime and its rivals over one series: each knows what came before, and is judged on what came next."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from policies.forecast.bins import BIN_SECONDS
from policies.forecast.forecaster import forecast, initial_state, observe
from policies.forecast.spec import ForecastSpec
from policies.snapshot import NS_PER_SECOND
from simulations.backtest import statistical
from simulations.backtest.residuals import WAYS, with_residuals
from simulations.backtest.scores import LEVELS, Score, score

F8 = NDArray[np.float64]
Progress = Callable[[str, float], None]

LEADTIME, PERSISTENCE, SEASONAL, AUTO_ETS, MSTL = "leadtime", "persistence", "seasonal naive", "AutoETS", "MSTL"
RIVALS = (PERSISTENCE, SEASONAL, AUTO_ETS, MSTL)

_DAY = 1_440
_BURN_IN = {PERSISTENCE: 7 * _DAY, SEASONAL: 7 * _DAY, AUTO_ETS: _DAY, MSTL: _DAY}
"""Minutes before the judged part in which a rival's errors are learned; for the two that take long, a day of them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Backtest:
    """What came of it. series: requests/s of each minute. start: the first judged origin, a minute's number.

    bands: per horizon in seconds, leadtime's quantiles after each judged origin, shape (origins, LEVELS).
    not_applicable: rival -> why it was left out.
    """

    name: str
    series: F8
    start: int
    scores: tuple[Score, ...]
    bands: Mapping[int, F8]
    not_applicable: Mapping[str, str]

    def best_rival(self, horizon_seconds: int) -> Score | None:
        """The rival with the least mean pinball loss; None where none was applicable."""
        rivals = [each for each in self.scores if each.model != LEADTIME and each.horizon_seconds == horizon_seconds]
        return min(rivals, key=lambda each: each.mean_pinball, default=None)

    def gain(self, horizon_seconds: int) -> float | None:
        """How much less leadtime's mean pinball loss is than the best rival's: 0.1 is 10 % less."""
        best = self.best_rival(horizon_seconds)
        own = next(each for each in self.scores if each.model == LEADTIME and each.horizon_seconds == horizon_seconds)
        return None if best is None or best.mean_pinball == 0 else 1.0 - own.mean_pinball / best.mean_pinball


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestPlan:
    """start: minutes of history before the first judged origin. horizons_seconds: whole minutes, ascending."""

    start: int
    horizons_seconds: tuple[int, ...] = (120, 300, 600)
    rivals: tuple[str, ...] = RIVALS
    spec: ForecastSpec = field(default_factory=ForecastSpec)

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(seconds // BIN_SECONDS for seconds in self.horizons_seconds)


def default_start(minutes: int) -> int:
    """A week of history where eight days are there, else half of what is."""
    return 7 * _DAY if minutes >= 8 * _DAY else minutes // 2


def backtest(
    name: str, series: F8, plan: BacktestPlan, on_progress: Progress = lambda _model, _share: None
) -> Backtest:
    """Judge at every minute from `plan.start` on whose outcomes are all known. Raises BadInput.

    The outcome at a horizon is the mean demand of the minute that ends then. A rival comes in several forms, its own
    prediction intervals and quantiles of its past errors in four ways; the best of them, in hindsight, is its score.
    """
    longest = plan.steps[-1]
    if not 10 <= plan.start <= len(series) - longest - 10:
        raise BadInput(
            f"train: was {plan.start} minutes, must be in [10, {len(series) - longest - 10}] for {name} with a "
            f"horizon of {plan.horizons_seconds[-1]} s; give a longer recording or a shorter training part"
        )
    origins = range(plan.start, len(series) - longest)
    if not series[origins.start :].any():
        raise BadInput(f"demand: {name} has no request in the judged part; choose another part")
    bands = _leadtime(series, plan, origins, on_progress)
    scores, left_out = [], {}
    for seconds, steps in zip(plan.horizons_seconds, plan.steps, strict=True):
        scores.append(score(LEADTIME, seconds, _outcomes(series, origins, steps), bands[seconds]))
    for rival in plan.rivals:
        reason = _why_not(rival, plan.start)
        if reason is not None:
            left_out[rival] = reason
            continue
        scores += _rival(rival, series, plan, origins, on_progress)
    scores.sort(key=lambda each: each.horizon_seconds)
    return Backtest(
        name=name, series=series, start=plan.start, scores=tuple(scores), bands=bands, not_applicable=left_out
    )


def _why_not(rival: str, start: int) -> str | None:
    needed = {SEASONAL: 1, MSTL: 2}.get(rival, 0)
    if start >= needed * _DAY:
        return None
    return f"needs {needed * 24} h of history before the judged part, has {start / 60:.1f} h"


def _leadtime(series: F8, plan: BacktestPlan, origins: range, on_progress: Progress) -> dict[int, F8]:
    """Its forecasts at the judged origins, by horizon; it learns from the first minute on."""
    spec, state = plan.spec, initial_state(plan.spec)
    bands = {seconds: np.empty((len(origins), len(LEVELS))) for seconds in plan.horizons_seconds}
    for minute in range(origins.stop):
        state = observe(spec, state, (minute + 1) * BIN_SECONDS * NS_PER_SECOND, series[minute])
        if minute % 100 == 0:
            on_progress(LEADTIME, minute / origins.stop)
        if minute < origins.start:
            continue
        for seconds, band in bands.items():
            ahead = forecast(spec, state, seconds)
            assert ahead is not None, "a minute is over"
            band[minute - origins.start] = [ahead.quantile(level)[0] for level in LEVELS]
    return bands


def _rival(rival: str, series: F8, plan: BacktestPlan, origins: range, on_progress: Progress) -> list[Score]:
    """Its scores, one a horizon."""
    walked: statistical.Walked | None = None
    if rival in (AUTO_ETS, MSTL):
        fewest = 2 * _DAY if rival == MSTL else 10
        first = max(fewest, origins.start - _BURN_IN[rival]) - 1
        walked = statistical.walk(
            series,
            plan.steps,
            range(first, origins.stop),
            LEVELS,
            is_seasonal=rival == MSTL,
            on_progress=lambda share: on_progress(rival, share),
        )
    scores = []
    for place, (seconds, steps) in enumerate(zip(plan.horizons_seconds, plan.steps, strict=True)):
        outcomes = _outcomes(series, origins, steps)
        points = _points(rival, series, steps) if walked is None else walked.points[place]
        forms = [
            score(rival, seconds, outcomes, with_residuals(series, points, steps, origins, LEVELS, way), str(way))
            for way in WAYS
        ]
        if walked is not None:
            forms.append(score(rival, seconds, outcomes, walked.own[place][origins.start : origins.stop], "its own"))
        scores.append(min(forms, key=lambda each: each.mean_pinball))
        on_progress(rival, (place + 1) / len(plan.steps))
    return scores


def _points(rival: str, series: F8, steps: int) -> F8:
    """The last minute's demand, or what came at this time of day yesterday; NaN where nothing is known of it."""
    if rival == PERSISTENCE:
        return series
    points = np.full(len(series), np.nan)
    points[_DAY - steps :] = series[: len(series) - _DAY + steps]
    return points


def _outcomes(series: F8, origins: range, steps: int) -> F8:
    return series[origins.start + steps : origins.stop + steps]
