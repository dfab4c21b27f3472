"""When Triton's dynamic batcher sends a batch, and what an idle instance runs.

Sources, in triton-inference-server/core src/: dynamic_batch_scheduler.cc `BatcherThread` and `GetDynamicBatch`
(commit 01ea7d90), rate_limiter.cc `PayloadSlotAvailable` and `DequeuePayload` (03e0913e), instance_queue.cc `Dequeue`
(05295b70), scheduler_utils.cc `ApplyPolicyAtCursor`. With D = max_queue_delay:

1. The batcher looks at the queue whenever something happens, if fewer than 2 batches an instance wait for one (if an
   instance is idle, where the queue has a limit or a timeout). Requests that have waited longer than their timeout
   are refused then, not before.
2. It goes on from where it was and stops at max_batch_size. Whenever the batch would have a preferred size, that is
   noted; so is the first request that would make it larger than every preferred size.
3. Something was noted, and the oldest request it looked at is not D old: the noted batch is sent.
4. Else, if the batch is as large as the largest preferred size, or the oldest is D old, or D is 0: all that it looked
   at is sent.
5. Else it waits until the oldest is D old.

A batch that was sent waits for an instance, and grows meanwhile by what is sent later, until it runs or is saturated:
always after step 3 with D = 0, and when it has reached the largest preferred size. A growing batch that has no
preferred size takes whatever there is, at once. An instance that takes a batch takes those behind it as well, as long
as they fit and are more than D old, if D is not 0.

So with D = 0 and several preferred sizes, requests that come one by one to busy instances are sent in batches of the
smallest preferred size, until 2 an instance wait; larger ones form of what is left in the queue.

One thing is simpler here: Triton does not wake its batcher for a request that cannot complete a batch, so a growing
batch may miss what comes before the next wake-up. Here the batcher looks at every request.
"""

import math
from typing import Any

from simulations.batching.batches import begin_batch, merge, new_batch, next_waiting, take_from_queue
from simulations.batching.tables import RUNS
from simulations.engine.cache_folder import part
from simulations.engine.cells import queue_at, request_at, server_at
from simulations.engine.completion import send_next_turn
from simulations.engine.layout import NONE, NOWHERE
from simulations.engine.waiting import unlink
from simulations.request_rows import REJECTED

_WAIT, _SENT = range(2)

_TO_BE_EXPIRED = 1e-6
"""Triton looks again 1 us after a timeout."""


@part
def batch_dynamically(w: Any, t: Any, row: int, now: float) -> float:
    """Send what may be sent and let idle instances run it. Returns when to look again though nothing has happened."""
    settings, batcher = t.settings[0], t.batchers[row]
    _run_waiting(w, t, row, now)
    while True:
        if batcher.filling != NONE and (batcher.saturated or _is_stale(t, batcher.filling)):
            batcher.filling = NONE
        batcher.saturated = 0
        if not _may_look(t, row):
            return math.inf
        if settings.timeout < math.inf:
            _refuse_expired(w, t, row, now)
        if batcher.queued == 0:
            return math.inf
        oldest = request_at(w, queue_at(w, 2 * row).index).enqueued
        due = oldest + settings.delay
        if _look(w, t, row, now >= due) == _WAIT:
            return float(min(due, oldest + settings.timeout + _TO_BE_EXPIRED))
        _run_waiting(w, t, row, now)


@part
def _may_look(t: Any, row: int) -> bool:
    """Whether a batch may be formed now: PayloadSlotAvailable."""
    settings, batcher = t.settings[0], t.batchers[row]
    if settings.prefetches:
        return bool(batcher.waiting_batches < 2 * settings.instances)
    return bool(batcher.running_batches < settings.instances)


@part
def _is_stale(t: Any, index: int) -> bool:
    """Whether the batch runs, or was passed over by an instance that took others."""
    return bool(t.batches[index].state == RUNS or t.batches[index].sealed)


@part
def _look(w: Any, t: Any, row: int, delay_is_over: bool) -> int:
    """GetDynamicBatch, and the move of what it found into the growing batch. The queue is not empty."""
    settings, batcher = t.settings[0], t.batchers[row]
    size = 0 if batcher.filling == NONE else t.batches[batcher.filling].count
    noted = 0
    is_full = False
    while batcher.examined < batcher.queued:
        larger = size + batcher.examined + 1
        if larger > 1:
            if larger > settings.max_preferred and noted == 0:
                noted = batcher.examined
                batcher.saturated = 1
            if larger > settings.max_batch_size:
                is_full = True
                break
        batcher.examined += 1
        if t.preferred[larger]:
            noted = batcher.examined
    has_delay = settings.delay > 0.0
    if noted > 0 and not (has_delay and delay_is_over):
        if not has_delay:
            batcher.saturated = 1
        _send(w, t, row, noted)
    elif is_full or size + batcher.examined >= settings.max_preferred:
        batcher.saturated = 1
        _send(w, t, row, batcher.examined)
    elif delay_is_over or not has_delay or (not batcher.saturated and size > 0 and not t.preferred[size]):
        _send(w, t, row, batcher.examined)
    else:
        return _WAIT
    return _SENT


@part
def _send(w: Any, t: Any, row: int, count: int) -> None:
    """Into the batch that grows, or a new one. count may be 0: the batch is full, and a new one begins."""
    batcher = t.batchers[row]
    if count > 0:
        if batcher.filling == NONE:
            batcher.filling = new_batch(t, row)
        take_from_queue(w, t, row, batcher.filling, count)
    batcher.examined = 0


@part
def _run_waiting(w: Any, t: Any, row: int, now: float) -> None:
    """Idle instances take what waits, the first first: InstanceQueue::Dequeue."""
    settings, batcher = t.settings[0], t.batchers[row]
    while batcher.waiting_batches > 0 and batcher.running_batches < settings.instances:
        index = next_waiting(t, row, NONE)
        while settings.delay > 0.0:
            other = next_waiting(t, row, t.batches[index].order)
            if other == NONE or t.batches[other].oldest + settings.delay >= now:
                break
            t.batches[other].sealed = 1  # also if it does not fit
            if t.batches[index].count + t.batches[other].count > settings.max_batch_size:
                break
            merge(w, t, row, index, other)
        begin_batch(w, t, row, index, now)


@part
def _refuse_expired(w: Any, t: Any, row: int, now: float) -> None:
    """All requests of a queue have the same timeout, so the first ones expire first."""
    settings, batcher = t.settings[0], t.batchers[row]
    head = 2 * row
    while batcher.queued > 0:
        request = queue_at(w, head).index
        asked = request_at(w, request)
        if now <= asked.enqueued + settings.timeout:
            return
        unlink(w, head, NONE, request)
        asked.place = NOWHERE
        asked.outcome = REJECTED
        asked.finish = now
        server_at(w, row).waiting -= 1
        server_at(w, row).outstanding -= 1
        batcher.queued -= 1
        batcher.rejected += 1
        batcher.examined = 0
        send_next_turn(w, request, now)
