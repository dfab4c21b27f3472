"""The Dynamo planner's performance model of one aggregated engine: step time, TTFT, ITL, and the largest rate.

    step(prefill tokens p, KV tokens k) = a + b * p + c * k

Source: ai-dynamo/dynamo components/src/dynamo/planner/core/perf_model/agg.py (commit 518a7027). Upstream fits a, b, c
online to forward-pass metrics; here they come from a profile, which is the fit at its best. The time per decoding
request of a profile is spread over its context, as the fit would do.
Later versions cap the rate by what prefill can admit and add speculative decoding; both are left out.
"""

import math
from dataclasses import dataclass

from policies.capacity.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One replica under one request mix. prompt_tokens, output_tokens: means per request, > 0."""

    base_seconds: float
    per_prefill_token_seconds: float
    per_kv_token_seconds: float
    max_num_batched_tokens: int
    max_num_seqs: int
    kv_tokens: int
    prompt_tokens: float
    output_tokens: float

    @property
    def context_tokens(self) -> float:
        """KV tokens of a request, averaged over its life."""
        return self.prompt_tokens + self.output_tokens / 2.0

    def step_seconds(self, prefill_tokens: float, kv_tokens: float) -> float:
        """One forward pass."""
        wall = self.base_seconds + self.per_prefill_token_seconds * prefill_tokens
        return max(1e-6, wall + self.per_kv_token_seconds * kv_tokens)

    def next_ttft_seconds(self, queued_prefill_tokens: float, decode_kv_tokens: float) -> float:
        """TTFT of a mean request that comes now: the queue's prefills and its own, in chunks (estimate_next_ttft)."""
        remaining = queued_prefill_tokens + self.prompt_tokens
        total = 0.0
        for _ in range(math.ceil(remaining / self.max_num_batched_tokens)):
            chunk = min(remaining, self.max_num_batched_tokens)
            total += self.step_seconds(chunk, decode_kv_tokens)
            remaining -= chunk
        return total

    def next_itl_seconds(self, kv_tokens: float, prefill_tokens: float) -> float:
        """ITL once one more mean request decodes beside the usual prefill (estimate_next_itl)."""
        return self.step_seconds(prefill_tokens, kv_tokens + self.context_tokens)


def engine(profile: Profile, prompt_tokens: float, output_tokens: float) -> Engine:
    """The engine that a profile describes, under a request mix."""
    context = prompt_tokens + output_tokens / 2.0
    return Engine(
        base_seconds=profile.base_seconds,
        per_prefill_token_seconds=profile.per_prefill_token_seconds,
        per_kv_token_seconds=profile.per_kv_token_seconds + profile.per_decode_seq_seconds / context,
        max_num_batched_tokens=profile.max_num_batched_tokens,
        max_num_seqs=profile.max_num_seqs,
        kv_tokens=profile.kv_tokens,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
    )


def best_requests_per_second(each: Engine, ttft_seconds: float, itl_seconds: float) -> tuple[float, float, float]:
    """(rate, TTFT, ITL) of the largest batch that meets both targets, as find_best_engine_agg_rps.

    Where not even one request meets them, the rate of a batch of one, with the latencies that it has.
    """
    best = (0.0, 0.0, 0.0)
    for batch in range(1, _largest_batch(each) + 1):
        kv_tokens = batch * each.context_tokens
        prefill = min(batch * each.prompt_tokens / max(1.0, each.output_tokens), each.max_num_batched_tokens)
        itl = each.step_seconds(prefill, kv_tokens)
        ttft = each.next_ttft_seconds(int(prefill), int(kv_tokens))
        if batch > 1 and (itl > itl_seconds or ttft > ttft_seconds):
            break
        best = (batch / (each.output_tokens * itl), ttft, itl)
        if itl > itl_seconds or ttft > ttft_seconds:
            break
    return best


def _largest_batch(each: Engine) -> int:
    """Bound by the KV cache, by max_num_seqs, and by the batch whose finished requests prefill can replace."""
    cache = max(1, int(each.kv_tokens / max(1.0, each.context_tokens)))
    hard_cap = max(1, min(cache, each.max_num_seqs, each.max_num_batched_tokens - 1))
    # isl / (budget - batch) <= osl, solved for the batch.
    balanced = math.floor(each.max_num_batched_tokens - each.prompt_tokens / each.output_tokens)
    return max(1, min(hard_cap, balanced))
