"""From the waiting queue into the batch, until a request does not fit.

Source: vllm v1/core/sched/scheduler.py, `schedule`, "Next, schedule the WAITING requests".
"""

from typing import Any

from policies.capacity.kv_cache import BLOCK_TOKENS
from simulations.engine.adapters import find_adapter, use_adapter
from simulations.engine.blocks import (
    blocks_of,
    hold_found,
    ids_reach_further,
    look_up,
    publish_blocks,
    publish_generated,
    take_blocks,
)
from simulations.engine.cache_folder import part
from simulations.engine.cells import model_at, queue_at, request_at, server_at, slot_at
from simulations.engine.layout import NONE
from simulations.engine.seats import schedule_chunk, take_seat
from simulations.engine.waiting import unlink

_ADMITTED, _PASSED_OVER, _REFUSED = range(3)


@part
def admit_waiting(w: Any, row: int) -> None:
    """Admit in order while there are budget and seats; the first that lacks blocks ends it."""
    server = server_at(w, row)
    seats = model_at(w, server.model).max_num_seqs
    if server.publishing > 0:
        publish_generated(w, row, server.admissions)
    for level in range(w.levels):
        head = 2 * (row * w.levels + level)
        before = NONE
        request = queue_at(w, head).index
        while request != NONE:
            if server.step_budget <= 0 or server.running >= seats:
                return
            following = request_at(w, request).successor
            outcome = _admit(w, row, head, before, request)
            if outcome == _REFUSED:
                return
            if outcome == _PASSED_OVER:
                before = request
            request = following


@part
def _admit(w: Any, row: int, head: int, before: int, request: int) -> int:
    """Give one request a seat if it can have one now; it follows `before` in the list at `head`."""
    server = server_at(w, row)
    model = model_at(w, server.model)
    asked = request_at(w, request)
    adapter = NONE
    if asked.lora >= 0 and model.max_loras > 0:
        adapter = find_adapter(w, row * w.adapter_room, model.max_loras, asked.lora)
        if adapter == NONE:
            return _PASSED_OVER
    target = asked.prompt_tokens + asked.generated
    found, idle, own, chain = 0, 0, 0, 0
    if model.prefix_caching:
        found, idle, own, chain = look_up(w, row, request, (target - 1) // BLOCK_TOKENS)
    computed = target - 1 if asked.remote else (found + own) * BLOCK_TOKENS
    tokens = min(target - computed, server.step_budget)
    blocks = blocks_of(computed + tokens) - found - own
    if blocks + idle + own > server.free_blocks:
        return _REFUSED
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
        server.step_loads += use_adapter(w, row, adapter, asked.lora)
    index = take_seat(w, row, request)
    slot = slot_at(w, index)
    slot.target = target
    slot.computed = computed
    slot.blocks = blocks_of(computed + tokens)
    slot.adapter = adapter
    slot.shared = found
    slot.chain = chain
    asked.remote = 0
    schedule_chunk(w, row, index, tokens)
    if model.prefix_caching:
        publish_blocks(w, row, index, computed + tokens)
        if ids_reach_further(w, request):
            server.publishing += 1
    return _ADMITTED
