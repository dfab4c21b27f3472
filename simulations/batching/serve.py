"""The event loop of batching servers: arrivals, deferred events and what servers do, in order of time.

Requests come, wait at the gateway, are routed, give up and go on to their next turn as in simulations.engine. What
differs is the server: all that reaches it at one instant is there before it acts.
"""

import math
from typing import Any

from simulations.batching.batches import end_batches
from simulations.batching.collecting import collect
from simulations.batching.dynamic import batch_dynamically
from simulations.batching.fixed import begin_fixed
from simulations.batching.rule import COLLECTING, DYNAMIC
from simulations.batching.tables import FREE, RUNS
from simulations.engine.cache_folder import entry, part
from simulations.engine.cells import deferred_at, end_at, queue_at, request_at, server_at
from simulations.engine.completion import send_next_turn
from simulations.engine.events import place_plan, pop_deferred, push_deferred
from simulations.engine.features import feature
from simulations.engine.layout import ARRIVES, AT_GATEWAY, GATEWAY_TIMES_OUT, NONE, NOWHERE, TIMES_OUT, WAITING
from simulations.engine.router import refresh_if_due, route
from simulations.engine.serve import DONE, NEEDS_REQUESTS, NEEDS_ROOM, leave_gateway, wait_at_gateway
from simulations.engine.waiting import drop_waiting, push_back
from simulations.request_rows import ABORTED, FAILED, PENDING, REJECTED, TIMED_OUT


@entry
def serve(worlds: Any, t: Any, until: float) -> int:
    """Serve until `until`, whatever happens at that instant included.

    Returns DONE, or what it needs to go on: more requests in the ring, more room for deferred events.
    """
    w = worlds[0]
    mask = w.ring_mask
    while True:
        if _lacks_room(w):
            return NEEDS_ROOM
        while w.cursor < w.loaded and request_at(w, w.cursor & mask).is_turn:
            w.cursor += 1
        arrives = math.inf
        if w.cursor < w.loaded:
            arrives = request_at(w, w.cursor & mask).arrival
        elif not w.exhausted:
            return NEEDS_REQUESTS
        due = deferred_at(w, 0).time if w.deferred_count > 0 else math.inf
        acts = end_at(w, 0).end if w.plans > 0 else math.inf
        now = min(arrives, due, acts)
        releasing = w.gateway_head != NONE and w.open_count > 0
        if releasing:
            now = w.now
        elif now > until:
            break
        w.now = now
        refresh_if_due(w, now)
        if releasing:
            request = w.gateway_head
            leave_gateway(w, request)
            _send(w, t, request, now)
        elif arrives <= due and arrives <= acts:
            request = w.cursor & mask
            w.cursor += 1
            _arrive(w, t, request, now)
        elif due <= acts:
            request, kind = deferred_at(w, 0).request, deferred_at(w, 0).kind
            pop_deferred(w)
            if kind == ARRIVES:
                _arrive(w, t, request, now)
            else:
                _time_out(w, t, request, kind, now)
        else:
            _act(w, t, end_at(w, 0).row, now)
    refresh_if_due(w, until)
    w.now = until
    return DONE


@feature(otherwise=False)
def _lacks_room(w: Any) -> bool:
    """Whether the next event could defer more than there is room for: something of every request that is there."""
    return bool(w.deferred_count + (w.loaded - w.flushed) + 16 > w.deferred_room)


@part
def _arrive(w: Any, t: Any, request: int, now: float) -> None:
    w.sent += 1
    request_at(w, request).number = w.sent
    if w.client_timeout < math.inf:
        push_deferred(w, now + w.client_timeout, request, TIMES_OUT)
    _send(w, t, request, now)


@part
def _send(w: Any, t: Any, request: int, now: float) -> None:
    """To a server, or to the gateway while none is open."""
    row = route(w, request, now)
    if row == NONE:
        wait_at_gateway(w, request, now)
    else:
        _receive(w, t, row, request, now)


