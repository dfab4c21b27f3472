"""What the tests of the engine share: traces written by hand, demands in pieces, servers that are all ready."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from simulations.engine import Engine, ServerModel
from simulations.trace import Prefixes, Trace, Turns, offsets_of

ONE_SECOND_A_STEP = ServerModel(
    base=1.0,
    per_prefill_token=0.0,
    per_decode_seq=0.0,
    per_kv_token=0.0,
    kv_blocks=1_000,
    max_num_seqs=8,
    max_num_batched_tokens=1_000,
)
"""Every iteration lasts 1 s, whatever is in it: times can be counted on fingers."""


def trace_of(
    arrivals: Sequence[float], prompt_tokens: Any = 10, output_tokens: Any = 3, name: str = "test", **columns: Any
) -> Trace:
    """Requests at those seconds; one token count for all, or one each."""
    count = len(arrivals)
    return Trace(
        name,
        0,
        np.array(arrivals, np.float64),
        np.broadcast_to(np.asarray(prompt_tokens, np.int32), (count,)).copy(),
        np.broadcast_to(np.asarray(output_tokens, np.int32), (count,)).copy(),
        **columns,
    )


def prefixes_of(ids: Sequence[Sequence[int]], block_tokens: int = 16) -> Prefixes:
    """Each request's prefix ids."""
    return Prefixes(
        block_tokens=block_tokens,
        offsets=offsets_of(np.array([len(each) for each in ids], np.int64)),
        ids=np.array([one for each in ids for one in each], np.int64),
    )


def turns_of(next_request: Sequence[int], think_seconds: float = 0.0) -> Turns:
    """Who follows whom."""
    return Turns(next_request=np.array(next_request, np.int32), think_seconds=np.full(len(next_request), think_seconds))


@dataclass(frozen=True)
class InPieces:
    """The requests of a trace, so many at a time; chains of turns must not be cut."""

    trace: Trace
    bounds: tuple[int, ...]

    @classmethod
    def of_size(cls, trace: Trace, size: int) -> "InPieces":
        return cls(trace, tuple(range(size, len(trace), size)))

    @property
    def name(self) -> str:
        return self.trace.name

    @property
    def start_ns(self) -> int:
        return self.trace.start_ns

    @property
    def duration_seconds(self) -> float:
        return self.trace.duration_seconds

    @property
    def expected_requests(self) -> float:
        return float(len(self.trace))

    def pieces(self) -> Iterator[Trace]:
        edges = sorted({0, *self.bounds, len(self.trace)})
        for low, high in pairwise(edges):
            yield self.trace.part(slice(low, high))


def engine_with(
    demand: Any, *models: ServerModel, servers: int = 1, roles: Sequence[str] | None = None, **options: Any
) -> Engine:
    """An engine whose servers are all open: `servers` of the one model, or one of each model, or one a role."""
    engine = Engine(models or [ONE_SECOND_A_STEP], demand, **options)
    kinds = list(range(len(models))) if len(models) > 1 else [0] * servers
    for pod, role in enumerate(roles or ["both"] * len(kinds)):
        engine.open(engine.add_server(pod, model=kinds[pod] if roles is None else 0, role=role))
    return engine


def all_rows(engine: Engine, until: float = 1e6) -> Any:
    """Every request after the end; nothing was taken before."""
    engine.advance(until)
    assert engine.finished
    pieces = [piece.copy() for piece in engine.take()]
    return np.concatenate(pieces)


def model_with(**changes: Any) -> ServerModel:
    """ONE_SECOND_A_STEP with some fields changed."""
    return replace(ONE_SECOND_A_STEP, **changes)
