"""Latency profiles: how long one iteration of a model takes on its GPUs, and how much KV cache it has.

An iteration lasts

    base + per_prefill_token * p + per_prefill_context_token * sum(q * (c + q / 2))
         + per_decode_seq * n + per_kv_token * k                                          seconds

for p prompt tokens prefilled in chunks of q tokens after c computed ones, n requests decoding and k tokens of KV
cache read. Each profile says where its numbers come from and how well they are validated.
"""

import difflib
import re
from dataclasses import dataclass

from policies.capacity.gpus import GPUS, Gpu
from policies.capacity.kv_cache import BLOCK_TOKENS, kv_blocks
from policies.capacity.measured import CORRECTIONS, EFFICIENCY, HELD_OUT, LOGGED_KV_BLOCKS
from policies.capacity.models import MODELS, Model
from policies.capacity.step_time import UNCORRECTED, Correction, Efficiency, step_time
from policies.errors import BadInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One model on one kind of GPU, served by vLLM with its defaults for that GPU.

    base_seconds, per_*_seconds: the step time's coefficients. per_prefill_context_token_seconds is attention:
        seconds per prompt token and token of context before it.
    request_overhead_seconds: what the client waits beyond the engine: API server and asynchronous scheduling. It
        is in TTFT and E2E, not in the GPU's time.
    kv_blocks: blocks of 16 tokens at gpu_memory_utilization 0.9, in all GPUs of the replica.
    kv_bytes_per_token: of the whole replica, for moving a request's KV cache elsewhere.
    max_num_seqs, max_num_batched_tokens: vLLM's defaults for the API server on that GPU.
    """

    name: str
    model: str
    gpu: str
    tensor_parallel_size: int = 1
    base_seconds: float
    per_prefill_token_seconds: float
    per_decode_seq_seconds: float
    per_kv_token_seconds: float
    per_prefill_context_token_seconds: float = 0.0
    request_overhead_seconds: float = 0.0
    kv_blocks: int
    kv_bytes_per_token: int
    max_num_seqs: int
    max_num_batched_tokens: int
    source: str
    validation: str

    @property
    def kv_tokens(self) -> int:
        return self.kv_blocks * BLOCK_TOKENS

    @property
    def gpus_per_replica(self) -> int:
        return self.tensor_parallel_size


NOT_VALIDATED = "not validated: no measured run of this pair"


def physical_profile(
    model: Model,
    gpu: Gpu,
    tensor_parallel_size: int = 1,
    *,
    efficiency: Efficiency = EFFICIENCY,
    correction: Correction | None = None,
    validation: str | None = None,
) -> Profile:
    """The profile of a model on a GPU by the formula of step_time.py; BadInput when the model does not fit.

    efficiency, correction, validation: by default what was measured (measured.py), as far as this pair was.
    """
    pair = (model.name, gpu.short_name, tensor_parallel_size)
    if correction is None:
        correction = CORRECTIONS.get(pair, UNCORRECTED)
    blocks = LOGGED_KV_BLOCKS.get(pair) or kv_blocks(model, gpu, tensor_parallel_size)
    times = step_time(model, gpu, tensor_parallel_size, efficiency, correction)
    return Profile(
        name=profile_name(*pair),
        model=model.hugging_face[0],
        gpu=gpu.name,
        tensor_parallel_size=tensor_parallel_size,
        base_seconds=times.base_seconds,
        per_prefill_token_seconds=times.per_prefill_token_seconds,
        per_decode_seq_seconds=times.per_decode_seq_seconds,
        per_kv_token_seconds=times.per_kv_token_seconds,
        per_prefill_context_token_seconds=times.per_prefill_context_token_seconds,
        request_overhead_seconds=times.request_overhead_seconds,
        kv_blocks=blocks,
        kv_bytes_per_token=model.kv_bytes_per_token,
        max_num_seqs=gpu.max_num_seqs,
        max_num_batched_tokens=gpu.max_num_batched_tokens,
        source="datasheet and config.json at the efficiencies fitted to 18 measured vLLM runs"
        + (", corrected by those of this pair" if correction != UNCORRECTED else "")
        + ("; KV blocks as vLLM logged them" if pair in LOGGED_KV_BLOCKS else ""),
        validation=validation or (str(HELD_OUT[pair]) if pair in HELD_OUT else NOT_VALIDATED),
    )


def profile_name(model: str, gpu: str, tensor_parallel_size: int) -> str:
    """`MODEL-GPU`, and `-tpN` for more than one GPU."""
    return f"{model}-{gpu}" + (f"-tp{tensor_parallel_size}" if tensor_parallel_size > 1 else "")


_FP8_ON_L4 = Profile(
    name="llama-3.1-8b-fp8-l4",
    model="meta-llama/Llama-3.1-8B-Instruct-FP8",
    gpu="NVIDIA-L4",
    base_seconds=33.0e-3,
    per_prefill_token_seconds=110e-6,
    per_decode_seq_seconds=5.3e-6,
    per_kv_token_seconds=851e-9,
    kv_blocks=5_000,
    kv_bytes_per_token=131_072,
    max_num_seqs=256,
    max_num_batched_tokens=2_048,
    source="inference-sim's trained-physics formula on the datasheet (300 GB/s, 242 TFLOPS fp8, 24 GB): "
    "1 byte a weight, KV cache in bf16; prefill slope 2 x parameters / (0.6 x peak FLOPS)",
    validation=NOT_VALIDATED,
)

_PAIRS = (
    ("llama-3.1-8b", "l4", 1),
    ("llama-3.1-8b", "l40s", 1),
    ("llama-3.1-8b", "a100", 1),
    ("llama-3.1-8b", "h100", 1),
    ("llama-3.1-8b", "h100", 2),
    ("llama-3.1-70b", "l40s", 4),
    ("llama-3.1-70b", "a100", 4),
    ("llama-3.1-70b", "h100", 4),
    ("llama-3.1-70b", "h100", 8),
    ("llama-2-70b", "h100", 4),
    ("qwen2.5-7b", "l4", 1),
    ("qwen2.5-7b", "l40s", 1),
    ("qwen2.5-7b", "a100", 1),
    ("qwen2.5-7b", "h100", 1),
    ("qwen3-14b", "a100", 1),
    ("gemma-7b", "l4", 2),
    ("gemma-7b", "l40s", 1),
    ("gemma-7b", "a100", 1),
    ("gemma-7b", "h100", 1),
    ("gemma-2-2b", "t4", 1),
    ("gemma-2-2b", "l4", 1),
    ("gemma-2-2b", "l40s", 1),
)

PROFILES = {
    profile.name: profile
    for profile in (_FP8_ON_L4, *(physical_profile(MODELS[model], GPUS[gpu], tp) for model, gpu, tp in _PAIRS))
}
"""Those that are listed. `profile_named` makes any other pair of a known model and GPU on demand."""


def profile_named(name: str) -> Profile:
    """The profile of that name; any `MODEL-GPU[-tpN]` of a known model and GPU has one if it fits.

    BadInput with the arithmetic when it does not fit, or with the nearest names when there is no such pair.
    """
    if name in PROFILES:
        return PROFILES[name]
    match = re.fullmatch(rf"(?P<model>.+)-(?P<gpu>{'|'.join(GPUS)})(-tp(?P<ranks>\d+))?", name)
    if match and match["model"] in MODELS:
        return physical_profile(MODELS[match["model"]], GPUS[match["gpu"]], int(match["ranks"] or 1))
    near = difflib.get_close_matches(name, PROFILES, n=1, cutoff=0.6)
    raise BadInput(
        f"profile: was {name!r}, must be one of {', '.join(PROFILES)}, or another MODEL-GPU[-tpN] of "
        f"{', '.join(MODELS)} on {', '.join(GPUS)}" + (f"; the nearest is {near[0]}" if near else "")
    )
