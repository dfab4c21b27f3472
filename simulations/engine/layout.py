"""The engine's memory: records, one table of them for requests, servers, slots and so on, and how tables grow.

Records, not one array a field: what is used together lies together. Instants are float seconds since the start of
the run. `NONE` stands for no row. Tables of several rows a server are flat: row r's part begins at r times its width.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.capacity.kv_cache import BLOCK_TOKENS
from simulations.latency_buckets import BUCKETS

NONE = -1

# Where a request is while it is not done with: it may only be forgotten when it is nowhere.
NOWHERE, AT_GATEWAY, WAITING, RUNNING, TRANSFERRING = range(5)

# What a server does: both phases, or one of them where prefill and decode are disaggregated.
BOTH, PREFILL, DECODE = range(3)

# What a deferred event is.
ARRIVES, TRANSFERRED, TIMES_OUT, GATEWAY_TIMES_OUT = range(4)

# vLLM's own histogram bounds in seconds (v1/metrics/loggers.py).
_SECONDS_TO_40 = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40]
TTFT_BOUNDS = np.array([*_SECONDS_TO_40, 80, 160, 640, 2560], np.float64)
TPOT_BOUNDS = np.array(
    [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80], np.float64
)
_SECONDS_TO_60 = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60]
E2E_BOUNDS = np.array([*_SECONDS_TO_60, 120, 240, 480, 960, 1920, 7680], np.float64)

TTFT, TPOT, E2E = 0, 1, 2
HISTOGRAM_WIDTH = 24
"""Room for one histogram's buckets, the one above every bound included."""

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
I4 = NDArray[np.int32]

_F, _L, _I = np.float64, np.int64, np.int32

REQUEST = np.dtype(
    [
        ("arrival", _F),
        ("enqueued", _F),  # reached a server: later than `arrival` when no server was ready
        ("first_token", _F),  # as the client sees it
        ("finish", _F),
        ("last_token", _F),  # when it was last preempted: the end of the iteration before
        ("e2e_limit", _F),
        ("think", _F),  # from its answer to the arrival of `next_turn`
        ("number", _L),  # of its arrival
        ("prefix_start", _L),  # its first id's number in the stream of prefix ids
        ("prompt_tokens", _I),
        ("output_tokens", _I),
        ("generated", _I),  # output tokens when it last left a slot
        ("cached_tokens", _I),  # prompt tokens that it found in the prefix cache when first admitted; NONE before
        ("preemptions", _I),
        ("outcome", _I),
        ("replica", _I),  # number of the pod that it was last sent to
        ("priority", _I),
        ("level", _I),  # rank of its priority: 0 is served first
        ("lora", _I),
        ("place", _I),  # NOWHERE, AT_GATEWAY ...
        ("row", _I),  # the server's row while it is there
        ("slot", _I),  # while it is RUNNING
        ("successor", _I),  # next request in the same queue
        ("next_turn", _I),
        ("is_turn", _I),  # 1 where another request's answer must come first
        ("prefix_count", _I),  # ids
        ("own_run", _I),  # prefix cache: the run of its own blocks that a preemption left behind
        ("remote", _I),  # 1 once a prefill server has computed its prompt
    ],
    align=True,
)

MODEL = np.dtype(
    [
        ("base", _F),
        ("per_prefill_token", _F),
        ("per_decode_seq", _F),
        ("per_kv_token", _F),
        ("per_prefill_context_token", _F),
        ("overhead", _F),
        ("lora_load_seconds", _F),
        ("transfer_seconds_per_token", _F),
        ("kv_blocks", _L),
        ("max_num_seqs", _L),
        ("max_num_batched_tokens", _L),
        ("max_loras", _L),
        ("prefix_caching", _L),
        ("priority_scheduling", _L),
    ],
    align=True,
)

