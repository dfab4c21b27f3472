"""The iteration-level engine: a fleet of vLLM-like servers behind one router, compiled by numba.

One server follows vLLM's V1 scheduler: running requests first, then the waiting queue in order of arrival,
one token budget for both, chunked prefill, paged KV blocks, and preemption by recomputation of the request
that came last. Each iteration lasts

    base + per_prefill_token * prefill tokens + per_decode_seq * decoding requests + per_kv_token * KV tokens

(seconds; KV tokens counted over all scheduled requests). Sources: vllm v1/core/sched/scheduler.py; the affine
step time as in docs/architecture.md, "The replica".

All jitted functions live in this one file, because numba's cache notices only edits of the file that it
compiles. Times here are float seconds since the start of the run; the fleet converts at its edge.
"""

import os
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

if "NUMBA_CACHE_DIR" not in os.environ and not os.access(Path(__file__).parent, os.W_OK):
    # An installed package may be read-only, and numba refuses to import without a place for its cache.
    os.environ["NUMBA_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / f"leadtime-numba-{os.getuid()}")

from numba import njit  # the cache folder must be chosen before numba is imported

BLOCK_TOKENS = 16
"""Tokens of one KV block, vLLM's default block_size on CUDA."""

NONE = -1

# What became of a request.
PENDING, SERVED, REJECTED = 0, 1, 2

# vLLM's own histogram bounds in seconds (v1/metrics/loggers.py).
_SECONDS_TO_40 = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40]
TTFT_BOUNDS = np.array([*_SECONDS_TO_40, 80, 160, 640, 2560], np.float64)
TPOT_BOUNDS = np.array(
    [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80], np.float64
)
_SECONDS_TO_60 = [0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60]
E2E_BOUNDS = np.array([*_SECONDS_TO_60, 120, 240, 480, 960, 1920, 7680], np.float64)

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
I4 = NDArray[np.int32]


class Requests(NamedTuple):
    """One entry a request, in order of arrival. Seconds since the start of the run; NaN until it happens."""

    arrival: F8
    prompt_tokens: I4
    output_tokens: I4
    enqueued: F8  # reached a server (later than `arrival` when no server was ready)
    first_token: F8
    finish: F8
    generated: I4  # output tokens so far; kept over a preemption
    outcome: I4  # PENDING, SERVED or REJECTED
    replica: I4  # the server's row, NONE before it has one
    successor: I4  # next request in the same queue, NONE at its end


class Servers(NamedTuple):
    """One row a server. Rows are never reused within a run."""

    free_blocks: I8
    step_start: F8
    step_end: F8
    in_step: I8  # 1 while an iteration is under way
    running: I8  # occupied slots
    waiting: I8
    queue_head: I4
    queue_tail: I4
    slot_request: I4  # (rows, max_num_seqs) and the like: slots are in scheduling order
    slot_target: I4  # tokens whose KV must exist before the next output token: prompt + recomputed
    slot_computed: I4
    slot_blocks: I4
    slot_scheduled: I4  # tokens of the iteration under way
    routable: I8  # 1 while the router may send requests
    last_finish: F8
    busy_seconds: F8
    iterations: I8
    preemptions: I8
    prompt_tokens: I8
    generation_tokens: I8
    succeeded: I8
    ttft_counts: I8  # (rows, bounds + 1): per bucket, not cumulative
    tpot_counts: I8
    e2e_counts: I8
    ttft_sum: F8
    tpot_sum: F8
    e2e_sum: F8


class Model(NamedTuple):
    """Step time in seconds and the scheduler's limits."""

    base: float
    per_prefill_token: float
    per_decode_seq: float
    per_kv_token: float
    kv_blocks: int
    max_num_seqs: int
    max_num_batched_tokens: int


def new_requests(arrival: F8, prompt_tokens: I4, output_tokens: I4) -> Requests:
    """Requests in order of arrival, none of them sent yet."""
    count = len(arrival)
    return Requests(
        arrival=np.ascontiguousarray(arrival, dtype=np.float64),
        prompt_tokens=np.ascontiguousarray(prompt_tokens, dtype=np.int32),
        output_tokens=np.ascontiguousarray(output_tokens, dtype=np.int32),
        enqueued=np.full(count, np.nan),
        first_token=np.full(count, np.nan),
        finish=np.full(count, np.nan),
        generated=np.zeros(count, np.int32),
        outcome=np.full(count, PENDING, np.int32),
        replica=np.full(count, NONE, np.int32),
        successor=np.full(count, NONE, np.int32),
    )


