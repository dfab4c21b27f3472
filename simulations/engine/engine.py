"""The engine's door: servers come and go, time is advanced, finished requests are taken."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from policies.capacity.kv_cache import BLOCK_TOKENS
from policies.errors import BadInput
from simulations.engine import layout, rows
from simulations.engine.ring import PRIORITY_LEVELS, flushable, loaded, prefill_tokens_under_way
from simulations.engine.router import LEAST_OUTSTANDING, ROUND_ROBIN, SCORED
from simulations.engine.serve import DONE, NEEDS_REQUESTS, advance
from simulations.request_rows import PENDING
from simulations.trace import Demand, Trace

ROLES = {"both": layout.BOTH, "prefill": layout.PREFILL, "decode": layout.DECODE}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerModel:
    """One kind of server: its step time in seconds, its KV cache and its scheduler's limits.

    An iteration lasts base + per_prefill_token * prompt tokens computed + per_decode_seq * decoding requests
    + per_kv_token * KV tokens of all scheduled requests + per_prefill_context_token * (q * (c + q / 2) summed over
    chunks of q prompt tokens after c computed ones) + lora_load_seconds * adapters loaded.

    overhead: of the API server, added to what the client sees before its first token.
    max_loras: adapters in one batch, 0 where adapters cost nothing. prefix_caching, priority_scheduling: vLLM's
    enable_prefix_caching and scheduling_policy="priority".
    transfer_seconds_per_token: of a prompt's KV cache from a prefill to a decode server; None where there are none.
    """

    base: float
    per_prefill_token: float
    per_decode_seq: float
    per_kv_token: float
    kv_blocks: int
    max_num_seqs: int
    max_num_batched_tokens: int
    per_prefill_context_token: float = 0.0
    overhead: float = 0.0
    max_loras: int = 0
    lora_load_seconds: float = 0.0
    prefix_caching: bool = False
    priority_scheduling: bool = False
    transfer_seconds_per_token: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.max_num_seqs <= self.max_num_batched_tokens:
            raise BadInput(
                f"max_num_seqs: was {self.max_num_seqs}, must be in [1, {self.max_num_batched_tokens}], the "
                "max_num_batched_tokens, as vLLM demands"
            )
        if self.kv_blocks < 1:
            raise BadInput(f"kv_blocks: was {self.kv_blocks}, must be 1 or more: the model leaves no room on the GPU")
        if self.base + self.per_decode_seq <= 0 or self.base + self.per_prefill_token <= 0:
            raise BadInput("base: an iteration must last longer than 0 s; give a positive base")


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """How a request finds its server.

    policy: round-robin, least-outstanding or scored. The weights, 0 or more, are those of a scored router.
    signal_interval_seconds: age that queue and KV signals reach before they are seen anew; 0 is always fresh.
    """

    policy: str = "least-outstanding"
    signal_interval_seconds: float = 0.0
    queue_weight: float = 0.0
    kv_weight: float = 0.0
    prefix_weight: float = 0.0
    lora_weight: float = 0.0


_ROUTERS = {"round-robin": ROUND_ROBIN, "least-outstanding": LEAST_OUTSTANDING, "scored": SCORED}


class Engine:
    """Servers behind one router, under one demand. Rows name servers; a row is used again once its server is gone."""

    def __init__(
        self,
        models: Sequence[ServerModel],
        demand: Demand,
        *,
        router: Router | None = None,
        gateway_timeout_seconds: float = np.inf,
        client_timeout_seconds: float = np.inf,
        split_seed: int | None = None,
        jump: bool = True,
    ) -> None:
        """models: the kinds of server that rows may be. jump: False runs one iteration at a time, for tests.

        split_seed: of the draws by which requests are split between models; None where they never are.
        """
        router = Router() if router is None else router
        self._pieces: Iterator[Trace] = demand.pieces()
        first = next(self._pieces, None)
        table = np.zeros(len(models), layout.MODEL)
        for index, model in enumerate(models):
            for field in fields(model):
                table[index][field.name] = getattr(model, field.name) or 0
        by_priority = any(model.priority_scheduling for model in models)
        self._is_plain = is_plain = not (
            table["prefix_caching"].any()
            or table["max_loras"].any()
            or by_priority
            or any(model.transfer_seconds_per_token is not None for model in models)
            or router.policy == "scored"
            or min(gateway_timeout_seconds, client_timeout_seconds) < np.inf
            or (first is not None and first.turns is not None)
            or split_seed is not None
        )
        self._world = layout.new_world(
            table,
            is_plain=is_plain,
            levels=PRIORITY_LEVELS if by_priority else 1,
            ring=1 << max(10, (2 * len(first) - 1).bit_length() if first else 0),
            id_ring=1 << 10,
            prefix_block_tokens=first.prefixes.block_tokens if first and first.prefixes else BLOCK_TOKENS,
        )
        fleet = self._world.world
        fleet["demand_ends"] = demand.duration_seconds
        fleet["gateway_timeout"] = gateway_timeout_seconds
        fleet["client_timeout"] = client_timeout_seconds
        fleet["jump"] = jump
        fleet["router"] = _ROUTERS[router.policy]
        fleet["split_seed"] = split_seed or 0
        for name in ("queue_weight", "kv_weight", "prefix_weight", "lora_weight"):
            fleet[name] = getattr(router, name)
        fleet["signal_interval"] = router.signal_interval_seconds
        scored_late = router.policy == "scored" and router.signal_interval_seconds > 0
        fleet["next_refresh"] = 0.0 if scored_late else np.inf
        self._free_rows = list(range(len(self._world.servers) - 1, -1, -1))
        if first is not None:
            self._load(first)

    @property
    def servers(self) -> Any:
        """SERVER records by row."""
        return self._world.servers

    @property
    def requests(self) -> Any:
        """REQUEST records in the ring; in order of arrival from the first where nothing was taken yet."""
        return self._world.requests

    @property
    def outstanding(self) -> layout.I8:
        """Requests sent to each row's server and not answered."""
        outstanding: layout.I8 = self._world.servers["outstanding"]
        return outstanding

    @property
    def itl_counts(self) -> layout.I8:
        """Inter-token gaps of the whole run, by simulations.latency_buckets."""
        counts: layout.I8 = self._world.itl["count"]
        return counts

    @property
    def gateway_queue(self) -> int:
        """Requests that wait for a server to be opened."""
        return int(self._world.world["gateway_count"][0])

    @property
    def sent(self) -> int:
        """Requests that have arrived so far."""
        return int(self._world.world["sent"][0])

    @property
    def loaded(self) -> int:
        """Requests that the demand has given so far, sent or not."""
        return int(self._world.world["loaded"][0])

    @property
    def inside(self) -> int:
        """Requests on servers, at the gateway, between two servers or not yet sent."""
        once, servers = self._world.world[0], self._world.servers
        events = self._world.deferred[: int(once["deferred_count"])]
        held = int((servers["outstanding"] - servers["aborting"]).sum()) + int(once["gateway_count"])
        on_the_way = self._world.requests[events["request"][events["kind"] == layout.TRANSFERRED]]
        travelling = int((on_the_way["outcome"] == PENDING).sum())
        return held + travelling + int(once["loaded"] - once["sent"] - once["never_sent"])

    @property
    def restarted_tokens(self) -> int:
        """Output tokens of requests that lost their server and began again."""
        return int(self._world.world["restarted_tokens"][0])

    @property
    def finished(self) -> bool:
        """The demand is over and nothing is under way."""
        fleet = self._world.world[0]
        waits = fleet["plans"] or fleet["gateway_count"] or fleet["cursor"] < fleet["loaded"] or not fleet["exhausted"]
        return not waits and not self._deferred_work()

    def _deferred_work(self) -> bool:
        """Whether an arrival or a transfer is still to come; timeouts of what is over are none."""
        events = self._world.deferred[: int(self._world.world["deferred_count"][0])]
        return bool((events["kind"] <= layout.TRANSFERRED).any())

    def histogram(self, row: int, which: int) -> layout.I8:
        """Requests per bucket of a server's TTFT, TPOT or E2E histogram, the last one above every bound."""
        start = (row * 3 + which) * layout.HISTOGRAM_WIDTH
        width = len((layout.TTFT_BOUNDS, layout.TPOT_BOUNDS, layout.E2E_BOUNDS)[which]) + 1
        counts: layout.I8 = self._world.counts["count"][start : start + width]
        return counts

    def histograms(self, rows: Sequence[int]) -> layout.I8:
        """Copies of all three of several servers: shape (rows, 3, layout.HISTOGRAM_WIDTH), 0 beyond a one's buckets."""
        counts: layout.I8 = self._world.counts["count"].reshape(-1, 3, layout.HISTOGRAM_WIDTH)[np.array(rows, np.intp)]
        return counts

    def add_server(self, pod: int, *, model: int = 0, role: str = "both") -> int:
        """An idle server that the router does not use yet. Returns its row."""
        assert role == "both" or not self._is_plain, f"a {role} server takes a transfer_seconds_per_token"
        if not self._free_rows:
            size = len(self._world.servers)
            self._world = layout.with_rows(self._world, 2 * size)
            self._free_rows = list(range(2 * size - 1, size - 1, -1))
        row = self._free_rows.pop()
        rows.new_server(self._world, row, model=model, role=ROLES[role], pod=pod)
        return row

    def open(self, row: int) -> None:
        """Let the router use a server from now on; what waits at the gateway is sent when time is advanced."""
        rows.open_row(self._world, row)

    def close(self, row: int) -> None:
        """Send it nothing more."""
        rows.close_row(self._world, row)

    def split(self, model: int, share: float | None) -> None:
        """Send so large a share of the requests that come from now on to servers of that model, the rest to others.

        None ends it: all open servers are alike again. Only of an engine that was given a split_seed.
        """
        assert not self._is_plain, "a split takes a split_seed"
        self._world.world["split_model"] = layout.NONE if share is None else model
        self._world.world["split_share"] = 0.0 if share is None else share

    def remove(self, row: int) -> None:
        """Give a closed server's row back; it must be done with all its requests."""
        assert not self._world.servers[row]["routable"]
        assert not self._world.servers[row]["outstanding"]
        self._free_rows.append(row)

    def fail(self, row: int, now: float, *, retries: bool) -> None:
        """A server dies with all that it holds; its clients send their requests again, or they fail."""
        while len(self._world.deferred) - int(self._world.world["deferred_count"][0]) <= 2 * int(
            self._world.servers[row]["outstanding"] + self._world.servers[row]["aborting"]
        ):
            self._more_deferred()
        rows.close_row(self._world, row)
        rows.fail_row(self._world.world, row, float(now), retries)

    def advance(self, until: float) -> None:
        """Serve until `until` (seconds): what happens at that very instant is done, and servers show their state."""
        while (status := advance(self._world.world, float(until))) != DONE:
            if status == NEEDS_REQUESTS:
                piece = next(self._pieces, None)
                if piece is None:
                    self._world.world["exhausted"] = 1
                else:
                    self._load(piece)
            else:
                self._more_deferred()

    def prefill_tokens_under_way(self) -> int:
        """Prompt tokens of requests that were sent to a server and have no first token yet."""
        return int(prefill_tokens_under_way(self._world.world))

    def take(self) -> Iterator[Any]:
        """REQUEST records that are done with, in order of arrival; they leave the ring as each piece is asked for."""
        count = flushable(self._world.world)
        size = len(self._world.requests)
        start = int(self._world.world["flushed"][0]) % size
        for low, high in ((start, min(start + count, size)), (0, max(start + count - size, 0))):
            if high > low:
                yield self._world.requests[low:high]
        self._world.world["flushed"] += count

    def take_rest(self) -> Iterator[Any]:
        """What is left in the ring, done with or not, in order of arrival; the run is over."""
        once = self._world.world[0]
        numbers = np.arange(once["flushed"], once["loaded"])
        if len(numbers):
            yield self._world.requests[numbers & once["ring_mask"]]
        once["flushed"] = once["loaded"]

    def _load(self, piece: Trace) -> None:
        self._world = loaded(self._world, piece)

    def _more_deferred(self) -> None:
        old = self._world.deferred
        self._world = layout.replaced(self._world, deferred=np.concatenate([old, np.zeros_like(old)]))
