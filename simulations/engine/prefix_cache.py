"""The KV blocks of a server that caches prefixes: what each free block still holds, and which goes next.

vLLM keeps freed blocks in one queue, the least recently used first, with their content; a request whose leading
blocks have the same content takes them out again instead of computing them (vllm v1/core/block_pool.py,
kv_cache_utils.py FreeKVCacheBlockQueue, single_type_kv_cache_manager.py). A request's blocks are freed from its last
to its first, so that a chain loses its end first.

A node is either one block that requests may share, known by the hash of all prefix ids up to it, or a run of blocks
that no other request can have: its count shrinks from the end of the run, as blocks of a chain do. So a request
without prefix ids costs a node, not a node a block, and eviction takes exactly the blocks that vLLM's would.
"""

from typing import Any

import numpy as np

from simulations.engine.cache_folder import part
from simulations.engine.cells import bucket_at, id_at, node_at, request_at, server_at
from simulations.engine.features import feature
from simulations.engine.layout import NONE


@part
def _new_node(w: Any, server: Any) -> int:
    node: int = server.vacant_node
    server.vacant_node = node_at(w, node).next
    node_at(w, node).identity = 0
    node_at(w, node).references = 0
    node_at(w, node).owner = NONE
    node_at(w, node).count = 1
    return node


@part
def _forget(w: Any, server: Any, node: int) -> None:
    node_at(w, node).next = server.vacant_node
    server.vacant_node = node


@part
def _append(w: Any, server: Any, node: int) -> None:
    """Put a node at the end of the queue: it is the last to be taken."""
    node_at(w, node).previous = server.lru_tail
    node_at(w, node).next = NONE
    if server.lru_tail == NONE:
        server.lru_head = node
    else:
        node_at(w, server.lru_tail).next = node
    server.lru_tail = node


@part
def _remove(w: Any, server: Any, node: int) -> None:
    """Take a node out of the queue."""
    before, after = node_at(w, node).previous, node_at(w, node).next
    if before == NONE:
        server.lru_head = after
    else:
        node_at(w, before).next = after
    if after == NONE:
        server.lru_tail = before
    else:
        node_at(w, after).previous = before


@part
def push_run(w: Any, server: Any, count: int, owner: int) -> int:
    """Free so many blocks that only `owner` could find again. Returns their node, NONE for no blocks."""
    if count <= 0:
        return NONE
    node = _new_node(w, server)
    node_at(w, node).count = count
    node_at(w, node).owner = owner
    _append(w, server, node)
    return node


@feature(otherwise=None)
def evict(w: Any, row: int, count: int) -> None:
    """Take so many free blocks, the least recently used first; what they held is lost."""
    server = server_at(w, row)
    while count > 0:
        node = server.lru_head
        if node_at(w, node).count > count:
            node_at(w, node).count -= count
            return
        count -= node_at(w, node).count
        _remove(w, server, node)
        if node_at(w, node).identity != 0:
            _leave_bucket(w, bucket_of(w, row, node_at(w, node).identity), node)
        elif node_at(w, node).owner != NONE:
            request_at(w, node_at(w, node).owner).own_run = NONE
        _forget(w, server, node)


@part
def bucket_of(w: Any, row: int, identity: int) -> int:
    """Where a server's nodes with that content are chained."""
    bucket: int = row * w.bucket_room + (identity & (w.bucket_room - 1))
    return bucket


@part
def _leave_bucket(w: Any, bucket: int, node: int) -> None:
    other = bucket_at(w, bucket).index
    if other == node:
        bucket_at(w, bucket).index = node_at(w, node).bucket_next
        return
    while node_at(w, other).bucket_next != node:
        other = node_at(w, other).bucket_next
    node_at(w, other).bucket_next = node_at(w, node).bucket_next


@part
def find(w: Any, row: int, identity: int) -> int:
    """The first block that was cached with this content, NONE if there is none."""
    node: int = bucket_at(w, bucket_of(w, row, identity)).index
    while node != NONE and node_at(w, node).identity != identity:
        node = node_at(w, node).bucket_next
    return node


@part
def publish(w: Any, row: int, identity: int) -> int:
    """A block in use that now is full of shared content: others may find it from here on. Returns its node."""
    node = _new_node(w, server_at(w, row))
    node_at(w, node).identity = identity
    node_at(w, node).references = 1
    node_at(w, node).bucket_next = NONE
    last = bucket_at(w, bucket_of(w, row, identity)).index
    if last == NONE:
        bucket_at(w, bucket_of(w, row, identity)).index = node
    else:
        while node_at(w, last).bucket_next != NONE:
            last = node_at(w, last).bucket_next
        node_at(w, last).bucket_next = node
    return node


@part
def hold(w: Any, server: Any, node: int) -> int:
    """Use a shared block. Returns how many free blocks that takes: 1 if nobody used it."""
    node_at(w, node).references += 1
    if node_at(w, node).references > 1:
        return 0
    _remove(w, server, node)
    return 1


@part
def let_go(w: Any, server: Any, node: int) -> int:
    """Stop using a shared block. Returns how many blocks that frees."""
    node_at(w, node).references -= 1
    if node_at(w, node).references > 0:
        return 0
    _append(w, server, node)
    return 1


@part
def take_own(w: Any, server: Any, node: int, count: int) -> None:
    """Use the first `count` blocks of a run again; what is left of it holds nothing that can be found."""
    if node_at(w, node).count == count:
        _remove(w, server, node)
        _forget(w, server, node)
    else:
        node_at(w, node).count -= count
        node_at(w, node).owner = NONE


@part
def first_identity(lora: int) -> int:
    """Where a chain of blocks starts: an adapter's KV is no other's."""
    return _mixed(0x51_7C_C1_B7, lora + 2)


@part
def next_identity(w: Any, chain: int, start: int, block: int, blocks_per_id: int) -> int:
    """The content of all blocks before (`chain`) and of this one, by the id that covers it."""
    identity = id_at(w, (start + block // blocks_per_id) & w.id_mask).count
    return _mixed(chain, identity * blocks_per_id + block % blocks_per_id + 1)


@part
def _mixed(chain: int, value: int) -> int:
    """splitmix64's finalizer over both; 0 is kept for runs. Source: Steele et al., OOPSLA 2014."""
    z = np.uint64(chain) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(value)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    mixed = np.int64(z)
    return int(mixed) if mixed != 0 else 1
