"""Demands laid over one another: all requests, in order, whatever the pieces."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulations.demand.merged import merged
from simulations.trace import Prefixes, Trace, Turns


@dataclass(frozen=True)
class Pieces:
    """A demand of given pieces."""

    traces: tuple[Trace, ...]
    name: str = "pieces"
    start_ns: int = 0

    @property
    def duration_seconds(self) -> float:
        return max((trace.duration_seconds for trace in self.traces), default=0.0)

    @property
    def expected_requests(self) -> float:
        return float(sum(map(len, self.traces)))

    def pieces(self) -> Iterator[Trace]:
        yield from self.traces


def plain(times: list[float], tokens: int = 1) -> Trace:
    count = len(times)
    return Trace(
        "plain", 0, np.array(times), np.arange(tokens, tokens + count, dtype=np.int32), np.ones(count, np.int32)
    )


@given(
    st.lists(
        st.tuples(st.lists(st.integers(0, 20), min_size=0, max_size=30), st.lists(st.integers(1, 29), max_size=4)),
        min_size=2,
        max_size=4,
    )
)
def test_every_request_is_there_once_and_in_order(rows: list[tuple[list[int], list[int]]]) -> None:
    """Also where pieces end in the middle of an instant, and where a demand has no request."""
    demands, tokens = [], 1
    for times, cuts in rows:
        ordered = sorted(times)
        bounds = [0, *sorted(cut for cut in cuts if cut < len(ordered)), len(ordered)]
        pieces = []
        for low, high in pairwise(bounds):
            if low < high:
                pieces.append(plain([float(time) for time in ordered[low:high]], tokens + low))
        tokens += len(ordered)
        demands.append(Pieces(tuple(pieces)))
    demand = merged(demands)
    pieces = list(demand.pieces())
    assert all(len(piece) for piece in pieces)
    arrivals = [time for piece in pieces for time in piece.arrival_seconds.tolist()]
    assert arrivals == sorted(float(time) for times, _ in rows for time in times)
    assert sorted(token for piece in pieces for token in piece.prompt_tokens.tolist()) == list(range(1, tokens))
    ends = [piece.arrival_seconds[-1] for piece in pieces]
    assert all(before < piece.arrival_seconds[0] for before, piece in zip(ends, pieces[1:], strict=False))
    assert demand.expected_requests == tokens - 1


def chained() -> Trace:
    """At second 1 two chains, (0, 1) and (2, 3, 4)."""
    return Trace(
        "chained",
        5,
        np.array([1.0, 1, 1, 1, 1]),
        np.array([11, 12, 13, 14, 15], np.int32),
        np.ones(5, np.int32),
        prefixes=Prefixes(block_tokens=32, offsets=np.array([0, 1, 3, 4, 5, 6]), ids=np.array([7, 7, 8, 9, 9, 9])),
        turns=Turns(next_request=np.array([1, -1, 3, 4, -1], np.int32), think_seconds=np.array([1.0, 0, 2, 3, 0])),
    )


def test_chains_columns_and_prefixes_survive() -> None:
    """Prefixes take the finer blocks, with ids that stay equal within a demand and differ between demands."""
    other = Trace(
        "other",
        0,
        np.array([0.5, 1.0, 2.0]),
        np.array([1, 2, 3], np.int32),
        np.ones(3, np.int32),
        prefixes=Prefixes(block_tokens=16, offsets=np.array([0, 2, 3, 3]), ids=np.array([7, 8, 7])),
        lora=np.array([0, 1, 2], np.int32),
    )
    pieces = list(merged([other, chained()]).pieces())
    tokens = np.concatenate([piece.prompt_tokens for piece in pieces]).tolist()
    assert tokens == [1, 2, 11, 12, 13, 14, 15, 3]
    ids: dict[int, list[int]] = {}
    follows: dict[int, int] = {}
    for piece in pieces:
        assert piece.prefixes is not None
        assert piece.prefixes.block_tokens == 16
        assert piece.lora is not None
        assert piece.turns is not None
        assert piece.e2e_limit_seconds is None
        assert piece.ends_seconds == 2.0
        for at, token in enumerate(piece.prompt_tokens.tolist()):
            ids[token] = piece.prefixes.ids[piece.prefixes.offsets[at] : piece.prefixes.offsets[at + 1]].tolist()
            if (following := piece.turns.next_request[at]) >= 0:
                follows[token] = int(piece.prompt_tokens[following])
                assert piece.turns.think_seconds[at] > 0
    assert follows == {11: 12, 13: 14, 14: 15}
    assert (len(ids[11]), len(ids[12]), len(ids[3])) == (2, 4, 0)
    assert ids[12][:2] == ids[11]
    assert ids[13] == ids[14] == ids[15] != ids[11]
    assert ids[1][0] == ids[2][0]
    assert not {each for token in (1, 2) for each in ids[token]} & {each for token in (11, 13) for each in ids[token]}


def test_one_demand_is_itself_and_the_first_gives_the_calendar() -> None:
    only = plain([1.0])
    assert merged([only]) is only
    both = merged([chained(), only])
    assert (both.name, both.start_ns, both.duration_seconds) == ("chained + plain", 5, 1.0)
    assert [piece.start_ns for piece in both.pieces()] == [5] * len(list(both.pieces()))


def test_a_demand_that_is_not_there_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        merged([])
