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

import numpy as np

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
from simulations.derived import AGGREGATES, MISSED, OF_ANY_SERVER, DerivedSeries, Missed, cpu_cores
from simulations.exporter import GPU_UTILIZATION, POD_SERIES, GpuSampler
from simulations.fleet import Fleet
from simulations.lead_time import generator
from simulations.rule_values import RuleValues, rule_over
from simulations.scenario import MetricFaults
from simulations.server_kind import BatchedModel, ServerKind
from simulations.server_pages import ServerPages, pod_series

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
    """Whether the simulator has the series of vLLM at all, so that an answer without it means something."""
    name = series_name(query.name)
    if query.type == "Resource":
        return name == "cpu"
    if query.type == "Pods":
        return name in POD_SERIES
    return query.type == "External" and (name in POD_SERIES or name in AGGREGATES or name in MISSED)


def is_answered(query: MetricQuery, kind: ServerKind) -> bool:
    """Whether the pipeline has an answer for it over servers of that kind, by the adapter's rules too."""
    name, series = series_name(query.name), pod_series(kind)
    if query.type == "Resource":
        return name == "cpu"
    is_of_pods = name in series or rule_over(name, series) is not None
    return (query.type in ("Pods", "External") and is_of_pods) or (
        query.type == "External" and name in aggregated_series(kind)
    )


def aggregated_series(kind: ServerKind) -> frozenset[str]:
    """Series of the workload as a whole."""
    return OF_ANY_SERVER if isinstance(kind, BatchedModel) else AGGREGATES | MISSED.keys()


def target_of(query: MetricQuery) -> float:
    """Seconds, of a query for one of MISSED."""
    return float(dict(query.selector)["le"])


def _key(query: MetricQuery) -> str:
    """The series behind a query, with the one label that tells two of a name apart."""
    name = series_name(query.name)
    return Missed(name, target_of(query)).series if name in MISSED else name


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scrape:
    """What one round of scrapes found. at_ns: its whole second. window_ns: since the round before.

    series: name -> pod -> value; the workload's own under the pod "". lost, lost_gpus: pods whose server, or the
    exporter of whose GPU, did not answer.
    """

    readable_seconds: float
    at_ns: int
    window_ns: int
    series: dict[str, dict[str, float]]
    lost: frozenset[str]
    lost_gpus: frozenset[str]


Page = dict[str, float]
"""Series -> value."""


class _Exporters:
    """What is received of pages: some not at all, some as they were at the scrape before."""

    def __init__(self, faults: MetricFaults, chance: np.random.Generator) -> None:
        self._faults = faults
        self._chance = chance
        self._before: dict[str, Page] = {}

    def received(self, pages: dict[str, Page]) -> tuple[dict[str, Page], frozenset[str]]:
        """Pod -> page, and the pods of which nothing was received. An exporter that repeats itself goes on doing so
        from what it said."""
        lost, stale = self._faults.loss_probability, self._faults.stale_probability
        if not (lost or stale):
            return pages, frozenset()
        shown, received = {}, {}
        for pod, page in pages.items():
            loses, repeats = self._chance.random(2)
            shown[pod] = self._before.get(pod, page) if repeats < stale else page
            if loses >= lost:
                received[pod] = shown[pod]
        self._before = shown
        return received, frozenset(shown.keys() - received.keys())


