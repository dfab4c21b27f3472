"""The iteration-level engine: a fleet of vLLM-like servers behind one router, compiled by numba.

One server follows vLLM's V1 scheduler: running requests first, then the waiting queue in order of arrival,
one token budget for both, chunked prefill, paged KV blocks, and preemption by recomputation of the request
that came last. Each iteration lasts

    base + per_prefill_token * prefill tokens + per_decode_seq * decoding requests + per_kv_token * KV tokens

(seconds; KV tokens counted over all scheduled requests). Sources: vllm v1/core/sched/scheduler.py; the affine
step time as in docs/architecture.md, "The replica".

Between two changes of the batch every iteration decodes all running requests, so each lasts a constant longer
than the one before, and k of them end at a time that is known in closed form. The engine plans such a run at once
and books it when it ends, when somebody looks, or when an arrival cuts it short: the same iterations, preemptions
and times as one by one, for the cost of the changes alone.

All jitted functions live in this one file, because numba's cache notices only edits of the file that it
compiles. Times here are float seconds since the start of the run; the fleet converts at its edge.
"""

import os
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

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

TTFT, TPOT, E2E = 0, 1, 2

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]
I4 = NDArray[np.int32]

# Records, not one array a field: what belongs to one server lies together, and a call passes few arrays.
_REQUEST = np.dtype(
    [
        ("arrival", np.float64),
        ("enqueued", np.float64),  # reached a server: later than `arrival` when no server was ready
        ("first_token", np.float64),
        ("finish", np.float64),
        ("prompt_tokens", np.int32),
        ("output_tokens", np.int32),
        ("generated", np.int32),  # output tokens when it last left a slot: preempted or finished
        ("outcome", np.int32),  # PENDING, SERVED or REJECTED
        ("replica", np.int32),  # the server's row, NONE before it has one
        ("successor", np.int32),  # next request in the same queue, NONE at its end
    ],
    align=True,
)
_SERVER = np.dtype(
    [
        ("routable", np.int64),  # 1 while the router may send requests
        ("running", np.int64),  # occupied slots
        ("waiting", np.int64),
        ("queue_head", np.int64),
        ("queue_tail", np.int64),
        ("free_blocks", np.int64),
        ("in_step", np.int64),  # 1 while an iteration is under way
        ("step_start", np.float64),  # when it began
        ("plan_start", np.float64),  # a plan is one or more iterations with the same batch, all known in advance
        ("plan_seconds", np.float64),  # how long its first iteration lasts
        ("plan_growth", np.float64),  # by how much each next one lasts longer: the KV tokens that the batch adds
        ("planned", np.int64),  # iterations of the plan
        ("completed", np.int64),  # of them, those that are booked
        ("plan_end", np.float64),  # when the last of them ends
        ("last_finish", np.float64),
        ("busy_seconds", np.float64),
        ("iterations", np.int64),
        ("preemptions", np.int64),
        ("prompt_tokens", np.int64),
        ("generation_tokens", np.int64),
        ("succeeded", np.int64),
        ("ttft_sum", np.float64),
        ("tpot_sum", np.float64),
        ("e2e_sum", np.float64),
    ],
    align=True,
)
_SLOT = np.dtype(
    [
        ("request", np.int32),
        ("target", np.int32),  # tokens whose KV must exist before the next output token: prompt + recomputed
        ("computed", np.int32),
        ("blocks", np.int32),
        ("scheduled", np.int32),  # tokens of the iteration under way
        ("generated", np.int32),  # output tokens so far
        ("output", np.int32),  # output tokens in all
    ],
    align=True,
)

Requests = Any
"""np.recarray of _REQUEST, one a request, in order of arrival. Seconds since the start; NaN until it happens."""


class Servers(NamedTuple):
    """One row a server; rows are never reused within a run.

    state: np.recarray of _SERVER. slots: np.recarray of _SLOT, (rows, max_num_seqs), in scheduling order.
    counts: (rows, TTFT | TPOT | E2E, buckets), requests per histogram bucket, not cumulative.
    """

    state: Any
    slots: Any
    counts: I8


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
    requests = np.zeros(len(arrival), _REQUEST).view(np.recarray)
    requests.arrival = arrival
    requests.prompt_tokens = prompt_tokens
    requests.output_tokens = output_tokens
    for field in ("enqueued", "first_token", "finish"):
        requests[field] = np.nan
    for field in ("replica", "successor"):
        requests[field] = NONE
    return requests


