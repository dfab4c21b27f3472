"""One iteration's schedule, by vLLM V1's rules: running requests first, then the queue, one token budget for both.

Source: vllm v1/core/sched/scheduler.py, `schedule`. Every decoding request has one token of the budget, because
max_num_seqs never exceeds it; so at most one running request has its prompt computed in part, the last admitted.
"""

from typing import Any

from simulations.engine.admission import admit_waiting
from simulations.engine.blocks import blocks_of, publish_blocks, publish_generated, take_blocks
from simulations.engine.cache_folder import part
from simulations.engine.cells import finish_at, model_at, residue_at, server_at, slot_at
from simulations.engine.layout import NONE
from simulations.engine.plan import boundary, iterations_with_blocks
from simulations.engine.preemption import make_room
from simulations.engine.seats import schedule_chunk


@part
def begin_plan(w: Any, row: int, now: float) -> None:
    """Schedule the iteration that begins at `now`, and plan as many like it as nothing can change between."""
    server = server_at(w, row)
    server.in_step = 0
    server.prefilling = NONE
    server.step_prefill_tokens = 0
    server.step_context_pairs = 0.0
    server.step_loads = 0
    preempted = _schedule_running(w, row, now)
    if server.waiting > 0 and not preempted:
        admit_waiting(w, row)
    if server.running == 0:
        server.decoded = 0
        return
    server.in_step = 1
    server.step_start = now
    server.plan_start = now
    model = model_at(w, server.model)
    decoding = server.decoding - server.stalled
    server.plan_seconds = (
        model.base
        + model.per_prefill_token * server.step_prefill_tokens
        + model.per_decode_seq * decoding
        + model.per_kv_token * server.step_kv_tokens
        + model.per_prefill_context_token * server.step_context_pairs
        + model.lora_load_seconds * server.step_loads
    )
    server.plan_growth = model.per_kv_token * decoding
    server.planned = 1
    server.completed = 0
    if server.prefilling == NONE and not preempted and w.jump:
        server.planned += _further_iterations(w, row)
    server.plan_end = boundary(server, server.planned)


@part
def _schedule_running(w: Any, row: int, now: float) -> bool:
    """Every decoding request gets a token and the partial one a chunk. Returns whether others had to be preempted."""
    server = server_at(w, row)
    budget = model_at(w, server.model).max_num_batched_tokens
    blocks = residue_at(w, row * 16 + (-server.decoded & 15)).count  # of requests whose next token begins one
    chunk = 0
    if server.partial != NONE:
        partial = slot_at(w, server.partial)
        chunk = min(partial.target - partial.computed, budget - server.decoding)
        blocks += blocks_of(partial.computed + chunk) - partial.blocks
    preempted = False
    stalled_tokens = 0
    server.stalled = 0
    if blocks <= server.free_blocks:
        take_blocks(w, row, blocks)
    else:
        preempted, chunk, server.stalled, stalled_tokens = make_room(w, row, now)
    server.step_kv_tokens = server.decoding_tokens + server.decoding - stalled_tokens
    server.step_budget = budget - (server.decoding - server.stalled)
    if chunk > 0:
        index = server.partial
        partial = slot_at(w, index)
        partial.blocks = blocks_of(partial.computed + chunk)
        schedule_chunk(w, row, index, chunk)
        if model_at(w, server.model).prefix_caching:
            if server.publishing > 0:
                publish_generated(w, row, server.admissions)
            publish_blocks(w, row, index, partial.computed + chunk)
    return preempted


@part
def _further_iterations(w: Any, row: int) -> int:
    """After one in which all running requests decode: how many will be like it, unless a request arrives.

    The next finished request ends the plan, and so do the free blocks. What waits was refused for want of a seat,
    blocks, budget or a place for its adapter, which only these can bring; or, where generated tokens become known to
    others, of blocks that they may bring.
    """
    server = server_at(w, row)
    if server.publishing and server.waiting:
        return 0
    further = (finish_at(w, row * w.seats).key >> 32) - server.decoded - 1
    if further <= 0:
        return 0
    return iterations_with_blocks(w, row, server.decoding, server.decoded + 1, further, server.free_blocks)
