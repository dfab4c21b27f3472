"""The metric pipeline in process: what the adapter would answer, without the sockets.

A policy never sees the fleet's inner state: values are scraped every so often, keep the time of their scrape,
travel in milli-units, and are missing for pods whose server does not answer yet. Scrapes can take time to be
readable, fail, or find an exporter that repeats itself. The demo runs the same path over HTTP and HTTPS; tests hold
the two equal.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

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
from simulations.exporter import GPU_UTILIZATION, POD_SERIES, GpuSampler, vllm_table
from simulations.fleet import Fleet
from simulations.lead_time import generator

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scrape:
    """What one round of scrapes found. at_ns: its whole second. window_ns: since the round before.

    series: name -> pod -> value; the workload's own under the pod "". lost: pods that did not answer.
    """

    readable_seconds: float
    at_ns: int
    window_ns: int
    series: dict[str, dict[str, float]]
    lost: frozenset[str]


class MetricPipeline:
    """Scrapes a fleet, and answers a policy's queries from what can be read.

    Series per pod answer types Pods and External; the aggregated ones of `derived` answer External; `cpu` answers
    Resource. queries: those that will be asked; what none of them needs is not computed.
    """

    def __init__(self, fleet: Fleet, queries: Iterable[MetricQuery]) -> None:
        self._fleet = fleet
        self._faults = fleet.scenario.metrics
        self._chance = generator(fleet.scenario.seed, "metric faults")
        self._gpus = GpuSampler()
        self._derived = DerivedSeries()
        self._wanted = {series_name(query.name) for query in queries}
        self._travelling: deque[_Scrape] = deque()
        self._pages: dict[str, dict[str, float]] = {}
        self._samples: dict[str, dict[str, PodSample]] = {}
        self._scraped_ns: int | None = None

    def scrape(self) -> None:
        """Read every page that answers now."""
        fleet = self._fleet
        self._gpus.sample(fleet)
        pages = self._answers(self._read_pages())
        series: dict[str, dict[str, float]] = {}
        for name in self._wanted & POD_SERIES:
            series[name] = {pod: page[name] for pod, page in pages.items() if name in page}
        percent = self._gpus.percent()
        series[GPU_UTILIZATION] = {name: float(value) for name, value in percent.items()}
        series["cpu"] = cpu_cores(percent)
        if self._wanted & AGGREGATES:
            series |= {name: {"": value} for name, value in self._derived.scrape(fleet, pages).items()}
        self._travelling.append(
            _Scrape(
                readable_seconds=fleet.now_seconds + self._faults.delay_seconds,
                at_ns=fleet.now_ns // NS_PER_SECOND * NS_PER_SECOND,
                window_ns=_FIRST_WINDOW_NS if self._scraped_ns is None else fleet.now_ns - self._scraped_ns,
                series=series,
                lost=frozenset(self._pages.keys() - pages.keys()),
            )
        )
        self._scraped_ns = fleet.now_ns

    def snapshot(self, queries: Iterable[MetricQuery]) -> Snapshot:
        """What a cluster would show a policy now."""
        while self._travelling and self._travelling[0].readable_seconds <= self._fleet.now_seconds:
            self._read(self._travelling.popleft())
        pods = self._fleet.pod_list()
        return Snapshot(
            replicas=self._fleet.replicas,
            status_replicas=sum(not pod.deleting for pod in pods),
            pods=pods,
            observations={query: self._observe(query) for query in queries},
        )

    def _read_pages(self) -> dict[str, dict[str, float]]:
        """Pod -> series -> value, of the servers that answer."""
        if not self._wanted & (POD_SERIES | AGGREGATES) - {GPU_UTILIZATION}:
            return {}
        serving = self._fleet.serving()
        table = vllm_table(self._fleet, serving)
        columns = {name: values.tolist() for name, values in table.items()}
        return {
            pod.name: {name: values[index] for name, values in columns.items()} for index, pod in enumerate(serving)
        }

    def _answers(self, pages: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """The pages as they are received: some not at all, some as they were at the scrape before."""
        before, self._pages = self._pages, pages
        lost, stale = self._faults.loss_probability, self._faults.stale_probability
        if not (lost or stale):
            return pages
        received = {}
        for name, page in pages.items():
            loses, repeats = self._chance.random(2)
            if repeats < stale:
                pages[name] = before.get(name, page)
            if loses >= lost:
                received[name] = pages[name]
        return received

    def _read(self, scrape: _Scrape) -> None:
        """Let a scrape's values be seen. Of pods that did not answer, what was seen before stays."""
        window_ns = {"cpu": scrape.window_ns}
        for name, values in scrape.series.items():
            old = self._samples.get(name, {})
            kept = {pod: old[pod] for pod in scrape.lost if pod in old}
            self._samples[name] = kept | {
                pod: _sample(value, scrape.at_ns, window_ns.get(name)) for pod, value in values.items()
            }
        for name in self._samples.keys() & AGGREGATES - scrape.series.keys():
            del self._samples[name]  # a series without a value is absent

    def _observe(self, query: MetricQuery) -> Observation:
        """One answer. Selectors choose the workload, and here there is one: they all match."""
        oldest_ns = self._fleet.now_ns - round(self._faults.max_age_seconds * NS_PER_SECOND)
        name = series_name(query.name)
        samples = {pod: sample for pod, sample in self._samples.get(name, {}).items() if sample.at_ns >= oldest_ns}
        of_pods = name not in AGGREGATES and (name == "cpu") == (query.type == "Resource")
        if not samples or (query.type != "External" and not of_pods):
            return MetricError(f"no metrics returned for {query.name}")
        if query.type in ("Pods", "Resource"):
            return PodMetrics(samples)
        if query.type == "External":
            return ExternalMetric(tuple(sample.value_milli for sample in samples.values()))
        return MetricError(f"{query.type} metrics are not collected, only Pods, External and Resource cpu")


def _sample(value: float, at_ns: int, window_ns: int | None) -> PodSample:
    """As the wire carries it: milli-units rounded up like a Quantity, time in whole seconds."""
    if window_ns is None:
        return PodSample(value_milli=math.ceil(value * 1000), at_ns=at_ns)
    return PodSample(value_milli=math.ceil(value * 1000), at_ns=at_ns, window_ns=window_ns)
