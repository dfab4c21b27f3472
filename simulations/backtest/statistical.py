"""statsforecast's AutoETS and MSTL, walked forward: refitted every hour or more often, brought up to date every minute.

- AutoETS (model ZZN: no season) is fitted to the last day of minutes, and `forward` applies it at every origin.
- MSTL decomposes ten-minute means of up to 14 days, with a season of a day, and from two weeks on of a week too; its
  seasonal part, repeated as MSTL does and linear between the ten minutes, is taken off the minutes, and AutoETS, which
  is MSTL's own trend forecaster, forecasts the rest at every origin. At one minute the decomposition alone would take
  a thousand times as long as an hour's demand does to forecast; this keeps the two parts as fresh as they can be.

Both give prediction intervals of their own; statsforecast is the extra `rivals`.
"""

import importlib
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput

F8 = NDArray[np.float64]

REFIT_MINUTES = 60
"""More often while there is little: whenever the history has grown by a tenth."""

_FITTED_MINUTES = 1_440
_FEWEST_MINUTES = 20
_COARSE_MINUTES = 10
DAY = 1_440 // _COARSE_MINUTES
WEEK = 7 * DAY

_INTERVALS = {0.025: "lo-95", 0.5: "mean", 0.9: "hi-80", 0.95: "hi-90", 0.975: "hi-95", 0.99: "hi-98"}
"""Quantile -> what statsforecast calls it: hi-80 is the upper end of the central 80 %."""

_CENTRAL = [80, 90, 95, 98]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Walked:
    """points: forecast made after each minute for `steps` later, shape (horizons, minutes), NaN where none was made.

    own: the model's own quantiles, shape (horizons, minutes, levels).
    """

    points: F8
    own: F8


def check_available() -> None:
    """Raise BadInput where statsforecast is not installed."""
    if importlib.util.find_spec("statsforecast") is None:
        raise BadInput(
            "rivals: AutoETS and MSTL need statsforecast, which is not installed; pip install leadtime[rivals], or "
            "give --no-statsforecast"
        )


def walk(
    series: F8,
    steps: tuple[int, ...],
    origins: range,
    levels: tuple[float, ...],
    *,
    is_seasonal: bool,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Walked:
    """series: demand of each minute, shape (minutes,). steps: horizons in minutes. is_seasonal: MSTL, else AutoETS."""
    points = np.full((len(steps), len(series)), np.nan)
    own = np.full((len(steps), len(series), len(levels)), np.nan)
    model: Any = None
    season = np.zeros(1)
    at = np.array(steps) - 1
    fitted_from = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # short or constant series: the optimizers often say so
        for place, origin in enumerate(origins):
            since = max(0, origin + 1 - _FITTED_MINUTES)
            if origin >= min(fitted_from + REFIT_MINUTES, 1.1 * fitted_from):
                fitted_from = origin
                season = _season(series[: origin + 1]) if is_seasonal else np.zeros(1)
                model = _fitted(series[since : origin + 1] - _at(season, np.arange(since, origin + 1)))
                on_progress(place / len(origins))
            window = series[since : origin + 1] - _at(season, np.arange(since, origin + 1))
            ahead = _forward(model, window, max(steps))
            back = _at(season, origin + np.array(steps))
            points[:, origin] = np.maximum(ahead["mean"][at] + back, 0.0)
            for place_of_level, level in enumerate(levels):
                own[:, origin, place_of_level] = np.maximum(ahead[_INTERVALS[level]][at] + back, 0.0)
    return Walked(points=points, own=own)


def _fitted(window: F8) -> Any:
    """AutoETS; None where there is too little, or nothing that varies, to fit."""
    if len(window) < _FEWEST_MINUTES or np.ptp(window) == 0:
        return None
    models = importlib.import_module("statsforecast.models")
    try:
        return models.AutoETS(model="ZZN").fit(window)
    except Exception:  # whatever the library raises: its users would fall back to the last value
        return None


def _forward(model: Any, window: F8, most_steps: int) -> dict[str, F8]:
    """The last value, without a band, where there is no model."""
    if model is not None:
        try:
            ahead = model.forward(y=window, h=most_steps, level=_CENTRAL)
            if all(np.isfinite(ahead[name]).all() for name in _INTERVALS.values()):
                return dict(ahead)
        except Exception:  # noqa: S110 - as above
            pass
    return dict.fromkeys(_INTERVALS.values(), np.full(most_steps, window[-1]))


def _season(series: F8) -> F8:
    """MSTL's seasonal part at each minute of its longest period, as it last was; place k is minute k modulo it."""
    models = importlib.import_module("statsforecast.models")
    minutes_so_far = len(series)
    series = series[-14 * 1_440 :]
    first_minute = len(series) % _COARSE_MINUTES  # so that the last coarse value ends now
    coarse = series[first_minute:].reshape(-1, _COARSE_MINUTES).mean(axis=1)
    periods = [DAY, WEEK] if len(coarse) >= 2 * WEEK else [DAY]
    fitted = models.MSTL(periods).fit(coarse).model_
    seasonal = fitted.filter(regex="seasonal").sum(axis=1).to_numpy()[-periods[-1] :]
    minutes = (np.arange(len(seasonal)) + 0.5) * _COARSE_MINUTES
    whole = len(seasonal) * _COARSE_MINUTES
    smooth = np.interp(np.arange(whole) + 0.5, minutes, seasonal, period=whole)
    return np.roll(smooth, minutes_so_far)


def _at(season: F8, minutes: NDArray[np.int64]) -> F8:
    return season[minutes % len(season)]
