"""The adapter's own metrics, in Prometheus base units."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as RegistryCollector

from adapter.clock import Clock
from adapter.collector import Collection, Collector
from adapter.sources.targets import TargetsFile
from adapter.store import NS_PER_SECOND, Store

_REQUEST_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)  # seconds, from memory
_COLLECTION_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # seconds, over the network


class AdapterMetrics:
    """What was counted since the start, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "leadtime_adapter_requests", "HTTP requests answered.", ["code"], registry=self.registry
        )
        self._request_seconds = Histogram(
            "leadtime_adapter_request_duration_seconds",
            "Time to answer an HTTP request.",
            buckets=_REQUEST_BUCKETS,
            registry=self.registry,
        )
        self._collections = Counter("leadtime_adapter_collections", "Collections completed.", registry=self.registry)
        self._collection_seconds = Histogram(
            "leadtime_adapter_collection_duration_seconds",
            "Time to scrape every target once.",
            buckets=_COLLECTION_BUCKETS,
            registry=self.registry,
        )
        self._scrape_failures = Counter(
            "leadtime_adapter_scrape_failures",
            "Pages that could not be had or read.",
            ["reason"],
            registry=self.registry,
        )

    def observe_request(self, code: int, seconds: float) -> None:
        self._requests.labels(code=str(code)).inc()
        self._request_seconds.observe(seconds)

    def observe_collection(self, collection: Collection) -> None:
        self._collections.inc()
        self._collection_seconds.observe(collection.seconds)
        for reason, pages in collection.failures.items():
            self._scrape_failures.labels(reason=reason).inc(pages)

    def page(self) -> bytes:
        """The registry in the text format."""
        return generate_latest(self.registry)


class StateMetrics(RegistryCollector):
    """What the adapter holds at the moment of asking."""

    def __init__(self, *, store: Store, collector: Collector, targets_file: TargetsFile, clock: Clock) -> None:
        self._store = store
        self._collector = collector
        self._targets_file = targets_file
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("leadtime_adapter_series", "Series held.", value=self._store.series_count())
        oldest = GaugeMetricFamily(
            "leadtime_adapter_oldest_sample_age_seconds", "Age of the oldest sample held; absent without one."
        )
        at_ns = self._store.oldest_at_ns()
        if at_ns is not None:
            oldest.add_metric([], (self._clock.now_ns() - at_ns) / NS_PER_SECOND)
        yield oldest
        yield GaugeMetricFamily(
            "leadtime_adapter_targets_file_usable",
            "1 if the targets file is in use, 0 if the last good targets are.",
            value=float(self._targets_file.fault is None),
        )
        up = GaugeMetricFamily(
            "leadtime_adapter_target_up", "1 if the target's last scrape succeeded.", labels=["target"]
        )
        scrapes = CounterMetricFamily(
            "leadtime_adapter_target_scrapes", "Scrapes of the target.", labels=["target", "outcome"]
        )
        # A page may be listed for several pods; a series may appear once.
        for url, counts in {target.url: counts for target, counts in self._collector.counts.items()}.items():
            up.add_metric([url], float(counts.up))
            scrapes.add_metric([url, "success"], counts.successes)
            scrapes.add_metric([url, "failure"], counts.failures)
        yield up
        yield scrapes
