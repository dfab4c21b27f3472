"""The GPUs that latency profiles are made for: memory, bandwidth and peak FLOPS, and vLLM's defaults on each."""

from dataclasses import dataclass

_MIB = 2**20
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU as its datasheet gives it.

    name: as node labels and profiles show it. short_name: as profile names end.
    memory_bytes: as nvidia-smi shows it, ECC on; a little less than the name says.
    bandwidth_bytes_per_second: of that memory. flops: 16-bit tensor cores, dense (half of a figure with sparsity).
    """

    name: str
    short_name: str
    memory_bytes: int
    bandwidth_bytes_per_second: float
    flops: float

    @property
    def max_num_seqs(self) -> int:
        """vLLM's default for the API server; see `_is_large`."""
        return 1_024 if self._is_large else 256

    @property
    def max_num_batched_tokens(self) -> int:
        """vLLM's default for the API server; see `_is_large`."""
        return 8_192 if self._is_large else 2_048

    @property
    def _is_large(self) -> bool:
        """vLLM raises both limits from 70 GiB up, but not on an A100 (engine/arg_utils.py, get_batch_defaults)."""
        return self.memory_bytes >= 70 * _GIB and self.short_name != "a100"


GPUS = {
    gpu.short_name: gpu
    for gpu in (
        # NVIDIA T4 datasheet: 16 GB, 320 GB/s, 65 TFLOPS fp16. No bf16: serve with --dtype half.
        Gpu(
            name="NVIDIA-T4",
            short_name="t4",
            memory_bytes=15_360 * _MIB,
            bandwidth_bytes_per_second=320e9,
            flops=65e12,
        ),
        # NVIDIA L4 datasheet: 24 GB, 300 GB/s, 242 TFLOPS with sparsity.
        Gpu(
            name="NVIDIA-L4",
            short_name="l4",
            memory_bytes=23_034 * _MIB,
            bandwidth_bytes_per_second=300e9,
            flops=121e12,
        ),
        # NVIDIA L40S datasheet: 48 GB, 864 GB/s, 362.05 TFLOPS dense.
        Gpu(
            name="NVIDIA-L40S",
            short_name="l40s",
            memory_bytes=46_068 * _MIB,
            bandwidth_bytes_per_second=864e9,
            flops=362.05e12,
        ),
        # NVIDIA A100 80 GB SXM datasheet: 2,039 GB/s, 312 TFLOPS dense.
        Gpu(
            name="NVIDIA-A100-SXM4-80GB",
            short_name="a100",
            memory_bytes=81_920 * _MIB,
            bandwidth_bytes_per_second=2_039e9,
            flops=312e12,
        ),
        # NVIDIA H100 SXM datasheet: 80 GB, 3.35 TB/s, 989.4 TFLOPS dense.
        Gpu(
            name="NVIDIA-H100-80GB",
            short_name="h100",
            memory_bytes=81_559 * _MIB,
            bandwidth_bytes_per_second=3_350e9,
            flops=989.4e12,
        ),
    )
}


def gpu_of(name: str) -> Gpu | None:
    """The GPU of that name, however people write it: H100, NVIDIA-H100-80GB, a100-80gb; None if not in the table.

    The A100 of 40 GB is another GPU (half the memory, 1,555 GB/s) and is not in the table.
    """
    words = (
        name.casefold().replace("_", "-").replace(" ", "-").removeprefix("nvidia-").removeprefix("tesla-").split("-")
    )
    if "40gb" in words:
        return None
    return GPUS.get(words[0])
