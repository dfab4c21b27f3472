"""Demand that changes more between two samples than demand does: a slip of units, a wrong selector, or a real flood.

Nothing is corrected, since it may be real: capacity follows, within its bounds and windows, and the decision says so.
"""

from dataclasses import dataclass
from typing import Self

from policies.snapshot import NS_PER_SECOND

_FACTOR = 20.0
"""Seconds for minutes are 60, milliseconds for seconds 1,000; a real crowd comes over several scrapes."""

_LEAST_LOAD = 0.05
"""Replicas. Below, a single request more is a large factor."""

_TOLD_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """The last one. factor: load after it over the load before; at_ns: when it was seen, None if there was none."""

    factor: float = 1.0
    at_ns: int | None = None

    def seen(self, at_ns: int, *, usual: float, load: float) -> Self:
        """After a sample of `load` replicas where the last minutes had `usual`."""
        factor = max(load, _LEAST_LOAD) / max(usual, _LEAST_LOAD)
        if 1.0 / _FACTOR < factor < _FACTOR:
            return self
        return type(self)(factor=factor, at_ns=at_ns)

    def words(self, now_ns: int) -> str:
        """For a decision's message; "" a quarter of an hour after it."""
        if self.at_ns is None or now_ns - self.at_ns > _TOLD_SECONDS * NS_PER_SECOND:
            return ""
        times = f"{self.factor:.0f} times" if self.factor > 1 else f"1/{1 / self.factor:.0f} of"
        return f", demand jumped to {times} what it was: if nothing happened, check its source's unit and selector"