def new_servers(rows: int, model: Model) -> Servers:
    """Idle, unroutable servers with every KV block free."""
    state = np.zeros(rows, _SERVER).view(np.recarray)
    state.free_blocks = model.kv_blocks
    state.queue_head = NONE
    state.queue_tail = NONE
    return Servers(
        state=state,
        slots=np.zeros((rows, model.max_num_seqs), _SLOT).view(np.recarray),
        counts=np.zeros((rows, 3, 1 + max(len(TTFT_BOUNDS), len(TPOT_BOUNDS), len(E2E_BOUNDS))), np.int64),
    )


def histogram(servers: Servers, row: int, which: int) -> I8:
    """Requests per bucket of one server's TTFT, TPOT or E2E histogram, the last one above every bound."""
    buckets: I8 = servers.counts[row, which, : len((TTFT_BOUNDS, TPOT_BOUNDS, E2E_BOUNDS)[which]) + 1]
    return buckets


def doubled(servers: Servers, model: Model) -> Servers:
    """The same servers and as many new ones after them."""
    more = new_servers(len(servers.state), model)
    return Servers(*(np.concatenate([old, new]).view(type(old)) for old, new in zip(servers, more, strict=True)))


@njit(cache=True)
def dispatch(
    model: Model, servers: Servers, live: I4, requests: Requests, cursor: int, until: float, jump: bool = True
) -> int:
    """Serve until `until` (seconds): route each arrival, run every server in `live`, return the next arrival.

    Afterwards every server shows its state at `until`. Stops early, at the first arrival that finds no routable
    server: that request then waits at the gateway until the caller has one (`cursor` says which it is).
    jump: plan many iterations at once; False plans one at a time, for tests. Both give the same run.
    """
    heap = np.empty(len(live), np.int32)  # rows with a plan, the earliest end first
    place = np.full(len(servers.state), NONE, np.int32)  # row -> its index in the heap
    size = 0
    for row in live:
        if servers.state[row].in_step:
            heap[size] = row
            place[row] = size
            size += 1
            _sift_up(servers.state, heap, place, size - 1)
    while True:
        arrives = requests[cursor].arrival if cursor < len(requests) else np.inf
        ends = servers.state[heap[0]].plan_end if size else np.inf
        if arrives <= until and arrives <= ends:
            row = _least_outstanding(servers.state, live)
            if row == NONE:
                break
            requests[cursor].replica = row
            _enqueue(model, servers.state[row], servers.slots[row], requests, cursor, arrives, jump)
            cursor += 1
        elif ends <= until:
            row = heap[0]
            _finish_plan(model, servers.state[row], servers.slots[row], servers.counts[row], requests, jump)
        else:
            break
        size = _rearrange(servers.state, heap, place, size, row)
    while size and servers.state[heap[0]].plan_end <= until:  # stopped early: the servers still run until then
        row = heap[0]
        _finish_plan(model, servers.state[row], servers.slots[row], servers.counts[row], requests, jump)
        size = _rearrange(servers.state, heap, place, size, row)
    for row in live:
        _settle(servers.state[row], servers.slots[row], until)
    return cursor


@njit(cache=True)
def release(model: Model, servers: Servers, live: I4, requests: Requests, cursor: int, now: float) -> int:
    """Send every request that waits at the gateway (arrived by `now`) to the servers that are routable now."""
    while cursor < len(requests) and requests[cursor].arrival <= now:
        row = _least_outstanding(servers.state, live)
        if row == NONE:
            break
        requests[cursor].replica = row
        _enqueue(model, servers.state[row], servers.slots[row], requests, cursor, now, True)
        cursor += 1
    return cursor


