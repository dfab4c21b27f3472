"""Demand: when requests arrive, and what each of them is.

A `Trace` holds requests in memory. A `Demand` gives them as one trace after the other, so that weeks of it need not
fit; a trace is the demand of one piece.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND

SHIPPED = Path(__file__).parent / "data" / "azure-2023-conv.csv.gz"


class Demand(Protocol):
    """Requests in order of arrival, in pieces. Equal demands give equal requests, every time they are asked.

    start_ns: Unix ns of second zero. duration_seconds: when it ends, at or after the last arrival.
    expected_requests: how many there will be, exactly or in the mean; for progress only.
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
        return float(self.arrival_seconds[-1]) if self.ends_seconds is None else self.ends_seconds

    @property
    def expected_requests(self) -> float:
        return float(len(self))

    def pieces(self) -> "Iterator[Trace]":
        yield self

    def first(self, seconds: float) -> "Trace":
        """The requests of the first `seconds`."""
        kept = int(np.searchsorted(self.arrival_seconds, seconds, side="right"))
        return Trace(
            self.name,
            self.start_ns,
            self.arrival_seconds[:kept],
            self.prompt_tokens[:kept],
            self.output_tokens[:kept],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One request of a recording. where: file and line, for errors. time_text: as the recording writes it."""

    where: str
    time_ns: int
    time_text: str
    prompt_tokens: int
    output_tokens: int


def trace_of(path: Path, rows: Iterable[Row]) -> Trace:
    """The recording's rows as a trace. Raises BadInput where times go backwards or there is no row.

    A request that generated 0 tokens counts as 1: a server always writes the token that ends the answer.
    """
    times_ns: list[int] = []
    prompts: list[int] = []
    outputs: list[int] = []
    for row in rows:
        if times_ns and row.time_ns < times_ns[-1]:
            raise BadInput(
                f"{row.where}: the time was {row.time_text!r}, must not be earlier than the line before; "
                "sort the trace by time"
            )
        times_ns.append(row.time_ns)
        prompts.append(row.prompt_tokens)
        outputs.append(max(1, row.output_tokens))
    if not times_ns:
        raise BadInput(f"{path}: has no requests, must have at least 1")
    start_ns = times_ns[0] // NS_PER_SECOND * NS_PER_SECOND
    return Trace(
        path.name,
        start_ns,
        (np.array(times_ns, np.int64) - start_ns) / NS_PER_SECOND,
        np.array(prompts, np.int32),
        np.array(outputs, np.int32),
    )
