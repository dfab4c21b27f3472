"""The adapter's own metrics, in Prometheus base units."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector as RegistryCollector

_REQUEST_BUCKETS = (0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0)
"""Seconds. Answers come from memory; the long ones are those that asked the API server who the caller is."""


class RequestMetrics:
    """Requests counted by API and code. Plain numbers: this is on the path of every request."""

    __slots__ = ("_buckets", "_codes", "_seconds")

    def __init__(self) -> None:
        self._codes: dict[tuple[str, int], int] = {}
        self._buckets: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def observe(self, api: str, code: int, seconds: float) -> None:
        """Count one answer. api: custom, external, discovery, openapi, explain or other."""
        key = (api, code)
        self._codes[key] = self._codes.get(key, 0) + 1
        buckets = self._buckets.get(api)
        if buckets is None:
            buckets = self._buckets[api] = [0] * (len(_REQUEST_BUCKETS) + 1)
        place = 0
        for bound in _REQUEST_BUCKETS:
            if seconds <= bound:
                break
            place += 1
        buckets[place] += 1
        self._seconds[api] = self._seconds.get(api, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """As families for a registry."""
        requests = CounterMetricFamily("leadtime_adapter_requests", "HTTP requests answered.", labels=["api", "code"])
        for (api, code), count in self._codes.items():
            requests.add_metric([api, str(code)], count)
        yield requests
        seconds = HistogramMetricFamily(
            "leadtime_adapter_request_duration_seconds", "Time to answer an HTTP request.", labels=["api"]
        )
        for api, counts in self._buckets.items():
            total, pairs = 0, []
            for bound, count in zip([*map(str, _REQUEST_BUCKETS), "+Inf"], counts, strict=True):
                total += count
                pairs.append((bound, total))
            seconds.add_metric([api], pairs, self._seconds[api])
        yield seconds


@dataclass(frozen=True, slots=True)
class Family:
    """One family of gauges or counters, read when the page is asked for.

    read: label values -> number.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[], Mapping[Any, float]]
    counter: bool = False


class AdapterMetrics(RegistryCollector):
    """The page: requests, and whatever families the adapter's parts offer."""

    def __init__(self) -> None:
        self.requests = RequestMetrics()
        self._families: list[Family] = []
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def add(self, *families: Family) -> None:
        """Show these too."""
        self._families += families

    def collect(self) -> Iterator[Metric]:
        yield from self.requests.collect()
        for one in self._families:
            kind = CounterMetricFamily if one.counter else GaugeMetricFamily
            family = kind(one.name, one.help, labels=one.labels)
            for values, number in one.read().items():
                family.add_metric(values, number)
            yield family

    def page(self) -> bytes:
        """The page in the text format."""
        return generate_latest(self._registry)
