"""Demand: when requests arrive, and what each of them is.

A `Trace` holds requests in memory. A `Demand` gives them as one trace after the other, so that weeks of it need not
fit; a trace is the demand of one piece.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SHIPPED = Path(__file__).parent / "data" / "azure-2023-conv.csv.gz"


class Demand(Protocol):
    """Requests in order of arrival, in pieces. Equal demands give equal requests, every time they are asked.

    start_ns: Unix ns of second zero. duration_seconds: when it ends, at or after the last arrival.
    expected_requests: how many there will be, exactly or in the mean; for progress only.

    What one piece says of its requests all pieces say: they have the same columns, and prefix blocks of one size.
    """

    @property
    def name(self) -> str: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def duration_seconds(self) -> float: ...
    @property
    def expected_requests(self) -> float: ...

    def pieces(self) -> "Iterator[Trace]":
        """The requests from the first, each piece in order and after the one before, none of them empty."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Prefixes:
    """What requests have in common with others: the ids of their leading blocks.

    Two requests share a prefix of n blocks when their first n ids are equal. Request i's ids are
    `ids[offsets[i] : offsets[i + 1]]`; they may reach past its prompt, into what it generates.

    block_tokens: tokens of one block, a multiple of 16. offsets: int64, (requests + 1,). ids: int64, 0 or more.
    """

    block_tokens: int
    offsets: NDArray[np.int64]
    ids: NDArray[np.int64]

    def part(self, indices: NDArray[np.int64]) -> "Prefixes":
        """Those of some requests, in that order."""
        counts = (self.offsets[1:] - self.offsets[:-1])[indices]
        offsets = offsets_of(counts)
        positions = np.arange(offsets[-1]) + np.repeat(self.offsets[indices] - offsets[:-1], counts)
        return Prefixes(block_tokens=self.block_tokens, offsets=offsets, ids=self.ids[positions])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Turns:
    """Requests that are sent when the answer to another has come back: conversations, closed-loop users.

    next_request: index within the trace of the request that follows, greater than its own; -1 for none. Shape
    (requests,). think_seconds: from that request's answer to the next one's arrival, 0 or more. Shape (requests,).

    What follows another has as its `arrival_seconds` the arrival of the first of its chain, and arrives when it
    arrives; what would arrive after the demand's end is never sent. A chain lies within one piece.
    """

    next_request: NDArray[np.int32]
    think_seconds: NDArray[np.float64]

    def heads(self) -> NDArray[np.int64]:
        """Per request, the first of its chain; shape (requests,)."""
        followed = np.flatnonzero(self.next_request >= 0)
        head = np.arange(len(self.next_request))
        head[self.next_request[followed]] = followed
        while not np.array_equal(further := head[head], head):  # doubles the distance each time
            head = further
        return head

    def part(self, indices: NDArray[np.int64]) -> "Turns":
        """Those of some requests, ascending, that hold every chain wholly or not at all."""
        new = np.full(len(self.next_request) + 1, -1, np.int32)
        new[indices] = np.arange(len(indices), dtype=np.int32)
        kept = np.zeros(len(self.next_request), bool)
        kept[indices] = True
        assert np.array_equal(kept, kept[self.heads()]), "a chain of turns was cut"
        return Turns(next_request=new[self.next_request[indices]], think_seconds=self.think_seconds[indices])


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in order of arrival.

    start_ns: Unix ns of the run's second zero.
    arrival_seconds: seconds since `start_ns`, 0 or more, never decreasing, shape (requests,).
    prompt_tokens, output_tokens: tokens per request, at least 1, shape (requests,).
    prefixes: shared prompts; None where nothing is known of them.
    lora: int32 adapter per request, 0 or more, -1 for the base model; None for no adapters at all.
    priority: int32, smaller is served first, as vLLM's `priority`; None where all are equal.
    e2e_limit_seconds: float64; where it is not NaN, the request is judged by its end-to-end latency against it,
        instead of TTFT and TPOT: answers that do not stream, batch jobs with a deadline.
    turns: which requests wait for the answer to another.
    ends_seconds: when the demand ends; None for the last arrival.
    """

    name: str
    start_ns: int
    arrival_seconds: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]
    prefixes: Prefixes | None = None
    lora: NDArray[np.int32] | None = None
    priority: NDArray[np.int32] | None = None
    e2e_limit_seconds: NDArray[np.float64] | None = None
    turns: Turns | None = None
    ends_seconds: float | None = None

    def __len__(self) -> int:
        return len(self.arrival_seconds)

    @property
    def duration_seconds(self) -> float:
        """From second zero to the end of the demand."""
        if self.ends_seconds is not None:
            return self.ends_seconds
        return float(self.arrival_seconds[-1]) if len(self) else 0.0

    @property
    def expected_requests(self) -> float:
        return float(len(self))

    def pieces(self) -> "Iterator[Trace]":
        if len(self):
            yield self

    def first(self, seconds: float) -> "Trace":
        """The requests of the first `seconds`, with all that is known of them."""
        kept = self.part(slice(0, int(np.searchsorted(self.arrival_seconds, seconds, side="right"))))
        ends_early = self.ends_seconds is not None or self.turns is not None
        return replace(kept, ends_seconds=min(self.duration_seconds, seconds) if ends_early else None)

    def part(self, kept: slice | NDArray[np.bool_] | NDArray[np.int64]) -> "Trace":
        """Some of the requests, in the same order, with all that is known of them.

        kept: a slice, a mask of shape (requests,), or ascending indices. Chains of turns must be kept whole.
        """
        indices = np.arange(len(self))[kept]
        return replace(
            self,
            arrival_seconds=self.arrival_seconds[kept],
            prompt_tokens=self.prompt_tokens[kept],
            output_tokens=self.output_tokens[kept],
            prefixes=None if self.prefixes is None else self.prefixes.part(indices),
            lora=None if self.lora is None else self.lora[kept],
            priority=None if self.priority is None else self.priority[kept],
            e2e_limit_seconds=None if self.e2e_limit_seconds is None else self.e2e_limit_seconds[kept],
            turns=None if self.turns is None else self.turns.part(indices),
        )


def offsets_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each of several stretches of `counts` entries begins, and where the last ends; shape (stretches + 1,)."""
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    return offsets
