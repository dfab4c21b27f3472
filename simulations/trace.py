"""Recorded demand: when requests arrived, and how many tokens each read and wrote."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND

SHIPPED = Path(__file__).parent / "data" / "azure-2023-conv.csv.gz"


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in order of arrival.

    start_ns: Unix ns of the run's second zero: the first arrival, rounded down to a whole second.
    arrival_seconds: seconds since `start_ns`, never decreasing, shape (requests,).
    prompt_tokens, output_tokens: tokens per request, at least 1, shape (requests,).
    """

    name: str
    start_ns: int
    arrival_seconds: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.arrival_seconds)

    @property
    def duration_seconds(self) -> float:
        """From second zero to the last arrival."""
        return float(self.arrival_seconds[-1])

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