TABLES = (
    "requests",
    "models",
    "servers",
    "slots",
    "finishes",
    "queues",
    "open",
    "ends",
    "deferred",
    "nodes",
    "adapters",
    "residues",
    "counts",
    "itl",
    "buckets",
    "ids",
    "held",
)

SERVER = np.dtype(
    [
        ("model", _L),
        ("role", _L),
        ("pod", _L),
        ("routable", _L),
        ("outstanding", _L),  # requests sent to it and not answered
        ("heap_index", _L),  # of its plan in the heap of plans
        # the waiting queue
        ("waiting", _L),
        # the batch
        ("running", _L),
        ("decoding", _L),
        ("decoded", _L),  # iterations since the batch was last empty: what each decoding request has gained
        ("decoding_tokens", _L),  # KV tokens of all decoding requests
        ("partial", _L),  # slot of the request whose prompt is computed in part, NONE if none
        ("prefilling", _L),  # first slot of those with prompt tokens in the iteration under way
        ("stalled", _L),  # decoding requests without a token in it
        ("first", _L),  # slots in order of admission
        ("last", _L),
        ("vacant", _L),  # first free slot
        ("admissions", _L),
        ("aborting", _L),  # running requests whose client is gone
        ("publishing", _L),  # running requests whose prefix ids reach into what they generate
        ("free_blocks", _L),
        # the iteration that is scheduled: tokens of its budget left, and what its duration depends on
        ("step_budget", _L),
        ("step_prefill_tokens", _L),
        ("step_kv_tokens", _L),
        ("step_loads", _L),  # adapters
        ("step_context_pairs", _F),  # prompt tokens x tokens before each
        # the plan: one or more iterations with the same batch, all known in advance
        ("in_step", _L),
        ("planned", _L),
        ("completed", _L),  # of them, those that are booked
        ("plan_start", _F),
        ("plan_seconds", _F),  # how long its first iteration lasts
        ("plan_growth", _F),  # by how much each next one lasts longer: the KV tokens that the batch adds
        ("plan_end", _F),
        ("step_start", _F),
        # totals
        ("gap_bucket", _L),  # of the last plan's inter-token gaps
        ("last_finish", _F),
        ("busy_seconds", _F),
        ("iterations", _L),
        ("preemptions", _L),
        ("prompt_tokens", _L),
        ("generation_tokens", _L),
        ("succeeded", _L),
        ("lora_loads", _L),
        ("prefix_queries", _L),  # prompt tokens looked up in the prefix cache
        ("prefix_hits", _L),  # and found there
        ("ttft_sum", _F),
        ("tpot_sum", _F),
        ("e2e_sum", _F),
        # the prefix cache
        ("lru_head", _L),
        ("lru_tail", _L),
        ("vacant_node", _L),
        # what the router last saw of it
        ("seen_waiting", _L),
        ("seen_kv", _F),
    ],
    align=True,
)

SLOT = np.dtype(
    [
        ("chain", _L),  # what its shared blocks hold, as one hash
        ("admission", _L),  # number of its admission: the order of the running list
        ("computed", _L),  # tokens with KV; while decoding, less the server's `decoded`
        ("generated", _L),  # output tokens; while decoding, less the server's `decoded`
        ("request", _I),
        ("target", _I),  # tokens whose KV must exist before the next output token: prompt + recomputed
        ("blocks", _I),  # while prefilling
        ("scheduled", _I),  # prompt tokens of the iteration under way
        ("output", _I),
        ("decoding", _I),
        ("previous", _I),
        ("next", _I),
        ("shared", _I),  # blocks known by prefix ids, the first ones
        ("adapter", _I),  # place of its adapter on this server, NONE for the base model
    ],
    align=True,
)

FINISH = np.dtype([("key", _L), ("slot", _L)], align=True)
"""A decoding request in its server's heap. key: the iteration that finishes it << 32 | its admission."""

END = np.dtype([("end", _F), ("row", _L)], align=True)
"""A server in the heap of plans."""

