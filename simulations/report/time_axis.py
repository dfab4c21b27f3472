"""Time on a plot: a unit that people can read, and no more points than they can see."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 4_000
"""Of one line: a plot is about 1,000 pixels wide."""

F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """unit: minutes, hours or days since the start, of `unit_seconds` each."""

    duration_seconds: float
    unit: str
    unit_seconds: float

    @classmethod
    def for_duration(cls, seconds: float) -> "TimeAxis":
        for unit, unit_seconds, longest in (("minutes", 60.0, 6 * 3_600), ("hours", 3_600.0, 4 * 86_400)):
            if seconds <= longest:
                return cls(seconds, unit, unit_seconds)
        return cls(seconds, "days", 86_400.0)

    @property
    def title(self) -> str:
        return f"{self.unit} since the start"

    def of(self, seconds: F8 | Sequence[float]) -> F8:
        """Seconds in the axis's unit."""
        return np.asarray(seconds, np.float64) / self.unit_seconds

    def fit(self, figure: Any) -> Any:
        """Limit the x axis to the demand: what drains after its end is not shown."""
        figure.update_xaxes(range=[0, self.duration_seconds / self.unit_seconds])
        return figure


def most(values: F8) -> float:
    """The largest known one: what a peak is thinned to."""
    return float(np.nanmax(values)) if not np.isnan(values).all() else float("nan")


def middle(values: F8) -> float:
    """The median of the known ones: what a median is thinned to."""
    return float(np.nanmedian(values)) if not np.isnan(values).all() else float("nan")


def mean(values: F8) -> float:
    return float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")


def last(values: F8) -> float:
    """What holds at the end: what a level is thinned to."""
    return float(values[-1])


def thinned(values: F8 | Sequence[float], reduce: Callable[[F8], float]) -> F8:
    """At most MOST_POINTS values, each of an equal number of neighbours; all of them where there are no more."""
    array = np.asarray(values, np.float64)
    step = -(-len(array) // MOST_POINTS)
    if step <= 1:
        return array
    return np.array([reduce(array[start : start + step]) for start in range(0, len(array), step)])


def first_of_each(values: F8 | Sequence[float]) -> F8:
    """The x of each thinned value."""
    array = np.asarray(values, np.float64)
    return array[:: max(1, -(-len(array) // MOST_POINTS))]
