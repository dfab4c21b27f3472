"""The door: servers that batch come and go, time is advanced, finished requests are taken."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from policies.errors import BadInput
from simulations.batching.batch_profile import BatchProfile
from simulations.batching.rule import BatchingServer
from simulations.batching.serve import fail_server, serve
from simulations.batching.tables import Tables, clear_row, new_tables, with_rows
from simulations.engine import Engine, Router, ServerModel, rows
from simulations.engine.layout import NONE
from simulations.engine.serve import DONE, NEEDS_REQUESTS
from simulations.trace import Demand, Trace


class BatchingEngine(Engine):
    """Servers of one kind behind one router, under one demand: to a fleet, an Engine like any other.

    In `servers`: running and waiting are requests in batches that run, and all others; iterations are batches; in_step
    and busy_seconds are of the GPU, which is busy while any batch runs. A request's last_token is when its batch
    began. What is refused (a full queue, a timeout) ends as "rejected". There are no tokens one by one, so first_token
    is finish, and nothing is known of TPOT or of gaps between tokens.
    """

    def __init__(
        self,
        server: BatchingServer,
        profile: BatchProfile,
        demand: Demand,
        *,
        router: Router | None = None,
        gateway_timeout_seconds: float = np.inf,
        client_timeout_seconds: float = np.inf,
        split_seed: int | None = None,
        kv_blocks: int = 1,
        models: int = 1,
    ) -> None:
        """kv_blocks: what a server shows as its free KV blocks, all the time; it has none.

        models: revisions that a rollout goes through; their batches are the same.
        """
        self.server = server
        self.profile = profile
        self._tables: Tables = new_tables(server.rule(), profile)
        super().__init__(
            [_outside(kv_blocks)] * models,
            demand,
            router=router,
            gateway_timeout_seconds=gateway_timeout_seconds,
            client_timeout_seconds=client_timeout_seconds,
            split_seed=split_seed,
        )

    @property
    def batchers(self) -> Any:
        """BATCHER records by row: what each server has counted."""
        return self._tables.batchers

    def add_server(self, pod: int, *, model: int = 0, role: str = "both") -> int:
        """An idle server that the router does not use yet. Returns its row."""
        row = super().add_server(pod, model=model, role=role)
        if len(self._tables.batchers) < len(self.servers):
            self._tables = with_rows(self._tables, len(self.servers))
        clear_row(self._tables, row)
        return row

    def fail(self, row: int, now: float, *, retries: bool) -> None:
        """A server dies with all that it holds; its clients send their requests again, or they fail."""
        once, server = self._world.world[0], self._world.servers[row]
        while len(self._world.deferred) - int(once["deferred_count"]) <= 2 * int(server["outstanding"]):
            self._more_deferred()
        rows.close_row(self._world, row)
        fail_server(self._world.world, self._tables, row, float(now), retries)

    def advance(self, until: float) -> None:
        """Serve until `until` (seconds): what happens at that very instant is done."""
        while (status := serve(self._world.world, self._tables, float(until))) != DONE:
            if status == NEEDS_REQUESTS:
                piece = next(self._pieces, None)
                if piece is None:
                    self._world.world["exhausted"] = 1
                else:
                    self._load(piece)
            else:
                self._more_deferred()

    def _load(self, piece: Trace) -> None:
        """The next requests; where their ring is copied into a larger one, the batches follow."""
        once = self._world.world[0]
        before = len(self._world.requests)
        numbers = np.arange(int(once["flushed"]), int(once["loaded"]))
        super()._load(piece)
        after = len(self._world.requests)
        if after != before:
            moved = np.full(before + 1, NONE, np.int64)  # NONE, the last entry, stays NONE
            moved[numbers & (before - 1)] = numbers & (after - 1)
            for end in ("first", "last"):
                self._tables.batches[end] = moved[self._tables.batches[end]]


def engines_of(server: BatchingServer, profile: BatchProfile) -> Callable[..., BatchingEngine]:
    """What a fleet calls in place of `Engine(models, demand, router=..., ...)` to get such servers instead of vLLM's.

    Of the models only the KV blocks are used, so that a fleet's books of them balance. What it makes raises BadInput
    where prefill has servers of its own.
    """

    def make(models: Sequence[ServerModel], demand: Demand, **options: Any) -> BatchingEngine:
        if models[0].transfer_seconds_per_token is not None:
            raise BadInput(
                "disaggregation: was given, must be left out: a server that answers in batches does not part prefill "
                "from decode; use vLLM"
            )
        return BatchingEngine(server, profile, demand, kv_blocks=models[0].kv_blocks, models=len(models), **options)

    return make


def _outside(kv_blocks: int) -> ServerModel:
    """What the router and the engine's tables know of a server that has no KV cache and no iterations."""
    return ServerModel(
        base=1.0,
        per_prefill_token=0.0,
        per_decode_seq=0.0,
        per_kv_token=0.0,
        kv_blocks=kv_blocks,
        max_num_seqs=1,
        max_num_batched_tokens=1,
    )
