"""When the free blocks are too few for the next iteration: who loses theirs, and who gets no token in it.

Source: vllm v1/core/sched/scheduler.py, `schedule`, "First, schedule the RUNNING requests", and `_preempt_request`.
"""

from typing import Any

from policies.capacity.kv_cache import BLOCK_TOKENS
from simulations.engine.blocks import blocks_of, take_blocks
from simulations.engine.cache_folder import part
from simulations.engine.cells import finish_at, model_at, request_at, residue_at, server_at, slot_at
from simulations.engine.features import feature
from simulations.engine.finishes import find_finish, push_finish, remove_finish
from simulations.engine.layout import NONE
from simulations.engine.seats import interrupt_decoding, leave_seat
from simulations.engine.waiting import push_preempted


@part
def make_room(w: Any, row: int, now: float) -> tuple[bool, int, int, int]:
    """Give each running request its blocks in turn, and preempt others where they are short.

    Returns (whether that was so, prompt tokens of the partial request in this iteration, decoding requests that get
    no token in it, their KV tokens): with priorities the one that is preempted may not be the last, and vLLM
    schedules nothing after it. If that leaves nothing to run, vLLM schedules again at once.
    """
    server = server_at(w, row)
    while True:
        before = server.preemptions
        chunk, stalled, tokens = _give_in_turn(w, row, now)
        if chunk > 0 or server.decoding > stalled or server.running == 0:
            return server.preemptions > before, chunk, stalled, tokens
        _shift(w, row, server.first, 1)


@part
def _give_in_turn(w: Any, row: int, now: float) -> tuple[int, int, int]:
    """One pass of `make_room`: (prompt tokens, decoding requests that get no token, their KV tokens)."""
    server = server_at(w, row)
    model = model_at(w, server.model)
    budget = model.max_num_batched_tokens
    chunk = 0
    index = server.first
    while index != NONE:
        slot = slot_at(w, index)
        if slot.decoding:
            tokens = 1
            blocks = _block_started(server, slot)
        else:
            tokens = min(slot.target - slot.computed, budget)
            blocks = blocks_of(slot.computed + tokens) - slot.blocks
        following = slot.next
        while blocks > server.free_blocks:
            victim = _victim(w, server, model.priority_scheduling)
            if slot_at(w, victim).admission < slot.admission:  # it has its token of this iteration already
                budget += 1
            if victim == following:
                following = slot_at(w, victim).next
            _preempt(w, row, victim, slot.admission - 1, now)
            if victim == index:
                stalled, tokens = _shift(w, row, following, -1)
                return chunk, stalled, tokens
        take_blocks(w, row, blocks)
        budget -= tokens
        if not slot.decoding:
            chunk = tokens
        index = following
    return chunk, 0, 0


@part
def _block_started(server: Any, slot: Any) -> int:
    """Blocks that a decoding slot takes for its next token: 1 where its tokens fill those that it has."""
    return 1 if ((slot.computed + server.decoded) & (BLOCK_TOKENS - 1)) == 0 else 0


@part
def _victim(w: Any, server: Any, by_priority: int) -> int:
    """Who is preempted: the last admitted, or of the least urgent the last to arrive."""
    if not by_priority:
        last: int = server.last
        return last
    return int(_least_urgent(w, server))


@feature(otherwise=NONE)
def _least_urgent(w: Any, server: Any) -> int:
    """Of the running requests with the largest (priority, arrival) the first admitted."""
    worst: int = server.first
    index = slot_at(w, worst).next
    while index != NONE:
        one, other = request_at(w, slot_at(w, index).request), request_at(w, slot_at(w, worst).request)
        if one.priority > other.priority or (one.priority == other.priority and one.enqueued > other.enqueued):
            worst = index
        index = slot_at(w, index).next
    return worst


@feature(otherwise=(0, 0))
def _shift(w: Any, row: int, index: int, tokens: int) -> tuple[int, int]:
    """Let the slots from `index` on skip an iteration (-1 token), or not skip it after all (+1).

    Every decoding slot gains a token when an iteration is booked, so those that skip it lose one before.
    Returns (decoding ones among them, their KV tokens before).
    """
    server = server_at(w, row)
    base = row * w.seats
    shifted = 0
    before = 0
    while index != NONE:
        slot = slot_at(w, index)
        if slot.decoding:
            shifted += 1
            before += slot.computed + server.decoded
            place = find_finish(w, base, server.decoding, index)
            key = finish_at(w, base + place).key
            remove_finish(w, base, server.decoding, place)
            push_finish(w, base, server.decoding - 1, key - tokens * (1 << 32), index)
            residue_at(w, row * 16 + (slot.computed & 15)).count -= 1
            slot.computed += tokens
            slot.generated += tokens
            residue_at(w, row * 16 + (slot.computed & 15)).count += 1
            server.decoding_tokens += tokens
        index = slot.next
    return shifted, before


@part
def _preempt(w: Any, row: int, index: int, scheduled: int, now: float) -> None:
    """Take all blocks of a running request; it waits to be recomputed.

    scheduled: slots up to that admission have their token, and its block, of the iteration that is scheduled.
    """
    server = server_at(w, row)
    slot = slot_at(w, index)
    request = slot.request
    asked = request_at(w, request)
    tokens = slot.computed
    generated = slot.generated
    if slot.decoding:
        tokens += server.decoded + (slot.admission <= scheduled)
        generated += server.decoded
        interrupt_decoding(w, row, index)
        asked.last_token = now
    asked.generated = generated
    asked.preemptions += 1
    server.preemptions += 1
    leave_seat(w, row, index, tokens, scheduled, True)
    push_preempted(w, row, request)
