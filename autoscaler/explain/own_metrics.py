"""What the controller tells of itself and of each object on /metrics, in Prometheus base units.

One series per object and family, gone with the object. leadtime_needed_replicas is what mode Metric publishes; it bears
the time of its decision, so that no reader takes it for younger than it is.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from autoscaler.act.published import LABELS, METRIC_NAME, PublishedNeeds
from autoscaler.cluster import Key
from autoscaler.explain.conditions import conditions, is_well
from autoscaler.outcome import Finding, Outcome
from policies.predictive.band import LOWER, MEDIAN, UPPER
from policies.snapshot import NS_PER_SECOND

_PREFIX = "leadtime_controller_"
_BUCKETS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""A step without a write takes milliseconds, one with a write what the API server takes, up to the step's timeout."""

_Read = Callable[[Outcome], float | None]


class ControllerMetrics(Collector):
    """published: mode Metric's values. may_write: whether this replica leads. now_ns: of a scrape."""

    def __init__(self, published: PublishedNeeds, may_write: Callable[[], bool], now_ns: Callable[[], int]) -> None:
        self._published = published
        self._may_write = may_write
        self._now_ns = now_ns
        self._last: dict[Key, Outcome] = {}
        self._decided_ns: dict[Key, int] = {}
        self._conditions: dict[Key, tuple[Finding, ...]] = {}
        self._errors: Counter[str] = Counter()
        self._decisions: Counter[str] = Counter()
        self._writes: Counter[tuple[str, str]] = Counter()
        self._step_counts = [0] * (len(_BUCKETS_SECONDS) + 1)
        self._step_seconds = 0.0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def step(self, outcome: Outcome) -> None:
        """One step of one object has ended."""
        self._last[outcome.key] = outcome
        self._conditions[outcome.key] = conditions(outcome)
        self._step_counts[bisect_left(_BUCKETS_SECONDS, outcome.seconds)] += 1
        self._step_seconds += outcome.seconds
        if outcome.decision is not None:
            self._decisions[outcome.decision.reason] += 1
            self._decided_ns[outcome.key] = outcome.at_ns

    def error(self, reason: str) -> None:
        """A step or a report failed. reason: CamelCase, one of few (`Timeout`, `FailedGetScale`, `Forbidden`)."""
        self._errors[reason] += 1

    def write(self, kind: str, outcome: str) -> None:
        """A request that changes something was sent; act.writer.Writer's `count`."""
        self._writes[(kind, outcome)] += 1

    def forget(self, key: Key) -> None:
        """The object is gone, and its series with it."""
        self._last.pop(key, None)
        self._decided_ns.pop(key, None)
        self._conditions.pop(key, None)

    def page(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self._registry) + "".join(self._of_objects()).encode()

    def collect(self) -> Iterator[Metric]:
        """What the library writes; the series of objects are added in `page`."""
        yield from self._of_controller()
        needed = GaugeMetricFamily(
            METRIC_NAME, "Replicas that a workload needs, for its HPA (mode Metric).", labels=LABELS
        )
        for key, value in self._published.shown(self._now_ns()):
            needed.add_metric([key.namespace, key.name], value.replicas, timestamp=value.at_ns / NS_PER_SECOND)
        yield needed

    def _of_controller(self) -> Iterator[Metric]:
        total, pairs = 0, []
        for bound, count in zip([*map(str, _BUCKETS_SECONDS), "+Inf"], self._step_counts, strict=True):
            total += count
            pairs.append((bound, total))
        duration = HistogramMetricFamily(f"{_PREFIX}reconcile_duration_seconds", "How long one object's step took.")
        duration.add_metric([], pairs, self._step_seconds)
        yield duration
        yield _counter("reconcile_errors", "Steps and reports that failed, by reason.", ["reason"], self._errors)
        yield _counter("decisions", "Decisions by reason.", ["reason"], self._decisions)
        yield _counter("api_writes", "Requests that change something, by kind.", ["kind", "outcome"], self._writes)
        yield GaugeMetricFamily(f"{_PREFIX}leader", "1 on the replica that may write.", value=float(self._may_write()))
        yield GaugeMetricFamily(
            f"{_PREFIX}predictiveautoscalers", "Objects that are decided about.", value=len(self._last)
        )

    def _of_objects(self) -> Iterator[str]:
        """Lines of text, made here: 31 ms for 1,000 objects, on the event loop, where the library takes 340; forecasts
        add 5."""
        labelled = [(_labels(key), outcome) for key, outcome in self._last.items()]
        for name, text, read in _FAMILIES:
            yield f"# HELP {_PREFIX}{name} {text}\n# TYPE {_PREFIX}{name} gauge\n"
            for labels, outcome in labelled:
                if (value := read(outcome)) is not None:
                    yield f"{_PREFIX}{name}{{{labels}}} {float(value)!r}\n"
        name = f"{_PREFIX}forecast_requests_per_second"
        yield f"# HELP {name} Requests that will arrive one lead time ahead, by probability.\n# TYPE {name} gauge\n"
        for labels, outcome in labelled:
            if (ahead := outcome.forecast) is not None:
                yield f'{name}{{{labels},quantile="{LOWER}"}} {ahead.lower_requests_per_second!r}\n'
                yield f'{name}{{{labels},quantile="{MEDIAN}"}} {ahead.median_requests_per_second!r}\n'
                yield f'{name}{{{labels},quantile="{UPPER}"}} {ahead.upper_requests_per_second!r}\n'
        name = f"{_PREFIX}last_decision_timestamp_seconds"
        yield f"# HELP {name} When it was last decided, also while steps decide nothing.\n# TYPE {name} gauge\n"
        for key, at_ns in self._decided_ns.items():
            yield f"{name}{{{_labels(key)}}} {at_ns / NS_PER_SECOND!r}\n"
        name = f"{_PREFIX}condition_ok"
        yield f"# HELP {name} 1 where a condition is as it should be.\n# TYPE {name} gauge\n"
        for labels, outcome in labelled:
            for finding in self._conditions[outcome.key]:
                told = f'{labels},condition="{finding.type}",reason="{_escaped(finding.reason)}"'
                yield f"{name}{{{told}}} {float(is_well(finding))!r}\n"


