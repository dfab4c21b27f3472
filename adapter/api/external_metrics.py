"""external.metrics.k8s.io: one value per series that a namespace may read, which the HPA adds up.

Source: metrics pkg/apis/external_metrics/v1beta1/types.go; the message is the Stackdriver adapter's.
"""

from collections.abc import Iterable, Iterator, Mapping

from adapter.api.groups import EXTERNAL_GROUP
from adapter.api.quantity import NoQuantity, quantity
from adapter.api.query import ExternalQuery
from adapter.api.selector import Selector
from adapter.api.served import NO_RULE, Answer, Served
from adapter.api.status import StatusError
from adapter.api.timestamp import timestamp
from adapter.api.values import Absences, NoValue, Value, earliest, value_of_pod
from adapter.names.resolve import Resolved
from adapter.names.view import NAMESPACE_KEYS, answered, labels
from adapter.sources.pods import PodInfo
from adapter.sources.rule import Rule
from adapter.sources.series import Series
from adapter.store import Table, namespace_of


def external_metrics(served: Served, query: ExternalQuery, now_ns: int) -> Answer:
    """An ExternalMetricValueList with one item per series that has a value at now_ns, or one for all of them
    where the selector names a reducer.

    Raises StatusError: NotFound where no series has a value or one that has none would be missing in the sum,
    Forbidden where the selector asks for a namespace that this one may not read.
    """
    asked = served.resolve(query.metric, query.label_selector, api="external", now_ns=now_ns)
    if asked is None:
        raise StatusError("NotFound", f"{not_found(query)}: {NO_RULE}")
    resolved, chosen = asked
    check_tenancy(served, query, resolved.rule, chosen.selector)
    table = served.table(resolved.rule, not_found(query))
    when_stale = table.rule.when_stale_summed
    absences = Absences(when_stale, not_found(query), served.source_fault(table))
    found: list[tuple[Mapping[str, str], Value]] = []
    for one, pod, seen in selected(served, query, resolved, table, chosen.selector):
        value = value_of_pod([one], table, when_stale, pod, now_ns)
        if isinstance(value, NoValue):
            absences.add(one.pod.name if one.pod is not None else "", value)
        else:
            found.append((seen, value))
    until_ns = min(earliest(value for _, value in found), absences.until_ns)
    if chosen.reduce is not None and found:
        values = [value for _, value in found]
        reduced = chosen.reduce([one.value for one in values])
        found = [({}, Value(reduced, min(one.at_ns for one in values), values[0].window_seconds, until_ns))]
    items: list[dict[str, object]] = []
    for seen, value in found:
        try:
            items.append(_item(query.metric, answered(resolved.view, seen), value))
        except NoQuantity as error:
            absences.add(seen.get("pod") or seen.get("metric.labels.pod", ""), NoValue("missing", str(error)))
    absences.check(found=bool(items))
    body = {
        "kind": "ExternalMetricValueList",
        "apiVersion": f"{EXTERNAL_GROUP}/{query.version}",
        "metadata": {},
        "items": items,
    }
    return Answer(body, until_ns, table)


def not_found(query: ExternalQuery) -> str:
    """The API's message for a metric that is not there."""
    return f"the server could not find the metric {query.metric} for provided labels"


def check_tenancy(served: Served, query: ExternalQuery, rule: Rule, selector: Selector) -> None:
    """Raise Forbidden where the selector names a namespace that the asking one may not read.

    Whether that namespace has such series is not told.
    """
    readable = served.readable(query.namespace, rule)
    if "*" in readable:
        return
    for requirement in selector.requirements:
        if requirement.key in NAMESPACE_KEYS and requirement.operator in ("Equals", "In"):
            for namespace in requirement.values:
                if namespace not in readable:
                    raise StatusError(
                        "Forbidden",
                        f"namespace {query.namespace!r} may not read series of namespace {namespace!r} "
                        f"({requirement.key}); allow it by visibleTo of the rule or tenancy.crossNamespace",
                    )


def selected(
    served: Served, query: ExternalQuery, resolved: Resolved, table: Table, selector: Selector
) -> Iterator[tuple[Series, PodInfo | None, Mapping[str, str]]]:
    """The series asked for, each with its pod and with its labels as the metric's name shows them."""
    readable = served.readable(query.namespace, resolved.rule)
    names = sorted(table.namespaces()) if "*" in readable else sorted(readable)
    for namespace in names:
        for one in _candidates(served, resolved, table, namespace, selector):
            pod = served.store.pod(one.pod)
            if one.pod is not None and pod is None:
                continue  # it ended
            seen = labels(resolved.view, one, pod, served.place)
            if selector.matches(seen):
                yield one, pod, seen


def _candidates(
    served: Served, resolved: Resolved, table: Table, namespace: str, selector: Selector
) -> Iterable[Series]:
    """The namespace's series that the selector may match, by pod name; found by its first equality, if any.

    The index of one label is made once for a table and a set of pods: each of thousands of HPAs asks for its own
    few series among thousands.
    """
    equality = next((one for one in selector.requirements if one.operator in ("Equals", "In")), None)
    key = (resolved.view, namespace, equality.key if equality is not None else None)
    index = table.remembered(key, served.store.pods)
    if index is None:
        series = table.in_namespace(namespace)
        made: dict[str, list[Series]] = {}
        for one in sorted(series, key=_by_pod_name):
            value = ""
            if equality is not None:
                seen = labels(resolved.view, one, served.store.pod(one.pod), served.place)
                value = seen.get(equality.key, "")
            made.setdefault(value, []).append(one)
        table.remember(key, served.store.pods, made, size=len(series))
        index = made
    for value in sorted(equality.values) if equality is not None else ("",):
        yield from index.get(value, ())


def _by_pod_name(series: Series) -> str:
    return series.pod.name if series.pod is not None else namespace_of(series)


def _item(metric: str, seen: Mapping[str, str], value: Value) -> dict[str, object]:
    """One ExternalMetricValue."""
    return {
        "metricName": metric,
        "metricLabels": dict(seen),
        "timestamp": timestamp(value.at_ns),
        "window": value.window_seconds,
        "value": quantity(value.value),
    }
