"""The two models of the predictive HPA: a line through recent replica counts, and Holt-Winters one step ahead.

Sources, jthomperoo/predictive-horizontal-pod-autoscaler: algorithms/linear_regression/linear_regression.py
(commit 04adb9ef), algorithms/holt_winters/holt_winters.py (commit eec92223), internal/prediction/{linear,holtwinters}
(GetPrediction, PruneHistory). Both round up to whole replicas; a ten-millionth of a replica is taken for rounding,
which upstream does not do: there a steady count may become one more.
"""

import math
import warnings
from typing import Any, Literal, NamedTuple

import numpy as np

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND

_ROUNDING = 1e-7


class Observed(NamedTuple):
    """What the HPA's formula asked for, and when."""

    at_ns: int
    replicas: int


History = tuple[Observed, ...]
"""Oldest first."""


class ModelFailed(ValueError):
    """No forecast from this history; the model is left out of this sync."""


def linear_forecast(history: History, at_ns: int) -> int:
    """The least-squares line through the counts, at an instant; a single count stays as it is."""
    if len(history) == 1:
        return history[0].replicas
    # As upstream, the regressor is the time left until the instant: the intercept is the forecast.
    seconds_left = np.array([(at_ns - each.at_ns) / NS_PER_SECOND for each in history])
    design = np.column_stack([np.ones(len(history)), seconds_left])
    replicas = np.array([each.replicas for each in history], dtype=float)
    solution, _, rank, _ = np.linalg.lstsq(design, replicas, rcond=None)
    if rank < 2:
        raise ModelFailed("all of the history is of one instant")
    return _whole(float(solution[0]))


def newest(history: History, size: int) -> History:
    """The history of a line, cut to `size`."""
    return history[-size:]


def enough_for_holt_winters(history: History, seasonal_periods: int) -> bool:
    """Whether statsmodels can start from so few counts; else the forecast is 0, which a maximum ignores."""
    return len(history) >= max(2 * seasonal_periods, 10 + 2 * (seasonal_periods // 2))


def holt_winters_forecast(
    history: History,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    trend: Literal["add", "mul"],
    seasonal: Literal["add", "mul"],
    seasonal_periods: int,
    damped_trend: bool,
) -> int:
    """One step after the last count: the next sync, whatever the lead time of a pod is.

    Raises ModelFailed where statsmodels refuses the series (multiplicative with a 0), BadInput where it is missing.
    """
    exponential_smoothing = statsmodels_class()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = exponential_smoothing(
                np.array([each.replicas for each in history], dtype=float),
                trend=trend,
                seasonal=seasonal,
                seasonal_periods=seasonal_periods,
                initialization_method="estimated",
                damped_trend=damped_trend,
            )
            fitted = model.fit(
                smoothing_level=alpha,
                smoothing_trend=beta,
                smoothing_seasonal=gamma,
                optimized=False,
            )
            value = float(fitted.forecast(steps=1)[0])
        except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            raise ModelFailed(str(error)) from error
    if not math.isfinite(value):
        raise ModelFailed(f"the forecast is {value}")
    return _whole(value)


def whole_seasons(history: History, seasonal_periods: int, stored_seasons: int) -> History:
    """The history of Holt-Winters: a new season builds up in full before the oldest one goes.

    Deviation: oldest first, as meant. Upstream leaves it newest first after each cut and appends the next count at
    the end, so there the model is fitted to a series that runs backwards.
    """
    surplus = len(history) // seasonal_periods - stored_seasons
    return history[max(0, surplus) * seasonal_periods :]


def statsmodels_class() -> Any:
    """statsmodels' ExponentialSmoothing, or BadInput with the remedy."""
    try:
        from statsmodels.tsa.holtwinters import ExponentialSmoothing
    except ImportError:
        raise BadInput("statsmodels: was not found, must be installed; pip install leadtime[rivals]") from None
    return ExponentialSmoothing


def _whole(value: float) -> int:
    return math.ceil(value - _ROUNDING)