class MetricPipeline:
    """Scrapes a fleet, and answers a policy's queries from what can be read.

    Series per pod, and the adapter's rules over them, answer types Pods and External; the aggregated ones of `derived`
    answer External; `cpu` answers Resource. queries: those that will be asked; what none of them needs is not computed.
    """

    def __init__(self, fleet: Fleet, queries: Iterable[MetricQuery]) -> None:
        self._fleet = fleet
        self._faults = fleet.scenario.metrics
        self._servers = _Exporters(self._faults, generator(fleet.scenario.seed, "metric faults"))
        self._gpu_exporters = _Exporters(self._faults, generator(fleet.scenario.seed, "GPU metric faults"))
        self._gpus = GpuSampler()
        queries = tuple(queries)
        self._wanted = {series_name(query.name) for query in queries}
        missed = {Missed(name, target_of(query)) for query in queries if (name := series_name(query.name)) in MISSED}
        self._derived = DerivedSeries(AGGREGATES & self._wanted, missed)
        self._series = pod_series(fleet.scenario.server)
        self._pages = ServerPages(fleet)
        rules = {name: rule_over(name, self._series) for name in self._wanted - self._series - AGGREGATES}
        self._rules = RuleValues({name: rule for name, rule in rules.items() if rule is not None})
        self._reads_pages = bool(self._wanted & self._series - {GPU_UTILIZATION}) or any(rules.values())
        self._reads_gpus = bool(self._wanted & {GPU_UTILIZATION, "cpu"})
        self._aggregates = (AGGREGATES & self._wanted) | {one.series for one in missed}
        self._travelling: deque[_Scrape] = deque()
        self._samples: dict[str, dict[str, PodSample]] = {}
        self._scraped_ns: int | None = None

    def scrape(self) -> None:
        """Read every page that answers now."""
        fleet = self._fleet
        pages, lost = self._servers.received(self._read_pages())
        gpus, lost_gpus = self._gpu_exporters.received(self._read_gpus())
        series: dict[str, dict[str, float]] = {}
        for name in self._wanted & self._series:
            series[name] = {pod: page[name] for pod, page in pages.items() if name in page}
        series |= self._rules.scrape(pages, fleet.now_ns)
        if self._reads_gpus:
            series[GPU_UTILIZATION] = {pod: page[GPU_UTILIZATION] for pod, page in gpus.items()}
            series["cpu"] = cpu_cores(series[GPU_UTILIZATION])
        if self._aggregates:
            series |= {name: {"": value} for name, value in self._derived.scrape(fleet, pages).items()}
        self._travelling.append(
            _Scrape(
                readable_seconds=fleet.now_seconds + self._faults.delay_seconds,
                at_ns=fleet.now_ns // NS_PER_SECOND * NS_PER_SECOND,
                window_ns=_FIRST_WINDOW_NS if self._scraped_ns is None else fleet.now_ns - self._scraped_ns,
                series=series,
                lost=lost,
                lost_gpus=lost_gpus,
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
        return self._pages.read() if self._aggregates or self._reads_pages else {}

    def _read_gpus(self) -> dict[str, dict[str, float]]:
        """The same of the exporters of the GPUs."""
        if not self._reads_gpus:
            return {}
        self._gpus.sample(self._fleet)
        return {name: {GPU_UTILIZATION: float(value)} for name, value in self._gpus.percent().items()}

    def _read(self, scrape: _Scrape) -> None:
        """Let a scrape's values be seen. Of pods that did not answer, what was seen before stays."""
        window_ns = {"cpu": scrape.window_ns}
        for name, values in scrape.series.items():
            old = self._samples.get(name, {})
            lost = scrape.lost_gpus if name in (GPU_UTILIZATION, "cpu") else scrape.lost
            kept = {pod: old[pod] for pod in lost if pod in old}
            self._samples[name] = kept | {
                pod: _sample(value, scrape.at_ns, window_ns.get(name)) for pod, value in values.items()
            }
        for name in self._samples.keys() & self._aggregates - scrape.series.keys():
            del self._samples[name]  # a series without a value is absent

    def _observe(self, query: MetricQuery) -> Observation:
        """One answer. Selectors choose the workload, and here there is one: they all match."""
        oldest_ns = self._fleet.now_ns - round(self._faults.max_age_seconds * NS_PER_SECOND)
        name = _key(query)
        samples = {pod: sample for pod, sample in self._samples.get(name, {}).items() if sample.at_ns >= oldest_ns}
        of_pods = name not in self._aggregates and (name == "cpu") == (query.type == "Resource")
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
