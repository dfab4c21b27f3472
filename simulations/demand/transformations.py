"""What can be done to any demand: cut a slice, thin it, stretch its time, let a share of its requests not stream.

All of them stream. Chains of turns stay whole: a chain is kept or left out, and moves, with its first request.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from policies.errors import BadInput
from simulations.demand.merged import Merged
from simulations.demand.users import Users
from simulations.trace import Demand, Trace, Turns


def sliced(demand: Demand, start_seconds: float, seconds: float) -> Demand:
    """What begins within `seconds` from `start_seconds` on, which becomes second zero. Raises BadInput.

    A conversation that began earlier is left out; one that goes on longer is cut at the end, as every demand is.
    """
    duration = demand.duration_seconds
    if not 0 <= start_seconds < max(duration, 1e-9):
        raise BadInput(f"start_seconds: was {start_seconds:g}, must be in [0, {duration:g}), the span of {demand.name}")
    if not seconds > 0:
        raise BadInput(f"seconds: was {seconds:g}, must be above 0")
    if start_seconds > 0 and has_users(demand):
        raise BadInput(
            f"start_seconds: was {start_seconds:g}, must be 0 for users: they stay from their spawn to the end"
        )
    seconds = min(seconds, duration - start_seconds)

    def cut(piece: Trace) -> Trace:
        low = int(np.searchsorted(piece.arrival_seconds, start_seconds, side="left"))
        high = int(np.searchsorted(piece.arrival_seconds, start_seconds + seconds, side="right"))
        part = piece.part(slice(low, high))
        return replace(
            part,
            arrival_seconds=part.arrival_seconds - start_seconds,
            start_ns=piece.start_ns + round(start_seconds * 1e9),
            ends_seconds=seconds,
        )

    return Transformed(
        demand,
        name=demand.name,
        start_ns=demand.start_ns + round(start_seconds * 1e9),
        duration_seconds=seconds,
        expected_requests=demand.expected_requests * (seconds / duration if duration else 1.0),
        change=lambda: cut,
        read_to_seconds=start_seconds + seconds,
    )


def thinned(demand: Demand, keep: float, seed: int = 1) -> Demand:
    """Each request, or each chain of turns, kept with probability `keep`, by a coin of its own. Raises BadInput.

    Gaps become more random: what is left of any arrivals tends to a Poisson process as `keep` falls.
    """
    if not 0 < keep <= 1:
        raise BadInput(f"keep: was {keep:g}, must be in (0, 1]; it is the share of requests that are kept")
    if keep == 1:
        return demand

    def change() -> Callable[[Trace], Trace]:
        rng = _generator(seed)

        def toss(piece: Trace) -> Trace:
            heads = rng.random(len(piece)) < keep
            return piece.part(heads if piece.turns is None else heads[piece.turns.heads()])

        return toss

    return Transformed(
        demand,
        name=demand.name,
        start_ns=demand.start_ns,
        duration_seconds=demand.duration_seconds,
        expected_requests=demand.expected_requests * keep,
        change=change,
    )


def time_warped(demand: Demand, factor: float) -> Demand:
    """All times multiplied, think times too: 0.5 is twice as fast, at twice the rate. Raises BadInput.

    Limits stay as they are: they are what was promised, not what is asked.
    """
    if not 1e-6 <= factor <= 1e6:
        raise BadInput(f"time_factor: was {factor:g}, must be in [1e-06, 1e+06]; 0.5 is twice as fast")
    if factor == 1:
        return demand
    duration = demand.duration_seconds * factor

    def stretch(piece: Trace) -> Trace:
        turns = piece.turns and Turns(
            next_request=piece.turns.next_request, think_seconds=piece.turns.think_seconds * factor
        )
        return replace(piece, arrival_seconds=piece.arrival_seconds * factor, turns=turns, ends_seconds=duration)

    return Transformed(
        demand,
        name=demand.name,
        start_ns=demand.start_ns,
        duration_seconds=duration,
        expected_requests=demand.expected_requests,
        change=lambda: stretch,
    )


def delayed(demand: Demand, seconds: float) -> Demand:
    """Everything `seconds` later, to the same end: what would begin after it is left out."""
    duration = demand.duration_seconds

    def shift(piece: Trace) -> Trace:
        kept = piece.part(slice(0, int(np.searchsorted(piece.arrival_seconds, duration - seconds, side="right"))))
        return replace(kept, arrival_seconds=kept.arrival_seconds + seconds, ends_seconds=duration)

    return Transformed(
        demand,
        name=demand.name,
        start_ns=demand.start_ns,
        duration_seconds=duration,
        expected_requests=demand.expected_requests,
        change=lambda: shift,
        read_to_seconds=duration - seconds,
    )


def partly_streaming(demand: Demand, streaming_share: float, e2e_limit_seconds: float, seed: int = 1) -> Demand:
    """A share of the requests streams; the others are judged by their end-to-end latency. Raises BadInput.

    Each request has a coin of its own. One that has a limit already keeps it.
    """
    if not 0 <= streaming_share <= 1:
        raise BadInput(f"streaming_share: was {streaming_share:g}, must be in [0, 1]")
    if not 0 < e2e_limit_seconds <= 1e9:
        raise BadInput(f"e2e_limit_seconds: was {e2e_limit_seconds:g}, must be in (0, 1e+09]")
    if streaming_share == 1:
        return demand

    def change() -> Callable[[Trace], Trace]:
        rng = _generator(seed)

        def limit(piece: Trace) -> Trace:
            old = np.full(len(piece), np.nan) if piece.e2e_limit_seconds is None else piece.e2e_limit_seconds
            waits = (rng.random(len(piece)) >= streaming_share) & np.isnan(old)
            return replace(piece, e2e_limit_seconds=np.where(waits, e2e_limit_seconds, old))

        return limit

    return Transformed(
        demand,
        name=demand.name,
        start_ns=demand.start_ns,
        duration_seconds=demand.duration_seconds,
        expected_requests=demand.expected_requests,
        change=change,
    )


def has_users(demand: Demand) -> bool:
    """Whether closed-loop users are among those who ask."""
    if isinstance(demand, Transformed):
        return has_users(demand.demand)
    if isinstance(demand, Merged):
        return any(has_users(each) for each in demand.demands)
    return isinstance(demand, Users)


def _generator(seed: int) -> np.random.Generator:
    """Drawn from one number a request, so that pieces of any size get the same coins."""
    return np.random.Generator(np.random.PCG64DXSM([seed, 0x7472616E]))


@dataclass(frozen=True, slots=True)
class Transformed:
    """change: begins a run, and gives what is done to each piece. read_to_seconds: later pieces are not asked for."""

    demand: Demand
    name: str
    start_ns: int
    duration_seconds: float
    expected_requests: float
    change: Callable[[], Callable[[Trace], Trace]]
    read_to_seconds: float = np.inf

    def pieces(self) -> Iterator[Trace]:
        change = self.change()
        for piece in self.demand.pieces():
            if piece.arrival_seconds[0] > self.read_to_seconds:
                return
            changed = change(piece)
            if len(changed):
                yield changed
