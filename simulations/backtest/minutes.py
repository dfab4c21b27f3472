"""Any demand as requests/s of each minute: the series that forecasts are judged on."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from policies.forecast.bins import BIN_SECONDS
from simulations.demand.drawn import Drawn, arrivals
from simulations.trace import Demand

F8 = NDArray[np.float64]

FEWEST_MINUTES = 40


def minute_rates(demand: Demand, on_progress: Callable[[float], None] = lambda _: None) -> F8:
    """Requests/s of each whole minute; shape (minutes,). Raises BadInput where there are too few.

    on_progress: called with the share of the demand that was read, in [0, 1].
    """
    minutes = int(demand.duration_seconds // BIN_SECONDS)
    check_minutes(minutes, demand.name)
    counts = np.zeros(minutes + 1, np.int64)
    for seconds in _arrival_seconds(demand):
        counts += np.bincount(np.minimum(seconds // BIN_SECONDS, minutes).astype(np.int64), minlength=minutes + 1)
        on_progress(float(seconds[-1]) / demand.duration_seconds)
    return counts[:minutes] / BIN_SECONDS


def check_minutes(minutes: int, name: str) -> None:
    """Raise BadInput where nothing could be learned and judged."""
    if minutes < FEWEST_MINUTES:
        raise BadInput(
            f"demand: {name} lasts {minutes} whole minutes, must last at least {FEWEST_MINUTES}; give a longer "
            "recording"
        )


def _arrival_seconds(demand: Demand) -> Iterator[F8]:
    """In order, in pieces. What is drawn is drawn without its token lengths, which take most of the time."""
    if isinstance(demand, Drawn):
        for seconds, _ in arrivals(
            demand.processes, seed=demand.seed, seconds=demand.duration_seconds, keep=demand.keep
        ):
            yield seconds
    else:
        for piece in demand.pieces():
            yield piece.arrival_seconds
