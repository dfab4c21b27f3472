"""The event loop: arrivals, what was deferred, and the servers' plans, in order of time."""

import math
from typing import Any

from policies.capacity.kv_cache import BLOCK_TOKENS
from simulations.engine.blocks import forget_own
from simulations.engine.cache_folder import entry, part
from simulations.engine.cells import deferred_at, end_at, model_at, request_at, server_at
from simulations.engine.completion import end_plan, send_next_turn, settle
from simulations.engine.events import place_plan, pop_deferred, push_deferred
from simulations.engine.features import feature
from simulations.engine.layout import (
    ARRIVES,
    AT_GATEWAY,
    GATEWAY_TIMES_OUT,
    NONE,
    NOWHERE,
    RUNNING,
    TIMES_OUT,
    TRANSFERRED,
    WAITING,
)
from simulations.engine.plan import cut
from simulations.engine.router import refresh_if_due, route
from simulations.engine.step import begin_plan
from simulations.engine.waiting import drop_waiting, push_back
from simulations.request_rows import ABORTED, PENDING, REJECTED, TIMED_OUT

DONE, NEEDS_REQUESTS, NEEDS_ROOM = range(3)


@entry
def advance(worlds: Any, until: float) -> int:
    """Serve until `until`, whatever happens at that instant included; every server then shows its state of then.

    Returns DONE, or what it needs to go on: more requests in the ring, more room for deferred events.
    """
    w = worlds[0]
    mask = w.ring_mask
    while True:
        if w.deferred_count + w.seats + 16 > w.deferred_room:
            return NEEDS_ROOM
        while w.cursor < w.loaded and request_at(w, w.cursor & mask).is_turn:
            w.cursor += 1
        arrives = math.inf
        if w.cursor < w.loaded:
            arrives = request_at(w, w.cursor & mask).arrival
        elif not w.exhausted:
            return NEEDS_REQUESTS
        due = deferred_at(w, 0).time if w.deferred_count > 0 else math.inf
        ends = end_at(w, 0).end if w.plans > 0 else math.inf
        now = min(arrives, due, ends)
        releasing = w.gateway_head != NONE and w.open_count > 0 and not w.gateway_stuck
        if releasing:
            now = w.now
        elif now > until:
            break
        w.now = now
        refresh_if_due(w, now)
        row = NONE
        request = NONE
        begins = False
        if releasing:
            request = _first_to_leave(w)
            w.gateway_stuck = 1 if request == NONE else 0
        elif arrives <= due and arrives <= ends:
            request = w.cursor & mask
            w.cursor += 1
            _note_arrival(w, request, now)
        elif due <= ends:
            request = deferred_at(w, 0).request
            kind = deferred_at(w, 0).kind
            pop_deferred(w)
            if kind == ARRIVES:
                _note_arrival(w, request, now)
            elif kind == TRANSFERRED:
                request_at(w, request).place = NOWHERE
                if request_at(w, request).outcome != PENDING:
                    request = NONE
            else:
                row = _time_out(w, request, kind, now)
                request = NONE
        else:
            row = end_at(w, 0).row
            end_plan(w, row, now)
            begins = True
        if request != NONE:
            row = route(w, request, now)
            if releasing:
                leave_gateway(w, request)
            elif row == NONE:
                wait_at_gateway(w, request, now)
            if row != NONE:
                begins = _enqueue(w, row, request, now)
                if begins and (releasing or _more_at(w, now)):
                    _wake(w, row, now)
                    begins = False
        if begins:
            begin_plan(w, row, now)
        if row != NONE:
            place_plan(w, row)
    refresh_if_due(w, until)  # before the servers show a later state than what was to be seen
    for index in range(w.plans):
        settle(w, end_at(w, index).row, until, True)
    w.now = until
    return DONE


@part
def _more_at(w: Any, now: float) -> bool:
    """Whether another request comes, or may come, at this very instant."""
    if w.deferred_count > 0 and deferred_at(w, 0).time == now:
        return True
    return bool(w.cursor == w.loaded or request_at(w, w.cursor & w.ring_mask).arrival == now)


