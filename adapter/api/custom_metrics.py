"""custom.metrics.k8s.io: one value per object.

Source: metrics pkg/apis/custom_metrics/{v1beta1,v1beta2}/types.go, custom-metrics-apiserver
pkg/provider/errors.go.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adapter.api.groups import CUSTOM_GROUP
from adapter.api.objects import described, is_of_cluster, kind_of
from adapter.api.quantity import NoQuantity, quantity
from adapter.api.query import CustomQuery
from adapter.api.selector import BadSelector, Selector, parse_selector
from adapter.api.served import NO_RULE, Answer, Served
from adapter.api.status import StatusError
from adapter.api.timestamp import timestamp
from adapter.api.values import Absences, NoValue, Value, across, earliest, value_of_pod
from adapter.names.resolve import Resolved
from adapter.names.selectors import MetricSelector
from adapter.names.view import labels
from adapter.sources.pods import PodInfo
from adapter.sources.rule import Rule, WhenStale
from adapter.sources.series import PodKey, Series
from adapter.store import PodIndex, Table


def custom_metrics(served: Served, query: CustomQuery, now_ns: int) -> Answer:
    """A MetricValueList with one item per object that has a value at now_ns, by name.

    Raises StatusError: NotFound where none has one (the HPA takes an empty list for an error anyway, and this
    one says why), BadRequest for a selector, ServiceUnavailable where the sources or the rule's policy say so.
    """
    asked = served.resolve(query.metric, query.metric_label_selector, api="custom", now_ns=now_ns)
    if asked is None:
        raise StatusError("NotFound", f"{not_found(query)}: {NO_RULE}")
    resolved, chosen = asked
    objects = object_selector(query)
    table = served.table(resolved.rule, not_found(query))
    found: list[tuple[str, Value]] = []
    one = _Asked(served=served, query=query, resolved=resolved, chosen=chosen, table=table, now_ns=now_ns)
    absences = Absences(one.when_stale, not_found(query), served.source_fault(table))
    for name, value in _values(one, objects):
        if isinstance(value, NoValue):
            absences.add(name if query.name == "*" else "", value)
        else:
            found.append((name, value))
    items = [item for name, value in found if (item := _item(one, name, value, absences))]
    absences.check(found=bool(items), is_steady=any(value.is_steady(table, now_ns) for _, value in found))
    body = {
        "kind": "MetricValueList",
        "apiVersion": f"{CUSTOM_GROUP}/{query.version}",
        "metadata": {},
        "items": items,
    }
    return Answer(body, min(earliest(value for _, value in found), absences.until_ns), table)


def not_found(query: CustomQuery) -> str:
    """The API's message for a metric that is not there."""
    named = "" if query.name == "*" else f" {query.name}"
    return f"the server could not find the metric {query.metric} for {query.resource}{named}"


def object_selector(query: CustomQuery) -> Selector:
    """The selector on the objects' own labels. Raises StatusError BadRequest."""
    try:
        return parse_selector(query.label_selector)
    except BadSelector as error:
        raise StatusError("BadRequest", f"labelSelector: {error}") from error


def when_stale(query: CustomQuery, rule: Rule) -> WhenStale:
    """What is answered for a series without a value: the HPA itself takes care of pods, but adds up all else."""
    return rule.when_stale if query.resource == "pods" else rule.when_stale_summed


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One request, and what its values are made from."""

    served: Served
    query: CustomQuery
    resolved: Resolved
    chosen: MetricSelector
    table: Table
    now_ns: int

    @property
    def when_stale(self) -> WhenStale:
        return when_stale(self.query, self.table.rule)

    def matching(self, series: Sequence[Series]) -> Sequence[Series]:
        """Those that the metric's selector matches."""
        if not self.chosen.selector.requirements:
            return series
        view, served = self.resolved.view, self.served
        return [
            one
            for one in series
            if self.chosen.selector.matches(labels(view, one, served.store.pod(one.pod), served.place))
        ]

    def value_of_pod(self, series: Sequence[Series], pod: PodInfo | None) -> Value | NoValue:
        """A pod's value from its series (one or more), by the selector's reducer where it names one."""
        value = value_of_pod(series, self.table, self.when_stale, pod, self.now_ns)
        if self.chosen.reduce is None or isinstance(value, NoValue):
            return value
        parts = [one.value for one in series if one.value is not None]
        return Value(self.chosen.reduce(parts), value.at_ns, value.window_seconds, value.until_ns)


