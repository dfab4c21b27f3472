"""Series that other autoscalers read beside a server's own: the gateway's, the endpoint picker's, the cluster's.

All are computed at a scrape from what exporters show at that instant, one aggregated value each, so that they are
never newer or finer than the scrape; those that nobody asks for are not computed. Names are the exporters' own; what
no exporter has is named `leadtime:...` as a Prometheus recording rule would be. A series without a value is absent,
which is not 0.

- `leadtime:num_requests_outstanding`: running + waiting of every server that answers, and the gateway's queue.
- `leadtime:gateway_queue`: requests that wait at the gateway for a ready pod.
- `inference_extension_flow_control_queue_size`: the gateway's queue plus what waits in the servers. With flow
  control on, the endpoint picker dispatches to no saturated server, so it would hold back what the simulated
  servers queue; the simulator has no flow control, and this is its equivalent.
- `inference_objective_running_requests`: what the picker has dispatched by the same reading, the servers' running.
- `inference_pool_average_queue_size`, `inference_pool_average_kv_cache_utilization`: means over the pool, which is
  the ready pods that are not terminating; absent while it is empty. `inference_pool_ready_pods`: its size.
- `inference_pool_kv_cache_utilization_sum`: `sum(vllm:kv_cache_usage_perc)` over all servers that answer.
- `inference_pool_saturation`: mean over the pool of max(waiting / 5, kv / 0.8), and 1 while it is empty, as
  llm-d/llm-d-router pkg/epp/framework/plugins/flowcontrol/saturationdetector/utilization/detector.go computes it
  (commit 39142fb9) with its defaults.
- `inference_pool_inflight_prefill_tokens`: prompt tokens of requests that were sent to a server and have no first
  token yet (`llm_d_epp_inflight_tokens`). The picker counts them itself, request by request, whole prompts: it
  sees the prompt go out and the first token come back, not the chunks between. No prefix cache is simulated, so
  all are uncached.
- `kube_deployment_spec_replicas`, `kube_deployment_status_replicas`, `..._ready`, `..._unavailable`: as
  kube-state-metrics shows the Deployment; terminating pods are in none of them.
- `leadtime:ttft_p90_seconds:1m`, `leadtime:tpot_p90_seconds:1m`: `histogram_quantile(0.9, ...)` over the increase
  of the servers' histograms within the last minute of scrapes; absent when nothing finished in it. Prometheus'
  extrapolation of an increase to the window's edges is left out: it scales all buckets alike.
- `leadtime:ttft_missed_percent:1m{le="..."}`, `leadtime:tpot_missed_percent:1m{le="..."}`: of the same increase, the
  percent above `le` seconds, linear within the bucket that holds it, as `histogram_fraction` has it.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from simulations.engine import layout
from simulations.fleet import Fleet
from simulations.server_kind import BatchedModel

QUEUE_DEPTH_THRESHOLD = 5.0
"""llm-d-router .../saturationdetector/utilization/config.go, DefaultQueueDepthThreshold."""

KV_CACHE_UTIL_THRESHOLD = 0.8
"""The same file, DefaultKVCacheUtilThreshold."""

AGGREGATES = frozenset(
    {
        "leadtime:num_requests_outstanding",
        "leadtime:gateway_queue",
        "leadtime:ttft_p90_seconds:1m",
        "leadtime:tpot_p90_seconds:1m",
        "inference_extension_flow_control_queue_size",
        "inference_objective_running_requests",
        "inference_pool_average_kv_cache_utilization",
        "inference_pool_average_queue_size",
        "inference_pool_inflight_prefill_tokens",
        "inference_pool_kv_cache_utilization_sum",
        "inference_pool_ready_pods",
        "inference_pool_saturation",
        "kube_deployment_spec_replicas",
        "kube_deployment_status_replicas",
        "kube_deployment_status_replicas_ready",
        "kube_deployment_status_replicas_unavailable",
    }
)
"""The series above without a label by name, also those that have no value at an instant."""

OF_ANY_SERVER = frozenset({"leadtime:gateway_queue"} | {name for name in AGGREGATES if name.startswith("kube_")})
"""Those that ask nothing of the servers, and so are there whatever these are."""

MISSED = {
    "leadtime:ttft_missed_percent:1m": (layout.TTFT, layout.TTFT_BOUNDS),
    "leadtime:tpot_missed_percent:1m": (layout.TPOT, layout.TPOT_BOUNDS),
}
"""Those with the label `le`: which histogram they are of, and its bounds."""


_PREFILL_TOKENS = "inference_pool_inflight_prefill_tokens"
_OF_PICKED = frozenset(
    {
        "inference_pool_average_kv_cache_utilization",
        "inference_pool_average_queue_size",
        "inference_pool_ready_pods",
        "inference_pool_saturation",
    }
)
_OF_DEPLOYMENT = frozenset(name for name in AGGREGATES if name.startswith("kube_"))
_OF_HISTOGRAMS = frozenset({"leadtime:ttft_p90_seconds:1m", "leadtime:tpot_p90_seconds:1m"})


class Missed(NamedTuple):
    """One of MISSED, and its label in seconds."""

    name: str
    le: float

    @property
    def series(self) -> str:
        return f'{self.name}{{le="{self.le:g}"}}'


_WINDOW_SECONDS = 60.0
_IDLE_CORES = 0.1
_BUSY_CORES = 0.9


class _Histograms(NamedTuple):
    """One scrape of one server: the second, and what it counted since its start.

    begun: requests with a first token. counts: as Engine.histograms has them of one server.
    """

    at_seconds: float
    begun: int
    counts: layout.I8


class DerivedSeries:
    """Remembers one minute of the servers' histograms; everything else is of the scrape's own instant."""

    def __init__(self, wanted: Collection[str], missed: Collection[Missed] = ()) -> None:
        """wanted: of AGGREGATES. missed: those with the label `le` that are wanted. No others are computed."""
        self._missed = missed
        self._names = frozenset(wanted) | {one.series for one in missed}
        self._scrapes: dict[str, deque[_Histograms]] = {}

    def scrape(self, fleet: Fleet, vllm: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """Series name -> value now. Call it once per scrape, with pod name -> vLLM's series of the same scrape.

        Where the servers are not vLLM's, those OF_ANY_SERVER are all there is.
        """
        values = {"leadtime:gateway_queue": float(fleet.gateway_queue)}
        if self._names & _OF_DEPLOYMENT:
            values |= _deployment(fleet)
        if not isinstance(fleet.scenario.server, BatchedModel):
            values |= self._of_servers(fleet, vllm)
        return {name: value for name, value in values.items() if name in self._names}

    def _of_servers(self, fleet: Fleet, vllm: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
        """Those that take vLLM's series; what is costly only where it is wanted."""
        waiting = sum(series["vllm:num_requests_waiting"] for series in vllm.values())
        running = sum(series["vllm:num_requests_running"] for series in vllm.values())
        queue = float(fleet.gateway_queue)
        values = {
            "leadtime:num_requests_outstanding": running + waiting + queue,
            "inference_extension_flow_control_queue_size": queue + waiting,
            "inference_objective_running_requests": running,
            "inference_pool_kv_cache_utilization_sum": sum(
                series["vllm:kv_cache_usage_perc"] for series in vllm.values()
            ),
        }
        if _PREFILL_TOKENS in self._names:
            values[_PREFILL_TOKENS] = float(fleet.engine.prefill_tokens_under_way())
        if self._names & _OF_PICKED:
            values |= _pool([vllm[pod.name] for pod in fleet.existing() if fleet.is_ready(pod) and pod.name in vllm])
        if self._missed or self._names & _OF_HISTOGRAMS:
            self._remember(fleet)
            values |= self._latencies()
        return values

    def _remember(self, fleet: Fleet) -> None:
        """Add this scrape's histograms; forget what is a minute old. A server that is gone counts until then."""
        pods = fleet.serving()
        histograms = fleet.engine.histograms([pod.row for pod in pods if pod.row is not None])
        begun = histograms[:, layout.TTFT].sum(axis=1).tolist()
        for pod, counts, requests in zip(pods, histograms, begun, strict=True):
            scrapes = self._scrapes.setdefault(pod.name, deque())
            if scrapes and scrapes[-1].begun > requests:
                scrapes.clear()  # the server was started anew, and counts from 0 again
            scrapes.append(_Histograms(fleet.now_seconds, requests, counts))
        for name, scrapes in list(self._scrapes.items()):
            while scrapes and scrapes[0].at_seconds <= fleet.now_seconds - _WINDOW_SECONDS:
                scrapes.popleft()
            if not scrapes:
                del self._scrapes[name]

    def _latencies(self) -> dict[str, float]:
        """P90 over what finished in the remembered minute; a server with a single scrape adds nothing yet."""
        increase = np.zeros((3, layout.HISTOGRAM_WIDTH), np.int64)
        if self._scrapes:
            increase += np.sum([scrapes[-1].counts for scrapes in self._scrapes.values()], axis=0)
            increase -= np.sum([scrapes[0].counts for scrapes in self._scrapes.values()], axis=0)
        ttft = increase[layout.TTFT, : len(layout.TTFT_BOUNDS) + 1]
        tpot = increase[layout.TPOT, : len(layout.TPOT_BOUNDS) + 1]
        values = {
            "leadtime:ttft_p90_seconds:1m": _p90(layout.TTFT_BOUNDS, ttft),
            "leadtime:tpot_p90_seconds:1m": _p90(layout.TPOT_BOUNDS, tpot),
        }
        for missed in self._missed:
            which, bounds = MISSED[missed.name]
            counts = {layout.TTFT: ttft, layout.TPOT: tpot}[which]
            values[missed.series] = percent_above(missed.le, bounds, counts)
        return {name: value for name, value in values.items() if value is not None}


