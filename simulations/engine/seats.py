"""A request in the batch: it takes a slot when it is admitted, and leaves it when it is done, preempted or given up."""

from typing import Any

from simulations.engine.blocks import blocks_of, give_cached_blocks, ids_reach_further, publish_generated
from simulations.engine.cache_folder import part
from simulations.engine.cells import adapter_at, model_at, request_at, residue_at, server_at, slot_at
from simulations.engine.features import feature
from simulations.engine.finishes import find_finish, remove_finish
from simulations.engine.layout import NONE, NOWHERE, RUNNING


@part
def take_seat(w: Any, row: int, request: int) -> int:
    """Put a request at the end of the running list. Returns its slot, which the caller fills with its progress."""
    server = server_at(w, row)
    asked = request_at(w, request)
    index = server.vacant
    slot = slot_at(w, index)
    server.vacant = slot.next
    slot.previous = server.last
    slot.next = NONE
    if server.last == NONE:
        server.first = index
    else:
        slot_at(w, server.last).next = index
    server.last = index
    server.running += 1
    server.admissions += 1
    slot.admission = server.admissions
    slot.request = request
    slot.generated = asked.generated
    slot.output = asked.output_tokens
    slot.decoding = 0
    asked.place = RUNNING
    asked.slot = index
    return int(index)


@feature(otherwise=False)
def is_passed_over(w: Any, row: int, index: int) -> bool:
    """Whether a decoding slot gets no token in the iteration under way: it is one of the last `stalled` that decode."""
    stalled = server_at(w, row).stalled
    decoding = 0
    while stalled > 0 and index != NONE:
        decoding += slot_at(w, index).decoding
        index = slot_at(w, index).next
    return bool(decoding <= stalled and stalled > 0)


@part
def schedule_chunk(w: Any, row: int, index: int, tokens: int) -> None:
    """Compute so many tokens of a slot's prompt in the next iteration."""
    server = server_at(w, row)
    slot = slot_at(w, index)
    slot.scheduled = tokens
    if server.prefilling == NONE:
        server.prefilling = index
    server.step_budget -= tokens
    server.step_prefill_tokens += tokens
    server.step_context_pairs += tokens * (slot.computed + 0.5 * tokens)
    server.step_kv_tokens += slot.computed + tokens


@part
def interrupt_decoding(w: Any, row: int, index: int) -> None:
    """Take a slot out of the heap of those that decode, and out of the sums over them."""
    base = row * w.seats
    decoding = server_at(w, row).decoding
    remove_finish(w, base, decoding, find_finish(w, base, decoding, index))
    stop_decoding(w, row, index)


@part
def stop_decoding(w: Any, row: int, index: int) -> None:
    """Take a slot, no longer in the heap, out of the sums over decoding requests."""
    server = server_at(w, row)
    slot = slot_at(w, index)
    residue_at(w, row * 16 + (slot.computed & 15)).count -= 1
    server.decoding_tokens -= slot.computed + server.decoded
    server.decoding -= 1


@part
def leave_seat(w: Any, row: int, index: int, tokens: int, scheduled: int, may_return: bool) -> None:
    """Take a request that does not decode any more out of the batch: its blocks, its adapter, its seat.

    tokens: that it has blocks for. scheduled: slots up to that admission have a token in an iteration that is not
    booked. may_return: it was preempted.
    """
    server = server_at(w, row)
    slot = slot_at(w, index)
    if model_at(w, server.model).prefix_caching:
        if server.publishing > 0:
            publish_generated(w, row, scheduled)
        if ids_reach_further(w, slot.request):
            server.publishing -= 1
        give_cached_blocks(w, row, index, tokens, may_return)
    else:
        server.free_blocks += blocks_of(tokens)
    if slot.adapter != NONE:
        adapter_at(w, slot.adapter).running -= 1
        adapter_at(w, slot.adapter).used = w.now
    if server.partial == index:
        server.partial = NONE
    if slot.previous == NONE:
        server.first = slot.next
    else:
        slot_at(w, slot.previous).next = slot.next
    if slot.next == NONE:
        server.last = slot.previous
    else:
        slot_at(w, slot.next).previous = slot.previous
    slot.next = server.vacant
    server.vacant = index
    server.running -= 1
    request_at(w, slot.request).slot = NONE
    request_at(w, slot.request).place = NOWHERE