@njit(cache=True)
def _rearrange(state: Any, heap: I4, place: I4, size: int, row: int) -> int:
    """Put a row where its new plan belongs in the heap, or take it out when it has none. Returns the new size."""
    index = place[row]
    if state[row].in_step:
        if index == NONE:
            index = size
            heap[index] = row
            place[row] = index
            size += 1
        _sift_down(state, heap, place, size, _sift_up(state, heap, place, index))
    elif index != NONE:
        size -= 1
        last = heap[size]
        place[row] = NONE
        if last != row:
            heap[index] = last
            place[last] = index
            _sift_down(state, heap, place, size, _sift_up(state, heap, place, index))
    return size


@njit(cache=True)
def _sift_up(state: Any, heap: I4, place: I4, index: int) -> int:
    row = heap[index]
    end = state[row].plan_end
    while index > 0:
        parent = (index - 1) // 2
        if state[heap[parent]].plan_end <= end:
            break
        heap[index] = heap[parent]
        place[heap[index]] = index
        index = parent
    heap[index] = row
    place[row] = index
    return index


@njit(cache=True)
def _sift_down(state: Any, heap: I4, place: I4, size: int, index: int) -> None:
    row = heap[index]
    end = state[row].plan_end
    while 2 * index + 1 < size:
        child = 2 * index + 1
        if child + 1 < size and state[heap[child + 1]].plan_end < state[heap[child]].plan_end:
            child += 1
        if end <= state[heap[child]].plan_end:
            break
        heap[index] = heap[child]
        place[heap[index]] = index
        index = child
    heap[index] = row
    place[row] = index


@njit(cache=True)
def _least_outstanding(state: Any, live: I4) -> int:
    """The routable server with the fewest requests sent and not answered; the oldest of equals; NONE if none."""
    best = NONE
    fewest = 0
    for row in live:
        if state[row].routable:
            outstanding = state[row].running + state[row].waiting
            if best == NONE or outstanding < fewest:
                best = row
                fewest = outstanding
    return best


@njit(cache=True)
def _enqueue(model: Model, server: Any, slots: Any, requests: Requests, request: int, now: float, jump: bool) -> None:
    """Put a request at the end of a server's waiting queue, or refuse it as vLLM does when it can never fit."""
    requests[request].enqueued = now
    if requests[request].prompt_tokens + requests[request].output_tokens > model.kv_blocks * BLOCK_TOKENS:
        requests[request].outcome = REJECTED
        requests[request].finish = now
        return
    requests[request].successor = NONE
    if server.queue_tail == NONE:
        server.queue_head = request
    else:
        requests[server.queue_tail].successor = request
    server.queue_tail = request
    server.waiting += 1
    if not server.in_step:
        _begin_plan(model, server, slots, requests, now, jump)
    elif server.waiting == 1 and server.running < model.max_num_seqs:
        _cut(server, now)  # it may be admitted at the first iteration that begins from now on


@njit(cache=True)
def _boundary(server: Any, iterations: int) -> float:
    """When that many iterations of the plan are done: each lasts `growth` longer than the one before."""
    end: float = (
        server.plan_start
        + iterations * server.plan_seconds
        + server.plan_growth * (iterations * (iterations - 1) / 2.0)
    )
    return end


@njit(cache=True)
def _boundary_at_or_after(server: Any, time: float) -> int:
    """The smallest number of iterations, 0 or more, whose end is not before `time`."""
    half = server.plan_growth / 2.0
    linear = server.plan_seconds - half
    span = max(time - server.plan_start, 0.0)
    if half > 0.0:
        iterations = int(np.ceil((np.sqrt(linear * linear + 4.0 * half * span) - linear) / (2.0 * half)))
    else:
        iterations = int(np.ceil(span / linear))
    while iterations > 0 and _boundary(server, iterations - 1) >= time:  # what rounding did, undone
        iterations -= 1
    while _boundary(server, iterations) < time:
        iterations += 1
    return iterations


@njit(cache=True)
def _cut(server: Any, now: float) -> None:
    """End the plan with the first iteration that ends at or after `now`: the batch may change there."""
    if server.planned > server.completed + 1:
        iterations = max(_boundary_at_or_after(server, now), server.completed + 1)
        server.planned = min(server.planned, iterations)
        server.plan_end = _boundary(server, server.planned)


