"""What this server offers, in the discovery documents of a Kubernetes API: built once, answered from memory.

The aggregation layer asks every minute for GET /apis, with Accept `application/json;g=apidiscovery.k8s.io;v=v2;
as=APIGroupDiscoveryList` (and v2beta1 from older ones) and the ETag of the last document. An answer of that type
is taken as all there is; any other answer but 503 makes it read GET /apis/<group>/<version> instead. It never asks
for /api, which is the legacy core group's: we have none. Availability is probed at /apis/<group>/<version>.
Source: kube-aggregator pkg/apiserver/handler_discovery.go, pkg/controllers/status/remote; apiserver
pkg/endpoints/discovery/{root,group,version}.go and discovery/aggregated/{etag,negotiation}.go.

A list of resources is never empty: client-go takes that for an error, and kubectl and helm print it at every call
("couldn't get resource list for ...: Got empty response": client-go#1223, keda#4224, k8s-stackdriver#523; its
discovery/cached/memory/memcache.go). So without a single metric, the custom group shows PLACEHOLDER, as the
external group always shows `externalmetrics`: a resource with the verb `get` only, which neither the garbage
collector nor namespace deletion touches, and of which every object is 404.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapter.api.groups import CUSTOM_GROUP, EXTERNAL_GROUP, VERSIONS
from adapter.api.negotiation import etag, is_current, parse_accept
from adapter.api.status import StatusError, status_response
from adapter.http_server.response import JSON, response

KINDS = {CUSTOM_GROUP: "MetricValueList", EXTERNAL_GROUP: "ExternalMetricValueList"}
PLACEHOLDER = "custommetrics"
_DISCOVERY_GROUP = "apidiscovery.k8s.io"
_AGGREGATED_VERSIONS = ("v2", "v2beta1")  # the same JSON but for its apiVersion
_NO_KIND = {"group": "", "version": "", "kind": ""}

Metric = tuple[str, bool, str]
"""(resource, namespaced, metric): ("pods", True, "queue_depth"), ("jobs.batch", True, "m"), ("nodes", False, "m")."""


@dataclass(frozen=True, slots=True)
class _Document:
    plain: bytes  # a complete answer
    aggregated: Mapping[str, tuple[str, bytes]]  # its versions: apidiscovery version -> (ETag, a complete answer)


@dataclass(frozen=True, slots=True)
class DiscoveryDocuments:
    """Every discovery document of one set of metrics; build it anew when the rules change."""

    _documents: Mapping[str, _Document]

    @classmethod
    def of(cls, metrics: Sequence[Metric], *, external: bool = True) -> "DiscoveryDocuments":
        """metrics: duplicates count once. external: whether external.metrics.k8s.io is served."""
        resources = {CUSTOM_GROUP: _custom_resources(metrics)}
        if external:
            resources[EXTERNAL_GROUP] = [_resource("externalmetrics", KINDS[EXTERNAL_GROUP])]
        groups = [_group(name) for name in resources]
        documents = {
            "/apis": _Document(
                _plain({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}, vary=True),
                {version: _aggregated(version, resources) for version in _AGGREGATED_VERSIONS},
            )
        }
        for name, group in zip(resources, groups, strict=True):
            documents[f"/apis/{name}"] = _Document(_plain({"kind": "APIGroup", "apiVersion": "v1", **group}), {})
            for version in VERSIONS[name]:
                documents[f"/apis/{name}/{version}"] = _Document(
                    _plain(
                        {
                            "kind": "APIResourceList",
                            "apiVersion": "v1",
                            "groupVersion": f"{name}/{version}",
                            "resources": resources[name],
                        }
                    ),
                    {},
                )
        return cls(documents)

    def answer(self, path: str, accept: str = "", if_none_match: str = "") -> bytes | None:
        """A complete answer, or None where the path is no discovery document's.

        path: decoded, without a slash at its end. accept, if_none_match: the headers, "" without.
        """
        document = self._documents.get(path)
        if document is None:
            return None
        for wanted in parse_accept(accept):
            if not wanted.matches(JSON):
                continue
            if not wanted.parameters.keys() & {"as", "g", "v"}:
                return document.plain
            if (
                wanted.parameters.get("g") == _DISCOVERY_GROUP
                and wanted.parameters.get("as") == "APIGroupDiscoveryList"
                and (found := document.aggregated.get(wanted.parameters.get("v", "")))
            ):
                tag, answer = found
                return _not_modified(tag) if is_current(if_none_match, tag) else answer
        return _NOT_ACCEPTABLE


def _custom_resources(metrics: Sequence[Metric]) -> list[dict[str, object]]:
    names = {f"{resource}/{metric}": namespaced for resource, namespaced, metric in metrics}
    kind = KINDS[CUSTOM_GROUP]
    return [_resource(name, kind, names[name]) for name in sorted(names)] or [_resource(PLACEHOLDER, kind)]


def _group(name: str) -> dict[str, object]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in VERSIONS[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def _resource(name: str, kind: str, namespaced: bool = True) -> dict[str, object]:
    return {"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get"]}


def _aggregated(discovery_version: str, resources: Mapping[str, list[dict[str, object]]]) -> tuple[str, bytes]:
    items = [
        {
            "metadata": {"name": group},
            "versions": [
                {"version": version, "resources": _as_aggregated(listed), "freshness": "Current"}
                for version in VERSIONS[group]
            ],
        }
        for group, listed in resources.items()
    ]
    body = _json(
        {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"{_DISCOVERY_GROUP}/{discovery_version}",
            "metadata": {},
            "items": items,
        }
    )
    tag = etag(body)
    content_type = f"{JSON};g={_DISCOVERY_GROUP};v={discovery_version};as=APIGroupDiscoveryList"
    return tag, response(200, body, content_type, _cache_headers(tag))


def _as_aggregated(listed: list[dict[str, object]]) -> list[dict[str, object]]:
    """The resources as apiserver converts them: metrics below the resource that they describe.

    That resource itself has an empty kind, so clients leave it out and nobody finds a second `pods`; older
    client-go crashes where it has none. Source: apiserver pkg/endpoints/installer.go,
    ConvertGroupVersionIntoToDiscovery; client-go discovery/aggregated_discovery.go.
    """
    parents: dict[str, dict[str, object]] = {}
    below: dict[str, list[dict[str, object]]] = {}
    for one in listed:
        resource, slash, metric = str(one["name"]).partition("/")
        kind = {"group": "", "version": "", "kind": one["kind"]}
        if resource not in parents:
            parents[resource] = {
                "resource": resource,
                "responseKind": _NO_KIND if slash else kind,
                "scope": "Namespaced" if one["namespaced"] else "Cluster",
                "singularResource": "",
                "verbs": [] if slash else one["verbs"],
            }
        if slash:
            below.setdefault(resource, []).append({"subresource": metric, "responseKind": kind, "verbs": one["verbs"]})
    return [{**parent, "subresources": below[name]} if name in below else parent for name, parent in parents.items()]


def _plain(body: object, *, vary: bool = False) -> bytes:
    return response(200, _json(body), headers=(("Vary", "Accept"),) if vary else ())


def _json(body: object) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


def _cache_headers(tag: str) -> tuple[tuple[str, str], ...]:
    return (("ETag", tag), ("Vary", "Accept"), ("Cache-Control", "public"))


def _not_modified(tag: str) -> bytes:
    return response(304, headers=_cache_headers(tag))


_NOT_ACCEPTABLE = status_response(StatusError("NotAcceptable", f"only the following media types are accepted: {JSON}"))
