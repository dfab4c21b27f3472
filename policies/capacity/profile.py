"""Latency profiles: how long one iteration of a model takes on a GPU, and how much KV cache it has.

An iteration lasts base + per_prefill_token * p + per_decode_seq * n + per_kv_token * k seconds, for p prompt
tokens prefilled, n requests decoding and k tokens of KV cache read. Each row says where its numbers come from
and how well they are validated.
"""

from dataclasses import dataclass

from policies.errors import BadInput

BLOCK_TOKENS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One model on one kind of GPU, served by vLLM with its defaults for that GPU.

    base_seconds, per_*_seconds: the step time's coefficients.
    kv_blocks: blocks of 16 tokens at gpu_memory_utilization 0.9.
    max_num_seqs, max_num_batched_tokens: vLLM's defaults for the API server on that GPU.
    """

    name: str
    model: str
    gpu: str
    gpus_per_replica: int
    base_seconds: float
    per_prefill_token_seconds: float
    per_decode_seq_seconds: float
    per_kv_token_seconds: float
    kv_blocks: int
    max_num_seqs: int
    max_num_batched_tokens: int
    source: str
    validation: str

    @property
    def kv_tokens(self) -> int:
        return self.kv_blocks * BLOCK_TOKENS


_PHYSICAL_PREFILL = "prefill slope 2 x parameters / (0.6 x peak FLOPS)"

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="llama-3.1-8b-fp8-l4",
            model="meta-llama/Llama-3.1-8B-Instruct-FP8",
            gpu="NVIDIA-L4",
            gpus_per_replica=1,
            base_seconds=33.0e-3,
            per_prefill_token_seconds=110e-6,
            per_decode_seq_seconds=5.3e-6,
            per_kv_token_seconds=851e-9,
            kv_blocks=5_000,
            max_num_seqs=256,
            max_num_batched_tokens=2_048,
            source="inference-sim's trained-physics formula on the datasheet (300 GB/s, 242 TFLOPS fp8, 24 GB): "
            f"1 byte a weight, KV cache in bf16; {_PHYSICAL_PREFILL}",
            validation="not validated: no measured run of this pair was found",
        ),
        Profile(
            name="llama-3.1-8b-l4",
            model="meta-llama/Llama-3.1-8B-Instruct",
            gpu="NVIDIA-L4",
            gpus_per_replica=1,
            base_seconds=64.6e-3,
            per_prefill_token_seconds=215e-6,
            per_decode_seq_seconds=5.3e-6,
            per_kv_token_seconds=851e-9,
            kv_blocks=1_430,
            max_num_seqs=256,
            max_num_batched_tokens=2_048,
            source="inference-sim's trained-physics formula on the datasheet (300 GB/s, 121 TFLOPS, 24 GB): "
            f"2 bytes a weight; {_PHYSICAL_PREFILL}",
            validation="not validated; within a vendor guide's TPOT of 50-70 ms for one request",
        ),
        Profile(
            name="llama-3.1-8b-l40s",
            model="meta-llama/Llama-3.1-8B-Instruct",
            gpu="NVIDIA-L40S",
            gpus_per_replica=1,
            base_seconds=23.17e-3,
            per_prefill_token_seconds=74e-6,
            per_decode_seq_seconds=4.71e-6,
            per_kv_token_seconds=295e-9,
            kv_blocks=11_567,
            max_num_seqs=256,
            max_num_batched_tokens=2_048,
            source=f"inference-sim trained-physics coefficients; {_PHYSICAL_PREFILL}",
            validation="ITL +0.9 % and +2.2 % against two measured vLLM runs",
        ),
        Profile(
            name="llama-3.1-8b-h100",
            model="meta-llama/Llama-3.1-8B-Instruct",
            gpu="NVIDIA-H100-80GB",
            gpus_per_replica=1,
            base_seconds=6.83e-3,
            per_prefill_token_seconds=27e-6,
            per_decode_seq_seconds=4.49e-6,
            per_kv_token_seconds=76.2e-9,
            kv_blocks=26_312,
            max_num_seqs=1_024,
            max_num_batched_tokens=8_192,
            source=f"inference-sim trained-physics coefficients; {_PHYSICAL_PREFILL}",
            validation="ITL -2.0 % and +2.2 % against two measured vLLM runs",
        ),
    )
}


def profile_named(name: str) -> Profile:
    """The profile of that name, or BadInput that lists the names."""
    if name not in PROFILES:
        raise BadInput(f"profile: was {name!r}, must be one of {', '.join(PROFILES)}")
    return PROFILES[name]
