"""Series of the Monitoring API as series of pods."""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeAlias

from adapter.sources.attribution import EXPORTER_NAMESPACES, may_speak_of
from adapter.sources.cloud_monitoring.client import check_limit
from adapter.sources.cloud_monitoring.filters import ALIGNMENT_SECONDS, is_reduced
from adapter.sources.cloud_monitoring.messages import CloudSeries
from adapter.sources.cloud_monitoring.points import increase_of, quantile_of, share_of
from adapter.sources.in_threads import unhurried
from adapter.sources.pods import Pods
from adapter.sources.rule import Latest, Quantile, Rate, Ratio, Rule, Share, Total, series_names
from adapter.sources.series import PodKey, Series
from adapter.sources.shared_gpus import why_not_attributable

_OF_TARGET = frozenset({"pod", "namespace"})
_OF_WORKLOAD = _OF_TARGET | {"exported_pod", "exported_namespace"}
_SERIES_AT_A_TIME = 50
"""Some 10 us each: half a millisecond."""
_DISTRIBUTION = "a distribution is no number: give a reducer such as REDUCE_PERCENTILE_95, or a quantile"

Operand: TypeAlias = Sequence[Sequence[CloudSeries]]
"""What was found for one part of a value: under each of its names, the current one first."""
_Labels: TypeAlias = tuple[PodKey | None, frozenset[tuple[str, str]]]


@dataclass(frozen=True, slots=True)
class Found:
    """notes: reason -> how many series were left out for it."""

    series: Sequence[Series]
    notes: Mapping[str, int] = field(default_factory=dict)


def series_of(
    rule: Rule,
    operands: Sequence[Operand],
    *,
    pods: Pods,
    now_ns: int,
    series_limit: int,
    exporter_namespaces: Collection[str] = EXPORTER_NAMESPACES,
) -> Found:
    """The rule's series: of pods that exist, or of no pod. operands: as the rule's value has them.

    Raises SourceUnavailable where there are more than series_limit. exporter_namespaces: whose pods are believed about
    those of other namespaces.
    """
    own = partial(pod_of, believed=exporter_namespaces)
    notes: Counter[str] = Counter()
    parts = [_by_labels(_preferred(operand, own), own, pods, notes, series_limit) for operand in operands]
    match rule.value:
        case Ratio() | Total():
            series = [
                _combined(rule.value, labels, parts, now_ns)
                for labels in unhurried(_all(parts), every=_SERIES_AT_A_TIME)
            ]
        case value:
            series = [
                _single(rule, value, labels, one, now_ns)
                for labels, one in unhurried(parts[0].items(), every=_SERIES_AT_A_TIME)
            ]
    name = next(iter(series_names(rule.value)), rule.name)
    shared = why_not_attributable([_with_pod(one) for one in series], name=name, pods=pods)
    return Found([_blanked(one, shared.get(index, "")) for index, one in enumerate(series)], notes)


def pod_of(series: CloudSeries, believed: Collection[str] = EXPORTER_NAMESPACES) -> PodKey | None:
    """The pod a series is about; None where it names none. believed: namespaces of exporters.

    Of managed Prometheus' series the metric labels name the pod (the Stackdriver adapter's filter_builder.go), and
    the workload wins over its exporter; of GKE's own the resource labels do.
    """
    labels, resource = series.metric_labels, series.resource_labels
    if series.resource_type in ("k8s_container", "k8s_pod"):
        namespace, name = resource.get("namespace_name", ""), resource.get("pod_name", "")
    elif series.resource_type == "prometheus_target":
        name, namespace = labels.get("pod", ""), resource.get("namespace", "")
        about = labels.get("exported_namespace") or namespace
        if labels.get("exported_pod") and may_speak_of(about, by=namespace, believed=believed):
            name, namespace = labels["exported_pod"], about
    else:
        return None
    return PodKey(namespace, name) if namespace and name else None


def _preferred(operand: Operand, owner: Callable[[CloudSeries], PodKey | None]) -> Iterable[CloudSeries]:
    """Of each pod the series under the first name that it has."""
    seen: set[PodKey | None] = set()
    for named in operand:
        yield from (one for one in named if (pod := owner(one)) is None or pod not in seen)
        seen |= {owner(one) for one in named}


def _by_labels(
    found: Iterable[CloudSeries],
    owner: Callable[[CloudSeries], PodKey | None],
    pods: Collection[PodKey],
    notes: Counter[str],
    series_limit: int,
) -> dict[_Labels, CloudSeries]:
    kept: dict[_Labels, CloudSeries] = {}
    for one in unhurried(found, every=_SERIES_AT_A_TIME):
        pod = owner(one)
        if (pod is not None and pod not in pods) or _is_idle_gpu(one):
            continue
        labels = _own_labels(one, pod)
        # Without a pod the resource tells series apart; with one, the container does.
        apart = one.resource_labels if pod is None else {"container": one.resource_labels.get("container_name", "")}
        key = (pod, frozenset([*labels.items(), *((f"resource.{name}", value) for name, value in apart.items())]))
        if key in kept:
            notes["duplicate"] += 1
        else:
            check_limit(len(kept) + 1, series_limit)  # under all its names together
            kept[key] = one
    return kept


