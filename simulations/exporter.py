"""Metrics pages of the simulated pods: vLLM's own, and a DCGM exporter's for the GPUs.

Names, types, labels and units are the exporters' own, so that whatever reads a real page reads these.
Sources: vllm/v1/metrics/loggers.py; NVIDIA/dcgm-exporter etc/default-counters.csv.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapter.sources.catalogue import CATALOGUE
from simulations.engine import layout
from simulations.fleet import Fleet
from simulations.fleet.pod import SimulatedPod

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
    "vllm:prefix_cache_queries_total": "Prefix cache queries, in terms of number of queried tokens.",
    "vllm:prefix_cache_hits_total": "Prefix cache hits, in terms of number of cached tokens.",
}

_FIELDS = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:num_preemptions_total": "preemptions",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "generation_tokens",
    "vllm:request_success_total": "succeeded",
}
"""Series -> the field of the engine's SERVER that it shows."""

_CACHE_FIELDS = {"vllm:prefix_cache_queries_total": "prefix_queries", "vllm:prefix_cache_hits_total": "prefix_hits"}

GPU_UTILIZATION = "DCGM_FI_DEV_GPU_UTIL"

POD_SERIES = frozenset({*_HELP, GPU_UTILIZATION})
"""Every gauge and counter that a simulated pod has."""


def vllm_series(fleet: Fleet, pod: SimulatedPod) -> dict[str, float]:
    """The gauges and counters of one server now, by vLLM's names and in its units."""
    return {name: float(values[0]) for name, values in vllm_table(fleet, [pod]).items()}


def vllm_table(fleet: Fleet, pods: Sequence[SimulatedPod]) -> dict[str, NDArray[np.float64]]:
    """The same of several servers: name -> values in the order of `pods`, all of which serve metrics."""
    servers = fleet.servers(pods)
    table = {name: servers[field].astype(np.float64) for name, field in _FIELDS.items()}
    table["vllm:kv_cache_usage_perc"] = 1.0 - servers["free_blocks"] / fleet.profile.kv_blocks
    if fleet.scenario.serving.prefix_caching:
        table |= {name: servers[field].astype(np.float64) for name, field in _CACHE_FIELDS.items()}
    return table


def vllm_page(fleet: Fleet, pod: SimulatedPod) -> str:
    """What GET /metrics of one vLLM server answers now."""
    labels = f'engine="0",model_name="{fleet.profile.model}"'
    lines: list[str] = []
    for name, value in vllm_series(fleet, pod).items():
        extra = ',finished_reason="stop"' if name == "vllm:request_success_total" else ""
        lines += [*_header(name, _HELP[name]), f"{name}{{{labels}{extra}}} {value}"]
    assert pod.row is not None, f"{pod.name} serves no page"
    server = fleet.engine.servers[pod.row]
    for name, text, bounds, counts, total in (
        (
            "vllm:time_to_first_token_seconds",
            "Histogram of time to first token in seconds.",
            layout.TTFT_BOUNDS,
            fleet.engine.histogram(pod.row, layout.TTFT),
            server["ttft_sum"],
        ),
        (
            "vllm:request_time_per_output_token_seconds",
            "Histogram of time_per_output_token_seconds per request.",
            layout.TPOT_BOUNDS,
            fleet.engine.histogram(pod.row, layout.TPOT),
            server["tpot_sum"],
        ),
        (
            "vllm:e2e_request_latency_seconds",
            "Histogram of e2e request latency in seconds.",
            layout.E2E_BOUNDS,
            fleet.engine.histogram(pod.row, layout.E2E),
            server["e2e_sum"],
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
            if busy < before:  # a restarted container's GPU starts from nothing
                before = 0.0
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
    if pod.row is None:
        return 0.0
    server = fleet.engine.servers[pod.row]
    return float(server["busy_seconds"]) + (now - float(server["step_start"]) if server["in_step"] else 0.0)
