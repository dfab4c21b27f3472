"""One vLLM V1 server, iteration by iteration: written to be read and to be compared with, not to be fast.

Nothing here knows the simulator's engine. It restates vLLM's source (each file says which) and adds only what the
source leaves open: how long an iteration lasts and in which order things happen at one instant. That order is:

1. The iteration that ends there: running requests with `abort_at` up to now leave without its token, in order of
   `abort_at` (`EngineCore.step` in vllm/v1/engine/core.py: "Before processing the model output, process any aborts that
   happened during the model execution"); then each other one that is due gets its token, in the order in which they
   were scheduled (`Scheduler.update_from_output`), and leaves if it was the last.
2. Requests that arrive then; one that can never fit is rejected.
3. Waiting requests with `abort_at` up to now have left, at that time.
4. The next iteration is scheduled and begins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from reference.adapters import BASE_MODEL, Adapters
from reference.blocks import TOKENS_PER_BLOCK
from reference.kv_cache import KVCache
from reference.request import LiveRequest, ReferenceRequest, ReferenceResult
from reference.scheduler import Scheduler, Step

__all__ = ["ReferenceModel", "ReferenceRequest", "ReferenceResult", "Totals", "serve"]


@dataclass(frozen=True)
class ReferenceModel:
    """base ... per_prefill_context_token, lora_load_seconds, overhead_seconds: seconds. kv_blocks: of 16 tokens.

    overhead_seconds: added to a request's first_token and finish as the client sees them, and nowhere else.
    max_loras: 0 for a server without LoRA.
    """

    base: float
    per_prefill_token: float
    per_decode_seq: float
    per_kv_token: float
    per_prefill_context_token: float
    kv_blocks: int
    max_num_seqs: int
    max_num_batched_tokens: int
    enable_prefix_caching: bool = False
    max_loras: int = 0
    lora_load_seconds: float = 0.0
    priority_scheduling: bool = False
    overhead_seconds: float = 0.0

    def __post_init__(self) -> None:
        assert self.base > 0
        assert min(self.kv_blocks, self.max_num_seqs, self.max_num_batched_tokens) >= 1

    def step_seconds(self, step: Step) -> float:
        """base + the prefill, decode, KV and prefill-attention terms + loads.

        A prefill chunk of q tokens after c computed ones attends to about q * (c + q / 2) pairs of tokens.
        """
        chunks = step.chunks.values()
        prefills = [chunk for chunk in chunks if not chunk.decode]
        return (
            self.base
            + self.per_prefill_token * sum(chunk.tokens for chunk in prefills)
            + self.per_decode_seq * (len(chunks) - len(prefills))
            + self.per_kv_token * sum(chunk.context + chunk.tokens for chunk in chunks)
            + self.per_prefill_context_token
            * sum(chunk.tokens * (chunk.context + chunk.tokens / 2) for chunk in prefills)
            + self.lora_load_seconds * step.loads
        )


@dataclass
class Totals:
    """busy_seconds: in iterations. prompt_tokens: of the requests that got a first token, cached ones included, as
    vllm:prompt_tokens_total counts. generation_tokens: all that reached a client, aborted requests' too.
    prefill_tokens: computed in prefill chunks, recomputed ones each time. found_tokens: in the prefix cache, at first
    and later admissions. inter_token_gaps, iteration_ends: seconds, in order of occurrence.
    """

    iterations: int = 0
    preemptions: int = 0
    busy_seconds: float = 0.0
    prompt_tokens: int = 0
    generation_tokens: int = 0
    prefill_tokens: int = 0
    found_tokens: int = 0
    lora_loads: int = 0
    inter_token_gaps: list[float] = field(default_factory=list)
    iteration_ends: list[float] = field(default_factory=list)


def serve(model: ReferenceModel, requests: Sequence[ReferenceRequest]) -> tuple[list[ReferenceResult], Totals]:
    """Serve all requests. Results are in the order of `requests`, whose order breaks ties between equal arrivals."""
    return _Server(model).run(requests)


class _Server:
    def __init__(self, model: ReferenceModel) -> None:
        self.model = model
        self.totals = Totals()
        self.kv_cache = KVCache(model.kv_blocks, enable_prefix_caching=model.enable_prefix_caching)
        self.adapters = Adapters(model.max_loras)
        self.scheduler = Scheduler(
            self.kv_cache,
            self.adapters,
            max_num_seqs=model.max_num_seqs,
            token_budget=model.max_num_batched_tokens,
            priority_scheduling=model.priority_scheduling,
        )

    def run(self, requests: Sequence[ReferenceRequest]) -> tuple[list[ReferenceResult], Totals]:
        results = [ReferenceResult() for _ in requests]
        coming = sorted(range(len(requests)), key=lambda index: requests[index].arrival)
        now = -math.inf
        while coming or self.scheduler.running or self.scheduler.waiting:
            if not (self.scheduler.running or self.scheduler.waiting):
                now = max(now, requests[coming[0]].arrival)
            while coming and requests[coming[0]].arrival <= now:
                index = coming.pop(0)
                self._arrive(index, requests[index], results[index])
            self._abort_waiting(now)
            now = self._iterate(now)
        assert len(self.kv_cache.pool.free) == self.model.kv_blocks, "blocks were lost"
        self.totals.lora_loads = self.adapters.loads
        return results, self.totals

    def _arrive(self, index: int, request: ReferenceRequest, result: ReferenceResult) -> None:
        if request.prompt_tokens + request.output_tokens > self.model.kv_blocks * TOKENS_PER_BLOCK:
            result.outcome = "rejected"
            result.finish = result.left = request.arrival
            return
        adapter = request.lora if self.model.max_loras else BASE_MODEL
        self.scheduler.add(LiveRequest(index, request, adapter, result))

    def _abort_waiting(self, now: float) -> None:
        for live in [live for live in self.scheduler.waiting if live.request.abort_at <= now]:
            self.scheduler.waiting.remove(live)
            live.result.outcome = "aborted"
            live.result.left = max(live.request.arrival, live.request.abort_at)

    def _iterate(self, now: float) -> float:
        """Returns the iteration's end. Where all that could run was preempted there is no forward pass and no time
        goes by (vllm/v1/worker/gpu_model_runner.py returns EMPTY_MODEL_RUNNER_OUTPUT); such a step is not counted.
        """
        step = self.scheduler.schedule(now)
        self.totals.preemptions += step.preempted
        if not step.chunks:
            assert step.preempted or not self.scheduler.waiting, "a request waits for nothing"
            return now
        seconds = self.model.step_seconds(step)
        ends = now + seconds
        self.totals.iterations += 1
        self.totals.found_tokens += step.found_tokens
        self.totals.busy_seconds += seconds
        self.totals.iteration_ends.append(ends)
        for live, chunk in step.chunks.items():
            live.computed += chunk.tokens
            self.totals.prefill_tokens += 0 if chunk.decode else chunk.tokens
        self._abort_running(ends)
        for live in step.chunks:
            if not live.result.outcome and live.computed == live.tokens:
                self._emit_token(live, ends)
        return ends

    def _abort_running(self, now: float) -> None:
        due = [live for live in self.scheduler.running if live.request.abort_at <= now]
        for live in sorted(due, key=lambda live: (live.request.abort_at, live.index)):
            self.scheduler.leave_running(live, now)
            live.result.outcome = "aborted"
            live.result.left = now

    def _emit_token(self, live: LiveRequest, now: float) -> None:
        live.generated += 1
        self.totals.generation_tokens += 1
        if live.last_token_at is None:
            self.totals.prompt_tokens += live.request.prompt_tokens
            live.result.first_token = now + self.model.overhead_seconds
        else:
            self.totals.inter_token_gaps.append(now - live.last_token_at)
        live.last_token_at = now
        if live.generated == live.request.output_tokens:
            self.scheduler.leave_running(live, now)
            live.result.outcome = "served"
            live.result.left = now
            live.result.finish = now + self.model.overhead_seconds
