"""KV blocks of a server: what a slot takes, makes known to others, and gives back."""

from typing import Any

from policies.capacity.kv_cache import BLOCK_TOKENS
from simulations.engine.cache_folder import part
from simulations.engine.cells import held_at, model_at, node_at, request_at, server_at, slot_at
from simulations.engine.features import feature
from simulations.engine.layout import NONE
from simulations.engine.prefix_cache import (
    evict,
    find,
    first_identity,
    hold,
    let_go,
    next_identity,
    publish,
    push_run,
    take_own,
)


@part
def blocks_of(tokens: int) -> int:
    """Blocks that hold so many tokens."""
    return (tokens + BLOCK_TOKENS - 1) // BLOCK_TOKENS


@part
def take_blocks(w: Any, row: int, count: int) -> None:
    """Use so many free blocks; they are known to be free."""
    server = server_at(w, row)
    server.free_blocks -= count
    if model_at(w, server.model).prefix_caching and count > 0:
        evict(w, row, count)


@feature(otherwise=None)
def give_cached_blocks(w: Any, row: int, index: int, tokens: int, may_return: bool) -> None:
    """Free the blocks of a slot on a server that caches prefixes, the last first.

    tokens: that it has blocks for. may_return: it was preempted, and may find what is left of its own blocks when it
    is admitted again.
    """
    server = server_at(w, row)
    slot = slot_at(w, index)
    request = slot.request
    publish_blocks(w, row, index, tokens)
    own = blocks_of(tokens) - slot.shared
    server.free_blocks += own
    full = max(tokens // BLOCK_TOKENS - slot.shared, 0) if may_return else 0
    push_run(w, server, own - full, NONE)
    request_at(w, request).own_run = push_run(w, server, full, request)
    for block in range(slot.shared - 1, -1, -1):
        server.free_blocks += let_go(w, server, held_at(w, _place_of(w, request, block)).index)
    slot.shared = 0


@feature(otherwise=None)
def publish_blocks(w: Any, row: int, index: int, tokens: int) -> None:
    """Let other requests find a slot's full blocks, as far as prefix ids say what they hold."""
    slot = slot_at(w, index)
    request = request_at(w, slot.request)
    per_id = _blocks_per_id(w)
    known = min(tokens // BLOCK_TOKENS, request.prefix_count * per_id)
    while slot.shared < known:
        slot.chain = next_identity(w, slot.chain, request.prefix_start, slot.shared, per_id)
        node = publish(w, row, slot.chain)
        held_at(w, _place_of(w, slot.request, slot.shared)).index = node
        slot.shared += 1


@feature(otherwise=None)
def publish_generated(w: Any, row: int, scheduled: int) -> None:
    """The same for every decoding slot of a server, in the order in which their blocks became full.

    The order says which of several blocks with the same content is found. It is that of the iterations, and in one
    iteration that of admission: a block is known from when its last token is scheduled.

    scheduled: slots up to that admission have a token in an iteration that is not booked.
    """
    server = server_at(w, row)
    per_id = _blocks_per_id(w)
    while True:
        first = NONE
        soonest = server.decoded + 2
        index = server.first
        while index != NONE:
            slot = slot_at(w, index)
            if slot.decoding and slot.shared < request_at(w, slot.request).prefix_count * per_id:
                full = (slot.shared + 1) * BLOCK_TOKENS - slot.computed  # what `decoded` is then
                if full < soonest and full <= server.decoded + (slot.admission <= scheduled):
                    first = index
                    soonest = full
            index = slot.next
        if first == NONE:
            return
        publish_blocks(w, row, first, (slot_at(w, first).shared + 1) * BLOCK_TOKENS)


@feature(otherwise=(0, 0, 0, 0))
def look_up(w: Any, row: int, request: int, most: int) -> tuple[int, int, int, int]:
    """What a server has of a request's leading blocks, `most` at most.

    Returns (blocks found by prefix ids, those of them that nobody uses now, blocks of its own that a preemption
    left, hash of the found chain). The found blocks are noted for `hold_found`; nothing else changes.
    """
    asked = request_at(w, request)
    per_id = _blocks_per_id(w)
    known = asked.prefix_count * per_id
    chain = first_identity(asked.lora)
    found = 0
    idle = 0
    while found < min(known, most):
        identity = next_identity(w, chain, asked.prefix_start, found, per_id)
        node = find(w, row, identity)
        if node == NONE:
            break
        held_at(w, _place_of(w, request, found)).index = node
        if node_at(w, node).references == 0:
            idle += 1
        chain = identity
        found += 1
    own = 0
    if asked.own_run != NONE and found == known:
        own = min(node_at(w, asked.own_run).count, most - found)
    return found, idle, own, chain


@feature(otherwise=None)
def hold_found(w: Any, row: int, request: int, found: int, own: int) -> None:
    """Use the blocks that `look_up` found."""
    server = server_at(w, row)
    for block in range(found):
        server.free_blocks -= hold(w, server, held_at(w, _place_of(w, request, block)).index)
    if own > 0:
        take_own(w, server, request_at(w, request).own_run, own)
        server.free_blocks -= own
    forget_own(w, request)


@feature(otherwise=None)
def forget_own(w: Any, request: int) -> None:
    """What a preemption left of a request's own blocks is nobody's from here on."""
    node = request_at(w, request).own_run
    if node != NONE:
        node_at(w, node).owner = NONE
        request_at(w, request).own_run = NONE


@feature(otherwise=0)
def found_blocks(w: Any, row: int, request: int) -> int:
    """Leading blocks of a request's prompt that a server has, for the router."""
    asked = request_at(w, request)
    per_id = _blocks_per_id(w)
    most: int = min(asked.prefix_count * per_id, (asked.prompt_tokens - 1) // BLOCK_TOKENS)
    chain = first_identity(asked.lora)
    for block in range(most):
        chain = next_identity(w, chain, asked.prefix_start, block, per_id)
        if find(w, row, chain) == NONE:
            return block
    return most


@part
def _blocks_per_id(w: Any) -> int:
    blocks: int = w.prefix_block_tokens // BLOCK_TOKENS
    return blocks


@part
def _place_of(w: Any, request: int, block: int) -> int:
    """Where the block that holds a request's n-th block is noted: beside the id that covers it."""
    per_id = _blocks_per_id(w)
    start = request_at(w, request).prefix_start
    place: int = ((start + block // per_id) & w.id_mask) * per_id + block % per_id
    return place


@feature(otherwise=False)
def ids_reach_further(w: Any, request: int) -> bool:
    """Whether a request's prefix ids say what it will generate."""
    asked = request_at(w, request)
    return bool(asked.prefix_count * w.prefix_block_tokens > asked.prompt_tokens)
