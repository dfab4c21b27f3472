"""The end of a plan: tokens appear, prompts are done, requests finish."""

from typing import Any

from simulations.engine.blocks import take_blocks
from simulations.engine.cache_folder import part
from simulations.engine.cells import count_at, finish_at, model_at, request_at, residue_at, server_at, slot_at
from simulations.engine.events import push_deferred
from simulations.engine.features import feature
from simulations.engine.finishes import push_finish, remove_finish
from simulations.engine.layout import (
    ARRIVES,
    E2E,
    E2E_BOUNDS,
    HISTOGRAM_WIDTH,
    NONE,
    PREFILL,
    TPOT,
    TPOT_BOUNDS,
    TRANSFERRED,
    TRANSFERRING,
    TTFT,
    TTFT_BOUNDS,
)
from simulations.engine.plan import add_gap, add_gaps, blocks_for, boundary, boundary_at_or_after
from simulations.engine.seats import interrupt_decoding, is_passed_over, leave_seat, stop_decoding
from simulations.request_rows import ABORTED, NEVER_SENT, SERVED


@part
def settle(w: Any, row: int, now: float, over: bool) -> None:
    """Book the iterations of a plan that are done by `now`, and the blocks of the one under way.

    over: what happens at `now` has happened, so an iteration that ends at that very instant is done.
    """
    server = server_at(w, row)
    if not server.in_step or server.planned - server.completed <= 1:
        return
    done = boundary_at_or_after(server, now)
    if not over or boundary(server, done) > now:
        done -= 1
    more = min(done, server.planned - 1) - server.completed
    if more > 0:
        book(w, row, more)
        take_blocks(w, row, blocks_for(w, row, server.decoding, server.decoded, 1))


@part
def book(w: Any, row: int, iterations: int) -> None:
    """Count whole iterations of a plan: every decoding request gains a token in each. Blocks: of all but the first."""
    server = server_at(w, row)
    begun = boundary(server, server.completed)
    if server.decoding > server.stalled:
        add_gaps(w, server, iterations)
    if iterations > 1:
        take_blocks(w, row, blocks_for(w, row, server.decoding, server.decoded + 1, iterations - 1))
    server.decoded += iterations
    server.decoding_tokens += server.decoding * iterations
    server.generation_tokens += server.decoding * iterations - server.stalled
    server.iterations += iterations
    server.completed += iterations
    server.step_start = boundary(server, server.completed)
    server.busy_seconds += server.step_start - begun


@part
def end_plan(w: Any, row: int, now: float) -> None:
    """Book a plan that ends now."""
    server = server_at(w, row)
    if server.planned == 0:  # it was woken
        return
    base = row * w.seats
    book(w, row, server.planned - server.completed)
    while server.aborting > 0:
        _drop_aborted(w, row)
    while server.decoding > 0 and (finish_at(w, base).key >> 32) <= server.decoded:
        index = finish_at(w, base).slot
        remove_finish(w, base, server.decoding, 0)
        tokens = slot_at(w, index).computed + server.decoded
        stop_decoding(w, row, index)
        _finish(w, row, index, tokens, now)
    index = server.prefilling
    if index != NONE:  # else a prompt computed in part had no token in this iteration, and goes on in a later one
        server.partial = NONE
    while index != NONE:
        slot = slot_at(w, index)
        following = slot.next
        slot.computed += slot.scheduled
        if slot.computed < slot.target:
            server.partial = index
        else:
            _prompt_done(w, row, index, now)
        index = following


@part
def _prompt_done(w: Any, row: int, index: int, now: float) -> None:
    """A slot's prompt, or what was recomputed, is in the KV cache: the next output token appears."""
    server = server_at(w, row)
    slot = slot_at(w, index)
    request = slot.request
    asked = request_at(w, request)
    server.generation_tokens += 1
    slot.generated += 1
    if slot.generated > 1:
        add_gap(w, now - asked.last_token, 1)
    elif server.role == PREFILL and slot.output > 1:
        _hand_over(w, row, index, now)
        return
    else:
        asked.first_token = now + model_at(w, server.model).overhead
        server.prompt_tokens += asked.prompt_tokens
        ttft = asked.first_token - asked.enqueued
        count_at(w, (row * 3 + TTFT) * HISTOGRAM_WIDTH + _bucket(TTFT_BOUNDS, ttft)).count += 1
        server.ttft_sum += ttft
    if slot.generated >= slot.output:
        _finish(w, row, index, slot.computed, now)
        return
    slot.decoding = 1
    slot.computed -= server.decoded
    slot.generated -= server.decoded
    residue_at(w, row * 16 + (slot.computed & 15)).count += 1
    key = ((slot.output - slot.generated) << 32) | (slot.admission & 0xFFFFFFFF)
    push_finish(w, row * w.seats, server.decoding, key, index)
    server.decoding += 1
    server.decoding_tokens += slot.computed + server.decoded


