"""What the requests of one conversation have in common: each begins with the prompts and answers before it."""

import numpy as np
from numpy.typing import NDArray

from policies.capacity.kv_cache import BLOCK_TOKENS
from simulations.trace import Prefixes, offsets_of


def history_prefixes(
    sessions: NDArray[np.int64], tokens: NDArray[np.int64], *, blocks_per_session: int, shared_blocks: int = 0
) -> Prefixes:
    """Prefixes of requests whose first `tokens` tokens are those of their session.

    sessions: number of each request's session, 0 or more where tokens is not 0. tokens: prompt and answer, since the
    next request of the session repeats both. Both of shape (requests,). shared_blocks: leading blocks that are the same
    in all sessions, a system prompt. blocks_per_session: more than any request has.
    """
    counts = tokens // BLOCK_TOKENS
    offsets = offsets_of(counts)
    block = np.arange(offsets[-1]) - np.repeat(offsets[:-1], counts)
    own = shared_blocks + np.repeat(sessions, counts) * blocks_per_session + block
    return Prefixes(block_tokens=BLOCK_TOKENS, offsets=offsets, ids=np.where(block < shared_blocks, block, own))
