"""The API's description in OpenAPI v2 and v3: built once, answered from memory.

The aggregation layer downloads /openapi/v2 as JSON with the ETag of the last one (kube-aggregator
pkg/controllers/openapi/aggregator/downloader.go) and merges it into its own; it reads /openapi/v3 for the list of
groups (pkg/controllers/openapiv3/aggregator/downloader.go) and passes requests for one of them on to us. kube-openapi
would serve protobuf too; who accepts nothing but that gets 406, which a client that asks so never does
(pkg/handler/handler.go, pkg/handler3/handler.go). Types of other groups are written out where they are used, so
that nothing collides with kube-apiserver's own definitions of them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from adapter.api.groups import CUSTOM_GROUP, EXTERNAL_GROUP, VERSIONS
from adapter.api.negotiation import etag, is_current, parse_accept
from adapter.api.openapi_types import Schema, list_type, types
from adapter.api.status import StatusError, status_response
from adapter.http_server.response import JSON, response

_INFO = {"title": "leadtime metrics adapter", "version": "unversioned"}
_V2_REFERENCE, _V3_REFERENCE = "#/definitions/", "#/components/schemas/"
_YEAR_SECONDS = 31_536_000


@dataclass(frozen=True, slots=True)
class _Document:
    tag: str
    answer: bytes
    at: str = ""  # where a document of v3 is found, its hash included


@dataclass(frozen=True, slots=True)
class OpenApiDocuments:
    """/openapi/v2, /openapi/v3 and one document of v3 for each group and version."""

    _documents: Mapping[str, _Document]

    @classmethod
    def of(cls, *, external: bool = True) -> "OpenApiDocuments":
        """external: whether external.metrics.k8s.io is served."""
        groups = (CUSTOM_GROUP, EXTERNAL_GROUP) if external else (CUSTOM_GROUP,)
        served = [(group, version) for group in groups for version in VERSIONS[group]]
        documents = {"/openapi/v2": _document(_v2(served))}
        for group, version in served:
            path = f"/openapi/v3/apis/{group}/{version}"
            documents[path] = _document(_v3(group, version), path)
        index = {path.removeprefix("/openapi/v3/"): {"serverRelativeURL": one.at} for path, one in documents.items()}
        del index["/openapi/v2"]
        documents["/openapi/v3"] = _document({"paths": index})
        return cls(documents)

    def answer(self, path: str, accept: str = "", if_none_match: str = "", known_hash: str = "") -> bytes | None:
        """A complete answer, or None where the path is no OpenAPI document's.

        known_hash: the parameter `hash` of a document of v3. With the present one, the document may be kept for
        ever; with another, a redirection tells the present one.
        """
        document = self._documents.get(path)
        if document is None:
            return None
        if not any(wanted.matches(JSON) for wanted in parse_accept(accept)):
            return _NOT_ACCEPTABLE
        if document.at and known_hash:
            if known_hash != document.tag.strip('"'):
                return response(301, headers=(("Location", document.at), ("Vary", "Accept")))
            head, _, body = document.answer.partition(b"\r\n\r\n")
            return b"%b\r\nCache-Control: public, max-age=%d, immutable\r\n\r\n%b" % (head, _YEAR_SECONDS, body)
        if is_current(if_none_match, document.tag):
            return response(304, headers=(("ETag", document.tag), ("Vary", "Accept")))
        return document.answer


def _document(content: object, path: str = "") -> _Document:
    body = json.dumps(content, separators=(",", ":"), sort_keys=True).encode()
    tag = etag(body)
    at = f"{path}?hash={tag.strip(chr(34))}" if path else ""
    return _Document(tag, response(200, body, JSON, (("ETag", tag), ("Vary", "Accept"))), at)


def _v2(served: Sequence[tuple[str, str]]) -> dict[str, object]:
    paths: dict[str, object] = {}
    definitions: dict[str, Schema] = {}
    for group, version in served:
        definitions |= types(group, version, _V2_REFERENCE)
        for path, operation_id, parameters, result in _operations(group, version, _V2_REFERENCE):
            paths[path] = {
                "get": {
                    **_common(group, version, operation_id),
                    "produces": [JSON],
                    "schemes": ["https"],
                    "parameters": [{**_place(name), "type": "string", "uniqueItems": True} for name in parameters],
                    "responses": {
                        "200": {"description": "OK", "schema": result},
                        "401": {"description": "Unauthorized"},
                    },
                }
            }
    return {"swagger": "2.0", "info": _INFO, "paths": paths, "definitions": definitions}


def _v3(group: str, version: str) -> dict[str, object]:
    paths = {
        path: {
            "get": {
                **_common(group, version, operation_id),
                "parameters": [
                    {**_place(name), "schema": {"type": "string", "uniqueItems": True}} for name in parameters
                ],
                "responses": {
                    "200": {"description": "OK", "content": {JSON: {"schema": result}}},
                    "401": {"description": "Unauthorized"},
                },
            }
        }
        for path, operation_id, parameters, result in _operations(group, version, _V3_REFERENCE)
    }
    return {
        "openapi": "3.0.0",
        "info": _INFO,
        "paths": paths,
        "components": {"schemas": types(group, version, _V3_REFERENCE)},
    }


def _operations(group: str, version: str, reference: str) -> list[tuple[str, str, Sequence[str], Schema]]:
    """(path, operation id, parameters, result) of each GET. Paths and ids: custom-metrics-apiserver
    pkg/apiserver/installer/{cm,em}handlers.go; apiserver pkg/endpoints/openapi/openapi.go."""
    root = f"/apis/{group}/{version}"
    kind, name = list_type(group, version)
    values: Schema = {"$ref": reference + name}
    prefix = "".join(part.capitalize() for part in group.removesuffix(".k8s.io").split(".")) + version.capitalize()
    resources: tuple[str, str, Sequence[str], Schema] = (
        f"{root}/",
        f"get{prefix}APIResources",
        (),
        {"type": "object"},
    )
    if group == EXTERNAL_GROUP:
        parameters = ("namespace", "resource", "labelSelector")
        return [resources, (f"{root}/namespaces/{{namespace}}/{{resource}}", f"list{prefix}{kind}", parameters, values)]
    objects = "{resource}/{name}/{subresource}"
    chosen = ("resource", "name", "subresource", "labelSelector", "metricLabelSelector")
    of_namespace = ("namespace", "name", "metricLabelSelector")
    return [
        resources,
        (f"{root}/{objects}", f"list{prefix}{kind}", chosen, values),
        (f"{root}/namespaces/{{namespace}}/{objects}", f"list{prefix}Namespaced{kind}", ("namespace", *chosen), values),
        (f"{root}/namespaces/{{namespace}}/metrics/{{name}}", f"read{prefix}{kind}ForNamespace", of_namespace, values),
    ]


_PARAMETERS = {
    "namespace": ("path", "object name and auth scope, such as for teams and projects"),
    "resource": ("path", "plural name of the described objects' resource with its group, or of an external metric"),
    "name": ("path", "name of the described object, * for all, or of a namespace's metric"),
    "subresource": ("path", "name of the metric"),
    "labelSelector": ("query", "selects described objects by their labels; for an external metric, its series"),
    "metricLabelSelector": ("query", "selects series of the metric by their labels"),
}


def _place(name: str) -> dict[str, object]:
    place, description = _PARAMETERS[name]
    required = {"required": True} if place == "path" else {}
    return {"name": name, "in": place, "description": description, **required}


def _common(group: str, version: str, operation_id: str) -> dict[str, object]:
    common: dict[str, object] = {
        "description": "get available resources",
        "operationId": operation_id,
        "tags": [f"{group.split('.')[0]}Metrics_{version}"],
    }
    if not operation_id.endswith("APIResources"):
        kind, _ = list_type(group, version)
        common["description"] = "values of a metric"
        common["x-kubernetes-action"] = "list"
        common["x-kubernetes-group-version-kind"] = {"group": group, "version": version, "kind": kind}
    return common


_NOT_ACCEPTABLE = status_response(StatusError("NotAcceptable", f"only the following media types are accepted: {JSON}"))