def cpu_cores(percent: Mapping[str, float]) -> dict[str, float]:
    """Pod name -> CPU cores used since the last scrape: a model, not a measurement.

    0.1 core idle, and 0.9 core more while the engine's loop runs, which is while the GPU is busy (whole percent of
    the scrape interval, as sampled for the GPU exporter): one process that polls and schedules on one core.
    """
    return {name: _IDLE_CORES + _BUSY_CORES * value / 100.0 for name, value in percent.items()}


def histogram_quantile(quantile: float, bounds: Sequence[float], cumulative: Sequence[float]) -> float | None:
    """The quantile of a classic histogram, linear within its bucket; None without observations.

    bounds: finite upper bounds, ascending, the first above 0. cumulative: counts up to each bound, then up to +Inf.
    Above the last finite bound that bound is the answer, as in Prometheus (promql/quantile.go, BucketQuantile).
    """
    total = cumulative[-1]
    if total == 0:
        return None
    rank = quantile * total
    bucket = next((index for index, count in enumerate(cumulative[:-1]) if count >= rank), len(bounds))
    if bucket == len(bounds):
        return bounds[-1]
    start, before = (bounds[bucket - 1], cumulative[bucket - 1]) if bucket > 0 else (0.0, 0)
    return start + (bounds[bucket] - start) * (rank - before) / (cumulative[bucket] - before)