DEFERRED = np.dtype([("time", _F), ("order", _L), ("request", _L), ("kind", _L)], align=True)

NODE = np.dtype(
    [
        ("identity", _L),  # what a shared block holds: hash of all ids up to it; 0 for a run
        ("count", _I),  # blocks: 1 for a shared block
        ("references", _I),
        ("previous", _I),  # in the queue of free blocks
        ("next", _I),
        ("bucket_next", _I),
        ("owner", _I),  # request that may find this run again, NONE if none
    ],
    align=True,
)

ADAPTER = np.dtype([("lora", _L), ("running", _L), ("used", _F)], align=True)
"""An adapter on a server's GPU: requests that run with it, and when it was last used."""

INDEX = np.dtype([("index", _I)], align=True)
COUNT = np.dtype([("count", _L)], align=True)

_WORLD_FIELDS: list[tuple[str, type]] = [
    # where the tables begin
    *((table, _L) for table in TABLES),
    ("ring_mask", _L),  # length - 1 of the ring of requests
    ("id_mask", _L),
    ("deferred_room", _L),
    # everything that there is once
    ("cursor", _L),  # the next request to arrive, counted from the first of the run
    ("loaded", _L),  # requests in the ring or gone from it
    ("flushed", _L),  # requests gone from it
    ("demand_ends", _F),  # no turn is sent after it
    ("gateway_head", _L),
    ("gateway_tail", _L),
    ("gateway_count", _L),
    ("gateway_stuck", _L),  # 1: no server is open for its first request, until another one opens
    ("exhausted", _L),  # 1: `loaded` is all there will be
    ("gateway_timeout", _F),
    ("client_timeout", _F),
    ("plans", _L),  # servers in the heap of plans
    ("deferred_count", _L),
    ("order", _L),
    ("open_count", _L),  # routable servers
    ("open_prefill", _L),  # of them, those that only prefill
    ("open_decode", _L),  # of them, those that only decode
    ("turn", _L),  # place in `open` of whoever is next
    ("decode_turn", _L),  # the same for requests from prefill servers
    ("router", _L),
    ("split_model", _L),  # the model that gets `split_share` of the requests; NONE where all servers are alike
    ("split_share", _F),
    ("split_seed", _L),
    ("signal_interval", _F),
    ("next_refresh", _F),
    ("queue_weight", _F),
    ("kv_weight", _F),
    ("prefix_weight", _F),
    ("lora_weight", _F),
    ("levels", _L),
    ("jump", _L),
    ("prefix_block_tokens", _L),
    ("prefix_loaded", _L),  # ids in their ring or gone from it
    ("now", _F),
    ("sent", _L),
    ("never_sent", _L),
    ("restarted_tokens", _L),  # generated for requests that began again on another server
    ("seats", _L),  # slots a server
    ("node_room", _L),
    ("bucket_room", _L),
    ("adapter_room", _L),
]

WORLD = np.dtype([*_WORLD_FIELDS, ("has_features", _L)], align=True)
WORLD_PLAIN = np.dtype([*_WORLD_FIELDS, ("is_plain", _L)], align=True)
"""The same for runs that use no `feature`: of another type, for which less is compiled.

Each has a last field that the other has not: numba takes a record that only has more fields for a subtype, and would
run what was compiled for the other.
"""


class World(NamedTuple):
    """Everything that the compiled code reads and writes: one WORLD record, and the tables whose places it holds.

    requests: a ring, a power of two long. ids, held: rings of prefix ids, and of the nodes that hold their blocks.
    finishes, slots: max_num_seqs a server. queues: (head, tail) by level a server. residues: 16 a server, how many
    decoding requests there are by (tokens - decoded) mod 16. ends: heap of plans. open: rows that the router may use.
    counts: TTFT | TPOT | E2E, HISTOGRAM_WIDTH each, a server. itl: buckets of simulations.latency_buckets.
    """

    world: Any
    requests: Any
    models: Any
    servers: Any
    slots: Any
    finishes: Any
    queues: Any
    open: Any
    ends: Any
    deferred: Any
    nodes: Any
    adapters: Any
    residues: Any
    counts: Any
    itl: Any
    buckets: Any
    ids: Any
    held: Any