@part
def _receive(w: Any, t: Any, row: int, request: int, now: float) -> None:
    """Put a request at the end of a server's queue, or refuse it because that is full."""
    server, batcher, asked = server_at(w, row), t.batchers[row], request_at(w, request)
    asked.enqueued = now
    asked.replica = server.pod
    batcher.received += 1
    room = t.settings[0].max_queue_size
    if 0 < room <= batcher.queued and server.heap_index != NONE and server.plan_end <= now:
        _act(w, t, row, now)  # what came at this instant may not have been taken from the queue yet
    if 0 < room <= batcher.queued:
        asked.outcome = REJECTED
        asked.finish = now
        batcher.rejected += 1
        send_next_turn(w, request, now)
        return
    server.outstanding += 1
    batcher.queued += 1
    push_back(w, row, request)
    _act_at(w, row, now)


@part
def _act(w: Any, t: Any, row: int, now: float) -> None:
    """End what is due, begin what can begin, and note when this server acts again by itself."""
    settings = t.settings[0]
    end_batches(w, t, row, now)
    if settings.kind == DYNAMIC:
        again = batch_dynamically(w, t, row, now)
    elif settings.kind == COLLECTING:
        again = collect(w, t, row, now)
    else:
        again = begin_fixed(w, t, row, now)
    for index in range(row * settings.batches, (row + 1) * settings.batches):
        if t.batches[index].state == RUNS:
            again = min(again, t.batches[index].ends)
    _act_at(w, row, again)


@part
def _act_at(w: Any, row: int, when: float) -> None:
    """Put the server's next act into the heap of plans, inf for none. `in_step` stays what it is: a batch runs."""
    server = server_at(w, row)
    runs = server.in_step
    server.plan_end = when
    server.in_step = 1 if when < math.inf else 0
    place_plan(w, row)
    server.in_step = runs


@feature(otherwise=None)
def _time_out(w: Any, t: Any, request: int, kind: int, now: float) -> None:
    """A client, or the gateway, gives up on a request, unless that is over. What is in a batch is computed anyway."""
    if request == NONE:  # it was over and gone from the ring when that was copied
        return
    asked = request_at(w, request)
    if asked.outcome != PENDING or asked.place == NOWHERE:
        return
    if kind == GATEWAY_TIMES_OUT:
        if asked.place != AT_GATEWAY or asked.last_token + w.gateway_timeout != now:
            return
        asked.outcome = TIMED_OUT
    else:
        if asked.arrival + w.client_timeout != now:  # the ring holds another request there by now
            return
        asked.outcome = ABORTED
    if asked.place == AT_GATEWAY:
        leave_gateway(w, request)
    elif asked.place == WAITING:
        row = asked.row
        drop_waiting(w, row, request)
        server_at(w, row).outstanding -= 1
        t.batchers[row].queued -= 1
        t.batchers[row].examined = 0
        _act_at(w, row, now)
    else:
        server_at(w, asked.row).aborting += 1
    send_next_turn(w, request, now)


@entry
def fail_server(worlds: Any, t: Any, row: int, now: float, retries: bool) -> None:
    """A closed server dies with all it holds. retries: clients send their requests again at once; else they fail."""
    w = worlds[0]
    server = server_at(w, row)
    places = t.settings[0].batches
    for index in range(row * places, (row + 1) * places):
        if t.batches[index].state != FREE:
            t.batches[index].state = FREE
            _lose_all(w, t.batches[index].first, now, retries)
    _lose_all(w, queue_at(w, 2 * row).index, now, retries)
    _act_at(w, row, math.inf)
    server.in_step = 0
    server.outstanding = 0
    server.aborting = 0
    server.running = 0
    server.waiting = 0
    server.last_finish = now


@part
def _lose_all(w: Any, first: int, now: float, retries: bool) -> None:
    """A list of requests, whose clients are told now."""
    request = first
    while request != NONE:
        asked = request_at(w, request)
        following = asked.successor
        asked.place = NOWHERE
        if asked.outcome == PENDING:  # else its client was gone before
            if retries:
                wait_at_gateway(w, request, now)
            else:
                asked.outcome = FAILED
                send_next_turn(w, request, now)
        request = following
