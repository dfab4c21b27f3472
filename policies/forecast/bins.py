"""Samples become means of one-minute bins, whatever is wrong with them.

- A sample that is NaN, infinite or negative (a counter's reset seen as a rate) is missing.
- A sample that is not newer than the last is ignored: a duplicate, or one that came out of order.
- A minute without a sample is a gap: unknown, never 0.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from policies.snapshot import NS_PER_SECOND

F8 = NDArray[np.float64]

BIN_SECONDS = 60
_BIN_NS = BIN_SECONDS * NS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenBin:
    """The minute that is under way. at_ns: the last sample; None before the first. number: minutes since the epoch.

    totals, counts: of the samples so far, shape (targets,).
    """

    at_ns: int | None
    number: int
    totals: F8
    counts: F8

    @classmethod
    def empty(cls, targets: int) -> "OpenBin":
        return cls(at_ns=None, number=0, totals=np.zeros(targets), counts=np.zeros(targets))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClosedBin:
    """A minute that is over. number: minutes since the epoch. means: shape (targets,); NaN where no sample came."""

    number: int
    means: F8


def add(current: OpenBin, at_ns: int, values: ArrayLike) -> tuple[OpenBin, tuple[ClosedBin, ...]]:
    """(the minute that is open now, the minutes that this sample closed: none, one or two, oldest first).

    values: one for each target, or one for all. A sample on the minute belongs to the minute that ends there, and
    closes it.
    """
    if current.at_ns is not None and at_ns <= current.at_ns:
        return current, ()
    given = np.broadcast_to(np.asarray(values, np.float64), current.totals.shape)
    is_known = np.isfinite(given) & (given >= 0.0)
    number = (at_ns - 1) // _BIN_NS
    closed: tuple[ClosedBin, ...] = ()
    if number > current.number:
        if current.counts.any():
            closed = (_closed(current),)
        current = OpenBin.empty(len(current.totals))
    added = OpenBin(
        at_ns=at_ns,
        number=number,
        totals=current.totals + np.where(is_known, given, 0.0),
        counts=current.counts + is_known,
    )
    if at_ns % _BIN_NS:
        return added, closed
    empty = OpenBin.empty(len(given))
    return replace(empty, at_ns=at_ns, number=number + 1), (*closed, _closed(added))


def _closed(full: OpenBin) -> ClosedBin:
    means = np.divide(full.totals, full.counts, out=np.full(len(full.totals), np.nan), where=full.counts > 0)
    return ClosedBin(number=full.number, means=means)
