"""One iteration's schedule, by vLLM V1's rules: running requests first, then the queue, one token budget for both.

Source: vllm v1/core/sched/scheduler.py, `schedule`. Every decoding request has one token of the budget, because
max_num_seqs never exceeds it; so at most one running request has its prompt computed in part, the last admitted.
"""

from typing import Any

from simulations.engine.adapters import find_adapter
from simulations.engine.blocks import (
    blocks_of,
    give_cached_blocks,
    hold_found,
    look_up,
    publish_blocks,
    publish_generated,
    take_blocks,
)
from simulations.engine.cache_folder import part
from simulations.engine.cells import (
    adapter_at,
    finish_at,
    model_at,
    queue_at,
    request_at,
    residue_at,
    server_at,
    slot_at,
)
from simulations.engine.finishes import find_finish, push_finish, remove_finish
from simulations.engine.layout import BLOCK_TOKENS, NONE, NOWHERE, RUNNING
from simulations.engine.plan import boundary, iterations_with_blocks
from simulations.engine.waiting import push_preempted, unlink


@part
def begin_plan(w: Any, row: int, now: float) -> None:
    """Schedule the iteration that begins at `now`, and plan as many like it as nothing can change between."""
    server = server_at(w, row)
    model = model_at(w, server.model)
    decoded = server.decoded
    preempted = False
    stalled = 0
    stalled_tokens = 0
    server.in_step = 0
    starting = residue_at(w, row * 16 + (-decoded & 15)).count  # decoding requests whose next token needs a block
    chunk = 0
    blocks = 0
    if server.partial != NONE:
        partial = slot_at(w, server.partial)
        chunk = min(partial.target - partial.computed, model.max_num_batched_tokens - server.decoding)
        blocks = blocks_of(partial.computed + chunk) - partial.blocks
    if starting + blocks <= server.free_blocks:
        take_blocks(w, row, starting + blocks)
    else:
        preempted, chunk, stalled, stalled_tokens = make_room(w, row, now)
    budget = model.max_num_batched_tokens - (server.decoding - stalled) - chunk
    prefill = 0
    pairs = 0.0
    loads = 0
    kv_tokens = server.decoding_tokens + server.decoding - stalled_tokens
    server.stalled = stalled
    server.prefilling = NONE
    if chunk > 0:
        index = server.partial
        partial = slot_at(w, index)
        partial.scheduled = chunk
        partial.blocks = blocks_of(partial.computed + chunk)
        server.prefilling = index
        prefill = chunk
        pairs = chunk * (partial.computed + 0.5 * chunk)
        kv_tokens += partial.computed + chunk
        if model.prefix_caching:
            publish_blocks(w, row, index, partial.computed + chunk)
    if server.waiting > 0 and not preempted:
        if server.publishing > 0:
            publish_generated(w, row)
        levels = w.levels
        level = 0
        while level < levels and budget > 0 and server.running < model.max_num_seqs:
            head = 2 * (row * levels + level)
            before = NONE
            request = queue_at(w, head).index
            while request != NONE and budget > 0 and server.running < model.max_num_seqs:
                asked = request_at(w, request)
                following = asked.successor
                adapter = NONE
                if asked.lora >= 0 and model.max_loras > 0:
                    room = w.adapter_room
                    adapter = find_adapter(w, row * room, model.max_loras, asked.lora)
                    if adapter == NONE:  # passed over, as vLLM does
                        before = request
                        request = following
                        continue
                target = asked.prompt_tokens + asked.generated
                found = 0
                idle = 0
                own = 0
                chain = 0
                if model.prefix_caching:
                    found, idle, own, chain = look_up(w, row, request, (target - 1) // BLOCK_TOKENS)
                computed = (found + own) * BLOCK_TOKENS
                if asked.remote:
                    computed = target - 1
                tokens = min(target - computed, budget)
                blocks = blocks_of(computed + tokens) - found - own
                if blocks + idle + own > server.free_blocks:
                    level = levels
                    break
                unlink(w, head, before, request)
                server.waiting -= 1
                if model.prefix_caching:
                    hold_found(w, row, request, found, own)
                    if asked.cached_tokens == NONE:
                        asked.cached_tokens = computed
                        server.prefix_queries += asked.prompt_tokens
                        server.prefix_hits += computed
                take_blocks(w, row, blocks)
                if adapter != NONE:
                    if adapter_at(w, adapter).lora != asked.lora:
                        adapter_at(w, adapter).lora = asked.lora
                        server.lora_loads += 1
                        loads += 1
                    adapter_at(w, adapter).running += 1
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
                slot.target = target
                slot.computed = computed
                slot.generated = asked.generated
                slot.output = asked.output_tokens
                slot.decoding = 0
                slot.blocks = blocks_of(computed + tokens)
                slot.scheduled = tokens
                slot.adapter = adapter
                slot.shared = found
                slot.chain = chain
                asked.place = RUNNING
                asked.slot = index
                asked.remote = 0
                if server.prefilling == NONE:
                    server.prefilling = index
                budget -= tokens
                prefill += tokens
                pairs += tokens * (computed + 0.5 * tokens)
                kv_tokens += computed + tokens
                if model.prefix_caching:
                    publish_blocks(w, row, index, computed + tokens)
                    if _ids_reach_further(w, request):
                        server.publishing += 1
                request = following
            level += 1
    if server.running == 0:
        server.decoded = 0
        return
    server.in_step = 1
    server.step_start = now
    server.plan_start = now
    decoding = server.decoding - stalled
    server.plan_seconds = (
        model.base
        + model.per_prefill_token * prefill
        + model.per_decode_seq * decoding
        + model.per_kv_token * kv_tokens
        + model.per_prefill_context_token * pairs
        + model.lora_load_seconds * loads
    )
    server.plan_growth = model.per_kv_token * decoding
    server.planned = 1
    server.completed = 0
    if server.prefilling == NONE and not preempted and w.jump and not (server.publishing and server.waiting):
        further = (finish_at(w, row * w.seats).key >> 32) - decoded - 1
        if further > 0:
            server.planned = 1 + iterations_with_blocks(
                w, row, server.decoding, decoded + 1, further, server.free_blocks
            )
    server.plan_end = boundary(server, server.planned)


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
            taken = 0
            if slot_at(w, victim).admission < slot.admission:  # it has its token of this iteration already
                taken = _block_started(server, slot_at(w, victim))
                budget += 1
            if victim == following:
                following = slot_at(w, victim).next
            preempt(w, row, victim, taken, now)
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
    worst: int = server.first
    index = slot_at(w, worst).next
    while index != NONE:
        one, other = request_at(w, slot_at(w, index).request), request_at(w, slot_at(w, worst).request)
        if one.priority > other.priority or (one.priority == other.priority and one.enqueued > other.enqueued):
            worst = index
        index = slot_at(w, index).next
    return worst


@part
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
def preempt(w: Any, row: int, index: int, taken: int, now: float) -> None:
    """Take all blocks of a running request, `taken` of them of this iteration; it waits to be recomputed."""
    server = server_at(w, row)
    slot = slot_at(w, index)
    request = slot.request
    asked = request_at(w, request)
    tokens = slot.computed
    generated = slot.generated
    if slot.decoding:
        tokens += server.decoded
        generated += server.decoded
        base = row * w.seats
        place = find_finish(w, base, server.decoding, index)
        remove_finish(w, base, server.decoding, place)
        stop_decoding(w, row, index)
        asked.last_token = now
    asked.generated = generated
    asked.preemptions += 1
    server.preemptions += 1
    leave_slot(w, row, index, tokens, taken, True)
    push_preempted(w, row, request)


@part
def stop_decoding(w: Any, row: int, index: int) -> None:
    """Take a slot, no longer in the heap, out of the sums over decoding requests."""
    server = server_at(w, row)
    slot = slot_at(w, index)
    residue_at(w, row * 16 + (slot.computed & 15)).count -= 1
    server.decoding_tokens -= slot.computed + server.decoded
    server.decoding -= 1


@part
def leave_slot(w: Any, row: int, index: int, tokens: int, taken: int, may_return: bool) -> None:
    """Take a request that does not decode any more out of the batch: its blocks, its adapter, its seat."""
    server = server_at(w, row)
    slot = slot_at(w, index)
    if model_at(w, server.model).prefix_caching:
        if _ids_reach_further(w, slot.request):
            server.publishing -= 1
        give_cached_blocks(w, row, index, tokens, taken, may_return)
    else:
        server.free_blocks += blocks_of(tokens) + taken
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


@part
def _ids_reach_further(w: Any, request: int) -> bool:
    """Whether a request's prefix ids say what it will generate."""
    asked = request_at(w, request)
    return bool(asked.prefix_count * w.prefix_block_tokens > asked.prompt_tokens)
