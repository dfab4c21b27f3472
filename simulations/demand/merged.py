"""Several demands laid over one another, second zero on second zero."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simulations.demand.columns import Columns, concatenated, in_order
from simulations.trace import Demand, Trace


def merged(demands: Sequence[Demand]) -> Demand:
    """All of them at once, by the calendar of the first; prefixes stay each demand's own."""
    assert demands, "nothing to merge"
    return demands[0] if len(demands) == 1 else Merged(tuple(demands))


@dataclass(frozen=True, slots=True)
class Merged:
    demands: tuple[Demand, ...]

    @property
    def name(self) -> str:
        return " + ".join(demand.name for demand in self.demands)

    @property
    def start_ns(self) -> int:
        return self.demands[0].start_ns

    @property
    def duration_seconds(self) -> float:
        return max(demand.duration_seconds for demand in self.demands)

    @property
    def expected_requests(self) -> float:
        return sum(demand.expected_requests for demand in self.demands)

    def pieces(self) -> Iterator[Trace]:
        """Up to where every demand has been read. A chain of turns is never cut: its requests arrive together."""
        sources = [demand.pieces() for demand in self.demands]
        held = [next(source, None) for source in sources]
        columns = Columns.of([piece for piece in held if piece is not None])
        held = [None if piece is None else self._own(piece, which, columns) for which, piece in enumerate(held)]
        read_to = [_end(piece) for piece in held]
        while any(piece is not None for piece in held):
            # The last instant that was read of a demand may go on in its next piece: it is held back.
            bound = min(read_to)
            ready: list[Trace] = []
            for which, piece in enumerate(held):
                count = 0 if piece is None else int(np.searchsorted(piece.arrival_seconds, bound, side="left"))
                if piece is not None and count:
                    ready.append(piece.part(slice(0, count)))
                    held[which] = piece.part(slice(count, None)) if count < len(piece) else None
            if ready:
                yield in_order(concatenated(ready))
            if bound < math.inf:
                which = read_to.index(bound)
                piece = next(sources[which], None)
                read_to[which] = _end(piece)
                if piece is not None:
                    piece, rest = self._own(piece, which, columns), held[which]
                    held[which] = piece if rest is None else concatenated([rest, piece])

    def _own(self, piece: Trace, which: int, columns: Columns) -> Trace:
        """The piece with the merged name, calendar and columns, and with prefix ids that no other demand has."""
        piece = columns.complete(piece)
        prefixes = piece.prefixes
        return replace(
            piece,
            name=self.name,
            start_ns=self.start_ns,
            ends_seconds=self.duration_seconds,
            prefixes=prefixes and replace(prefixes, ids=prefixes.ids * len(self.demands) + which),
        )


def _end(piece: Trace | None) -> float:
    """How far a demand is known after this piece, the last that was read."""
    return math.inf if piece is None else float(piece.arrival_seconds[-1])