def new_world(models: Any, *, levels: int, ring: int, id_ring: int, prefix_block_tokens: int, is_plain: bool) -> World:
    """No servers yet, no requests. models: MODEL records, the kinds of server that there may be."""
    world = np.zeros(1, WORLD_PLAIN if is_plain else WORLD)
    world["gateway_head"] = world["gateway_tail"] = world["split_model"] = NONE
    world["gateway_timeout"] = world["client_timeout"] = world["demand_ends"] = np.inf
    world["levels"] = levels
    world["jump"] = 1
    world["prefix_block_tokens"] = prefix_block_tokens
    world["seats"] = _seats(models)
    world["node_room"] = _node_room(models)
    world["bucket_room"] = _bucket_room(models)
    world["adapter_room"] = int(models["max_loras"].max())
    empty = World(
        world=world,
        requests=np.zeros(ring, REQUEST),
        models=models,
        servers=np.zeros(0, SERVER),
        slots=np.zeros(0, SLOT),
        finishes=np.zeros(0, FINISH),
        queues=np.zeros(0, INDEX),
        open=np.zeros(0, INDEX),
        ends=np.zeros(0, END),
        deferred=np.zeros(64, DEFERRED),
        nodes=np.zeros(0, NODE),
        adapters=np.zeros(0, ADAPTER),
        residues=np.zeros(0, COUNT),
        counts=np.zeros(0, COUNT),
        itl=np.zeros(BUCKETS, COUNT),
        buckets=np.zeros(0, INDEX),
        ids=np.zeros(id_ring, COUNT),
        held=np.zeros(id_ring * max(1, prefix_block_tokens // BLOCK_TOKENS), INDEX),
    )
    return with_rows(empty, 16)


def replaced(world: World, **tables: Any) -> World:
    """The same world with other tables in place of some: the addresses follow."""
    new = world._replace(**tables)
    for table in TABLES:
        new.world[table] = getattr(new, table).ctypes.data
    new.world["ring_mask"] = len(new.requests) - 1
    new.world["id_mask"] = len(new.ids) - 1
    new.world["deferred_room"] = len(new.deferred)
    return new


def with_rows(world: World, rows: int) -> World:
    """The same world with room for that many servers. Rows are blank until a server is put there."""
    once = world.world[0]
    widths = {
        "servers": 1,
        "slots": once["seats"],
        "finishes": once["seats"],
        "queues": 2 * once["levels"],
        "open": 1,
        "ends": 1,
        "nodes": once["node_room"],
        "adapters": once["adapter_room"],
        "residues": 16,
        "counts": 3 * HISTOGRAM_WIDTH,
        "buckets": once["bucket_room"],
    }
    grown = {}
    for table, width in widths.items():
        old = getattr(world, table)
        grown[table] = np.concatenate([old, np.zeros(rows * width - len(old), old.dtype)])
    grown["servers"]["heap_index"][len(world.servers) :] = NONE
    return replaced(world, **grown)


def _seats(models: Any) -> int:
    """Slots a server: the most that any kind has."""
    return int(models["max_num_seqs"].max())


def _node_room(models: Any) -> int:
    """Nodes of the prefix cache a server: one a block at most, and the runs of what runs; 0 where none caches."""
    caching = models[models["prefix_caching"] != 0]
    return int(caching["kv_blocks"].max()) + 2 * _seats(models) + 2 if len(caching) else 0


def _bucket_room(models: Any) -> int:
    """Buckets of the prefix cache a server, a power of two."""
    room = _node_room(models)
    return 1 << (room - 1).bit_length() if room else 0
