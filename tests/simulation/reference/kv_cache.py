"""Which blocks a request finds and gets.

Restates vllm/v1/core/kv_cache_manager.py (`get_computed_blocks`, `allocate_slots`, `free`; read at vllm-project/vllm
003df2961dd8) and vllm/v1/core/single_type_kv_cache_manager.py (`FullAttentionManager`, `cache_blocks`, `free`;
002f34915134). Two later additions are left out: `full_sequence_must_fit` (PR 37307, March 2026: admit only where the
whole prompt has room; on by default as scheduler_reserve_full_isl since) and `watermark` (default 0). Here a request is
admitted where its first chunk has room.
"""

from reference.blocks import TOKENS_PER_BLOCK, Block, BlockPool
from reference.request import LiveRequest


class KVCache:
    def __init__(self, blocks: int, *, enable_prefix_caching: bool) -> None:
        self.pool = BlockPool(blocks)
        self.enable_prefix_caching = enable_prefix_caching

    def cached_prefix(self, live: LiveRequest) -> list[Block]:
        """Its longest run of leading full blocks that can be found; looking changes nothing.

        The last token is always computed, since its logits give the next one: at most tokens - 1 are found, in full
        blocks. After a preemption `tokens` counts what was generated, so a request can find its own blocks.
        """
        if not self.enable_prefix_caching:
            return []
        found: list[Block] = []
        for number in range((live.tokens - 1) // TOKENS_PER_BLOCK):
            block = self.pool.find(live.identity(number))
            if block is None:
                break
            found.append(block)
        return found

    def allocate(self, live: LiveRequest, new_tokens: int, found: list[Block]) -> bool:
        """Blocks for its computed tokens and `new_tokens` more, or False and nothing changed.

        found: what `cached_prefix` gave at admission, else empty. A found block that is free counts as needed, since it
        leaves the free queue; it is touched before new blocks are taken, so it is not evicted for them.
        """
        tokens = live.computed + len(found) * TOKENS_PER_BLOCK + new_tokens
        new_blocks = _blocks_for(tokens) - len(live.blocks) - len(found)
        revived = sum(block.references == 0 for block in found)
        if new_blocks + revived > len(self.pool.free):
            return False
        self.pool.touch(found)
        live.blocks += found
        live.published += len(found)
        live.blocks += self.pool.take(new_blocks)
        if self.enable_prefix_caching:
            # Every block that this step fills, be it with prompt or generated tokens. The last token of an answer is
            # never computed, so it never fills one.
            full = min(tokens, live.tokens) // TOKENS_PER_BLOCK
            for number in range(live.published, full):
                self.pool.publish(live.blocks[number], live.identity(number))
            live.published = max(live.published, full)
        return True

    def release(self, live: LiveRequest) -> None:
        """Give back its blocks, the last one first: of one request's blocks the tail is evicted before the head."""
        self.pool.release(reversed(live.blocks))
        live.blocks = []
        live.published = 0


def _blocks_for(tokens: int) -> int:
    return -(-tokens // TOKENS_PER_BLOCK)
