"""Demand that is drawn: arrival processes, token lengths and a seed. Streams, whatever its length."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from policies.capacity.kv_cache import BLOCK_TOKENS
from policies.errors import BadInput
from simulations.demand.arrival_sampling import F8, I4, arrivals_until
from simulations.demand.processes import Processes, streams
from simulations.demand.time_order import in_order
from simulations.trace import Prefixes, Trace, offsets_of

START_NS = 1_704_067_200 * 10**9
"""Monday 2024-01-01 00:00 UTC: second zero of what has no calendar of its own."""

PIECE_REQUESTS = 2**17
"""Requests of a piece, about: 2 MB, so that a piece stays in a core's cache while it is drawn."""

_BOUNDARY_STEPS = 20_000


class LengthSampler(Protocol):
    """Draws the lengths of one run through a demand."""

    def draw(self, seconds: F8, clients: I4) -> tuple[I4, I4]:
        """(prompt tokens, output tokens) of the next requests, given their arrivals and clients; shape (requests,)."""
        ...


class Lengths(Protocol):
    """How many tokens requests have."""

    def sampler(self, seed: int, client_ids: NDArray[np.int64]) -> LengthSampler:
        """A new run. What it draws must not depend on how many requests are drawn at a time."""
        ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Drawn:
    """Requests of renewal processes in operational time: gaps follow their law, stretched by the rate's integral.

    keep: probability that a request is kept, an independent coin each. system_prompt_tokens: leading tokens, down to a
    multiple of 16, that all requests of a client share; a prompt that is shorter has none of them. lora_adapters:
    client n uses adapter n modulo this; 0 for none. piece_requests: about how many a piece holds; changes no request.
    """

    name: str
    duration_seconds: float
    processes: Processes
    lengths: Lengths
    seed: int = 1
    start_ns: int = START_NS
    keep: float = 1.0
    system_prompt_tokens: int = 0
    lora_adapters: int = 0
    piece_requests: int = PIECE_REQUESTS

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise BadInput(f"keep: was {self.keep:g}, must be in (0, 1]; it is the share of requests that are kept")
        if self.system_prompt_tokens and not BLOCK_TOKENS <= self.system_prompt_tokens <= 1_000_000:
            raise BadInput(
                f"system_prompt_tokens: was {self.system_prompt_tokens}, must be 0 for none or in [16, 1000000]"
            )
        if not 0 <= self.lora_adapters <= 1_000_000:
            raise BadInput(
                f"lora_adapters: was {self.lora_adapters}, must be in [0, 1000000]; 0 is the base model alone"
            )

    @property
    def expected_requests(self) -> float:
        return self.processes.expected() * self.keep

    def with_rate_factor(self, factor: float) -> "Drawn":
        """The same with every rate multiplied: gaps keep their law."""
        return replace(self, processes=self.processes.with_rate_factor(factor))

    def pieces(self) -> Iterator[Trace]:
        """Time slices. Equal seeds give equal requests, whatever the slices."""
        sampler = self.lengths.sampler(self.seed, self.processes.client_ids)
        for seconds, clients in arrivals(
            self.processes,
            seed=self.seed,
            seconds=self.duration_seconds,
            keep=self.keep,
            piece_requests=self.piece_requests,
        ):
            prompts, outputs = sampler.draw(seconds, clients)
            yield Trace(
                self.name,
                self.start_ns,
                seconds,
                prompts,
                outputs,
                prefixes=self._system_prompts(clients, prompts),
                lora=(clients % self.lora_adapters).astype(np.int32) if self.lora_adapters else None,
                ends_seconds=self.duration_seconds,
            )

    def _system_prompts(self, clients: I4, prompts: I4) -> Prefixes | None:
        """One block per request that holds the whole system prompt; its id is the client."""
        if not self.system_prompt_tokens:
            return None
        block_tokens = self.system_prompt_tokens // BLOCK_TOKENS * BLOCK_TOKENS
        has_it = prompts >= block_tokens
        return Prefixes(
            block_tokens=block_tokens,
            offsets=offsets_of(has_it.astype(np.int64)),
            ids=clients[has_it].astype(np.int64),
        )


def arrivals(
    processes: Processes, *, seed: int, seconds: float, keep: float = 1.0, piece_requests: int = PIECE_REQUESTS
) -> Iterator[tuple[F8, I4]]:
    """(seconds, client) of each arrival, slice of time by slice of time, in order; none is empty."""
    first, last = processes.first_knot[:-1].copy(), processes.first_knot[1:] - 1
    next_seconds = np.full(len(processes), -math.inf)
    gaps = streams(seed, processes.client_ids, "arrivals")
    coins = streams(seed, processes.client_ids, "coins")
    times, clients = np.empty(2 * piece_requests), np.empty(2 * piece_requests, np.int32)
    since = 0.0
    for until in _boundaries(processes, seconds, keep, piece_requests):
        chunks: list[tuple[F8, I4]] = []
        while True:
            count = arrivals_until(until, keep, gaps, coins, first, next_seconds, last, processes.knots, times, clients)
            if count < len(times):
                break
            chunks.append((times.copy(), clients.copy()))  # a burst: the arrays were too short for it
        slice_times, slice_clients = times[:count], clients[:count]
        if chunks:
            slice_times = np.concatenate([*(chunk[0] for chunk in chunks), slice_times])
            slice_clients = np.concatenate([*(chunk[1] for chunk in chunks), slice_clients])
        if len(slice_times):
            yield in_order(slice_times, slice_clients, since, until)
        since = until


def _boundaries(processes: Processes, seconds: float, keep: float, piece_requests: int) -> F8:
    """Ends of the slices, so that each expects about `piece_requests`."""
    grid = np.linspace(0.0, seconds, _BOUNDARY_STEPS)
    expected = processes.expected_by(grid) * keep
    slices = max(1, math.ceil(expected[-1] / piece_requests))
    inner = np.interp(np.arange(1, slices) * (expected[-1] / slices), expected, grid)
    return np.append(inner, seconds)
