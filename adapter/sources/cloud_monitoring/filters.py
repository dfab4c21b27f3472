"""A rule as what Cloud Monitoring is asked: metric types, filters, and the aggregation where a reducer is given.

Facts: cloud.google.com/monitoring/api/v3/filters; the Stackdriver adapter's translator/query_builder.go and
utils/filter_builder.go; managed Prometheus' names `prometheus.googleapis.com/<series>/<kind>`.

Without a reducer, raw points are asked for. The Stackdriver adapter has gauges aligned (ALIGN_NEXT_OLDER over 300 s),
which moves a sample of five minutes ago to the end of the window, and so to now. Raw points keep their own times.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from adapter.sources.rule import CloudQuery, Latest, Quantile, Rate, Ratio, Rule, Share, Total

PROMETHEUS = "prometheus.googleapis.com/"
ALIGNMENT_SECONDS = 60
"""Of counters under a reducer; the Stackdriver adapter's, and the API's least."""

Field = Literal["value", "count", "sum", "buckets"]
"""Which part of a point is meant: a number itself, or of a distribution its count, sum or bucket counts."""

_SUFFIXES: dict[str, tuple[str, ...]] = {
    "gauge": ("gauge", "unknown"),
    "counter": ("counter", "unknown:counter"),
    "untyped": ("unknown", "gauge"),
    "histogram": ("histogram",),
}
"""Kinds under which managed Prometheus may have stored a series, the likeliest first: an exporter without TYPE lines,
or a relabelled name, becomes unknown, and is stored as a gauge and as a counter."""

_RESOURCE_OF = (
    (PROMETHEUS, "prometheus_target"),
    ("kubernetes.io/container/", "k8s_container"),
    ("kubernetes.io/pod/", "k8s_pod"),
    ("kubernetes.io/node/", "k8s_node"),
)
_NAMESPACE_LABELS = {
    "prometheus_target": "namespace",
    "k8s_container": "namespace_name",
    "k8s_pod": "namespace_name",
}
_PROJECT = re.compile(r'resource\.labels?\.project_id\s*=\s*"?([a-z0-9][a-z0-9.:-]*)"?')


@dataclass(frozen=True, slots=True)
class Series:
    """One name of one series: its metric types, of which the first that has data counts. field: of its points."""

    metric_types: tuple[str, ...]
    field: Field = "value"


@dataclass(frozen=True, slots=True)
class Operand:
    """What a value is made of: a series under its names, the current one first."""

    names: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class Aggregation:
    """The API's; kept in its own words. period_seconds: alignmentPeriod."""

    per_series_aligner: str
    cross_series_reducer: str
    period_seconds: int
    group_by_fields: tuple[str, ...] = ()


def operands_of(rule: Rule) -> tuple[Operand, ...]:
    """The rule's parts, each a query of its own; () for a rule that names nothing."""
    if rule.cloud is not None:
        buckets: Field = "buckets" if isinstance(rule.value, Quantile | Share) else "value"
        return (Operand((Series((rule.cloud.metric_type,), buckets),)),)
    match rule.value:
        case Latest(series) | Rate(series):
            return (_operand(series, rule.kind),) if series else ()
        case Ratio(numerator, denominator):
            kind = rule.kind if rule.kind == "histogram" else "counter"
            return _operand(numerator, kind), _operand(denominator, kind)
        case Quantile(histogram) | Share(histogram):
            return (Operand(tuple(Series((f"{PROMETHEUS}{name}/histogram",), "buckets") for name in histogram)),)
        case Total(parts):
            return tuple(_operand(part, rule.kind) for part in parts)


def filter_of(metric_type: str, cloud: CloudQuery | None, *, cluster: str, location: str) -> str:
    """The monitoring filter for all pods of the cluster.

    Series of Kubernetes are narrowed to the cluster, unless the rule's own filter speaks of one.
    """
    own = cloud.filter if cloud is not None else ""
    resource = (cloud.resource_type if cloud is not None else "") or _resource_type(metric_type)
    terms = [f"metric.type = {quoted(metric_type)}"]
    if resource:
        terms.append(f"resource.type = {quoted(resource)}")
    label = {"prometheus_target": "cluster"}.get(resource, "cluster_name" if resource.startswith("k8s_") else "")
    if label and not re.search(r"resource\.labels?\.(cluster|cluster_name|location)\b", own):
        terms.append(f"resource.labels.{label} = {quoted(cluster)}")
        terms.append(f"resource.labels.location = {quoted(location)}")
    return " AND ".join([*terms, *([f"({own})"] if " OR " in own else [own] if own else [])])


def project_of(cloud: CloudQuery | None, default: str) -> str:
    """The project to ask: the rule's filter names another by `resource.labels.project_id = "..."`."""
    named = _PROJECT.search(cloud.filter) if cloud is not None else None
    return default if named is None else named[1]


def aggregation_of(rule: Rule, *, metric_kind: str, value_type: str, window_seconds: int) -> Aggregation:
    """The aggregation for a rule with a reducer, as the Stackdriver adapter has it.

    Of a rule that other namespaces may not read, each namespace's series are reduced on their own: of several
    together the result would be no namespace's, and everybody's to read.
    metric_kind: GAUGE, DELTA or CUMULATIVE. value_type: INT64, DOUBLE, DISTRIBUTION, ...
    """
    cloud = rule.cloud
    reducer = cloud.reducer if cloud is not None else ""
    resource = (cloud.resource_type or _resource_type(cloud.metric_type)) if cloud is not None else ""
    label = _NAMESPACE_LABELS.get(resource) if not rule.visible_to else None
    groups = (f"resource.label.{label}",) if label is not None else ()
    if metric_kind == "GAUGE":
        return Aggregation("ALIGN_NEXT_OLDER", reducer, window_seconds, groups)
    aligner = "ALIGN_DELTA" if value_type == "DISTRIBUTION" else "ALIGN_RATE"
    return Aggregation(aligner, reducer, ALIGNMENT_SECONDS, groups)


def is_reduced(cloud: CloudQuery | None) -> bool:
    """Whether the API combines the series."""
    return cloud is not None and cloud.reducer not in ("", "REDUCE_NONE")


def quoted(value: str) -> str:
    r"""A filter's string literal: `\` and `"` escaped, control characters as \u."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c >= " " else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _operand(names: Sequence[str], kind: str) -> Operand:
    return Operand(tuple(_series(name, kind) for name in names))


def _series(name: str, kind: str) -> Series:
    if kind == "histogram":  # managed Prometheus stores one distribution for a histogram's buckets, sum and count
        for suffix, field in _PARTS.items():
            if name.endswith(suffix):
                return Series((f"{PROMETHEUS}{name.removesuffix(suffix)}/histogram",), field)
    return Series(tuple(f"{PROMETHEUS}{name}/{suffix}" for suffix in _SUFFIXES[kind]))


_PARTS: dict[str, Field] = {"_count": "count", "_sum": "sum"}


def _resource_type(metric_type: str) -> str:
    return next((resource for prefix, resource in _RESOURCE_OF if metric_type.startswith(prefix)), "")
