"""TorchServe's metrics page (metrics_mode=prometheus): names, types, labels and units of its own.

Sources: pytorch/serve ts/configs/metrics.yaml (0bb05640); frontend RestJob.java, `responseInference`;
InferenceRequestHandler.java, `predict`; a page's look: docs/metrics_api.md.

What a reader should know of these series:

- `ts_inference_requests_total` counts requests when they come, those that are answered 503 included;
- `ts_inference_latency_microseconds` is the whole time of a request, its wait included, and
  `ts_queue_latency_microseconds` the wait; both sum over answered requests, when they are answered. So a latency per
  request, as a ratio of the two counters' increases, is too low while a queue builds up or requests are refused;
- `QueueTime` is the wait of the one request that was answered last, in whole milliseconds, and stays when no more
  come;
- no series shows the length of the queue;
- a series without an event is not there: an idle server that has just started has no counters.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulations.batching.engine import BatchingEngine
from simulations.batching.page_lines import family

_NS_PER_US = 1_000
_NS_PER_MS = 1_000_000

_MODEL_COUNTERS = {
    "ts_inference_requests_total": "Count",
    "ts_inference_latency_microseconds": "Microseconds",
    "ts_queue_latency_microseconds": "Microseconds",
}
_HOST_COUNTERS = {"Requests2XX": "Count", "Requests4XX": "Count", "Requests5XX": "Count"}

TORCHSERVE_SERIES = frozenset({*_MODEL_COUNTERS, *_HOST_COUNTERS, "QueueTime", "GPUUtilization"})
"""Every name on the page."""


def torchserve_table(engine: BatchingEngine, rows: Sequence[int]) -> dict[str, NDArray[np.float64]]:
    """The series of several servers now, name -> values in the order of `rows`; NaN where a page has none yet."""
    servers, batchers = engine.servers[list(rows)], engine.batchers[list(rows)]
    answered = servers["succeeded"] > 0
    columns = {
        "ts_inference_requests_total": (batchers["received"], batchers["received"] > 0),
        "ts_inference_latency_microseconds": (batchers["request_ns"] / _NS_PER_US, answered),
        "ts_queue_latency_microseconds": (batchers["queue_ns"] / _NS_PER_US, answered),
        "QueueTime": (batchers["last_queue_ns"] // _NS_PER_MS, answered),
        "Requests2XX": (servers["succeeded"], answered),
        "Requests4XX": (np.zeros(len(rows)), np.zeros(len(rows), bool)),
        "Requests5XX": (batchers["rejected"], batchers["rejected"] > 0),
    }
    return {name: np.where(there, values, np.nan).astype(np.float64) for name, (values, there) in columns.items()}


def torchserve_page(
    engine: BatchingEngine, row: int, *, model: str, hostname: str, gpu_utilization: float | None
) -> str:
    """What GET /metrics (port 8082) of one server answers now. gpu_utilization: 0 to 1, shown in percent; or None."""
    values = {name: float(column[0]) for name, column in torchserve_table(engine, [row]).items()}
    of_model = f'model_name="{model}",model_version="default",hostname="{hostname}",'
    of_host = f'Level="Host",Hostname="{hostname}",'
    lines: list[str] = []
    for counters, labels in ((_MODEL_COUNTERS, of_model), (_HOST_COUNTERS, of_host)):
        for name, unit in counters.items():
            lines += _family(name, "counter", unit, labels, values[name])
    lines += _family("QueueTime", "gauge", "Milliseconds", of_host, values["QueueTime"])
    percent = np.nan if gpu_utilization is None else 100.0 * gpu_utilization
    device = f'Level="Host",DeviceId="0",Hostname="{hostname}",'
    lines += _family("GPUUtilization", "gauge", "Percent", device, percent)
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str, unit: str, labels: str, value: float) -> list[str]:
    samples = [] if np.isnan(value) else [(labels, value)]
    return family(name, kind, f"Torchserve prometheus {kind} metric with unit: {unit}", samples)