def new_servers(rows: int, model: Model) -> Servers:
    """Idle, unroutable servers with every KV block free."""
    slots = (rows, model.max_num_seqs)
    return Servers(
        free_blocks=np.full(rows, model.kv_blocks, np.int64),
        step_start=np.zeros(rows),
        step_end=np.zeros(rows),
        in_step=np.zeros(rows, np.int64),
        running=np.zeros(rows, np.int64),
        waiting=np.zeros(rows, np.int64),
        queue_head=np.full(rows, NONE, np.int32),
        queue_tail=np.full(rows, NONE, np.int32),
        slot_request=np.zeros(slots, np.int32),
        slot_target=np.zeros(slots, np.int32),
        slot_computed=np.zeros(slots, np.int32),
        slot_blocks=np.zeros(slots, np.int32),
        slot_scheduled=np.zeros(slots, np.int32),
        routable=np.zeros(rows, np.int64),
        last_finish=np.zeros(rows),
        busy_seconds=np.zeros(rows),
        iterations=np.zeros(rows, np.int64),
        preemptions=np.zeros(rows, np.int64),
        prompt_tokens=np.zeros(rows, np.int64),
        generation_tokens=np.zeros(rows, np.int64),
        succeeded=np.zeros(rows, np.int64),
        ttft_counts=np.zeros((rows, len(TTFT_BOUNDS) + 1), np.int64),
        tpot_counts=np.zeros((rows, len(TPOT_BOUNDS) + 1), np.int64),
        e2e_counts=np.zeros((rows, len(E2E_BOUNDS) + 1), np.int64),
        ttft_sum=np.zeros(rows),
        tpot_sum=np.zeros(rows),
        e2e_sum=np.zeros(rows),
    )


def doubled(servers: Servers, model: Model) -> Servers:
    """The same servers and as many new ones after them."""
    more = new_servers(len(servers.running), model)
    return Servers(
        **{name: np.concatenate([column, getattr(more, name)]) for name, column in servers._asdict().items()}
    )


@njit(cache=True)
def dispatch(model: Model, servers: Servers, live: I4, requests: Requests, cursor: int, until: float) -> int:
    """Serve until `until` (seconds): route each arrival, run every server in `live`, return the next arrival.

    Stops early, at the first arrival that finds no routable server: that request then waits at the gateway
    until the caller has one (`cursor` says which it is).
    """
    while cursor < len(requests.arrival) and requests.arrival[cursor] <= until:
        now = requests.arrival[cursor]
        for row in live:
            _run(model, servers, row, requests, now)
        row = _least_outstanding(servers, live)
        if row == NONE:
            break
        _enqueue(model, servers, row, requests, cursor, now)
        cursor += 1
    for row in live:
        _run(model, servers, row, requests, until)
    return cursor


@njit(cache=True)
def release(model: Model, servers: Servers, live: I4, requests: Requests, cursor: int, now: float) -> int:
    """Send every request that waits at the gateway (arrived by `now`) to the servers that are routable now."""
    while cursor < len(requests.arrival) and requests.arrival[cursor] <= now:
        row = _least_outstanding(servers, live)
        if row == NONE:
            break
        _enqueue(model, servers, row, requests, cursor, now)
        cursor += 1
    return cursor


@njit(cache=True)
def _least_outstanding(servers: Servers, live: I4) -> int:
    """The routable server with the fewest requests sent and not answered; the oldest of equals; NONE if none."""
    best = NONE
    fewest = 0
    for row in live:
        if servers.routable[row]:
            outstanding = servers.running[row] + servers.waiting[row]
            if best == NONE or outstanding < fewest:
                best = row
                fewest = outstanding
    return best


@njit(cache=True)
def _enqueue(model: Model, servers: Servers, row: int, requests: Requests, request: int, now: float) -> None:
    """Put a request at the end of a server's waiting queue, or refuse it as vLLM does when it can never fit."""
    requests.enqueued[request] = now
    requests.replica[request] = row
    if requests.prompt_tokens[request] + requests.output_tokens[request] > model.kv_blocks * BLOCK_TOKENS:
        requests.outcome[request] = REJECTED
        requests.finish[request] = now
        return
    requests.successor[request] = NONE
    if servers.queue_tail[row] == NONE:
        servers.queue_head[row] = request
    else:
        requests.successor[servers.queue_tail[row]] = request
    servers.queue_tail[row] = request
    servers.waiting[row] += 1
    if not servers.in_step[row]:
        _begin_step(model, servers, row, requests, now)


@njit(cache=True)
def _run(model: Model, servers: Servers, row: int, requests: Requests, until: float) -> None:
    """Complete every iteration that ends at or before `until`, and begin what follows."""
    while servers.in_step[row] and servers.step_end[row] <= until:
        now = servers.step_end[row]
        _complete_step(servers, row, requests)
        _begin_step(model, servers, row, requests, now)


