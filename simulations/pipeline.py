"""The metric pipeline in process: what the adapter would answer, without the sockets.

A policy never sees the fleet's inner state: values are scraped every so often, keep the time of their scrape,
travel in milli-units, and are missing for pods whose server does not answer yet. The demo runs the same path
over HTTP and HTTPS; tests hold the two equal.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from adapter.sources.catalogue import find_any_case
from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    MetricQuery,
    Observation,
    PodMetrics,
    PodSample,
    Snapshot,
)
from simulations.derived import AGGREGATES, DerivedSeries, cpu_cores
from simulations.exporter import GPU_UTILIZATION, POD_SERIES, GpuSampler, vllm_series
from simulations.fleet import Fleet

MAX_AGE_SECONDS = 60

_FIRST_WINDOW_NS = 15 * NS_PER_SECOND


_GKE_DUTY_CYCLE = "kubernetes.io|container|accelerator|duty_cycle"
"""Percent of the last 10 s in which a kernel ran: what DCGM's utilization says too."""


def series_name(name: str) -> str:
    """The series behind a metric's name: GKE's and older spellings, in any letter case, to the exporter's own."""
    system, _, rest = name.partition("|")
    if system == "prometheus.googleapis.com":
        name = rest.partition("|")[0]
    if name.lower() == _GKE_DUTY_CYCLE:
        return GPU_UTILIZATION
    found = find_any_case(name)
    return name if found is None else found.current


def is_simulated(query: MetricQuery) -> bool:
    """Whether the simulator has the series at all, so that an answer without it means something."""
    name = series_name(query.name)
    if query.type == "Resource":
        return name == "cpu"
    if query.type == "Pods":
        return name in POD_SERIES
    return query.type == "External" and (name in POD_SERIES or name in AGGREGATES)


@dataclass(slots=True)
class MetricPipeline:
    """Scrapes a fleet, and answers a policy's queries from the last scrape.

    Series per pod answer types Pods and External; the aggregated ones of `derived` answer External; `cpu` answers
    Resource.
    """

    fleet: Fleet
    _gpus: GpuSampler = field(default_factory=GpuSampler)
    _derived: DerivedSeries = field(default_factory=DerivedSeries)
    _samples: dict[str, dict[str, PodSample]] = field(default_factory=dict)
    _aggregates: dict[str, PodSample] = field(default_factory=dict)
    _cpu: dict[str, PodSample] = field(default_factory=dict)
    _scraped_ns: int | None = None

    def scrape(self) -> None:
        """Read every page that answers now."""
        self._gpus.sample(self.fleet)
        vllm = {
            pod.name: vllm_series(self.fleet, pod) for pod in self.fleet.existing() if self.fleet.serves_metrics(pod)
        }
        samples: dict[str, dict[str, PodSample]] = {}
        for pod_name, series in vllm.items():
            for name, value in series.items():
                samples.setdefault(name, {})[pod_name] = self._sample(value)
        for name, percent in self._gpus.percent().items():
            samples.setdefault(GPU_UTILIZATION, {})[name] = self._sample(percent)
        self._samples = samples
        self._aggregates = {name: self._sample(value) for name, value in self._derived.scrape(self.fleet, vllm).items()}
        window_ns = _FIRST_WINDOW_NS if self._scraped_ns is None else self.fleet.now_ns - self._scraped_ns
        self._cpu = {
            name: replace(self._sample(cores), window_ns=window_ns)
            for name, cores in cpu_cores(self._gpus.percent()).items()
        }
        self._scraped_ns = self.fleet.now_ns

    def snapshot(self, queries: Iterable[MetricQuery]) -> Snapshot:
        """What a cluster would show a policy now."""
        pods = self.fleet.pod_list()
        return Snapshot(
            replicas=self.fleet.replicas,
            status_replicas=sum(not pod.deleting for pod in pods),
            pods=pods,
            observations={query: self._observe(query) for query in queries},
        )

    def _observe(self, query: MetricQuery) -> Observation:
        """One answer. Selectors choose the workload, and here there is one: they all match."""
        oldest_ns = self.fleet.now_ns - MAX_AGE_SECONDS * NS_PER_SECOND
        name = series_name(query.name)
        if query.type == "External" and name in self._aggregates:
            answers = {"": self._aggregates[name]}
        elif query.type == "Resource" and name == "cpu":
            answers = self._cpu
        else:
            answers = self._samples.get(name, {})
        samples = {pod: sample for pod, sample in answers.items() if sample.at_ns >= oldest_ns}
        if not samples:
            return MetricError(f"no metrics returned for {query.name}")
        if query.type == "Pods" or (query.type == "Resource" and name == "cpu"):
            return PodMetrics(samples)
        if query.type == "External":
            return ExternalMetric(tuple(sample.value_milli for sample in samples.values()))
        return MetricError(f"{query.type} metrics are not collected, only Pods, External and Resource cpu")

    def _sample(self, value: float) -> PodSample:
        """As the wire carries it: milli-units rounded up like a Quantity, time in whole seconds."""
        at_ns = self.fleet.now_ns // NS_PER_SECOND * NS_PER_SECOND
        return PodSample(value_milli=math.ceil(value * 1000), at_ns=at_ns)