@part
def _wake(w: Any, row: int, now: float) -> None:
    """Let an idle server begin once all that comes at this instant is there: an empty plan that ends now."""
    server = server_at(w, row)
    server.in_step = 1
    server.planned = 0
    server.completed = 0
    server.step_start = now
    server.plan_start = now
    server.plan_end = now


@part
def _note_arrival(w: Any, request: int, now: float) -> None:
    w.sent += 1
    request_at(w, request).number = w.sent
    if w.client_timeout < math.inf:
        push_deferred(w, now + w.client_timeout, request, TIMES_OUT)


@part
def _enqueue(w: Any, row: int, request: int, now: float) -> bool:
    """Put a request at the end of a server's queue, or refuse it as vLLM does when it can never fit.

    Returns whether the server was idle and has to begin.
    """
    server = server_at(w, row)
    model = model_at(w, server.model)
    asked = request_at(w, request)
    asked.enqueued = now
    asked.replica = server.pod
    if asked.prompt_tokens + asked.output_tokens > model.kv_blocks * BLOCK_TOKENS:
        asked.outcome = REJECTED
        asked.finish = now
        send_next_turn(w, request, now)
        return False
    server.outstanding += 1
    push_back(w, row, request)
    if not server.in_step:
        return True
    may_join = server.running < model.max_num_seqs and (server.waiting == 1 or w.levels > 1 or model.max_loras > 0)
    if may_join or server.publishing > 0:  # with a queue, each iteration makes known what it generates
        cut(server, now)  # it may be admitted at the first iteration that begins from now on
    return False


@part
def wait_at_gateway(w: Any, request: int, now: float) -> None:
    """No server is ready: the request waits for one, or for its timeout."""
    asked = request_at(w, request)
    asked.place = AT_GATEWAY
    asked.successor = NONE
    asked.last_token = now
    if w.gateway_head == NONE:
        w.gateway_head = request
    else:
        request_at(w, w.gateway_tail).successor = request
    w.gateway_tail = request
    w.gateway_count += 1
    if w.gateway_timeout < math.inf:
        push_deferred(w, now + w.gateway_timeout, request, GATEWAY_TIMES_OUT)


@part
def _first_to_leave(w: Any) -> int:
    """The first request at the gateway for whose phase a server is open, NONE if there is none."""
    request = w.gateway_head
    while request != NONE:
        unfit = w.open_prefill if request_at(w, request).remote else w.open_decode
        if w.open_count > unfit:
            break
        request = request_at(w, request).successor
    return int(request)


@feature(otherwise=NONE)
def _time_out(w: Any, request: int, kind: int, now: float) -> int:
    """A client, or the gateway, gives up on a request, unless that is over. Returns the server whose plan changed."""
    if request == NONE:  # it was over and gone from the ring when that was copied
        return NONE
    asked = request_at(w, request)
    if asked.outcome != PENDING or asked.place == NOWHERE:
        return NONE
    if kind == GATEWAY_TIMES_OUT:
        if asked.place != AT_GATEWAY or asked.last_token + w.gateway_timeout != now:
            return NONE
        asked.outcome = TIMED_OUT
    else:
        if asked.arrival + w.client_timeout != now:  # the ring holds another request there by now
            return NONE
        asked.outcome = ABORTED
    row = NONE
    if asked.place == AT_GATEWAY:
        leave_gateway(w, request)
    elif asked.place == WAITING:
        row = asked.row
        forget_own(w, request)
        drop_waiting(w, row, request)
        server_at(w, row).outstanding -= 1
        cut(server_at(w, row), now)
    elif asked.place == RUNNING:
        row = asked.row
        server_at(w, row).aborting += 1
        cut(server_at(w, row), now)
    send_next_turn(w, request, now)
    return row


@part
def leave_gateway(w: Any, request: int) -> None:
    """Take a request out of the gateway's queue, wherever it stands there."""
    before = NONE
    other = w.gateway_head
    while other != request:
        before = other
        other = request_at(w, other).successor
    following = request_at(w, request).successor
    if before == NONE:
        w.gateway_head = following
    else:
        request_at(w, before).successor = following
    if following == NONE:
        w.gateway_tail = before
    w.gateway_count -= 1
    request_at(w, request).place = NOWHERE
