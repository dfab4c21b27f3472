"""Quantiles around a point forecast from how far it was off before: what makes any point forecast a distribution."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]

_REFRESHED_EVERY_MINUTES = 10
_FEWEST = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """is_ratio: errors are outcome / forecast, else outcome - forecast. window_days: of errors that count."""

    is_ratio: bool
    window_days: int

    def __str__(self) -> str:
        return f"{'ratios' if self.is_ratio else 'differences'} of {self.window_days} d"


WAYS = tuple(Way(is_ratio=ratio, window_days=days) for ratio in (False, True) for days in (1, 7))


def with_residuals(series: F8, points: F8, steps: int, origins: range, levels: tuple[float, ...], way: Way) -> F8:
    """Shape (origins, levels): at each origin, quantiles of the errors that were known by then, on its point forecast.

    points[k]: forecast made after minute k for minute k + steps; NaN where there is none. Nothing after minute k is
    used at origin k. A forecast below a hundredth of the mean has no ratio.
    """
    due = points[: len(points) - steps]
    outcome = series[steps:]
    if way.is_ratio:
        errors = np.divide(
            outcome, due, out=np.full(len(due), np.nan), where=due > 0.01 * float(series[: origins.start].mean())
        )
    else:
        errors = outcome - due
    said = np.empty((len(origins), len(levels)))
    for place, origin, quantiles in _refreshed(errors, steps, origins, levels, way):
        point = points[origin]
        said[place] = np.maximum(point * quantiles if way.is_ratio else point + quantiles, 0.0)
    return said


def _refreshed(
    errors: F8, steps: int, origins: range, levels: tuple[float, ...], way: Way
) -> Iterator[tuple[int, int, F8]]:
    """(place, origin, quantiles of the past errors), the quantiles a few minutes old at most."""
    quantiles: F8 = np.full(len(levels), 1.0 if way.is_ratio else 0.0)
    for place, origin in enumerate(origins):
        if place % _REFRESHED_EVERY_MINUTES == 0 or len(errors) < 1_440:
            known = errors[max(0, origin - steps + 1 - 1_440 * way.window_days) : max(0, origin - steps + 1)]
            known = known[np.isfinite(known)]
            if len(known) >= _FEWEST:
                quantiles = np.quantile(known, levels)
        yield place, origin, quantiles
