"""Where finished requests go: kept one by one, or counted as they pass."""

from typing import Protocol

from simulations.request_rows import Rows
from simulations.results.intervals import Intervals
from simulations.results.stream import RequestStream
from simulations.results.table import RequestTable
from simulations.results.totals import RequestTotals
from simulations.slo import SLO

MOST_KEPT_REQUESTS = 2_000_000
"""160 MB; a run of more is streamed unless it is asked to keep them."""


class Sink(Protocol):
    """Takes every request of a run once."""

    def add(self, rows: Rows) -> None:
        """Take a piece; the caller may reuse its memory afterwards."""
        ...


class Collector(Sink, Protocol):
    """A sink whose figures are of what was added so far."""

    def totals(self) -> RequestTotals: ...

    def intervals(self) -> Intervals: ...


def collector_for(expected_requests: float, slo: SLO, *, keep: bool | None = None) -> Collector:
    """keep: True for each request in memory, False for counts only, None to choose by size."""
    if keep or (keep is None and expected_requests <= MOST_KEPT_REQUESTS):
        return RequestTable(slo)
    return RequestStream(slo)