def _values(asked: _Asked, objects: Selector) -> Iterator[tuple[str, Value | NoValue]]:
    """Each object asked for that has series, and its value, by name."""
    query, table = asked.query, asked.table
    if query.resource == "pods" and query.namespace:
        by_pod = table.by_pod(query.namespace)
        for name, pod in _pods(asked.served.store.pods, query, objects):
            series = asked.matching(by_pod.get(name, ()))
            if series:
                yield name, asked.value_of_pod(series, pod)
        return
    groups = series_of_objects(asked.served, query, asked.resolved, table, objects)
    for name in sorted(groups):
        value = _of_object(asked, groups[name])
        if value is not None:
            yield name, value


def series_of_objects(
    served: Served, query: CustomQuery, resolved: Resolved, table: Table, objects: Selector
) -> Mapping[str, Sequence[Series]]:
    """Object name -> its series, of the objects asked for that are no pods.

    None for an object of the cluster that is asked for in a namespace, whose rights are no rights to it, and for one
    of a namespace that is asked for in none: objects of one name in several namespaces are not one object.
    Raises StatusError BadRequest for a selector.
    """
    if objects.requirements and query.name == "*":
        raise StatusError(
            "BadRequest",
            f"labelSelector: was {query.label_selector!r}, is supported for pods only, not for {query.resource}; "
            "name one object, or leave it out",
        )
    if is_of_cluster(resolved.rule, query.resource) == bool(query.namespace):
        return {}
    namespace = query.name if query.resource == "namespaces" and query.name != "*" else query.namespace

    def seen(one: Series) -> Mapping[str, str]:
        return labels(resolved.view, one, served.store.pod(one.pod), served.place)

    found = described(served.store, table, query.resource, namespace, seen)
    return found if query.name == "*" else {name: found[name] for name in (query.name,) if name in found}


def _pods(pods: PodIndex, query: CustomQuery, selector: Selector) -> list[tuple[str, PodInfo]]:
    """The namespace's pods that are asked for, by name."""
    there = pods.in_namespace(query.namespace)
    if query.name != "*":
        return [(query.name, there[query.name])] if query.name in there else []
    first = next((one for one in selector.requirements if one.operator in ("Equals", "In")), None)
    names = there if first is None else pods.labelled(query.namespace, first.key, first.values)
    return [(name, there[name]) for name in sorted(names) if selector.matches(there[name].labels)]


def _of_object(asked: _Asked, series: Sequence[Series]) -> Value | NoValue | None:
    """An object's value from its pods'. A pod whose value is unknown makes the object's unknown, unless the
    policy is to omit it; pods that load, or where nothing happened, are passed over."""
    by_pod: dict[PodKey | None, list[Series]] = {}
    for one in asked.matching(series):
        by_pod.setdefault(one.pod, []).append(one)
    values: list[Value] = []
    absent: list[NoValue] = []
    for key, parts in by_pod.items():
        value = asked.value_of_pod(parts, asked.served.store.pod(key))
        if isinstance(value, Value):
            values.append(value)
        elif value.is_fault and asked.when_stale.policy != "omit":
            return NoValue(value.state, f"{key.name}: {value.why}" if key is not None else value.why)
        else:
            absent.append(value)
    if values:
        return across(asked.table.rule.across, values, absent)
    return absent[0] if absent else None


def _item(asked: _Asked, name: str, value: Value, absences: Absences) -> dict[str, object] | None:
    """One MetricValue, as old as its oldest sample; None where the number has no quantity."""
    query = asked.query
    try:
        told = quantity(value.value)
    except NoQuantity as error:
        absences.add(name if query.name == "*" else "", NoValue("missing", str(error)))
        return None
    kind, version = kind_of(asked.resolved.rule, query.resource)
    described_object = {"kind": kind, "namespace": query.namespace, "name": name, "apiVersion": version}
    if not query.namespace:
        del described_object["namespace"]
    selector = asked.chosen.as_label_selector
    if query.version == "v1beta1":
        return {
            "describedObject": described_object,
            "metricName": query.metric,
            "timestamp": timestamp(value.at_ns),
            "window": value.window_seconds,
            "value": told,
            "selector": selector,
        }
    return {
        "describedObject": described_object,
        "metric": {"name": query.metric, "selector": selector},
        "timestamp": timestamp(value.at_ns),
        "windowSeconds": value.window_seconds,
        "value": told,
    }
