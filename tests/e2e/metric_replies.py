"""From a reply of the metrics APIs to what the HPA controller makes of it.

Source: pkg/controller/podautoscaler/metrics/client.go; the requests' paths: k8s.io/metrics pkg/client
(custom_metrics, external_metrics), v1.36.3.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from audit_log import unix_ns
from kube_api import Object
from recording_proxy import Reply

from policies.hpa.milli_value import milli
from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    MetricQuery,
    ObjectMetric,
    Observation,
    PodMetrics,
    PodSample,
)

DEFAULT_WINDOW_SECONDS = 60
_DURATION = {"h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}


def asks(query: MetricQuery, uri: str, *, pod_selector: str) -> bool:
    """Whether a request (path and query) is this query's. pod_selector: of the HPA's target."""
    url = urlsplit(uri)
    words = [unquote(word) for word in url.path.strip("/").split("/")]
    selector = parse_qs(url.query).get("labelSelector", [""])[0]
    own_selector = ",".join(f"{label}={value}" for label, value in query.selector)
    match words:
        case ["apis", "metrics.k8s.io", _, "namespaces", _, "pods"]:
            return query.type in {"Resource", "ContainerResource"} and selector == pod_selector
        case ["apis", "custom.metrics.k8s.io", _, "namespaces", _, "pods", "*", name]:
            return (query.type, query.name, pod_selector) == ("Pods", name, selector)
        case ["apis", "custom.metrics.k8s.io", _, "namespaces", _, _, described, name]:
            return (query.type, query.name) == ("Object", name) and query.object_name.endswith(f"/{described}")
        case ["apis", "external.metrics.k8s.io", _, "namespaces", _, name]:
            # the name travels as a resource, which client-go writes in lower case
            return (query.type, query.name.lower(), own_selector) == ("External", name, selector)
    return False


def observation(query: MetricQuery, reply: Reply) -> Observation:
    """What the controller sees."""
    if not 200 <= reply.status < 300 or not isinstance(reply.body, Mapping):
        return MetricError(f"{reply.status} {reply.body}")
    items = reply.body["items"]
    if query.type == "Object":
        return ObjectMetric(milli(items[0]["value"])) if len(items) == 1 else MetricError(f"{len(items)} results")
    if not items:
        return MetricError("no metrics returned")
    if query.type == "External":
        return ExternalMetric(tuple(milli(item["value"]) for item in items))
    if query.type == "Pods":
        return PodMetrics({item["describedObject"]["name"]: _custom_sample(item) for item in items})
    samples = {item["metadata"]["name"]: _resource_sample(query, item) for item in items}
    return PodMetrics({name: sample for name, sample in samples.items() if sample is not None})


def _custom_sample(item: Object) -> PodSample:
    window_seconds = item.get("windowSeconds")
    return PodSample(
        value_milli=milli(item["value"]),
        at_ns=unix_ns(item["timestamp"]),
        window_ns=(DEFAULT_WINDOW_SECONDS if window_seconds is None else window_seconds) * NS_PER_SECOND,
    )


def _resource_sample(query: MetricQuery, item: Object) -> PodSample | None:
    """The pod's containers together, or the one that is asked for; None where the resource is not known of each."""
    containers = [one for one in item["containers"] if query.container in ("", one["name"])]
    usage: list[Any] = [one["usage"].get(query.name) for one in containers]
    if not usage or None in usage:
        return None
    return PodSample(
        value_milli=sum(milli(one) for one in usage),
        at_ns=unix_ns(item["timestamp"]),
        window_ns=_duration_ns(item["window"]),
    )


def _duration_ns(text: str) -> int:
    """A duration of one unit, as in "30s"."""
    return int(text[:-1]) * _DURATION[text[-1]] // timedelta(microseconds=1) * 1000
