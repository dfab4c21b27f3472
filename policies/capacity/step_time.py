"""The physical model of an iteration: what it must read, compute and launch, at efficiencies that were measured.

    base              weights read once, and the work of every layer whatever the batch
    per decode seq    FLOPs of one output token, and its sampling
    per KV token      its key and value read once
    per prefill token FLOPs of one prompt token
    ... and context   FLOPs of attention between a prompt token and one token before it

A roofline would take the larger of reading and computing; kernels of one layer run one after another, and the
measured runs fit the sum better, so the sum it is. It also keeps the step time affine, which makes jumps exact.
"""

from dataclasses import dataclass

from policies.capacity.gpus import Gpu
from policies.capacity.models import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Efficiency:
    """What real serving reaches of the datasheets; shared by every model and GPU.

    weight_bandwidth, kv_bandwidth: share of the memory bandwidth when reading weights and the KV cache.
    decode_compute: share of the peak FLOPS at which an output token's FLOPs lengthen the step.
    prefill_compute: the same for prompt tokens. The measured runs hardly prefill, so this is not fitted: 0.6 is
        within the 0.5-0.68 that profiles of Llama-3-8B on A100 show (Vidur, microsoft/vidur, mlp.csv: 65.9 us a token).
    layer_seconds: launching one layer. all_reduce_seconds: what tensor parallelism adds to each layer.
    api_seconds: HTTP, tokenization, detokenization, streaming: before the first token reaches the client.
    """

    weight_bandwidth: float
    kv_bandwidth: float
    decode_compute: float
    layer_seconds: float
    all_reduce_seconds: float
    api_seconds: float
    prefill_compute: float = 0.6


PRIOR = Efficiency(
    weight_bandwidth=0.85,
    kv_bandwidth=0.75,
    decode_compute=0.6,
    layer_seconds=40e-6,
    all_reduce_seconds=10e-6,
    api_seconds=8e-3,
)
"""What is known before any run is measured: 70-90 % of the bandwidth in large reads (Vidur's attention kernel reads
the KV cache at 78 %), the FLOPS share of large matrix products, tens of microseconds of launches a layer, two small
all-reduces a layer of 5 us each, and milliseconds of API server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """Coefficients of one model on one kind of GPU, seconds."""

    base_seconds: float
    per_prefill_token_seconds: float
    per_prefill_context_token_seconds: float
    per_decode_seq_seconds: float
    per_kv_token_seconds: float
    request_overhead_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What measured runs of one model on one GPU say beyond the shared efficiencies; factors, 1.0 without runs."""

    base: float = 1.0
    growth: float = 1.0
    overhead: float = 1.0


UNCORRECTED = Correction()


def step_time(
    model: Model,
    gpu: Gpu,
    tensor_parallel_size: int,
    efficiency: Efficiency,
    correction: Correction = UNCORRECTED,
) -> StepTime:
    """The coefficients of the physical model, corrected by what was measured of this pair.

    `growth` corrects what each request in the batch adds (decode and KV), `overhead` the API server's part.

    request_overhead holds one `base` as well. Since v0.14 vLLM schedules asynchronously (PR 27614): iteration n + 1
    is already scheduled while n runs, so a request that arrives during n joins at n + 2, one iteration later than the
    engine admits it. The client waits for that iteration, the GPU does not.
    """
    ranks = tensor_parallel_size
    bandwidth = gpu.bandwidth_bytes_per_second * ranks
    flops = gpu.flops * ranks
    kv_ranks = min(ranks, model.kv_heads)  # beyond, the ranks read copies of the same heads
    layer_seconds = efficiency.layer_seconds + (efficiency.all_reduce_seconds if ranks > 1 else 0.0)
    base = model.streamed_bytes / (bandwidth * efficiency.weight_bandwidth) + model.layers * layer_seconds
    output_token_flops = 2 * (model.layer_parameters + model.head_parameters)
    prefill_flops = flops * efficiency.prefill_compute
    base_seconds = base * correction.base
    return StepTime(
        base_seconds=base_seconds,
        per_prefill_token_seconds=2 * model.layer_parameters / prefill_flops,
        per_prefill_context_token_seconds=model.attention_flops / prefill_flops,
        per_decode_seq_seconds=output_token_flops / (flops * efficiency.decode_compute) * correction.growth,
        per_kv_token_seconds=model.kv_bytes_per_token
        / (gpu.bandwidth_bytes_per_second * kv_ranks * efficiency.kv_bandwidth)
        * correction.growth,
        request_overhead_seconds=base_seconds + efficiency.api_seconds * correction.overhead,
    )
