"""custom.metrics.k8s.io: one value per pod.

Source: metrics pkg/apis/custom_metrics/{v1beta1,v1beta2}/types.go, custom-metrics-apiserver
pkg/provider/errors.go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from adapter.api.discovery import CUSTOM_GROUP
from adapter.api.quantity import NoQuantity, quantity
from adapter.api.selector import Selector
from adapter.api.status import StatusError
from adapter.api.timestamp import timestamp
from adapter.sources.attribution import Series
from adapter.sources.catalogue import Metric, combine, find
from adapter.sources.targets import PodKey
from adapter.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class PodQuery:
    """One request. name: a pod's, or "*" for all that pod_selector matches.

    metric_selector: on the series' own labels; what it leaves out does not count towards the pod's value.
    """

    namespace: str
    name: str
    metric: str
    pod_selector: Selector
    metric_selector: Selector


def metric_value_list(store: Store, query: PodQuery, *, version: str, now_ns: int) -> dict[str, object]:
    """A MetricValueList with one item per pod that has a value at now_ns, by pod name.

    Raises StatusError NotFound where no pod has one: the HPA takes an empty list for an error anyway, and
    this one says why.
    """
    name = find(query.metric)
    if name is None:
        raise _not_found(query, "")
    items: list[dict[str, object]] = []
    missing: list[str] = []
    for pod, series in _selected(store, query, name.current):
        why = store.why_missing(series, now_ns)
        if why is None:
            try:
                items.append(_item(query, pod, series, name.metric, version))
            except NoQuantity as error:
                why = str(error)
        if why is not None:
            missing.append(f"{pod}: {why}" if query.name == "*" else why)
    if not items:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise _not_found(query, f": {missing[0]}{more}" if missing else "")
    return {
        "kind": "MetricValueList",
        "apiVersion": f"{CUSTOM_GROUP}/{version}",
        "metadata": {},
        "items": items,
    }


def _selected(store: Store, query: PodQuery, current: str) -> list[tuple[str, Sequence[Series]]]:
    """The pods asked for and those of their series that the metric selector matches."""
    found: list[tuple[str, Sequence[Series]]] = []
    for pod, series in sorted(store.by_pod(query.namespace, current).items()):
        if query.name == "*":
            wanted = query.pod_selector.matches(store.pod_labels(PodKey(query.namespace, pod)))
        else:
            wanted = pod == query.name
        chosen = [one for one in series if query.metric_selector.matches(one.labels)]
        if wanted and chosen:
            found.append((pod, chosen))
    return found


def _item(query: PodQuery, pod: str, series: Sequence[Series], metric: Metric, version: str) -> dict[str, object]:
    """One MetricValue, as old as its oldest series. The window is 0: the value is no rate."""
    described = {"kind": "Pod", "namespace": query.namespace, "name": pod, "apiVersion": "/v1"}
    selector = query.metric_selector.as_label_selector()
    at = timestamp(min(one.at_ns for one in series))
    value = quantity(combine(metric, [one.value for one in series if one.value is not None]))
    if version == "v1beta1":
        return {
            "describedObject": described,
            "metricName": query.metric,
            "timestamp": at,
            "window": 0,
            "value": value,
            "selector": selector,
        }
    return {
        "describedObject": described,
        "metric": {"name": query.metric, "selector": selector},
        "timestamp": at,
        "windowSeconds": 0,
        "value": value,
    }


def _not_found(query: PodQuery, why: str) -> StatusError:
    named = "" if query.name == "*" else f" {query.name}"
    return StatusError("NotFound", f"the server could not find the metric {query.metric} for pods{named}{why}")
