"""Parts of a trace keep everything that is known of the requests."""

import numpy as np
import pytest

from simulations.trace import Prefixes, Trace, Turns


def trace(ends_seconds: float | None = None) -> Trace:
    """Two chains of turns, (0, 2, 3) and (1,), and a single request."""
    return Trace(
        "whole",
        0,
        np.array([0.0, 0.0, 0.0, 0.0, 7.0]),
        np.array([10, 20, 30, 40, 50], np.int32),
        np.array([1, 2, 3, 4, 5], np.int32),
        prefixes=Prefixes(block_tokens=16, offsets=np.array([0, 1, 1, 3, 6, 7]), ids=np.array([1, 1, 2, 1, 2, 3, 9])),
        lora=np.array([0, -1, 0, 0, 1], np.int32),
        priority=np.arange(5, dtype=np.int32),
        e2e_limit_seconds=np.array([np.nan, 1, 2, 3, 4]),
        turns=Turns(next_request=np.array([2, -1, 3, -1, -1], np.int32), think_seconds=np.array([5.0, 0, 6, 0, 0])),
        ends_seconds=ends_seconds,
    )


@pytest.mark.parametrize(
    "kept",
    [np.array([0, 2, 3, 4]), np.array([True, False, True, True, True])],
    ids=["indices", "mask"],
)
def test_a_part_keeps_every_column(kept: np.ndarray) -> None:
    part = trace().part(kept)
    assert part.prompt_tokens.tolist() == [10, 30, 40, 50]
    assert part.prefixes is not None
    assert part.prefixes.offsets.tolist() == [0, 1, 3, 6, 7]
    assert part.prefixes.ids.tolist() == [1, 1, 2, 1, 2, 3, 9]
    assert part.lora is not None
    assert part.lora.tolist() == [0, 0, 0, 1]
    assert part.priority is not None
    assert part.priority.tolist() == [0, 2, 3, 4]
    assert part.e2e_limit_seconds is not None
    assert part.e2e_limit_seconds.tolist()[1:] == [2, 3, 4]
    assert part.turns is not None
    assert part.turns.next_request.tolist() == [1, 2, -1, -1]
    assert part.turns.think_seconds.tolist() == [5, 6, 0, 0]


def test_a_chain_is_never_cut() -> None:
    with pytest.raises(AssertionError, match="chain of turns was cut"):
        trace().part(slice(0, 3))


def test_heads_are_the_first_of_each_chain() -> None:
    turns = trace().turns
    assert turns is not None
    assert turns.heads().tolist() == [0, 1, 0, 0, 4]
    long = Turns(next_request=np.append(np.arange(1, 1_000), -1).astype(np.int32), think_seconds=np.zeros(1_000))
    assert not long.heads().any()


def test_first_keeps_the_columns_and_where_the_demand_ends() -> None:
    first = trace().first(5.0)
    assert len(first) == 4
    assert first.turns is not None
    assert first.ends_seconds == 5.0, "followers may still come until then"
    assert trace(ends_seconds=3.0).first(5.0).ends_seconds == 3.0
    assert len(trace().first(60.0)) == 5


def test_nothing_is_a_demand_of_no_pieces() -> None:
    empty = trace().part(np.zeros(5, bool))
    assert (len(empty), empty.duration_seconds, list(empty.pieces())) == (0, 0.0, [])
