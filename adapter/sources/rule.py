"""A rule: one metric that is served, what it is made of, and how far it may be trusted."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Reducer = Literal["sum", "mean", "max", "min"]
SourceKind = Literal["scrape", "prometheus", "cloudMonitoring"]


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest sample of a series. series: the exporter's names for it, the current one first."""

    series: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rate:
    """A counter's increase per second over the last window_seconds, resets bridged, in the counter's unit / s."""

    series: tuple[str, ...]
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """Increase of one counter per increase of another over the window: for example queue time per request.

    idle: the value where the denominator did not increase; None for none. A number lets an idle pod count as such,
    but so does one that is stuck: give it only where another metric of the HPA tells the two apart.
    """

    numerator: tuple[str, ...]
    denominator: tuple[str, ...]
    window_seconds: int
    idle: float | None = None


@dataclass(frozen=True, slots=True)
class Quantile:
    """A quantile (0..1) of a histogram's observations within the window, interpolated as PromQL's
    histogram_quantile does. histogram: its names without `_bucket`, the current one first."""

    histogram: tuple[str, ...]
    quantile: float
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Share:
    """The share (0..1) of a histogram's observations within the window that lie above a bound, interpolated as PromQL's
    histogram_fraction does. histogram: its names without `_bucket`, the current one first. above: 0 or more, in the
    unit of an observation."""

    histogram: tuple[str, ...]
    above: float
    window_seconds: int


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of the newest samples of several series of the same pod; without one of them there is no value.

    parts: for each series, its names, the current one first.
    """

    parts: tuple[tuple[str, ...], ...]


Value: TypeAlias = Latest | Rate | Ratio | Quantile | Share | Total


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudQuery:
    """How Cloud Monitoring is asked. metric_type: `prometheus.googleapis.com/vllm:num_requests_waiting/gauge`.

    filter: further terms of a monitoring filter, joined by AND; "" for none. reducer: REDUCE_* or "".
    resource_type: of the monitored resource, "" for any.
    """

    metric_type: str
    filter: str = ""
    reducer: str = ""
    resource_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenStale:
    """What is answered for a series beyond its max age, or without a value.

    omit: it is left out; where nothing is left, 404.
    hold: the last value stays, at its true timestamp, for hold_seconds beyond max age; then as notFound.
    notFound: one such series makes the whole answer 404. unavailable: the same as 503.
    """

    policy: Literal["omit", "hold", "notFound", "unavailable"] = "omit"
    hold_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLabel:
    """Series' label whose value names an object: the series describes that object.

    resource: plural with its group, `inferencepools.inference.networking.k8s.io`, `nodes`.
    namespaced: whether the object lives in the series' namespace.
    """

    resource: str
    label: str
    namespaced: bool = True
    kind: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One served metric.

    name: canonical, spelled as the exporter does where it is the exporter's own series.
    aliases: other names of the same value (older spellings, plain aliases such as `vllm_queue_size`).
    kind: the Prometheus type of its (first) series, which GMP puts into a Stackdriver name.
    unit: as on the wire; percent stays percent.
    reducer: several series of one pod -> the pod's value. across: pods of one Deployment, Service,
        namespace or node -> the object's value.
    max_age_seconds: a sample older than this is stale.
    when_stale: for metrics of type Pods, where the HPA itself counts a pod without a value with caution.
        when_stale_summed: for External and Object metrics, whose values are added up: a sum without a pod's
        part is too low and would scale down, so that by default none is told.
    while_loading: pods that are not Ready are left out ("omit") or shown ("report").
    objects: further objects that its series describe. visible_to: namespaces that may read its series as
        External metrics beside their own; "*" for all.
    sources: names of sources in order of priority; () for all that are configured, in their order.
    prometheus_query: PromQL in place of what the value's shape gives. cloud: the same for Cloud Monitoring.
    defined_at: "built-in", or "FILE:LINE".
    """

    name: str
    aliases: tuple[str, ...] = ()
    value: Value
    kind: Literal["gauge", "counter", "histogram", "untyped"] = "gauge"
    unit: str = ""
    system: str = ""
    reducer: Reducer = "sum"
    across: Reducer = "sum"
    max_age_seconds: float = 60.0
    when_stale: WhenStale = WhenStale()
    when_stale_summed: WhenStale = WhenStale(policy="notFound")
    while_loading: Literal["omit", "report"] = "omit"
    objects: tuple[ObjectLabel, ...] = ()
    visible_to: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    prometheus_query: str = ""
    cloud: CloudQuery | None = None
    defined_at: str = "built-in"


def series_names(value: Value) -> tuple[str, ...]:
    """Every name, old or new, of a line that the value is made of: buckets with their `_bucket`."""
    match value:
        case Latest(series) | Rate(series):
            return series
        case Ratio(numerator, denominator):
            return numerator + denominator
        case Quantile(histogram) | Share(histogram):
            return tuple(f"{name}_bucket" for name in histogram)
        case Total(parts):
            return tuple(name for part in parts for name in part)


def reduce(reducer: Reducer, values: Sequence[float]) -> float:
    """One value from one or more."""
    match reducer:
        case "sum":
            return sum(values)
        case "mean":
            return sum(values) / len(values)
        case "max":
            return max(values)
        case "min":
            return min(values)
