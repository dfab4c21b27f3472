"""PodMonitoring, ClusterPodMonitoring, PodMonitor and ServiceMonitor: which pages they ask to be scraped.

Sources: GoogleCloudPlatform/prometheus-engine pkg/operator/apis/monitoring/v1/{pod_types,pod_config}.go (v0.17);
prometheus-operator pkg/apis/monitoring/v1/{podmonitor,servicemonitor}_types.go. What they say of intervals, sample
limits and target labels is for a Prometheus; the adapter has its own settings for these.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import urlencode

from adapter.sources.kubernetes.api import Json
from adapter.sources.kubernetes.label_selector import LabelSelector, parse_selector

MonitorKind: TypeAlias = Literal["PodMonitoring", "ClusterPodMonitoring", "PodMonitor", "ServiceMonitor"]

PATHS: Mapping[MonitorKind, tuple[str, str]] = {  # kind -> (group and version, resource)
    "PodMonitoring": ("/apis/monitoring.googleapis.com/v1", "podmonitorings"),
    "ClusterPodMonitoring": ("/apis/monitoring.googleapis.com/v1", "clusterpodmonitorings"),
    "PodMonitor": ("/apis/monitoring.coreos.com/v1", "podmonitors"),
    "ServiceMonitor": ("/apis/monitoring.coreos.com/v1", "servicemonitors"),
}

_HONOURED = {"port", "portNumber", "targetPort", "path", "scheme", "params"}
_WITHOUT_EFFECT = {  # on where the page is and on what it says
    *("interval", "timeout", "scrapeTimeout", "honorLabels", "trackTimestampsStaleness"),
    *("enableHttp2", "followRedirects", "filterRunning"),
}
_NOT_APPLIED = {"metricRelabeling", "metricRelabelings", "relabelings"}
"""The page is scraped all the same; names and labels stay the exporter's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One page. port: a container port's name or number, or the name of a Service's port where of_service."""

    port: str | int
    of_service: bool = False
    path: str = "/metrics"
    scheme: Literal["http", "https"] = "http"
    query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitor:
    """What is kept of a monitor object.

    name: kind, namespace and name, as people would say it. own_namespace: where it is itself, "" for one of the
    cluster. namespaces: where it selects; None for all.
    selector: of pods, or of Services where selects_services.
    notes: what of it is not followed, and what that means.
    """

    name: str
    own_namespace: str
    selector: LabelSelector
    namespaces: frozenset[str] | None
    selects_services: bool = False
    endpoints: tuple[Endpoint, ...] = ()
    notes: tuple[str, ...] = ()


def prune_monitor(kind: MonitorKind, item: Json) -> Monitor:
    """What is kept of a monitor. Raises ValueError, KeyError, TypeError or AttributeError for one that is no such."""
    metadata, spec = item["metadata"], item.get("spec") or {}
    namespace = metadata.get("namespace", "")
    name = f"{kind} {namespace}/{metadata['name']}" if namespace else f"{kind} {metadata['name']}"
    entries = spec.get("podMetricsEndpoints" if kind == "PodMonitor" else "endpoints") or ()
    endpoints, notes = [], []
    for index, entry in enumerate(entries):
        where = f"{name}, endpoints[{index}]"
        faults = list(_faults(kind, entry))
        if faults:
            notes += [f"{where}: {fault}; this page is left out" for fault in faults]
        else:
            endpoints.append(_endpoint(kind, entry))
        ignored = sorted(_NOT_APPLIED & entry.keys()) + ["honorTimestamps"] * (entry.get("honorTimestamps") is False)
        notes += [f"{where}: {field} is not applied, the page counts as the exporter wrote it" for field in ignored]
    return Monitor(
        name=name,
        own_namespace=namespace,
        selector=parse_selector(spec.get("selector")),
        namespaces=_namespaces(kind, namespace, spec),
        selects_services=kind == "ServiceMonitor",
        endpoints=tuple(endpoints),
        notes=tuple(notes),
    )


def _namespaces(kind: MonitorKind, own: str, spec: Json) -> frozenset[str] | None:
    if kind == "ClusterPodMonitoring":
        return None
    if kind == "PodMonitoring":
        return frozenset([own])
    selector = spec.get("namespaceSelector") or {}
    return None if selector.get("any") else frozenset(selector.get("matchNames") or [own])


def _faults(kind: MonitorKind, entry: Mapping[str, Any]) -> Iterator[str]:
    """Why the page cannot be scraped as the entry asks: each field that is neither followed nor without effect."""
    known = _HONOURED | _WITHOUT_EFFECT | _NOT_APPLIED | {"honorTimestamps", "tls", "tlsConfig"}
    for field in sorted(entry.keys() - known):
        if entry[field]:
            yield f"{field} is not supported"
    for field in ("tls", "tlsConfig"):
        if any((entry.get(field) or {}).values()):  # insecureSkipVerify: false and {} say what is done anyway
            yield f"{field} is not supported"
    if str(entry.get("scheme") or "http").lower() not in ("http", "https"):
        yield f"scheme: was {entry['scheme']!r}, must be http or https"
    if not str(entry.get("path") or "/").startswith("/"):
        yield f"path: was {entry['path']!r}, must start with /"
    if _port(kind, entry) is None:
        yield "no port is named, pages are scraped at one named port"


def _endpoint(kind: MonitorKind, entry: Mapping[str, Any]) -> Endpoint:
    port = _port(kind, entry)
    assert port is not None
    return Endpoint(
        port=port,
        of_service=kind == "ServiceMonitor" and bool(entry.get("port")),
        path=entry.get("path") or "/metrics",
        scheme="https" if str(entry.get("scheme") or "").lower() == "https" else "http",
        query=urlencode(entry.get("params") or {}, doseq=True),
    )


def _port(kind: MonitorKind, entry: Mapping[str, Any]) -> str | int | None:
    """Which port: `port` before `portNumber` before `targetPort`; Google's kinds have `port` alone.

    A number need not be declared by a container: so in Google's kinds, and no harm in the others.
    """
    fields = ("port",) if kind.endswith("PodMonitoring") else ("port", "portNumber", "targetPort")
    for field in fields:
        if value := entry.get(field):
            return value if isinstance(value, int) else str(value)
    return None
