"""Triton's metrics page: names, types, labels and units of its own.

Sources: triton-inference-server/server docs/user_guide/metrics.md (067c1e96); core src/infer_stats.cc (1c60840e) and
src/metric_model_reporter.cc (6370c433).

What a reader should know of these series:

- durations are sums over requests, not over batches: each request of a batch adds the batch's whole time, so
  `nv_inference_compute_infer_duration_us` grows faster than the clock where batches are large;
- only answered requests add to durations and to `nv_inference_count`; what is refused is in
  `nv_inference_request_failure` with the label `reason`;
- `nv_inference_pending_request_count` is everything that waits to be executed, formed batches included;
- `nv_gpu_utilization` is a ratio of 0 to 1, where DCGM's exporter says percent; it has no model label;
- durations are whole microseconds. Triton rounds each request's down; here the sum is rounded down.

Inputs and outputs take no time here: their two counters stay 0. GPU memory and power are not simulated.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulations.batching.engine import BatchingEngine
from simulations.batching.page_lines import family

_COUNTERS = {
    "nv_inference_request_success": "Number of successful inference requests, all batch sizes",
    "nv_inference_request_failure": "Number of failed inference requests, all batch sizes",
    "nv_inference_count": "Number of inferences performed (does not include cached requests)",
    "nv_inference_exec_count": "Number of model executions performed (does not include cached requests)",
    "nv_inference_request_duration_us": "Cumulative inference request duration in microseconds (includes cached "
    "requests)",
    "nv_inference_queue_duration_us": "Cumulative inference queuing duration in microseconds (includes cached "
    "requests)",
    "nv_inference_compute_input_duration_us": "Cumulative compute input duration in microseconds (does not include "
    "cached requests)",
    "nv_inference_compute_infer_duration_us": "Cumulative compute inference duration in microseconds (does not "
    "include cached requests)",
    "nv_inference_compute_output_duration_us": "Cumulative inference compute output duration in microseconds (does "
    "not include cached requests)",
}

_PENDING = "nv_inference_pending_request_count"
_UTILIZATION = "nv_gpu_utilization"
_NS_PER_US = 1_000

TRITON_SERIES = frozenset({*_COUNTERS, _PENDING, _UTILIZATION})
"""Every name on the page."""


def triton_table(engine: BatchingEngine, rows: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """The model's series of several servers now: name -> values in the order of `rows`."""
    servers, batchers = engine.servers[list(rows)], engine.batchers[list(rows)]
    nothing = np.zeros(len(rows), np.int64)
    columns = {
        "nv_inference_request_success": servers["succeeded"],
        "nv_inference_request_failure": batchers["rejected"],
        "nv_inference_count": servers["succeeded"],
        "nv_inference_exec_count": batchers["executions"],
        "nv_inference_request_duration_us": batchers["request_ns"] // _NS_PER_US,
        "nv_inference_queue_duration_us": batchers["queue_ns"] // _NS_PER_US,
        "nv_inference_compute_input_duration_us": nothing,
        "nv_inference_compute_infer_duration_us": batchers["compute_ns"] // _NS_PER_US,
        "nv_inference_compute_output_duration_us": nothing,
        _PENDING: servers["waiting"],
    }
    return {name: values.astype(np.float64) for name, values in columns.items()}


def triton_page(
    engine: BatchingEngine, row: int, *, model: str, gpu_utilization: float | None, gpu_uuid: str = "GPU-0"
) -> str:
    """What GET /metrics (port 8002) of one server answers now.

    gpu_utilization: of the last interval, 0 to 1; None before the first, or with --allow-gpu-metrics=false.
    """
    values = {name: float(column[0]) for name, column in triton_table(engine, [row]).items()}
    labels = f'model="{model}",version="1"'
    lines: list[str] = []
    for name, text in _COUNTERS.items():
        if name == "nv_inference_request_failure":
            samples = [
                (f'model="{model}",reason="{reason}",version="1"', values[name] if reason == "REJECTED" else 0.0)
                for reason in ("BACKEND", "CANCELED", "OTHER", "REJECTED")
            ]
        else:
            samples = [(labels, values[name])]
        lines += family(name, "counter", text, samples)
    text = "Instantaneous number of pending requests awaiting execution per-model."
    lines += family(_PENDING, "gauge", text, [(labels, values[_PENDING])])
    if gpu_utilization is not None:
        samples = [(f'gpu_uuid="{gpu_uuid}"', gpu_utilization)]
        lines += family(_UTILIZATION, "gauge", "GPU utilization rate [0.0 - 1.0)", samples)
    return "\n".join(lines) + "\n"