@feature(otherwise=None)
def _hand_over(w: Any, row: int, index: int, now: float) -> None:
    """A prefill server is done with a request: its KV cache travels to a decode server, which is chosen then."""
    server = server_at(w, row)
    slot = slot_at(w, index)
    request = slot.request
    asked = request_at(w, request)
    server.generation_tokens -= 1  # the decode server gives the first token
    server.prompt_tokens += asked.prompt_tokens
    server.last_finish = now
    leave_seat(w, row, index, slot.computed, 0, False)
    server.outstanding -= 1
    asked.remote = 1
    asked.place = TRANSFERRING
    asked.row = NONE
    seconds = asked.prompt_tokens * model_at(w, server.model).transfer_seconds_per_token
    push_deferred(w, now + seconds, request, TRANSFERRED)


@part
def _finish(w: Any, row: int, index: int, tokens: int, now: float) -> None:
    """A request has its last token. It does not decode any more."""
    server = server_at(w, row)
    slot = slot_at(w, index)
    request = slot.request
    asked = request_at(w, request)
    asked.generated = slot.output
    leave_seat(w, row, index, tokens, 0, False)
    server.outstanding -= 1
    server.last_finish = now
    asked.finish = now + model_at(w, server.model).overhead
    asked.outcome = SERVED
    server.succeeded += 1
    e2e = asked.finish - asked.enqueued
    count_at(w, (row * 3 + E2E) * HISTOGRAM_WIDTH + _bucket(E2E_BOUNDS, e2e)).count += 1
    server.e2e_sum += e2e
    if asked.output_tokens > 1:
        tpot = (asked.finish - asked.first_token) / (asked.output_tokens - 1)
        count_at(w, (row * 3 + TPOT) * HISTOGRAM_WIDTH + _bucket(TPOT_BOUNDS, tpot)).count += 1
        server.tpot_sum += tpot
    if asked.next_turn != NONE:
        send_next_turn(w, request, asked.finish)


@feature(otherwise=None)
def send_next_turn(w: Any, request: int, answered: float) -> None:
    """A conversation goes on some time after the answer; what would come after the demand's end is never sent."""
    following = request_at(w, request).next_turn
    if following == NONE:
        return
    arrival = answered + request_at(w, request).think
    if arrival <= w.demand_ends:
        request_at(w, following).arrival = arrival
        push_deferred(w, arrival, following, ARRIVES)
        return
    while following != NONE:
        request_at(w, following).outcome = NEVER_SENT
        w.never_sent += 1
        following = request_at(w, following).next_turn


@feature(otherwise=None)
def _drop_aborted(w: Any, row: int) -> None:
    """Let go of the first request whose client is gone; the token of the iteration that ends is nobody's."""
    server = server_at(w, row)
    gone = NONE
    index = server.first
    while index != NONE:
        asked = request_at(w, slot_at(w, index).request)
        if asked.outcome == ABORTED and (
            gone == NONE or asked.arrival < request_at(w, slot_at(w, gone).request).arrival
        ):
            gone = index
        index = slot_at(w, index).next
    slot = slot_at(w, gone)
    tokens = slot.computed
    generated = slot.generated
    if slot.decoding:
        tokens += server.decoded
        generated += server.decoded
        if is_passed_over(w, row, gone):
            server.stalled -= 1
        else:
            generated -= 1
            server.generation_tokens -= 1
            add_gap(w, server.plan_seconds + (server.planned - 1) * server.plan_growth, -1)
        interrupt_decoding(w, row, gone)
    else:
        tokens += slot.scheduled
        if server.prefilling == gone:
            server.prefilling = slot.next
    request_at(w, slot.request).generated = generated
    leave_seat(w, row, gone, tokens, 0, False)
    server.aborting -= 1
    server.outstanding -= 1
    server.last_finish = server.plan_end


@part
def _bucket(bounds: Any, value: float) -> int:
    """The first bucket whose bound is not below the value: numpy.searchsorted."""
    low, high = 0, len(bounds)
    while low < high:
        middle = (low + high) >> 1
        if bounds[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low
