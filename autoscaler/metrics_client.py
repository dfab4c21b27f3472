"""Reads the three metrics APIs as the HPA's own REST client does.

Source of paths and of what counts as an error: kubernetes pkg/controller/podautoscaler/metrics/client.go and
k8s.io/metrics pkg/client/custom_metrics/versioned_client.go, v1.36.3.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from adapter.sources.kubernetes.api import ApiError, ApiReader, Json
from policies.errors import BadInput
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

_RESOURCE = "/apis/metrics.k8s.io/v1beta1"
_CUSTOM = "/apis/custom.metrics.k8s.io/v1beta2"
_EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
_OBJECTS = {
    "Deployment": "deployments.apps",
    "HTTPRoute": "httproutes.gateway.networking.k8s.io",
    "InferencePool": "inferencepools.inference.networking.k8s.io",
    "Ingress": "ingresses.networking.k8s.io",
    "Pod": "pods",
    "Service": "services",
    "StatefulSet": "statefulsets.apps",
}
"""Kind of a described object -> its resource: a query says no apiVersion to look others up by."""
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(h|ms|m|s|us|µs|ns)")
_UNIT_NS = {"h": 3_600e9, "m": 60e9, "s": 1e9, "ms": 1e6, "us": 1e3, "µs": 1e3, "ns": 1.0}


class MetricsClient:
    """The metrics APIs of one API server, or of a metrics adapter directly.

    api: its owner closes it. timeout_seconds: of one request.
    """

    def __init__(self, api: ApiReader, *, timeout_seconds: float = 10.0) -> None:
        self._api = api
        self._timeout_seconds = timeout_seconds

    async def observe(self, namespace: str, query: MetricQuery, pod_selector: str = "") -> Observation:
        """One query's answer. Whatever goes wrong is a MetricError with the reason, never an empty value.

        pod_selector: of the target's pods, as its scale's status.selector has it; "" for all of the namespace.
        """
        found = _request(namespace, query, pod_selector)
        if isinstance(found, MetricError):
            return found
        path, parameters, read = found
        try:
            body = await self._api.get(path, parameters, timeout_seconds=self._timeout_seconds)
            items = body["items"]
            if not items:
                return MetricError(f"no metrics returned for {query.name}")
            return read(items)
        except ApiError as error:
            return MetricError(str(error))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return MetricError(f"GET {path}: {error!r}")


_Read = Callable[[Sequence[Json]], Observation]


def _request(
    namespace: str, query: MetricQuery, pod_selector: str
) -> tuple[str, Mapping[str, str], _Read] | MetricError:
    """What to ask, and how to read the items of the answer."""
    name = quote(query.name, safe="")
    of_pods = {"labelSelector": pod_selector} if pod_selector else {}
    metric_labels = ",".join(f"{label}={value}" for label, value in query.selector)
    of_metric = {"metricLabelSelector": metric_labels} if metric_labels else {}
    match query.type:
        case "Resource" | "ContainerResource":
            path = f"{_RESOURCE}/namespaces/{namespace}/pods"
            return path, of_pods, lambda items: _usage(items, query.name, query.container)
        case "Pods":
            path = f"{_CUSTOM}/namespaces/{namespace}/pods/*/{name}"
            return path, {**of_pods, **of_metric}, _pods
        case "Object":
            kind, _, object_name = query.object_name.partition("/")
            if kind == "Namespace":
                return f"{_CUSTOM}/namespaces/{namespace}/metrics/{name}", of_metric, _object
            if kind not in _OBJECTS:
                known = ", ".join(sorted([*_OBJECTS, "Namespace"]))
                return MetricError(f"describedObject.kind: was {kind!r}, must be one of {known}; use another metric")
            path = f"{_CUSTOM}/namespaces/{namespace}/{_OBJECTS[kind]}/{quote(object_name, safe='')}/{name}"
            return path, of_metric, _object
        case "External":
            # client-go lower-cases an External metric's name because it travels as a resource
            path = f"{_EXTERNAL}/namespaces/{namespace}/{name.lower()}"
            return path, {"labelSelector": metric_labels} if metric_labels else {}, _external


def quantity_milli(text: str) -> int:
    """A Kubernetes Quantity in milli-units, rounded up like MilliValue. Raises ValueError."""
    try:
        return milli(text)
    except BadInput as error:
        raise ValueError(f"quantity: {error}") from None


def _pods(items: Sequence[Json]) -> PodMetrics:
    return PodMetrics({item["describedObject"]["name"]: _pod_sample(item) for item in items})


def _object(items: Sequence[Json]) -> ObjectMetric:
    if len(items) != 1:
        raise ValueError(f"{len(items)} results, must be exactly one")
    return ObjectMetric(quantity_milli(items[0]["value"]))


def _external(items: Sequence[Json]) -> ExternalMetric:
    return ExternalMetric(tuple(quantity_milli(item["value"]) for item in items))


def _usage(items: Sequence[Json], resource: str, container: str) -> PodMetrics:
    """Of a container, or of all of a pod's together; a pod of which one of these is not known is left out."""
    samples: dict[str, PodSample] = {}
    for item in items:
        containers = [each for each in item.get("containers") or () if container in ("", each["name"])]
        usages = [(each.get("usage") or {}).get(resource) for each in containers]
        if not usages or None in usages:
            continue
        samples[item["metadata"]["name"]] = PodSample(
            value_milli=sum(quantity_milli(usage) for usage in usages if usage is not None),
            at_ns=_instant_ns(item["timestamp"]),
            window_ns=_duration_ns(item["window"]),
        )
    return PodMetrics(samples)


def _pod_sample(item: dict[str, Any]) -> PodSample:
    window_seconds = item.get("windowSeconds")
    return PodSample(
        value_milli=quantity_milli(item["value"]),
        at_ns=_instant_ns(item["timestamp"]),
        window_ns=(60 if window_seconds is None else window_seconds) * NS_PER_SECOND,
    )


def _instant_ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * NS_PER_SECOND


def _duration_ns(text: str) -> int:
    """A Go duration: `15.014s`, `1m30s`. Raises ValueError."""
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"window: was {text!r}, must be a duration such as 15s")
    return round(sum(float(number) * _UNIT_NS[unit] for number, unit in parts))
