"""A request as the client sends it, and what the server knows of it while it is there."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

from reference.adapters import BASE_MODEL
from reference.blocks import TOKENS_PER_BLOCK, Block


@dataclass(frozen=True)
class ReferenceRequest:
    """arrival, abort_at: seconds. prompt_tokens, output_tokens: 1 or more. lora: adapter, -1 for the base model.

    priority: smaller is served first. prefix_ids: what the leading tokens are, `prefix_block_tokens` (a multiple of 16)
    to an id; two requests have as many tokens in common as their first equal ids cover. They may reach past the prompt
    into what the request generates.
    """

    arrival: float
    prompt_tokens: int
    output_tokens: int
    lora: int = BASE_MODEL
    priority: int = 0
    prefix_ids: tuple[int, ...] = ()
    prefix_block_tokens: int = TOKENS_PER_BLOCK
    abort_at: float = math.inf

    def __post_init__(self) -> None:
        assert self.prompt_tokens >= 1
        assert self.output_tokens >= 1
        assert self.lora >= BASE_MODEL
        assert self.prefix_block_tokens % TOKENS_PER_BLOCK == 0


@dataclass
class ReferenceResult:
    """What became of a request; instants in seconds, None for what never happened.

    first_token, finish: when its first and last token reached the client; a rejected request finishes as it arrives.
    cached_tokens: prompt tokens found in the prefix cache at its first admission.
    outcome: "served", "rejected" or "aborted". left: when it left the server, by the server's clock.
    """

    first_token: float | None = None
    finish: float | None = None
    cached_tokens: int = 0
    preemptions: int = 0
    outcome: str = ""
    left: float | None = None


@dataclass(eq=False)
class LiveRequest:
    """A request in the server, as vllm/v1/request.py (`Request`) counts it.

    index: its place among all requests. adapter: as served; the base model where LoRA is off.
    computed: tokens whose KV is there (num_computed_tokens). generated: output tokens so far.
    target: prompt and output tokens at its last admission; it decodes once `computed` has reached it.
    published: how many of its leading blocks can be found by others (num_cached_block).
    """

    index: int
    request: ReferenceRequest
    adapter: int
    result: ReferenceResult
    computed: int = 0
    generated: int = 0
    target: int = 0
    blocks: list[Block] = field(default_factory=list)
    published: int = 0
    admissions: int = 0
    last_token_at: float | None = None

    @property
    def tokens(self) -> int:
        """Prompt and generated tokens (num_tokens)."""
        return self.request.prompt_tokens + self.generated

    @property
    def order(self) -> tuple[int, float, int]:
        """Smaller is served first under priority scheduling (`Request.__lt__`; its request id is our index)."""
        return (self.request.priority, self.request.arrival, self.index)

    def identity(self, block: int) -> Hashable:
        """What the tokens of its block number `block` are, together with all tokens before them.

        The adapter is part of it (vllm/v1/core/kv_cache_utils.py, `_gen_lora_extra_hash_keys`): the same tokens have
        another KV under another adapter. Tokens after the shared prefix are the request's own.
        """
        first_token = block * TOKENS_PER_BLOCK
        id_tokens = self.request.prefix_block_tokens
        ids = self.request.prefix_ids
        if first_token < len(ids) * id_tokens:
            return ("shared", self.adapter, ids[: first_token // id_tokens + 1], first_token % id_tokens)
        return ("own", self.index, block)
