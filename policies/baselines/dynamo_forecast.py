"""The Dynamo planner's one-step predictors: the last value, or an ARIMA model whose order is chosen once.

Source: ai-dynamo/dynamo components/src/dynamo/planner/core/load/predictors.py (commit 260b6ae9): leading zeros are
dropped; below 5 points, and while all points are equal, the last value is the forecast; then the order is searched
once, on the points of that moment, and from there on the model is only updated; an order (0, d, 0) makes it start
over on log(1 + y); a forecast is never below 0; any failure falls back to the last value.

Upstream's search and update are pmdarima's (AIC, at most (5, 2, 5), a few optimizer steps per new point); here they
are statsforecast's, with coefficients fitted afresh at every point up to the 20th and then at every 20th, and kept in
between.

Kept as it is: the order is chosen from 5 points and never again, and that is mostly (0, 0, 0), whose forecast is the
mean of all that was seen. pmdarima 2.1.1 chose it in 46 of 60 noisy starts, this search in 34. On 200 points of
a slow wave (200 to 1000, Poisson, 4 seeds) the mean error was 104 to 108 with pmdarima, 74 to 118 here, and 28 to 36
with the last value, which is the predictor `constant`.
"""

import importlib
import importlib.util
import math
import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from policies.errors import BadInput

Predictor = Literal["arima", "constant"]

_MINIMUM_DATA_POINTS = 5
_REFIT_EACH_UNTIL = 20
_REFIT_EVERY = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The points of one quantity, oldest first. ordered_at: how many there were when the order was chosen."""

    values: tuple[float, ...] = ()
    ordered_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the search found. log1p: the model is one of log(1 + y)."""

    order: tuple[int, int, int]
    mean: bool
    drift: bool
    log1p: bool


def check_available(predictor: str) -> None:
    """Raise BadInput for an unknown predictor, or one whose library is not installed."""
    if predictor not in {"arima", "constant"}:
        raise BadInput(f"predictor: was {predictor!r}, must be one of arima, constant")
    if predictor == "arima" and importlib.util.find_spec("statsforecast") is None:
        raise BadInput(
            "predictor: was 'arima', which needs statsforecast; pip install leadtime[rivals], or choose constant"
        )


def add(series: Series, value: float) -> Series:
    """The series with one more point; a leading zero is dropped, what is not finite counts as zero."""
    value = max(0.0, value) if math.isfinite(value) else 0.0
    if value == 0.0 and not series.values:
        return series
    return Series(values=(*series.values, value), ordered_at=series.ordered_at)


def predict_next(predictor: Predictor, series: Series) -> tuple[float, Series]:
    """(forecast of the next point, the series that remembers when its order was chosen)."""
    values = series.values
    last = values[-1] if values else 0.0
    if predictor == "constant" or len(values) < _MINIMUM_DATA_POINTS or len(set(values)) == 1:
        return last, series
    ordered_at = series.ordered_at or len(values)
    series = Series(values=values, ordered_at=ordered_at)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # short series: the optimizer often says that it may not have converged
            forecast = _forecast(values, ordered_at)
    except Exception:  # whatever the library raises: upstream falls back to the last value as well
        return last, series
    return (max(0.0, forecast) if math.isfinite(forecast) else last), series


def order_of(series: Series) -> Order | None:
    """The order that was chosen; None before that."""
    return None if series.ordered_at is None else _order(series.values[: series.ordered_at])


def _forecast(values: tuple[float, ...], ordered_at: int) -> float:
    """One step ahead, on the scale of the values."""
    arima = _arima()
    order = _order(values[:ordered_at])
    count = len(values)
    fitted_at = count if count <= _REFIT_EACH_UNTIL else max(ordered_at, count - count % _REFIT_EVERY)
    model = _model(order, values[:fitted_at])
    if fitted_at < count:
        model = arima.forward_arima(model, _scaled(order, values))
    forecast = float(arima.forecast_arima(model, h=1)["mean"][0])
    return math.expm1(forecast) if order.log1p else forecast


@lru_cache(maxsize=64)
def _order(values: tuple[float, ...]) -> Order:
    """The search; a pure function of its points, kept because it is slow."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        order = _search(np.array(values), log1p=False)
        if order.order[0] == 0 and order.order[2] == 0:
            order = _search(np.log1p(np.array(values)), log1p=True)
    return order


@lru_cache(maxsize=64)
def _model(order: Order, values: tuple[float, ...]) -> Any:
    """The coefficients for these points."""
    return _arima().Arima(
        _scaled(order, values),
        order=order.order,
        include_mean=order.mean,
        include_drift=order.drift,
        method="CSS-ML",
    )


def _search(values: Any, *, log1p: bool) -> Order:
    found = _arima().auto_arima_f(values, ic="aic", seasonal=False)
    p, q, _, _, _, d, _ = found["arma"]
    return Order(
        order=(int(p), int(d), int(q)),
        mean="intercept" in found["coef"],
        drift="drift" in found["coef"],
        log1p=log1p,
    )


def _scaled(order: Order, values: tuple[float, ...]) -> Any:
    return np.log1p(np.array(values)) if order.log1p else np.array(values)


def _arima() -> Any:
    """The library, imported at its first use: that takes seconds."""
    return importlib.import_module("statsforecast.arima")