def _labels(key: Key) -> str:
    return f'{LABELS[0]}="{_escaped(key.namespace)}",{LABELS[1]}="{_escaped(key.name)}"'


def _escaped(value: str) -> str:
    """prometheus/docs, exposition_formats.md."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(name: str) -> _Read:
    return lambda outcome: None if outcome.decision is None else outcome.decision.numbers.get(name)


def _desired(outcome: Outcome) -> float | None:
    return None if outcome.decision is None else outcome.decision.desired_replicas


_FAMILIES: tuple[tuple[str, str, _Read], ...] = (
    ("desired_replicas", "Replicas that are wanted, behavior and bounds applied.", _desired),
    ("wanted_replicas", "Replicas that are wanted before bounds and behavior.", _number("wanted_replicas")),
    (
        "replicas",
        "Replicas that the workload is asked to have.",
        lambda o: None if o.replicas is None else o.replicas.asked,
    ),
    ("ready_replicas", "Pods that serve.", lambda o: None if o.replicas is None else o.replicas.ready),
    ("starting_replicas", "Pods that do not serve yet.", lambda o: None if o.replicas is None else o.replicas.starting),
    ("demand_requests_per_second", "Requests that arrive.", _number("demand_requests_per_second")),
    ("demand_known", "1 while demand is measured, 0 while a fallback is in force.", _number("known")),
    ("capacity_requests_per_second", "What one replica holds within the SLO.", _number("capacity_requests_per_second")),
    ("lead_time_seconds", "From asking for a replica to serving with it.", _number("lead_time_seconds")),
    ("paused", "1 while nothing is written.", lambda o: float(o.paused)),
)


def _counter(name: str, text: str, labels: list[str], counts: Mapping[Any, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{_PREFIX}{name}", text, labels=labels)
    for values, count in counts.items():
        family.add_metric([values] if isinstance(values, str) else list(values), count)
    return family
