"""KV cache: how many blocks are left on the GPUs after the weights, and whether the model fits at all."""

from policies.capacity.gpus import Gpu
from policies.capacity.models import Model
from policies.errors import BadInput

BLOCK_TOKENS = 16
"""Tokens of one block, vLLM's default block_size on CUDA."""

GPU_MEMORY_UTILIZATION = 0.9
"""vLLM's default."""

_GIB = 2**30
_GB = 1e9
_ACTIVATION_BYTES_PER_GPU = 3 * _GIB // 2
_OTHER_BYTES = _GIB
"""CUDA graphs, activations at the profiled batch, the runtime: 1.5 GiB a GPU and 1 GiB. Chosen to meet the blocks
that vLLM logged; tests/unit/policies/test_kv_cache.py compares."""

_FEWEST_TOKENS = 2_048
"""A cache that cannot hold one ordinary request is no deployment."""


def kv_blocks(model: Model, gpu: Gpu, tensor_parallel_size: int = 1) -> int:
    """Blocks of 16 tokens of a replica on `tensor_parallel_size` GPUs; BadInput with the arithmetic if none are left.

    (0.9 * memory * TP - weights - 1.5 GiB * TP - 1 GiB) / (16 * KV bytes a token)
    """
    if tensor_parallel_size < 1 or model.attention_heads % tensor_parallel_size:
        choices = ", ".join(str(ranks) for ranks in (1, 2, 4, 8) if model.attention_heads % ranks == 0)
        raise BadInput(
            f"tensor_parallel_size: was {tensor_parallel_size}, must divide the {model.attention_heads} "
            f"attention heads of {model.name}; choose one of {choices}"
        )
    usable = GPU_MEMORY_UTILIZATION * gpu.memory_bytes * tensor_parallel_size
    overhead = _ACTIVATION_BYTES_PER_GPU * tensor_parallel_size + _OTHER_BYTES
    free = usable - model.weight_bytes - overhead
    copies = max(1, tensor_parallel_size // model.kv_heads)  # with fewer KV heads than GPUs, each head is kept twice
    per_block = BLOCK_TOKENS * model.kv_bytes_per_token * copies
    blocks = int(free // per_block)
    if blocks * BLOCK_TOKENS < _FEWEST_TOKENS:
        raise BadInput(
            f"{model.name} does not fit {tensor_parallel_size} x {gpu.name}: {usable / _GB:.1f} GB usable "
            f"({GPU_MEMORY_UTILIZATION:g} x {gpu.memory_bytes / _GB:.1f} x {tensor_parallel_size}) - "
            f"{model.weight_bytes / _GB:.1f} GB of weights - {overhead / _GB:.1f} GB of activations leave "
            f"{free / _GB:.1f} GB, of which {_FEWEST_TOKENS:,} tokens of KV cache need "
            f"{_FEWEST_TOKENS * per_block / BLOCK_TOKENS / _GB:.1f} GB; take more or larger GPUs, or quantised weights"
        )
    return blocks
