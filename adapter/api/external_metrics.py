"""external.metrics.k8s.io: one value per series of a namespace's pods, which the HPA adds up.

Source: metrics pkg/apis/external_metrics/v1beta1/types.go; the message is the Stackdriver adapter's.
"""

from adapter.api.discovery import EXTERNAL_GROUP
from adapter.api.quantity import NoQuantity, quantity
from adapter.api.selector import Selector
from adapter.api.status import StatusError
from adapter.api.timestamp import timestamp
from adapter.sources.catalogue import find_any_case
from adapter.store import Store


def external_metric_value_list(
    store: Store, *, namespace: str, metric: str, selector: Selector, now_ns: int
) -> dict[str, object]:
    """An ExternalMetricValueList with one item per series that has a value at now_ns, by pod name.

    metric: in any letter case. selector: on the series' labels, among them the pod's own, `pod` and
    `namespace`. Raises StatusError NotFound where no series has a value.
    """
    name = find_any_case(metric)
    by_pod = store.by_pod(namespace, name.current) if name is not None else {}
    items: list[dict[str, object]] = []
    missing: list[str] = []
    for pod, series in sorted(by_pod.items()):
        for one in series:
            if not selector.matches(one.labels):
                continue
            why = store.why_missing([one], now_ns)
            if why is None and one.value is not None:
                try:
                    value = quantity(one.value)
                except NoQuantity as error:
                    why = str(error)
                else:
                    items.append(_item(metric, dict(one.labels), one.at_ns, value))
            if why is not None:
                missing.append(f"{pod}: {why}")
    if not items:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        why = f": {missing[0]}{more}" if missing else ""
        raise StatusError("NotFound", f"the server could not find the metric {metric} for provided labels{why}")
    return {
        "kind": "ExternalMetricValueList",
        "apiVersion": f"{EXTERNAL_GROUP}/v1beta1",
        "metadata": {},
        "items": items,
    }


def _item(metric: str, labels: dict[str, str], at_ns: int, value: str) -> dict[str, object]:
    """One ExternalMetricValue. The window is 0: an instantaneous value, not a rate."""
    return {
        "metricName": metric,
        "metricLabels": labels,
        "timestamp": timestamp(at_ns),
        "window": 0,
        "value": value,
    }