@njit(cache=True)
def _settle(server: Any, slots: Any, now: float) -> None:
    """Book the iterations of a plan that are done by `now`, and the blocks of the one under way."""
    if not server.in_step or server.planned - server.completed <= 1:
        return
    done = _boundary_at_or_after(server, now)
    if _boundary(server, done) > now:
        done -= 1
    done = min(done, server.planned - 1)
    more = done - server.completed
    if more > 0:
        _book_decodes(server, slots, more)
        for slot in range(server.running):
            _grow(server, slots[slot], slots[slot].computed + 1)


@njit(cache=True)
def _finish_plan(model: Model, server: Any, slots: Any, counts: I8, requests: Requests, jump: bool) -> None:
    """Book a plan that ends now, and begin what follows."""
    now = server.plan_end
    before_last = server.planned - 1 - server.completed
    if before_last > 0:
        _book_decodes(server, slots, before_last)
        for slot in range(server.running):
            _grow(server, slots[slot], slots[slot].computed + 1)
    _complete_step(server, slots, counts, requests, now)
    _begin_plan(model, server, slots, requests, now, jump)


@njit(cache=True)
def _book_decodes(server: Any, slots: Any, iterations: int) -> None:
    """Book whole iterations of a plan in which every running request decodes and none finishes."""
    for slot in range(server.running):
        slots[slot].computed += iterations
        slots[slot].generated += iterations
    server.generation_tokens += server.running * iterations
    server.iterations += iterations
    begun = _boundary(server, server.completed)
    server.completed += iterations
    server.step_start = _boundary(server, server.completed)
    server.busy_seconds += server.step_start - begun


