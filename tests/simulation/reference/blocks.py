"""KV blocks of one server as vLLM V1 keeps them: reference counts, a linked queue of free blocks, a map of identities.

Restates vllm/v1/core/block_pool.py (`BlockPool`, `BlockHashToBlockMap`; read at vllm-project/vllm c59cb7941357) and
vllm/v1/core/kv_cache_utils.py (`FreeKVCacheBlockQueue`; 001cabc1be16). Freed blocks are all appended to the queue, as
in every version before PR 42656 (2026), which puts those that hold no cached tokens in front instead.
vLLM sets one block of its pool aside as a null block: the pool here has only those that requests can use.
"""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass

TOKENS_PER_BLOCK = 16


@dataclass(eq=False, repr=False)
class Block:
    """Room for 16 tokens. identity: what those tokens are, once the block is full and can be found; else None."""

    number: int
    references: int = 0
    identity: Hashable | None = None
    before: "Block | None" = None
    after: "Block | None" = None


class FreeQueue:
    """Blocks that nobody references, in the order in which they will be taken: least recently used first."""

    def __init__(self, blocks: Iterable[Block]) -> None:
        self._head, self._tail = Block(-1), Block(-2)
        self._head.after, self._tail.before = self._tail, self._head
        self._count = 0
        for block in blocks:
            self.append(block)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Block]:
        block = self._head.after
        while block is not None and block is not self._tail:
            yield block
            block = block.after

    def append(self, block: Block) -> None:
        last = self._tail.before
        assert last is not None
        last.after, block.before = block, last
        block.after, self._tail.before = self._tail, block
        self._count += 1

    def remove(self, block: Block) -> None:
        assert block.before is not None
        assert block.after is not None
        block.before.after, block.after.before = block.after, block.before
        block.before = block.after = None
        self._count -= 1

    def pop_first(self) -> Block:
        first = self._head.after
        assert first is not None
        assert first is not self._tail, "no free block"
        self.remove(first)
        return first


class BlockPool:
    """All blocks of a server. A block that can be found is either referenced or still in the free queue."""

    def __init__(self, count: int) -> None:
        self.blocks = [Block(number) for number in range(count)]
        self.free = FreeQueue(self.blocks)
        # One identity may be held by several blocks: vLLM does not merge duplicates, since a request's list of
        # blocks only grows. They are kept in order of publication.
        self._published: dict[Hashable, dict[int, Block]] = {}

    def find(self, identity: Hashable) -> Block | None:
        """The block published first among those that still hold these tokens."""
        holders = self._published.get(identity)
        return next(iter(holders.values())) if holders else None

    def publish(self, block: Block, identity: Hashable) -> None:
        """Let others find a full block. Called when its tokens are scheduled, before they are computed, as in vLLM."""
        assert block.identity is None
        block.identity = identity
        self._published.setdefault(identity, {})[block.number] = block

    def take(self, count: int) -> list[Block]:
        """The first `count` free blocks; what they held can no longer be found."""
        taken = [self.free.pop_first() for _ in range(count)]
        for block in taken:
            assert block.references == 0
            block.references = 1
            self._evict(block)
        return taken

    def touch(self, blocks: Iterable[Block]) -> None:
        """Reference found blocks once more; the free ones leave the queue."""
        for block in blocks:
            if block.references == 0:
                self.free.remove(block)
            block.references += 1

    def release(self, blocks: Iterable[Block]) -> None:
        """Drop one reference to each; those without any join the queue's end, in the order given."""
        for block in blocks:
            block.references -= 1
            assert block.references >= 0
            if block.references == 0:
                self.free.append(block)

    def _evict(self, block: Block) -> None:
        if block.identity is None:
            return
        holders = self._published[block.identity]
        del holders[block.number]
        if not holders:
            del self._published[block.identity]
        block.identity = None
