"""What measured runs say: the shared efficiencies, and each measured pair's own corrections and errors.

Printed by `leadtime fit simulations/data/measured_vllm.csv`; tests/simulation/test_calibration.py fits again and
compares. 18 runs of vLLM v0.15.1 in 10 experiments, from inference-sim/sim-to-real-accuracy-validation.
"""

from dataclasses import dataclass

from policies.capacity.step_time import Correction, Efficiency

Pair = tuple[str, str, int]
"""Model, GPU and tensor parallel size, by their short names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Median errors over a pair's measured runs, each simulated with a profile fitted to the other experiments."""

    itl_percent: float
    e2e_percent: float
    ttft_percent: float
    runs: int

    def __str__(self) -> str:
        return (
            f"median error ITL {self.itl_percent:.1f} %, E2E {self.e2e_percent:.1f} %, TTFT {self.ttft_percent:.1f} % "
            f"over {self.runs} measured run{'s' if self.runs > 1 else ''}, leave-one-experiment-out"
        )


EFFICIENCY = Efficiency(
    weight_bandwidth=0.8236,
    kv_bandwidth=0.6937,
    decode_compute=0.6464,
    layer_seconds=44.0e-6,
    all_reduce_seconds=8.93e-6,
    api_seconds=9.57e-3,
)
"""Shared by all pairs."""

CORRECTIONS: dict[Pair, Correction] = {
    ("llama-2-70b", "h100", 4): Correction(base=0.941, growth=0.920, overhead=1.018),
    ("llama-3.1-70b", "h100", 4): Correction(base=0.975, growth=0.958, overhead=1.038),
    ("llama-3.1-8b", "h100", 1): Correction(base=0.993, growth=1.001, overhead=0.885),
    ("llama-3.1-8b", "h100", 2): Correction(base=1.050, growth=1.138, overhead=0.875),
    ("llama-3.1-8b", "l40s", 1): Correction(base=0.998, growth=0.958, overhead=1.060),
    ("qwen2.5-7b", "h100", 1): Correction(base=1.016, growth=1.010, overhead=1.002),
    ("qwen3-14b", "a100", 1): Correction(base=1.042, growth=1.052, overhead=1.184),
}
"""What each measured pair says beyond them; every other pair has none."""

HELD_OUT: dict[Pair, HeldOut] = {
    ("llama-2-70b", "h100", 4): HeldOut(itl_percent=1.0, e2e_percent=1.5, ttft_percent=3.5, runs=4),
    ("llama-3.1-70b", "h100", 4): HeldOut(itl_percent=4.0, e2e_percent=5.4, ttft_percent=1.3, runs=2),
    ("llama-3.1-8b", "h100", 1): HeldOut(itl_percent=7.2, e2e_percent=4.9, ttft_percent=5.4, runs=5),
    ("llama-3.1-8b", "h100", 2): HeldOut(itl_percent=13.3, e2e_percent=9.1, ttft_percent=7.4, runs=2),
    ("llama-3.1-8b", "l40s", 1): HeldOut(itl_percent=1.2, e2e_percent=4.8, ttft_percent=5.8, runs=2),
    ("qwen2.5-7b", "h100", 1): HeldOut(itl_percent=2.7, e2e_percent=2.1, ttft_percent=1.3, runs=1),
    ("qwen3-14b", "a100", 1): HeldOut(itl_percent=7.9, e2e_percent=7.4, ttft_percent=20.4, runs=2),
}
"""How well the other experiments alone predict each measured pair, by `leadtime validate` of the same file."""

LOGGED_KV_BLOCKS: dict[Pair, int] = {
    ("llama-3.1-70b", "h100", 4): 30_425,  # experiments 60 and 61
    ("llama-2-70b", "h100", 4): 31_357,  # 501,712 tokens
    ("qwen2.5-7b", "h100", 1): 65_368,  # experiments 64 and 66
}
"""vLLM's own `GPU KV cache size`, in blocks."""
