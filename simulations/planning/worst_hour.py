"""The worst hour as requests, with a run-in before it, for the full simulator."""

from dataclasses import dataclass, replace

from simulations.counts.demand_counts import BIN_SECONDS
from simulations.demand.columns import Columns, concatenated, in_order
from simulations.demand.rate_scaled import rate_scaled
from simulations.demand.transformations import sliced
from simulations.planning.growth import Span
from simulations.trace import Demand, Trace

_MOST_REQUESTS = 2_000_000
"""Before the hour; the full simulator serves them in well under a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstHour:
    """requests: the run-in, then the hour. judged_from_seconds: where the hour begins in them, a multiple of 15 s."""

    requests: Trace
    judged_from_seconds: float


def run_in_seconds(demand: Demand, hour: Span) -> float:
    """All that comes before the hour, or as much of it as holds two million requests; a multiple of 15 s.

    What a policy has learned until then it knows in the hour, as in a run over all of the demand.
    """
    begin = hour.first * BIN_SECONDS
    affordable = _MOST_REQUESTS / max(demand.expected_requests, 1.0) * demand.duration_seconds
    return float(min(begin, affordable // BIN_SECONDS * BIN_SECONDS))


def worst_hour(demand: Demand, hour: Span, peak_factor: float, seed: int) -> WorstHour:
    """Cut it from the demand; its requests are laid over themselves until there are `peak_factor` times as many.

    Raises BadInput for demand that cannot be cut: users, who stay from their spawn to the end.
    """
    begin, end = float(hour.first * BIN_SECONDS), float(hour.end * BIN_SECONDS)
    run_in = run_in_seconds(demand, hour)
    busy = rate_scaled(sliced(demand, begin, end - begin), peak_factor, seed)
    pieces = [_later(piece, run_in, demand, begin) for piece in busy.pieces()]
    if run_in > 0:
        before = sliced(demand, begin - run_in, run_in)
        pieces = [*(_later(piece, 0.0, demand, begin) for piece in before.pieces()), *pieces]
    columns = Columns.of(pieces)
    whole = in_order(concatenated([columns.complete(piece) for piece in pieces]))
    start_ns = demand.start_ns + round((begin - run_in) * 1e9)
    requests = replace(whole, name=demand.name, start_ns=start_ns, ends_seconds=run_in + end - begin)
    return WorstHour(requests=requests, judged_from_seconds=run_in)


def _later(piece: Trace, seconds: float, demand: Demand, begin: float) -> Trace:
    """Moved, in the demand's own calendar, so that pieces can be joined."""
    return replace(
        piece,
        name=demand.name,
        start_ns=demand.start_ns + round(begin * 1e9),
        arrival_seconds=piece.arrival_seconds + seconds,
        ends_seconds=None,
    )
