"""What happens to a batch: it is filled from the queue, it begins, it ends, and what is counted then."""

import math
from typing import Any

import numpy as np

from simulations.batching.tables import FREE, RUNS, WAITS
from simulations.engine.cache_folder import part
from simulations.engine.cells import count_at, queue_at, request_at, server_at
from simulations.engine.completion import send_next_turn
from simulations.engine.layout import E2E, E2E_BOUNDS, HISTOGRAM_WIDTH, NONE, NOWHERE, RUNNING, TTFT, TTFT_BOUNDS
from simulations.engine.waiting import unlink
from simulations.request_rows import PENDING, SERVED

NS_PER_SECOND = 1_000_000_000


@part
def new_batch(t: Any, row: int) -> int:
    """An empty batch that waits for an instance. There is always a place for it."""
    batcher = t.batchers[row]
    index = row * t.settings[0].batches
    while t.batches[index].state != FREE:
        index += 1
    batch = t.batches[index]
    batch.state = WAITS
    batch.order = batcher.formed
    batch.count = 0
    batch.first = NONE
    batch.last = NONE
    batch.sealed = 0
    batch.prompt_tokens = 0
    batch.output_tokens = 0
    batch.longest = 0
    batch.oldest = math.inf
    batch.ends = math.inf
    batcher.formed += 1
    batcher.waiting_batches += 1
    return int(index)


@part
def take_from_queue(w: Any, t: Any, row: int, index: int, count: int) -> None:
    """Move so many requests from the front of the queue into a batch."""
    batch = t.batches[index]
    head = 2 * row
    for _ in range(count):
        request = queue_at(w, head).index
        unlink(w, head, NONE, request)
        asked = request_at(w, request)
        asked.place = RUNNING
        asked.successor = NONE
        if batch.first == NONE:
            batch.first = request
        else:
            request_at(w, batch.last).successor = request
        batch.last = request
        batch.count += 1
        batch.prompt_tokens += asked.prompt_tokens
        batch.output_tokens += asked.output_tokens
        batch.longest = max(batch.longest, asked.output_tokens)
        batch.oldest = min(batch.oldest, asked.enqueued)
    t.batchers[row].queued -= count


@part
def merge(w: Any, t: Any, row: int, index: int, other: int) -> None:
    """Add the requests of another batch that waits; its place is free then."""
    batch, added = t.batches[index], t.batches[other]
    request_at(w, batch.last).successor = added.first
    batch.last = added.last
    batch.count += added.count
    batch.prompt_tokens += added.prompt_tokens
    batch.output_tokens += added.output_tokens
    batch.longest = max(batch.longest, added.longest)
    batch.oldest = min(batch.oldest, added.oldest)
    added.state = FREE
    t.batchers[row].waiting_batches -= 1


@part
def next_waiting(t: Any, row: int, after: int) -> int:
    """Of the batches that wait and were formed after number `after`, the first; NONE if there is none."""
    places = t.settings[0].batches
    best = NONE
    for index in range(row * places, (row + 1) * places):
        batch = t.batches[index]
        if batch.state == WAITS and batch.order > after and (best == NONE or batch.order < t.batches[best].order):
            best = index
    return best


@part
def begin_batch(w: Any, t: Any, row: int, index: int, now: float) -> None:
    """An idle instance runs a batch."""
    settings, batcher, batch = t.settings[0], t.batchers[row], t.batches[index]
    server = server_at(w, row)
    items = settings.max_batch_size if settings.pads else batch.count
    batch.state = RUNS
    batch.sealed = 1
    batch.ends = now + (
        settings.base
        + settings.per_item * items
        + settings.per_prompt_token * batch.prompt_tokens
        + settings.per_output_token * batch.output_tokens
        + settings.per_output_step * batch.longest
    )
    request = batch.first
    while request != NONE:
        request_at(w, request).last_token = now
        request = request_at(w, request).successor
    server.waiting -= batch.count
    server.running += batch.count
    if batcher.running_batches == 0:
        server.in_step = 1
        server.step_start = now
    batcher.waiting_batches -= 1
    batcher.running_batches += 1


@part
def end_batches(w: Any, t: Any, row: int, now: float) -> None:
    """End what is due, which a server does at the instant itself, in the order of forming; instances are idle then."""
    places = t.settings[0].batches
    while True:
        due = NONE
        for index in range(row * places, (row + 1) * places):
            batch = t.batches[index]
            if batch.state == RUNS and batch.ends <= now and (due == NONE or batch.order < t.batches[due].order):
                due = index
        if due == NONE:
            return
        _end_batch(w, t, row, due, now)


@part
def _end_batch(w: Any, t: Any, row: int, index: int, now: float) -> None:
    batcher, batch = t.batchers[row], t.batches[index]
    server = server_at(w, row)
    request = batch.first
    while request != NONE:
        following = request_at(w, request).successor
        request_at(w, request).place = NOWHERE
        server.outstanding -= 1
        if request_at(w, request).outcome == PENDING:
            _serve(w, t, row, request, now)
        else:
            server.aborting -= 1  # its client was gone; the batch computed it all the same
        request = following
    server.running -= batch.count
    server.iterations += 1
    server.last_finish = now
    batcher.executions += 1
    batcher.running_batches -= 1
    if batcher.running_batches == 0:
        server.busy_seconds += now - server.step_start
        server.in_step = 0
    batch.state = FREE


@part
def _serve(w: Any, t: Any, row: int, request: int, now: float) -> None:
    """An answer: the whole of it at once."""
    server, batcher = server_at(w, row), t.batchers[row]
    asked = request_at(w, request)
    asked.outcome = SERVED
    asked.first_token = now
    asked.finish = now
    asked.generated = asked.output_tokens
    seconds = now - asked.enqueued
    queue_ns = _ns(asked.last_token - asked.enqueued)
    request_ns = _ns(seconds)
    batcher.queue_ns += queue_ns
    batcher.compute_ns += request_ns - queue_ns
    batcher.request_ns += request_ns
    batcher.last_queue_ns = queue_ns
    server.succeeded += 1
    server.prompt_tokens += asked.prompt_tokens
    server.generation_tokens += asked.output_tokens
    server.ttft_sum += seconds
    server.e2e_sum += seconds
    count_at(w, (row * 3 + TTFT) * HISTOGRAM_WIDTH + np.searchsorted(TTFT_BOUNDS, seconds)).count += 1
    count_at(w, (row * 3 + E2E) * HISTOGRAM_WIDTH + np.searchsorted(E2E_BOUNDS, seconds)).count += 1
    send_next_turn(w, request, now)


@part
def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_SECOND)