@njit(cache=True)
def _begin_step(model: Model, servers: Servers, row: int, requests: Requests, now: float) -> None:
    """Schedule one iteration at `now`: running requests first, then the queue; leave the server idle if none."""
    budget = model.max_num_batched_tokens
    prefill = 0
    decoding = 0
    kv_tokens = 0
    preempted = False
    slot = 0
    while slot < servers.running[row] and budget > 0:
        computed = servers.slot_computed[row, slot]
        wanted = max(servers.slot_target[row, slot] - computed, 1)
        tokens = min(wanted, budget)
        blocks = (computed + tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS
        while blocks - servers.slot_blocks[row, slot] > servers.free_blocks[row]:
            _preempt_last(servers, row, requests)
            preempted = True
            if servers.running[row] == slot:
                break
        if servers.running[row] == slot:
            break
        servers.free_blocks[row] -= blocks - servers.slot_blocks[row, slot]
        servers.slot_blocks[row, slot] = blocks
        servers.slot_scheduled[row, slot] = tokens
        budget -= tokens
        if computed < servers.slot_target[row, slot]:
            prefill += tokens
        else:
            decoding += 1
        kv_tokens += computed + tokens
        slot += 1
    for unscheduled in range(slot, servers.running[row]):
        servers.slot_scheduled[row, unscheduled] = 0
    while (
        not preempted and budget > 0 and servers.queue_head[row] != NONE and servers.running[row] < model.max_num_seqs
    ):
        request = servers.queue_head[row]
        target = requests.prompt_tokens[request] + requests.generated[request]
        tokens = min(target, budget)
        blocks = (tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS
        if blocks > servers.free_blocks[row]:
            break
        servers.queue_head[row] = requests.successor[request]
        if servers.queue_head[row] == NONE:
            servers.queue_tail[row] = NONE
        servers.waiting[row] -= 1
        slot = servers.running[row]
        servers.running[row] += 1
        servers.slot_request[row, slot] = request
        servers.slot_target[row, slot] = target
        servers.slot_computed[row, slot] = 0
        servers.slot_blocks[row, slot] = blocks
        servers.slot_scheduled[row, slot] = tokens
        servers.free_blocks[row] -= blocks
        budget -= tokens
        prefill += tokens
        kv_tokens += tokens
    if servers.running[row] == 0:
        servers.in_step[row] = 0
        return
    servers.in_step[row] = 1
    servers.step_start[row] = now
    servers.step_end[row] = (
        now
        + model.base
        + model.per_prefill_token * prefill
        + model.per_decode_seq * decoding
        + model.per_kv_token * kv_tokens
    )


@njit(cache=True)
def _preempt_last(servers: Servers, row: int, requests: Requests) -> None:
    """Take the KV blocks of the request that came last; it goes to the front of the queue and is recomputed."""
    servers.running[row] -= 1
    slot = servers.running[row]
    request = servers.slot_request[row, slot]
    servers.free_blocks[row] += servers.slot_blocks[row, slot]
    requests.successor[request] = servers.queue_head[row]
    servers.queue_head[row] = request
    if servers.queue_tail[row] == NONE:
        servers.queue_tail[row] = request
    servers.waiting[row] += 1
    servers.preemptions[row] += 1


@njit(cache=True)
def _complete_step(servers: Servers, row: int, requests: Requests) -> None:
    """Book the iteration that ends now: computed tokens, output tokens, first tokens, finished requests."""
    now = servers.step_end[row]
    servers.busy_seconds[row] += now - servers.step_start[row]
    servers.iterations[row] += 1
    kept = 0
    for slot in range(servers.running[row]):
        request = servers.slot_request[row, slot]
        computed = servers.slot_computed[row, slot] + servers.slot_scheduled[row, slot]
        target = servers.slot_target[row, slot]
        finished = False
        if computed >= target and servers.slot_scheduled[row, slot] > 0:
            requests.generated[request] += 1
            servers.generation_tokens[row] += 1
            if requests.generated[request] == 1:
                requests.first_token[request] = now
                servers.prompt_tokens[row] += requests.prompt_tokens[request]
                ttft = now - requests.enqueued[request]
                servers.ttft_counts[row, np.searchsorted(TTFT_BOUNDS, ttft)] += 1
                servers.ttft_sum[row] += ttft
            finished = requests.generated[request] >= requests.output_tokens[request]
        if finished:
            _finish(servers, row, requests, request, now)
            servers.free_blocks[row] += servers.slot_blocks[row, slot]
        else:
            servers.slot_request[row, kept] = request
            servers.slot_target[row, kept] = target
            servers.slot_computed[row, kept] = computed
            servers.slot_blocks[row, kept] = servers.slot_blocks[row, slot]
            kept += 1
    servers.running[row] = kept


@njit(cache=True)
def _finish(servers: Servers, row: int, requests: Requests, request: int, now: float) -> None:
    """Book a request that produced its last token."""
    requests.finish[request] = now
    requests.outcome[request] = SERVED
    servers.succeeded[row] += 1
    servers.last_finish[row] = now
    e2e = now - requests.enqueued[request]
    servers.e2e_counts[row, np.searchsorted(E2E_BOUNDS, e2e)] += 1
    servers.e2e_sum[row] += e2e
    if requests.output_tokens[request] > 1:
        tpot = (now - requests.first_token[request]) / (requests.output_tokens[request] - 1)
        servers.tpot_counts[row, np.searchsorted(TPOT_BOUNDS, tpot)] += 1
        servers.tpot_sum[row] += tpot
