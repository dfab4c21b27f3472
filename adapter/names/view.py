"""How a series' labels look under a name: as Prometheus shows them, or as Cloud Monitoring does.

Labels of monitored resources: Google Cloud "Monitored resource types" (prometheus_target, k8s_container, k8s_pod,
k8s_node). Which of them the Stackdriver adapter shows and selects by: its pkg/adapter/translator/query_builder.go.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from adapter.sources.pods import PodInfo
from adapter.sources.series import NO_LABELS, Series

ResourceType = Literal["", "prometheus_target", "k8s_container", "k8s_pod", "k8s_node"]


@dataclass(frozen=True, slots=True)
class View:
    """How to show labels.

    resource_type: the monitored resource under which a series is shown that does not bring one of its own; "" where
        none can be worked out. Without meaning in the plain view.
    """

    kind: Literal["plain", "stackdriver"] = "plain"
    resource_type: ResourceType = ""


PLAIN = View()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the cluster is, as Cloud Monitoring names it; "" for what is not known, which is then not shown."""

    project: str = ""
    location: str = ""
    cluster: str = ""


NOWHERE = Place()

NAMESPACE_KEYS = frozenset({"namespace", "resource.labels.namespace", "resource.labels.namespace_name"})
"""Keys that name a pod's namespace, in one view or another."""

_KINDS = MappingProxyType(
    {
        "deployments.apps": "Deployment",
        "statefulsets.apps": "StatefulSet",
        "daemonsets.apps": "DaemonSet",
        "replicasets.apps": "ReplicaSet",
        "jobs.batch": "Job",
        "cronjobs.batch": "CronJob",
        "leaderworkersets.leaderworkerset.x-k8s.io": "LeaderWorkerSet",
    }
)


def labels(view: View, series: Series, pod: PodInfo | None, place: Place = NOWHERE) -> Mapping[str, str]:
    """Every label of a series by which it can be selected under a name. pod: what is known of series.pod."""
    return _plain(series, pod) if view.kind == "plain" else _stackdriver(view, series, pod, place)


def answered(view: View, shown: Mapping[str, str]) -> Mapping[str, str]:
    """Of a view's labels those that an answer carries: the Stackdriver adapter leaves metadata out."""
    if view.kind == "plain":
        return shown
    return {key: value for key, value in shown.items() if not key.startswith("metadata.")}


def _plain(series: Series, pod: PodInfo | None) -> Mapping[str, str]:
    """The exporter's labels under the pod's, which win; the exporter's moves to `exported_<label>`.

    The rule is Prometheus' for `honor_labels: false`. A series of no pod shows its monitored resource's labels too.
    """
    if series.pod is None:
        resource = dict(series.resource_labels)
        if kind := resource.pop("type", ""):
            resource["resource_type"] = kind
        return {**resource, **series.labels}
    own = pod.labels if pod is not None else NO_LABELS
    over = {**own, "namespace": series.pod.namespace, "pod": series.pod.name}
    moved = {f"exported_{key}" if key in over else key: value for key, value in series.labels.items()}
    return {**moved, **over}


def _stackdriver(view: View, series: Series, pod: PodInfo | None, place: Place) -> Mapping[str, str]:
    if series.resource_labels:
        resource, metric = dict(series.resource_labels), dict(series.labels)
    else:
        resource, metric = _RESOURCES[view.resource_type](series, pod, place)
    kind = resource.pop("type", view.resource_type)
    if kind == "prometheus_target" and series.pod is not None:
        metric["pod"] = series.pod.name  # by it the Stackdriver adapter tells whose a series is
    shown = {f"metric.labels.{key}": value for key, value in metric.items()}
    shown |= {f"resource.labels.{key}": value for key, value in resource.items() if value}
    if kind:
        shown["resource.type"] = kind
    return {**shown, **_metadata(pod)} if pod is not None else shown


def _metadata(pod: PodInfo) -> Mapping[str, str]:
    """A pod's own labels, and of the system's those that are known: the node and the topmost controller."""
    shown = {f"metadata.user_labels.{key}": value for key, value in pod.labels.items()}
    if pod.node:
        shown["metadata.system_labels.node_name"] = pod.node
    if pod.owners:
        resource, name = pod.owners[-1]
        shown["metadata.system_labels.top_level_controller_name"] = name
        if kind := _KINDS.get(resource):
            shown["metadata.system_labels.top_level_controller_type"] = kind
    return shown


_Split = tuple[dict[str, str], dict[str, str]]
"""A monitored resource's labels, and the metric's."""


def _prometheus_target(series: Series, _: PodInfo | None, place: Place) -> _Split:
    """job and instance are the resource's; a page that was scraped directly has neither, and none is made up."""
    metric = dict(series.labels)
    resource = {
        "project_id": place.project,
        "location": place.location,
        "cluster": place.cluster,
        "namespace": series.pod.namespace if series.pod is not None else "",
        "job": metric.pop("job", ""),
        "instance": metric.pop("instance", ""),
    }
    return resource, metric


def _k8s_pod(series: Series, _: PodInfo | None, place: Place) -> _Split:
    resource = {
        "project_id": place.project,
        "location": place.location,
        "cluster_name": place.cluster,
        "namespace_name": series.pod.namespace if series.pod is not None else "",
        "pod_name": series.pod.name if series.pod is not None else "",
    }
    return resource, dict(series.labels)


def _k8s_container(series: Series, pod: PodInfo | None, place: Place) -> _Split:
    """The container is the workload's: behind Prometheus DCGM's `container` is `exported_container`."""
    resource, metric = _k8s_pod(series, pod, place)
    own = metric.pop("container", "")
    return resource | {"container_name": metric.pop("exported_container", "") or own}, metric


def _k8s_node(series: Series, pod: PodInfo | None, place: Place) -> _Split:
    resource = {
        "project_id": place.project,
        "location": place.location,
        "cluster_name": place.cluster,
        "node_name": pod.node if pod is not None else "",
    }
    return resource, dict(series.labels)


def _nothing(series: Series, _: PodInfo | None, __: Place) -> _Split:
    return {}, dict(series.labels)


_RESOURCES: Mapping[ResourceType, Callable[[Series, PodInfo | None, Place], _Split]] = {
    "prometheus_target": _prometheus_target,
    "k8s_container": _k8s_container,
    "k8s_pod": _k8s_pod,
    "k8s_node": _k8s_node,
    "": _nothing,
}
