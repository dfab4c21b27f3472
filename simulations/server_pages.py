"""What the servers of a fleet show of themselves, by the names of their own kind, as the metric pipeline reads it.

The pages themselves, with labels and types: exporter.py for vLLM, batching/*_page.py for the others.

- NIM's series are under vLLM's names, which the adapter's catalogue takes them for; those that vLLM has not are under
  NIM's own. What NIM's page lacks (preemptions, prefix cache) is not there.
- `nv_gpu_utilization` is sampled every 2 s by Triton (--metrics-interval-ms). Here a sample is the mean since the one
  before, which is the scrape's interval where that is longer: steadier than Triton's own.
- `GPUUtilization` is sampled every 60 s by TorchServe (metric_time_interval), and stays in between.
- Fixed batches are no product: their servers show nothing, and only their GPUs' exporter is left.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from simulations.batching import BatchingEngine, TorchServe, Triton
from simulations.batching.torchserve_page import TORCHSERVE_SERIES, torchserve_table
from simulations.batching.triton_page import TRITON_SERIES, triton_table
from simulations.batching.utilization import busy_seconds
from simulations.exporter import GPU_UTILIZATION, POD_SERIES, vllm_table
from simulations.fleet import Fleet
from simulations.fleet.pod import SimulatedPod
from simulations.server_kind import BatchedModel, ServerKind

_NIM_AS_VLLM = frozenset(
    {
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens_total",
        "vllm:generation_tokens_total",
        "vllm:request_success_total",
    }
)
"""vLLM's series that NIM's page has, under names without `vllm:`."""

_NIM_OWN = frozenset({"num_request_max", "request_finish_total", "request_failure_total"})

_TRITON_UTILIZATION, _TRITON_INTERVAL_SECONDS = "nv_gpu_utilization", 2.0
_TORCHSERVE_UTILIZATION, _TORCHSERVE_INTERVAL_SECONDS = "GPUUtilization", 60.0

Table = dict[str, NDArray[np.float64]]


def pod_series(kind: ServerKind) -> frozenset[str]:
    """Every series of a pod: its server's, and of its GPU from DCGM's exporter."""
    if kind == "vllm":
        return POD_SERIES
    if kind == "nim":
        return _NIM_AS_VLLM | _NIM_OWN | {GPU_UTILIZATION}
    assert isinstance(kind, BatchedModel)
    if isinstance(kind.server, Triton):
        return TRITON_SERIES | {GPU_UTILIZATION}
    if isinstance(kind.server, TorchServe):
        return TORCHSERVE_SERIES | {GPU_UTILIZATION}
    return frozenset({GPU_UTILIZATION})


class ServerPages:
    """Reads every page of a fleet; remembers when each server sampled its GPU."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._gpus = _GpuShares()

    def read(self) -> dict[str, dict[str, float]]:
        """Pod -> series -> value now, of the servers that answer; a series that a page has not yet is left out."""
        pods = self._fleet.serving()
        columns = {name: values.tolist() for name, values in self._table(pods).items()}
        return {
            pod.name: {name: values[index] for name, values in columns.items() if values[index] == values[index]}
            for index, pod in enumerate(pods)
        }

    def _table(self, pods: Sequence[SimulatedPod]) -> Table:
        kind = self._fleet.scenario.server
        if kind == "vllm":
            return vllm_table(self._fleet, pods)
        if kind == "nim":
            return _nim_table(self._fleet, pods)
        engine = self._fleet.engine
        assert isinstance(kind, BatchedModel)
        assert isinstance(engine, BatchingEngine)
        rows = [pod.row for pod in pods if pod.row is not None]
        if isinstance(kind.server, Triton):
            shares = self._gpus.sample(engine, pods, self._fleet.now_seconds, _TRITON_INTERVAL_SECONDS)
            return triton_table(engine, rows) | {_TRITON_UTILIZATION: shares}
        if isinstance(kind.server, TorchServe):
            shares = self._gpus.sample(engine, pods, self._fleet.now_seconds, _TORCHSERVE_INTERVAL_SECONDS)
            return torchserve_table(engine, rows) | {_TORCHSERVE_UTILIZATION: 100.0 * shares}
        return {}


class _GpuShares:
    """The share of time in which a server's GPU was busy, as its own exporter samples it."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], tuple[float, float, float]] = {}

    def sample(
        self, engine: BatchingEngine, pods: Sequence[SimulatedPod], now: float, interval_seconds: float
    ) -> NDArray[np.float64]:
        """Shares, 0 to 1, in the order of `pods`; NaN until a server has run for one interval."""
        seen = {}
        for pod in pods:
            assert pod.row is not None
            life = (pod.uid, pod.restarts)
            since, before, share = self._seen.get(life, (max(pod.ready_at, 0.0), 0.0, np.nan))
            if now - since >= interval_seconds:
                busy = busy_seconds(engine, pod.row, now)
                since, before, share = now, busy, min((busy - before) / (now - since), 1.0)
            seen[life] = since, before, share
        self._seen = seen
        return np.array([share for _, _, share in seen.values()], np.float64)


def _nim_table(fleet: Fleet, pods: Sequence[SimulatedPod]) -> Table:
    table = {name: values for name, values in vllm_table(fleet, pods).items() if name in _NIM_AS_VLLM}
    return table | {
        "num_request_max": np.full(len(pods), float(fleet.profile.max_num_seqs)),
        "request_finish_total": table["vllm:request_success_total"],
        "request_failure_total": np.zeros(len(pods)),
    }
