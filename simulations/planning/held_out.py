"""Which part of the demand a setting is searched on, and which it is judged on: what was tuned is no evidence.

A setting that was chosen because it just attains 99 % on some days has used up their luck: on others it attains less
in half of the cases, or more (the optimism of training error: Hastie, Tibshirani and Friedman, "The Elements of
Statistical Learning", 7.4). So, where there is enough demand, days or seeds are kept back.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

F8 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """days, runs: that there are, a run a seed. searched_days, searched_runs: the first ones; the rest judges.

    Where a number is all there are, these days or runs do both.
    """

    days: int = 1
    runs: int = 1
    searched_days: int = 1
    searched_runs: int = 1

    @property
    def held_out(self) -> Literal["days", "seeds", "nothing"]:
        if self.searched_days < self.days:
            return "days"
        return "seeds" if self.searched_runs < self.runs else "nothing"

    def searched(self, values: F8) -> F8:
        """values: shape (runs so far, days), the first runs first."""
        if self.held_out == "days":
            return values[:, : self.searched_days]
        return values[: self.searched_runs] if self.held_out == "seeds" else values

    def judged(self, values: F8) -> F8:
        """Of runs, those that were searched on where there are no others yet."""
        if self.held_out == "days":
            return values[:, self.searched_days :]
        return values[self.searched_runs :] if self.held_out == "seeds" and self.searched_runs < len(values) else values


def split(requests: F8, *, is_drawn: bool) -> Split:
    """requests: of each run and whole day, shape (runs, days). is_drawn: each run has a demand of its own.

    From two days on the first half of them is searched, the middle one of an odd number too. Of one day that is drawn
    anew for each seed, the last third of the seeds judges, one at least. A recording of one day has nothing to keep
    back: seeds move its lead times and noise only. A part in which nothing came could not be judged by, so then
    nothing is kept back either.
    """
    runs, days = requests.shape
    whole = Split(days=days, runs=runs, searched_days=days, searched_runs=runs)
    if days >= 2:
        parts = Split(days=days, runs=runs, searched_days=math.ceil(days / 2), searched_runs=runs)
    elif is_drawn and runs >= 2:
        parts = Split(days=days, runs=runs, searched_days=days, searched_runs=runs - max(1, runs // 3))
    else:
        return whole
    has_requests = (parts.searched(requests).sum(axis=1) > 0).all() and (parts.judged(requests).sum(axis=1) > 0).all()
    return parts if has_requests else whole
