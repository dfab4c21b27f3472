"""What one iteration computes.

Restates `Scheduler.schedule` of vllm/v1/core/sched/scheduler.py (read at vllm-project/vllm 00024d314514;
request_queue.py beside it at 0097c7ed191a), for one GPU group with chunked prefill and without speculative
decoding, encoders, KV connectors and long_prefill_token_threshold.
"""

from dataclasses import dataclass, field

from reference.adapters import BASE_MODEL, Adapters
from reference.blocks import TOKENS_PER_BLOCK
from reference.kv_cache import KVCache
from reference.request import LiveRequest


@dataclass(frozen=True)
class Chunk:
    """tokens: computed in this iteration, after `context` of them. decode: one token after a finished prefill."""

    tokens: int
    context: int
    decode: bool


@dataclass
class Step:
    """chunks: what is scheduled, in the order of scheduling. loads: adapters that must be loaded first.

    found_tokens: in the prefix cache, by those admitted.
    """

    chunks: dict[LiveRequest, Chunk] = field(default_factory=dict)
    preempted: int = 0
    loads: int = 0
    found_tokens: int = 0


class Scheduler:
    """running: in order of admission. waiting: in the order in which they will be looked at."""

    def __init__(
        self, kv_cache: KVCache, adapters: Adapters, *, max_num_seqs: int, token_budget: int, priority_scheduling: bool
    ) -> None:
        self.kv_cache = kv_cache
        self.adapters = adapters
        self.max_num_seqs = max_num_seqs
        self.token_budget = token_budget
        self.priority_scheduling = priority_scheduling
        self.running: list[LiveRequest] = []
        self.waiting: list[LiveRequest] = []

    def add(self, live: LiveRequest) -> None:
        """A new request: to the queue's end, or to its place among the priorities."""
        self.waiting.append(live)
        self._sort_waiting()

    def leave_running(self, live: LiveRequest, now: float) -> None:
        """It finished, was aborted or was preempted."""
        self.running.remove(live)
        self.kv_cache.release(live)
        self.adapters.left_running(live.adapter, now)

    def schedule(self, now: float) -> Step:
        step = Step()
        budget = self._schedule_running(step, now)
        if not step.preempted:
            self._admit_waiting(step, budget, now)
        return step

    def _schedule_running(self, step: Step, now: float) -> int:
        """Returns the tokens left in the budget. A request that preempts itself ends the pass over the others."""
        budget = self.token_budget
        position = 0
        while position < len(self.running) and budget > 0:
            live = self.running[position]
            tokens = min(live.tokens - live.computed, budget)  # not more after a refund, as in vLLM
            while not self.kv_cache.allocate(live, tokens, []):
                victim = self._victim()
                refund = step.chunks.pop(victim, None)
                if refund is not None:  # by priority: a victim before us, scheduled in this step
                    budget += refund.tokens
                    position -= 1
                self._preempt(victim, now)
                step.preempted += 1
                if victim is live:
                    return budget
            step.chunks[live] = _chunk(live, tokens)
            budget -= tokens
            position += 1
        return budget

    def _victim(self) -> LiveRequest:
        """Last in; by priority: the largest (priority, arrival), of equal ones the first in."""
        if not self.priority_scheduling:
            return self.running[-1]
        return max(self.running, key=lambda live: (live.request.priority, live.request.arrival))

    def _preempt(self, victim: LiveRequest, now: float) -> None:
        """Forget its KV (`_preempt_request`): it will be computed again, what was generated along with the prompt."""
        self.leave_running(victim, now)
        victim.computed = 0
        victim.result.preemptions += 1
        self.waiting.insert(0, victim)
        self._sort_waiting()

    def _admit_waiting(self, step: Step, budget: int, now: float) -> None:
        """Admit from the queue's head until one has no blocks; only those that lack a LoRA slot are passed over.

        vLLM takes what it passes over out of the queue and puts it back in front, in order: the same as leaving it.
        Whoever runs is scheduled already when there is budget left, so vLLM's `scheduled_loras` are the running ones'.
        """
        position = 0
        while position < len(self.waiting) and budget > 0 and len(self.running) < self.max_num_seqs:
            live = self.waiting[position]
            in_use = {other.adapter for other in self.running} - {BASE_MODEL}
            if not self.adapters.fits(live.adapter, in_use):
                position += 1
                continue
            found = self.kv_cache.cached_prefix(live)
            cached = len(found) * TOKENS_PER_BLOCK
            tokens = min(live.tokens - cached, budget)
            if not self.kv_cache.allocate(live, tokens, found):
                return
            del self.waiting[position]
            self.running.append(live)
            live.computed = cached
            live.target = live.tokens
            if live.admissions == 0:
                live.result.cached_tokens = cached
            live.admissions += 1
            step.found_tokens += cached
            step.loads += self.adapters.load(live.adapter, in_use, now)
            step.chunks[live] = _chunk(live, tokens)
            budget -= tokens

    def _sort_waiting(self) -> None:
        if self.priority_scheduling:
            self.waiting.sort(key=lambda live: live.order)


def _chunk(live: LiveRequest, tokens: int) -> Chunk:
    return Chunk(tokens, context=live.computed, decode=live.computed >= live.target)