@njit(cache=True)
def _grow(server: Any, slot: Any, tokens: int) -> None:
    """Give a slot the blocks for that many tokens; they are known to be free."""
    blocks = (tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS
    server.free_blocks -= blocks - slot.blocks
    slot.blocks = blocks


@njit(cache=True)
def _begin_plan(model: Model, server: Any, slots: Any, requests: Requests, now: float, jump: bool) -> None:
    """Schedule the iteration that begins at `now`, and plan as many like it as nothing can change between."""
    may_repeat = _begin_step(model, server, slots, requests, now)
    server.planned = 1
    server.completed = 0
    if jump and may_repeat:
        server.planned = _iterations_without_change(server, slots)
    server.plan_end = _boundary(server, server.planned)


@njit(cache=True)
def _iterations_without_change(server: Any, slots: Any) -> int:
    """Iterations, the one under way included, until a request finishes or the free blocks run out."""
    iterations = 1 << 30
    for slot in range(server.running):
        iterations = min(iterations, slots[slot].output - slots[slot].generated)
    if _blocks_missing(server, slots, iterations):
        low, high = 1, iterations  # enough for `low`, too few for `high`
        while high - low > 1:
            middle = (low + high) // 2
            if _blocks_missing(server, slots, middle):
                high = middle
            else:
                low = middle
        iterations = low
    return iterations


@njit(cache=True)
def _blocks_missing(server: Any, slots: Any, iterations: int) -> bool:
    """Whether that many decode iterations need more blocks than are free."""
    needed = 0
    for slot in range(server.running):
        tokens = slots[slot].computed + iterations
        needed += (tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS - slots[slot].blocks
    return bool(needed > server.free_blocks)


@njit(cache=True)
def _begin_step(model: Model, server: Any, slots: Any, requests: Requests, now: float) -> bool:
    """Schedule one iteration at `now`: running requests first, then the queue; leave the server idle if none.

    Returns whether the next iterations will be like it until a request finishes, blocks run out or a request
    arrives: all running requests decode, and the head of the queue was refused for want of a seat, blocks or
    budget, which only those events can bring.
    """
    budget = model.max_num_batched_tokens
    prefill = 0
    decoding = 0
    kv_tokens = 0
    preempted = False
    slot = 0
    while slot < server.running and budget > 0:
        computed = slots[slot].computed
        wanted = max(slots[slot].target - computed, 1)
        tokens = min(wanted, budget)
        blocks = (computed + tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS
        while blocks - slots[slot].blocks > server.free_blocks:
            _preempt_last(server, slots, requests)
            preempted = True
            if server.running == slot:
                break
        if server.running == slot:
            break
        server.free_blocks -= blocks - slots[slot].blocks
        slots[slot].blocks = blocks
        slots[slot].scheduled = tokens
        budget -= tokens
        if computed < slots[slot].target:
            prefill += tokens
        else:
            decoding += 1
        kv_tokens += computed + tokens
        slot += 1
    for unscheduled in range(slot, server.running):
        slots[unscheduled].scheduled = 0
    while not preempted and budget > 0 and server.queue_head != NONE and server.running < model.max_num_seqs:
        request = server.queue_head
        target = requests[request].prompt_tokens + requests[request].generated
        tokens = min(target, budget)
        blocks = (tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS
        if blocks > server.free_blocks:
            break
        server.queue_head = requests[request].successor
        if server.queue_head == NONE:
            server.queue_tail = NONE
        server.waiting -= 1
        slot = server.running
        server.running += 1
        slots[slot].request = request
        slots[slot].target = target
        slots[slot].computed = 0
        slots[slot].generated = requests[request].generated
        slots[slot].output = requests[request].output_tokens
        slots[slot].blocks = blocks
        slots[slot].scheduled = tokens
        server.free_blocks -= blocks
        budget -= tokens
        prefill += tokens
        kv_tokens += tokens
    if server.running == 0:
        server.in_step = 0
        return False
    server.in_step = 1
    server.step_start = now
    server.plan_start = now
    server.plan_seconds = (
        model.base
        + model.per_prefill_token * prefill
        + model.per_decode_seq * decoding
        + model.per_kv_token * kv_tokens
    )
    server.plan_growth = model.per_kv_token * decoding
    return prefill == 0 and decoding == server.running and not preempted


@njit(cache=True)
def _preempt_last(server: Any, slots: Any, requests: Requests) -> None:
    """Take the KV blocks of the request that came last; it goes to the front of the queue and is recomputed."""
    server.running -= 1
    slot = server.running
    request = slots[slot].request
    server.free_blocks += slots[slot].blocks
    requests[request].generated = slots[slot].generated
    requests[request].successor = server.queue_head
    server.queue_head = request
    if server.queue_tail == NONE:
        server.queue_tail = request
    server.waiting += 1
    server.preemptions += 1


@njit(cache=True)
def _complete_step(server: Any, slots: Any, counts: I8, requests: Requests, now: float) -> None:
    """Book the iteration that ends now: computed tokens, output tokens, first tokens, finished requests."""
    server.busy_seconds += now - server.step_start
    server.iterations += 1
    kept = 0
    for slot in range(server.running):
        computed = slots[slot].computed + slots[slot].scheduled
        generated = slots[slot].generated
        if computed >= slots[slot].target and slots[slot].scheduled > 0:
            request = slots[slot].request
            generated += 1
            server.generation_tokens += 1
            if generated == 1:
                requests[request].first_token = now
                server.prompt_tokens += requests[request].prompt_tokens
                ttft = now - requests[request].enqueued
                counts[TTFT, np.searchsorted(TTFT_BOUNDS, ttft)] += 1
                server.ttft_sum += ttft
            if generated >= slots[slot].output:
                requests[request].generated = generated
                _finish(server, counts, requests, request, now)
                server.free_blocks += slots[slot].blocks
                continue
        if kept != slot:
            slots[kept] = slots[slot]
        slots[kept].computed = computed
        slots[kept].generated = generated
        kept += 1
    server.running = kept


@njit(cache=True)
def _finish(server: Any, counts: I8, requests: Requests, request: int, now: float) -> None:
    """Book a request that produced its last token."""
    requests[request].finish = now
    requests[request].outcome = SERVED
    server.succeeded += 1
    server.last_finish = now
    e2e = now - requests[request].enqueued
    counts[E2E, np.searchsorted(E2E_BOUNDS, e2e)] += 1
    server.e2e_sum += e2e
    if requests[request].output_tokens > 1:
        tpot = (now - requests[request].first_token) / (requests[request].output_tokens - 1)
        counts[TPOT, np.searchsorted(TPOT_BOUNDS, tpot)] += 1
        server.tpot_sum += tpot
