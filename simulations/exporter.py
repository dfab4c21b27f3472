"""Metrics pages of the simulated pods: vLLM's own, and a DCGM exporter's for the GPUs.

Names, types, labels and units are the exporters' own, so that whatever reads a real page reads these.
Sources: vllm/v1/metrics/loggers.py; NVIDIA/dcgm-exporter etc/default-counters.csv.
"""

import numpy as np

from adapter.sources.catalogue import CATALOGUE
from simulations import engine
from simulations.fleet import Fleet, SimulatedPod

NAMESPACE = "demo"

KINDS = {metric.name: metric.kind for metric in CATALOGUE}

_HELP = {
    "vllm:num_requests_running": "Number of requests in model execution batches.",
    "vllm:num_requests_waiting": "Number of requests waiting to be processed.",
    "vllm:kv_cache_usage_perc": "KV-cache usage. 1 means 100 percent usage.",
    "vllm:num_preemptions_total": "Cumulative number of preemption from the engine.",
    "vllm:prompt_tokens_total": "Number of prefill tokens processed.",
    "vllm:generation_tokens_total": "Number of generation tokens processed.",
    "vllm:request_success_total": "Count of successfully processed requests.",
}

GPU_UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"

POD_SERIES = frozenset({*_HELP, GPU_UTILIZATION})
"""Every gauge and counter that a simulated pod has."""


def vllm_series(fleet: Fleet, pod: SimulatedPod) -> dict[str, float]:
    """The gauges and counters of one server now, by vLLM's names and in its units."""
    servers, row = fleet.servers, pod.row
    return {
        "vllm:num_requests_running": float(servers.state.running[row]),
        "vllm:num_requests_waiting": float(servers.state.waiting[row]),
        "vllm:kv_cache_usage_perc": 1.0 - float(servers.state.free_blocks[row]) / fleet.profile.kv_blocks,
        "vllm:num_preemptions_total": float(servers.state.preemptions[row]),
        "vllm:prompt_tokens_total": float(servers.state.prompt_tokens[row]),
        "vllm:generation_tokens_total": float(servers.state.generation_tokens[row]),
        "vllm:request_success_total": float(servers.state.succeeded[row]),
    }


def vllm_page(fleet: Fleet, pod: SimulatedPod) -> str:
    """What GET /metrics of one vLLM server answers now."""
    labels = f'engine="0",model_name="{fleet.profile.model}"'
    lines: list[str] = []
    for name, value in vllm_series(fleet, pod).items():
        extra = ',finished_reason="stop"' if name == "vllm:request_success_total" else ""
        lines += [*_header(name, _HELP[name]), f"{name}{{{labels}{extra}}} {value}"]
    servers, row = fleet.servers, pod.row
    for name, text, bounds, counts, total in (
        (
            "vllm:time_to_first_token_seconds",
            "Histogram of time to first token in seconds.",
            engine.TTFT_BOUNDS,
            engine.histogram(servers, row, engine.TTFT),
            servers.state.ttft_sum[row],
        ),
        (
            "vllm:request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.",
            engine.TPOT_BOUNDS,
            engine.histogram(servers, row, engine.TPOT),
            servers.state.tpot_sum[row],
        ),
        (
            "vllm:e2e_request_latency_seconds",
            "Histogram of e2e request latency in seconds.",
            engine.E2E_BOUNDS,
            engine.histogram(servers, row, engine.E2E),
            servers.state.e2e_sum[row],
        ),
    ):
        lines += _header(name, text)
        cumulative = np.cumsum(counts)
        edges = [str(float(bound)) for bound in bounds] + ["+Inf"]
        lines += [
            f'{name}_bucket{{{labels},le="{edge}"}} {float(count)}'
            for edge, count in zip(edges, cumulative, strict=True)
        ]
        lines += [
            f"{name}_count{{{labels}}} {float(cumulative[-1])}",
            f"{name}_sum{{{labels}}} {float(total)}",
        ]
    return "\n".join(lines) + "\n"


class GpuSampler:
    """DCGM's view of the GPUs: percent of the last sampling period in which a kernel ran, as an integer.

    A GPU that is attached while its pod still loads the model shows 0.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[float, float]] = {}
        self._percent: dict[str, int] = {}

    def sample(self, fleet: Fleet) -> None:
        """Take one sample of every GPU at the fleet's now; call it once per sampling period."""
        now = fleet.now_seconds
        self._percent = {}
        for pod in fleet.existing():
            if pod.starts > now:
                continue
            busy = _busy_seconds(fleet, pod, now)
            since, before = self._seen.get(pod.name, (max(pod.starts, 0.0), 0.0))
            period = now - since
            self._percent[pod.name] = round(100.0 * (busy - before) / period) if period > 0 else 0
            self._seen[pod.name] = (now, busy)

    def percent(self) -> dict[str, int]:
        """Pod name -> utilization of its GPU at the last sample."""
        return dict(self._percent)


def dcgm_page(fleet: Fleet, percent: dict[str, int]) -> str:
    """What GET /metrics of the DCGM exporter answers: one series a GPU, labelled with the workload's pod."""
    lines = _header(GPU_UTILIZATION, "GPU utilization (in %).")
    for name, value in percent.items():
        number = name.rpartition("-")[2]
        lines.append(
            f'{GPU_UTILIZATION}{{gpu="0",UUID="GPU-{number}",device="nvidia0",modelName="{fleet.profile.gpu}",'
            f'Hostname="gpu-node-{number}",container="vllm",namespace="{NAMESPACE}",pod="{name}"}} {value}'
        )
    return "\n".join(lines) + "\n"


def _header(name: str, text: str) -> list[str]:
    """HELP and TYPE; the type is the catalogue's, so that what is written is what the adapter looks for."""
    return [f"# HELP {name} {text}", f"# TYPE {name} {KINDS[name]}"]


def _busy_seconds(fleet: Fleet, pod: SimulatedPod, now: float) -> float:
    servers, row = fleet.servers, pod.row
    under_way = now - float(servers.state.step_start[row]) if servers.state.in_step[row] else 0.0
    return float(servers.state.busy_seconds[row]) + under_way
