"""NVIDIA NIM for LLMs 1.x: vLLM's engine, and vLLM's metrics under names without `vllm:`.

Source: docs.nvidia.com/nim/large-language-models, "Observability for NVIDIA NIM for LLMs" (GET /v1/metrics, port
8000). Later releases write vLLM's own names, for which simulations/exporter.py is the page.

What a reader should know of these series:

- the KV cache is `gpu_cache_usage_perc`, vLLM's old name, a ratio of 0 to 1;
- `num_request_max` is what else is vLLM's max_num_seqs: running / max is the share of seats taken;
- `request_finish_total` has the reason as a label, one series a reason: they add up;
- `time_per_output_token_seconds` has one observation a token (vLLM's inter-token latency). The simulator counts those
  of the whole run, not of each server, so the page has no such histogram rather than another quantity by that name;
- nothing counts preemptions or the prefix cache.
"""

import numpy as np

from simulations.batching.page_lines import family
from simulations.engine import layout
from simulations.exporter import vllm_series
from simulations.fleet import Fleet
from simulations.fleet.pod import SimulatedPod

_GAUGES = {
    "gpu_cache_usage_perc": ("vllm:kv_cache_usage_perc", "GPU KV-cache usage. 1 means 100 percent usage."),
    "num_requests_running": ("vllm:num_requests_running", "Number of requests currently running on GPU."),
    "num_requests_waiting": ("vllm:num_requests_waiting", "Number of requests waiting to be processed."),
}
"""NIM's name -> vLLM's, and NIM's help."""

_COUNTERS = {
    "prompt_tokens_total": ("vllm:prompt_tokens_total", "Number of prefill tokens processed."),
    "generation_tokens_total": ("vllm:generation_tokens_total", "Number of generation tokens processed."),
    "request_success_total": ("vllm:request_success_total", "Count of successfully processed requests."),
}

_HISTOGRAMS = (
    ("time_to_first_token_seconds", layout.TTFT, layout.TTFT_BOUNDS, "ttft_sum"),
    ("e2e_request_latency_seconds", layout.E2E, layout.E2E_BOUNDS, "e2e_sum"),
)


def nim_page(fleet: Fleet, pod: SimulatedPod) -> str:
    """What GET /v1/metrics of one NIM answers now; its server is one of a fleet of vLLM's."""
    assert pod.row is not None, f"{pod.name} serves no page"
    values = vllm_series(fleet, pod)
    labels = f'model_name="{fleet.profile.model}"'
    lines: list[str] = []
    for kind, metrics in (("gauge", _GAUGES), ("counter", _COUNTERS)):
        for name, (vllm_name, text) in metrics.items():
            lines += family(name, kind, text, [(labels, values[vllm_name])])
    text = "Max number of requests that can be run concurrently by the model."
    lines += family("num_request_max", "gauge", text, [(labels, float(fleet.profile.max_num_seqs))])
    finished = values["vllm:request_success_total"]
    lines += family(
        "request_finish_total",
        "counter",
        "Number of finished requests, with label indicating finish reason.",
        [(f'finished_reason="stop",{labels}', finished), (f'finished_reason="length",{labels}', 0.0)],
    )
    lines += family("request_failure_total", "counter", "Number of failed requests.", [(labels, 0.0)])
    server = fleet.engine.servers[pod.row]
    for name, which, bounds, total in _HISTOGRAMS:
        lines += _histogram(name, labels, bounds, fleet.engine.histogram(pod.row, which), float(server[total]))
    return "\n".join(lines) + "\n"


def _histogram(name: str, labels: str, bounds: layout.F8, counts: layout.I8, total: float) -> list[str]:
    cumulative = np.cumsum(counts).tolist()
    edges = [*(str(float(bound)) for bound in bounds), "+Inf"]
    lines = family(name, "histogram", "Histogram in seconds.", [])
    lines += [
        f'{name}_bucket{{{labels},le="{edge}"}} {float(count)}' for edge, count in zip(edges, cumulative, strict=True)
    ]
    return [*lines, f"{name}_count{{{labels}}} {float(cumulative[-1])}", f"{name}_sum{{{labels}}} {total}"]