def _own_labels(series: CloudSeries, pod: PodKey | None) -> Mapping[str, str]:
    """The metric's labels without those that repeat the pod; one that names another, which is not believed, stays."""
    labels = series.metric_labels
    if pod is None:
        return labels
    of_pod = _OF_WORKLOAD if labels.get("exported_pod", pod.name) in ("", pod.name) else _OF_TARGET
    return {key: value for key, value in labels.items() if key not in of_pod}


def _is_idle_gpu(series: CloudSeries) -> bool:
    """A GPU's series that names only its exporter: its target is known by the job or container that scrapes it."""
    labels = series.metric_labels
    if not labels.get("UUID") or labels.get("exported_pod") or not labels.get("pod"):
        return False
    return "dcgm-exporter" in labels["pod"] or "dcgm" in series.resource_labels.get("job", "")


def _single(
    rule: Rule, value: Latest | Rate | Quantile | Share, labels: _Labels, one: CloudSeries, now_ns: int
) -> Series:
    """A value made of one series."""
    window = 0 if isinstance(value, Latest) else value.window_seconds
    if is_reduced(rule.cloud):
        newest_value = one.points[0].values[0] if one.points else None
        at_ns = one.points[0].end_ns if one.points else now_ns
        return _series(labels, one, newest_value, min(at_ns, now_ns), window or ALIGNMENT_SECONDS, why="")
    if isinstance(value, Latest) and rule.cloud is not None and one.metric_kind in ("DELTA", "CUMULATIVE"):
        window = ALIGNMENT_SECONDS  # asked for by its type, a counter is its rate, as in the Stackdriver adapter
    if not one.points:
        why = _DISTRIBUTION if one.value_type == "DISTRIBUTION" else f"{one.value_type.lower()} values are no numbers"
        return _series(labels, one, None, now_ns, window, why)
    newest = one.points[0]
    if not window:
        return _series(labels, one, newest.values[0], min(newest.end_ns, now_ns), 0)
    increase = increase_of(one.points, metric_kind=one.metric_kind, window_seconds=window)
    at_ns = min(newest.end_ns, now_ns)
    if increase is None:
        return _series(labels, one, None, at_ns, window, f"needs two samples within {window} s", is_quiet=True)
    if isinstance(value, Quantile | Share):
        found = (
            quantile_of(value.quantile, one.bounds, increase)
            if isinstance(value, Quantile)
            else share_of(value.above, one.bounds, increase)
        )
        why = "" if found is not None else f"no observations in {window} s"
        return _series(labels, one, found, at_ns, window, why, is_quiet=found is None)
    return _series(labels, one, increase.values[0] / increase.seconds, at_ns, window)


def _combined(
    value: Ratio | Total, labels: _Labels, parts: Sequence[Mapping[_Labels, CloudSeries]], now_ns: int
) -> Series:
    """A value made of several series with equal labels."""
    there = [one for part in parts if (one := part.get(labels)) is not None and one.points]
    first = next(one for part in parts if (one := part.get(labels)) is not None)
    window = value.window_seconds if isinstance(value, Ratio) else 0
    at_ns = min([one.points[0].end_ns for one in there] + [now_ns])
    if len(there) < len(parts):
        return _series(labels, first, None, at_ns, window, "a part of it has no series with these labels")
    if isinstance(value, Total):
        return _series(labels, first, math.fsum(one.points[0].values[0] for one in there), at_ns, 0)
    above, below = (increase_of(one.points, metric_kind=one.metric_kind, window_seconds=window) for one in there)
    if above is None or below is None:
        return _series(labels, first, None, at_ns, window, f"needs two samples within {window} s", is_quiet=True)
    if below.values[0] <= 0:
        why = f"the denominator did not increase in {window} s" if value.idle is None else ""
        return _series(labels, first, value.idle, at_ns, window, why, is_quiet=value.idle is None)
    return _series(labels, first, above.values[0] / below.values[0], at_ns, window)


def _all(parts: Sequence[Mapping[_Labels, CloudSeries]]) -> Iterable[_Labels]:
    return dict.fromkeys(labels for part in parts for labels in part)


def _series(
    labels: _Labels,
    one: CloudSeries,
    value: float | None,
    at_ns: int,
    window_seconds: int,
    why: str = "",
    *,
    is_quiet: bool = False,
) -> Series:
    pod, _ = labels
    if value is not None and not math.isfinite(value):
        why = "NaN" if math.isnan(value) else f"{value:+}".replace("inf", "Inf")
        value = None
    own = _own_labels(one, pod)
    resource = {**one.resource_labels, "type": one.resource_type}
    return Series(own, value, at_ns, pod, window_seconds, resource, why=why, is_quiet=is_quiet)


def _with_pod(series: Series) -> Mapping[str, str]:
    pod = series.pod
    return series.labels if pod is None else {**series.labels, "namespace": pod.namespace, "pod": pod.name}


def _blanked(series: Series, why: str) -> Series:
    if not why:
        return series
    return replace(series, value=None, why=why, is_quiet=False)
