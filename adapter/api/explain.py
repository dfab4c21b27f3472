"""Why a metric has the values it has, or none: the rule, its sources, every series asked for.

Answered in place of the values where the request says `?explain=true`, so that the API server has already
decided who may ask.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from adapter.api.custom_metrics import not_found as custom_not_found
from adapter.api.custom_metrics import object_selector, series_of_objects
from adapter.api.custom_metrics import when_stale as when_stale_of
from adapter.api.external_metrics import check_tenancy, selected
from adapter.api.external_metrics import not_found as external_not_found
from adapter.api.query import CustomQuery, ExternalQuery
from adapter.api.selector import Selector
from adapter.api.served import NO_RULE, Served
from adapter.api.status import StatusError
from adapter.api.timestamp import timestamp
from adapter.api.values import NONE_SELECTED
from adapter.freshness import judge
from adapter.names.resolve import Resolved
from adapter.names.selectors import MetricSelector
from adapter.names.view import labels
from adapter.sources.derive.describe import describe
from adapter.sources.rule import Rule, WhenStale
from adapter.sources.series import NS_PER_SECOND, PodKey, Series
from adapter.store import Table

PODS_LIMIT = 50
"""Pods without series shown at most."""
SAMPLES_LIMIT = 200
"""Series shown at most; the count says how many there are."""


def explain(
    served: Served,
    query: CustomQuery | ExternalQuery,
    now_ns: int,
    *,
    sources: Callable[[Rule], list[dict[str, object]]],
    pages: Callable[[Sequence[PodKey]], list[dict[str, object]]] = lambda _: [],
) -> dict[str, object]:
    """A MetricExplanation. sources: what is known of each source that may serve the rule. pages: what is known of
    pods' metrics pages.

    Raises StatusError as the values' own request would for an unknown name, a selector or a namespace.
    """
    if isinstance(query, ExternalQuery):
        asked = served.resolve(query.metric, query.label_selector, api="external", now_ns=now_ns)
        not_found = external_not_found(query)
    else:
        asked = served.resolve(query.metric, query.metric_label_selector, api="custom", now_ns=now_ns)
        not_found = custom_not_found(query)
    if asked is None:
        raise StatusError("NotFound", f"{not_found}: {NO_RULE}")
    resolved, chosen = asked
    rule = resolved.rule
    table = served.store.table(rule.name)
    found = list(_selected(served, query, resolved, chosen, table)) if table is not None else []
    when_stale = rule.when_stale_summed if isinstance(query, ExternalQuery) else when_stale_of(query, rule)
    problem = "" if table is not None else served.why_empty(rule)[0]
    if table is not None and not found:
        problem = NONE_SELECTED
    return {
        "kind": "MetricExplanation",
        "apiVersion": "adapter.leadtime.dev/v1alpha1",
        "metric": query.metric,
        "namespace": query.namespace,
        "rule": {
            "name": rule.name,
            "definedAt": rule.defined_at,
            "value": describe(rule.value),
            "unit": rule.unit,
            "reducer": rule.reducer,
            "across": rule.across,
            "maxAgeSeconds": table.max_age_ns / NS_PER_SECOND if table is not None else rule.max_age_seconds,
            "whenStale": when_stale.policy,
            "whileLoading": rule.while_loading,
        },
        "source": table.source if table is not None else None,
        "sources": sources(rule),
        "problem": problem,
        "series": len(found),
        "samples": [_row(served, resolved, table, one, when_stale, now_ns) for one in found[:SAMPLES_LIMIT]]
        if table is not None
        else [],
        "podsWithoutSeries": pages(_without_series(served, query, table)),
    }


def _without_series(served: Served, query: CustomQuery | ExternalQuery, table: Table | None) -> list[PodKey]:
    """Pods of the namespace that the request asks for and that have no series. Without a selector on pods: those of
    the workloads that have some, or of all where none has."""
    if not query.namespace or (isinstance(query, CustomQuery) and query.resource != "pods"):
        return []
    have = table.by_pod(query.namespace) if table is not None else {}
    there = served.store.pods.in_namespace(query.namespace)
    if isinstance(query, CustomQuery) and query.name != "*":
        names = [query.name] if query.name in there else []
    elif isinstance(query, CustomQuery) and query.label_selector:
        objects = object_selector(query)
        names = [name for name, pod in there.items() if objects.matches(pod.labels)]
    else:
        owners = {there[name].owners for name in have if name in there}
        names = [name for name, pod in there.items() if not have or pod.owners in owners]
    return [PodKey(query.namespace, name) for name in sorted(names) if name not in have][:PODS_LIMIT]


def _selected(
    served: Served, query: CustomQuery | ExternalQuery, resolved: Resolved, chosen: MetricSelector, table: Table
) -> Iterator[Series]:
    """The series that the values' own request would read, and no others: the same rights have been asked for.

    Beside them those of the namespace's pods that have ended.
    """
    if isinstance(query, ExternalQuery):
        check_tenancy(served, query, resolved.rule, chosen.selector)
        yield from (one for one, _, _ in selected(served, query, resolved, table, chosen.selector))
        return
    objects = object_selector(query)
    if query.resource == "pods":
        candidates: Iterable[Series] = _of_pods(served, query, table, objects)
    else:
        groups = series_of_objects(served, query, resolved, table, objects)
        candidates = {id(one): one for group in groups.values() for one in group}.values()  # of several Services once
    for one in candidates:
        if chosen.selector.matches(labels(resolved.view, one, served.store.pod(one.pod), served.place)):
            yield one


def _of_pods(served: Served, query: CustomQuery, table: Table, objects: Selector) -> Iterator[Series]:
    for name, series in table.by_pod(query.namespace).items():
        pod = served.store.pod(PodKey(query.namespace, name))
        if query.name in ("*", name) and (pod is None or query.name != "*" or objects.matches(pod.labels)):
            yield from series


def _row(
    served: Served, resolved: Resolved, table: Table, one: Series, when_stale: WhenStale, now_ns: int
) -> dict[str, object]:
    pod = served.store.pod(one.pod)
    gone = one.pod is not None and pod is None
    judged = judge(one, table, when_stale, pod, now_ns)
    return {
        "pod": one.pod.name if one.pod is not None else None,
        "value": one.value,
        "timestamp": timestamp(one.at_ns),
        "ageSeconds": round((now_ns - one.at_ns) / NS_PER_SECOND, 1),
        "windowSeconds": one.window_seconds,
        "state": "gone" if gone else judged.state,
        "why": "its pod does not exist any more" if gone else judged.why,
        "labels": dict(labels(resolved.view, one, pod, served.place)),
    }
