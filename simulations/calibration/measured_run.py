"""One measured run of a server under steady load, and the same run simulated."""

from dataclasses import dataclass

import numpy as np

from policies.capacity.kv_cache import BLOCK_TOKENS
from policies.capacity.profile import Profile
from simulations.engine import Engine, ServerModel
from simulations.trace import Trace

STAGE_SECONDS = 600.0
"""Length of the simulated arrivals; the measured stages lasted as long (1,200 s where there was one stage)."""

_WARM_UP_SHARE = 0.1
_PROMPT_SPREAD = 0.05
_LONG_AFTER = 1e12
"""Seconds by which every request is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """Means over one run. Latencies in seconds as the client saw them, None where the run has no such figure.

    line: in its file, for messages. experiment: runs of one experiment are held out together.
    input_tokens, output_tokens: means a request. cached_tokens: of the input, those whose KV cache was on the server
        already (prefix caching), 0 to input_tokens.
    requests_per_second: None when neither the rate nor the throughput is known.
    max_num_batched_tokens: None leaves the profile's.
    """

    line: int
    experiment: str
    model: str
    gpu: str
    tensor_parallel_size: int
    input_tokens: float
    output_tokens: float
    cached_tokens: float = 0.0
    requests_per_second: float | None = None
    max_num_batched_tokens: int | None = None
    itl_seconds: float | None = None
    e2e_seconds: float | None = None
    ttft_seconds: float | None = None

    @property
    def reused_tokens(self) -> float:
        """Prompt tokens that need no prefill, mean a request: whole blocks only, and never the last token.

        A prompt's tokens end anywhere in a block, so half a block (7.5 tokens) of what is cached is computed again.
        """
        return max(0.0, min(self.cached_tokens, self.input_tokens - 1) - (BLOCK_TOKENS - 1) / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """Means over the simulated requests, seconds as the client sees them; ttft_p99_seconds: their 99th percentile."""

    itl_seconds: float
    e2e_seconds: float
    ttft_seconds: float
    ttft_p99_seconds: float


def simulate_run(profile: Profile, run: MeasuredRun, seed: int) -> SimulatedRun:
    """One replica under the run's load: Poisson arrivals for 600 s, of which the first 10 % warm up.

    Prompts are spread evenly over +-5 % of the mean, outputs are all of the mean length (the load generators of such
    runs ask for one length and ignore the end-of-sequence token).

    The engine has no prefix cache: what is cached is left out of the prefill, and the time to read its KV cache in
    every step is charged per sequence instead of per token. That is the same time in every decode step. The cached
    blocks themselves are shared by all requests and do not count against the cache.
    """
    assert run.requests_per_second is not None, "a run without a rate is not simulated"
    rng = np.random.default_rng(seed)
    count = max(20, round(STAGE_SECONDS * run.requests_per_second))
    arrival = np.cumsum(rng.exponential(1.0 / run.requests_per_second, count))
    prompts = np.maximum(1, np.rint(run.input_tokens * rng.uniform(1 - _PROMPT_SPREAD, 1 + _PROMPT_SPREAD, count)))
    cached = np.minimum(prompts * (run.cached_tokens / run.input_tokens), prompts - 1) // BLOCK_TOKENS * BLOCK_TOKENS
    uncached = prompts - cached
    outputs = np.full(count, max(1, round(run.output_tokens)), np.int32)
    context_before = cached.mean() + uncached.mean() / 2
    model = ServerModel(
        base=profile.base_seconds,
        per_prefill_token=profile.per_prefill_token_seconds
        + profile.per_prefill_context_token_seconds * float(context_before),
        per_decode_seq=profile.per_decode_seq_seconds + profile.per_kv_token_seconds * float(cached.mean()),
        per_kv_token=profile.per_kv_token_seconds,
        overhead=profile.request_overhead_seconds,
        kv_blocks=profile.kv_blocks,
        max_num_seqs=profile.max_num_seqs,
        max_num_batched_tokens=run.max_num_batched_tokens or profile.max_num_batched_tokens,
    )
    engine = Engine([model], Trace("measured run", 0, arrival, uncached.astype(np.int32), outputs))
    engine.open(engine.add_server(0))
    engine.advance(_LONG_AFTER)
    rows = np.concatenate(list(engine.take()))
    counted = rows[rows["arrival"] > _WARM_UP_SHARE * arrival[-1]]
    ttft = counted["first_token"] - counted["arrival"]
    e2e = counted["finish"] - counted["arrival"]
    gaps = np.maximum(counted["output_tokens"] - 1, 1)
    return SimulatedRun(
        itl_seconds=float(((counted["finish"] - counted["first_token"]) / gaps).mean()),
        e2e_seconds=float(e2e.mean()),
        ttft_seconds=float(ttft.mean()),
        ttft_p99_seconds=float(np.percentile(ttft, 99)),
    )
