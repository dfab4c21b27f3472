"""The offered load of one workload on a fixed grid of time: what was, for as long as it is kept.

Load is in replicas: arrivals per second over what one replica sustains within its SLO. A bin of 30 s holds its mean;
NaN is a bin of which nothing was seen: an outage is no evidence of an idle fleet.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from policies.snapshot import NS_PER_SECOND

BIN_SECONDS = 30
KEPT_DAYS = 14
BINS_PER_DAY = 86_400 // BIN_SECONDS

F4 = NDArray[np.float32]
F8 = NDArray[np.float64]


def bin_of(at_ns: int) -> int:
    """The bin of an instant, counted from the Unix epoch."""
    return at_ns // (BIN_SECONDS * NS_PER_SECOND)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadHistory:
    """Bins [first, first + len). Full days lie in `days`, which later histories share; the rest in `today`.

    14 days are 40,320 bins of 4 bytes: 161 kB a workload, 161 MB for 1,000 of them.
    """

    first: int = 0
    days: tuple[F4, ...] = ()
    today: F4 = field(default_factory=lambda: np.empty(0, np.float32))

    @classmethod
    def of(cls, first: int, loads: F8) -> Self:
        """Bins [first, first + len(loads)), of which the last KEPT_DAYS are kept; shape (len,)."""
        kept = loads[-KEPT_DAYS * BINS_PER_DAY :].astype(np.float32)
        full = len(kept) // BINS_PER_DAY * BINS_PER_DAY
        days = tuple(kept[day : day + BINS_PER_DAY] for day in range(0, full, BINS_PER_DAY))
        return cls(first=first + len(loads) - len(kept), days=days, today=kept[full:])

    def __len__(self) -> int:
        return len(self.days) * BINS_PER_DAY + len(self.today)

    @property
    def end(self) -> int:
        """The bin after the last."""
        return self.first + len(self)

    def append(self, at: int, load: float) -> Self:
        """Add the load of bin `at`; those between it and the last one are NaN. What is not newer changes nothing.

        After a gap longer than is kept, it begins anew.
        """
        if len(self) == 0 or at - self.end >= KEPT_DAYS * BINS_PER_DAY:
            return type(self)(first=at, today=np.array([load], np.float32))
        if at < self.end:
            return self
        gap = np.full(at - self.end, np.nan, np.float32)
        today = np.concatenate([self.today, gap, np.array([load], np.float32)])
        days, first = self.days, self.first
        while len(today) >= BINS_PER_DAY:
            days, today = (*days, today[:BINS_PER_DAY]), today[BINS_PER_DAY:]
        if len(days) > KEPT_DAYS:
            first += (len(days) - KEPT_DAYS) * BINS_PER_DAY
            days = days[-KEPT_DAYS:]
        return type(self)(first=first, days=days, today=today)

    def loads(self) -> F8:
        """All bins, oldest first; shape (len,)."""
        return np.concatenate([*self.days, self.today]).astype(np.float64)

    def between(self, since: int, until: int) -> F8:
        """Bins [since, until), NaN where nothing is known; shape (until - since,)."""
        loads = np.full(until - since, np.nan)
        for start, part in zip(range(self.first, self.end + 1, BINS_PER_DAY), (*self.days, self.today), strict=False):
            low, high = max(since, start), min(until, start + len(part))
            if low < high:
                loads[low - since : high - since] = part[low - start : high - start]
        return loads
