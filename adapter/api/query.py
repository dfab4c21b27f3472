"""What a request asks for, from its path and parameters.

Source of the paths: custom-metrics-apiserver pkg/apiserver/installer/{cm,em}handlers.go.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapter.api.groups import EXTERNAL_GROUP, VERSIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomQuery:
    """Values that describe objects. namespace: "" for objects of the cluster. name: an object's, or "*" for all
    that label_selector matches. Selectors are texts: which keys they may have depends on the metric's name."""

    version: str
    namespace: str
    resource: str
    name: str
    metric: str
    label_selector: str = ""
    metric_label_selector: str = ""
    explain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalQuery:
    """Values of series. namespace: the one that asks."""

    version: str
    namespace: str
    metric: str
    label_selector: str = ""
    explain: bool = False


def parse_query(segments: Sequence[str], parameters: Mapping[str, str]) -> CustomQuery | ExternalQuery | None:
    """The query of a path below /apis/{group}/{version}; None where the path has none of the shapes.

    segments: the path's, percent-decoded, from "apis" on.
    """
    if len(segments) < 6 or segments[0] != "apis" or segments[2] not in VERSIONS.get(segments[1], ()):
        return None
    _, group, version, *rest = segments
    if not all(rest):
        return None
    labels = parameters.get("labelSelector", "")
    explain = parameters.get("explain", "") in ("true", "1")
    if group == EXTERNAL_GROUP:
        match rest:
            case ["namespaces", namespace, metric]:
                return ExternalQuery(
                    version=version, namespace=namespace, metric=metric, label_selector=labels, explain=explain
                )
        return None
    match rest:
        case ["namespaces", namespace, "metrics", metric]:
            where = ("", "namespaces", namespace, metric)
        case ["namespaces", namespace, resource, name, metric]:
            where = (namespace, resource, name, metric)
        case [resource, name, metric]:
            where = ("", resource, name, metric)
        case _:
            return None
    namespace, resource, name, metric = where
    return CustomQuery(
        version=version,
        namespace=namespace,
        resource=resource,
        name=name,
        metric=metric,
        label_selector=labels,
        metric_label_selector=parameters.get("metricLabelSelector", ""),
        explain=explain,
    )