def percent_above(le: float, bounds: layout.F8, counts: layout.I8) -> float | None:
    """Percent of a histogram's observations above `le` >= 0, linear within its bucket; None without observations.

    bounds: finite upper bounds, ascending. counts: per bucket, the last above every bound, all of which is above.
    """
    total = int(counts.sum())
    if total == 0:
        return None
    edges, upto = np.concatenate([[0.0], bounds]), np.concatenate([[0], np.cumsum(counts[:-1])])
    return 100.0 * (1.0 - float(np.interp(le, edges, upto)) / total)


def _p90(bounds: layout.F8, counts: layout.I8) -> float | None:
    return histogram_quantile(0.9, bounds.tolist(), np.cumsum(counts).tolist())


def _pool(pool: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The endpoint picker's view of the pods it may pick."""
    values = {"inference_pool_ready_pods": float(len(pool)), "inference_pool_saturation": 1.0}
    if pool:
        waiting = [series["vllm:num_requests_waiting"] for series in pool]
        usage = [series["vllm:kv_cache_usage_perc"] for series in pool]
        scores = [
            max(queue / QUEUE_DEPTH_THRESHOLD, kv / KV_CACHE_UTIL_THRESHOLD)
            for queue, kv in zip(waiting, usage, strict=True)
        ]
        values["inference_pool_average_queue_size"] = sum(waiting) / len(pool)
        values["inference_pool_average_kv_cache_utilization"] = sum(usage) / len(pool)
        values["inference_pool_saturation"] = sum(scores) / len(pool)
    return values


def _deployment(fleet: Fleet) -> dict[str, float]:
    """The Deployment's own counts (kubernetes pkg/controller/deployment/sync.go, calculateStatus)."""
    total = sum(pod.deleted is None for pod in fleet.existing())
    ready = sum(fleet.is_ready(pod) for pod in fleet.existing())
    return {
        "kube_deployment_spec_replicas": float(fleet.replicas),
        "kube_deployment_status_replicas": float(total),
        "kube_deployment_status_replicas_ready": float(ready),
        "kube_deployment_status_replicas_unavailable": float(total - ready),
    }
