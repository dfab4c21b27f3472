"""What this server offers, in the discovery documents of a Kubernetes API.

The lists come from the catalogue: constant, and never empty, which the HPA's client would take for "no
such API". A request for aggregated discovery gets the plain list too, which makes the API server read the
documents below one by one. Source: apiserver pkg/endpoints/discovery, kube-aggregator
pkg/apiserver/handler_discovery.go.
"""

from adapter.sources.catalogue import SERIES_NAMES

CUSTOM_GROUP = "custom.metrics.k8s.io"
EXTERNAL_GROUP = "external.metrics.k8s.io"
VERSIONS = {CUSTOM_GROUP: ("v1beta2", "v1beta1"), EXTERNAL_GROUP: ("v1beta1",)}
"""Group -> its versions, the preferred one first."""


def group_list() -> dict[str, object]:
    """GET /apis"""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in VERSIONS]}


def group(name: str) -> dict[str, object]:
    """GET /apis/<group>, of a group in VERSIONS."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name)}


def resource_list(name: str, version: str) -> dict[str, object]:
    """GET /apis/<group>/<version>, of a version in VERSIONS."""
    if name == EXTERNAL_GROUP:
        resources = [_resource("externalmetrics", "ExternalMetricValueList")]
    else:
        resources = [_resource(f"pods/{series.name}", "MetricValueList") for series in SERIES_NAMES]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{name}/{version}",
        "resources": resources,
    }


def _group(name: str) -> dict[str, object]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in VERSIONS[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource(name: str, kind: str) -> dict[str, object]:
    return {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": ["get"]}
