"""OpenAPI documents: what they describe, that they hold together, and how they are cached."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from adapter.api.openapi import OpenApiDocuments

DOCUMENTS = OpenApiDocuments.of()
GROUPS = {
    "custom.metrics.k8s.io/v1beta2": "MetricValueList",
    "custom.metrics.k8s.io/v1beta1": "MetricValueList",
    "external.metrics.k8s.io/v1beta1": "ExternalMetricValueList",
}
ALL = ("/openapi/v2", "/openapi/v3", *(f"/openapi/v3/apis/{group}" for group in GROUPS))


def read(answer: bytes | None) -> tuple[int, dict[str, str], Any]:
    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), json.loads(body) if body else None


def body(path: str) -> Any:
    return read(DOCUMENTS.answer(path))[2]


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object within a document."""
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from nodes(one)
    elif isinstance(value, list):
        for one in value:
            yield from nodes(one)


def paths_of(group: str) -> set[str]:
    root = f"/apis/{group}"
    if group.startswith("external"):
        return {f"{root}/", f"{root}/namespaces/{{namespace}}/{{resource}}"}
    return {
        f"{root}/",
        f"{root}/{{resource}}/{{name}}/{{subresource}}",
        f"{root}/namespaces/{{namespace}}/{{resource}}/{{name}}/{{subresource}}",
        f"{root}/namespaces/{{namespace}}/metrics/{{name}}",
    }


def test_v2_describes_every_path_of_every_group() -> None:
    document = body("/openapi/v2")
    assert document["swagger"] == "2.0"
    assert set(document["paths"]) == set().union(*(paths_of(group) for group in GROUPS))


@pytest.mark.parametrize("group", GROUPS)
def test_v3_describes_the_paths_of_one_group(group: str) -> None:
    document = body(f"/openapi/v3/apis/{group}")
    assert document["openapi"].startswith("3.0.")
    assert set(document["paths"]) == paths_of(group)


@pytest.mark.parametrize("path", [path for path in ALL if path != "/openapi/v3"])
def test_every_reference_leads_to_a_schema_and_every_schema_is_used(path: str) -> None:
    document = body(path)
    prefix, schemas = "#/components/schemas/", document.get("components", {}).get("schemas")
    if schemas is None:
        prefix, schemas = "#/definitions/", document["definitions"]
    referred = {node["$ref"] for node in nodes(document) if "$ref" in node}
    assert referred == {prefix + name for name in schemas}


@pytest.mark.parametrize("path", [path for path in ALL if path != "/openapi/v3"])
def test_operations_are_unique_and_name_their_path_parameters(path: str) -> None:
    operations = [(route, item["get"]) for route, item in body(path)["paths"].items()]
    ids = [operation["operationId"] for _, operation in operations]
    assert len(ids) == len(set(ids))
    for route, operation in operations:
        placed = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
        assert placed == {part[1:-1] for part in route.split("/") if part.startswith("{")}
        assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
        assert all(("type" in one) != ("schema" in one) for one in operation["parameters"])


def test_lists_carry_their_group_version_and_kind() -> None:
    found = {
        (kind["group"] + "/" + kind["version"], kind["kind"])
        for schema in body("/openapi/v2")["definitions"].values()
        for kind in schema.get("x-kubernetes-group-version-kind", ())
    }
    assert found == set(GROUPS.items())


@pytest.mark.parametrize(
    ("group", "schema", "properties"),
    [
        ("v1beta1", "custom_metrics.v1beta1.MetricValue", "describedObject metricName selector timestamp value window"),
        ("v1beta2", "custom_metrics.v1beta2.MetricValue", "describedObject metric timestamp value windowSeconds"),
        ("v1beta1", "external_metrics.v1beta1.ExternalMetricValue", "metricLabels metricName timestamp value window"),
    ],
)
def test_values_have_the_fields_of_the_wire(group: str, schema: str, properties: str) -> None:
    found = body("/openapi/v2")["definitions"][f"io.k8s.metrics.pkg.apis.{schema}"]
    assert set(found["properties"]) == {"apiVersion", "kind", *properties.split()}
    assert set(found["required"]) <= set(found["properties"])
    assert group in schema


def test_the_index_of_v3_leads_to_each_document_by_its_hash() -> None:
    index = body("/openapi/v3")["paths"]
    assert set(index) == {f"apis/{group}" for group in GROUPS}
    for name, entry in index.items():
        path, _, known = entry["serverRelativeURL"].partition("?hash=")
        assert path == f"/openapi/v3/{name}"
        status, headers, _ = read(DOCUMENTS.answer(path, known_hash=known))
        assert (status, headers["ETag"]) == (200, f'"{known}"')
        assert headers["Cache-Control"] == "public, max-age=31536000, immutable"


def test_an_old_hash_is_redirected_to_the_present_document() -> None:
    path = "/openapi/v3/apis/external.metrics.k8s.io/v1beta1"
    status, headers, _ = read(DOCUMENTS.answer(path, known_hash="OLD"))
    assert status == 301
    assert headers["Location"] == body("/openapi/v3")["paths"][path.removeprefix("/openapi/v3/")]["serverRelativeURL"]


@pytest.mark.parametrize("path", ALL)
def test_who_has_the_document_gets_304(path: str) -> None:
    _, headers, _ = read(DOCUMENTS.answer(path, "application/json"))
    assert read(DOCUMENTS.answer(path, "application/json", headers["ETag"]))[0] == 304
    assert read(DOCUMENTS.answer(path, "application/json", '"other"'))[0] == 200


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("", 200),
        ("application/json", 200),
        ("application/json;q=0.5, application/com.github.proto-openapi.spec.v2.v1.0+protobuf", 200),
        ("*/*", 200),
        ("application/com.github.proto-openapi.spec.v2.v1.0+protobuf", 406),
        ("application/com.github.proto-openapi.spec.v3.v1.0+protobuf", 406),
    ],
)
def test_only_json_is_offered(accept: str, status: int) -> None:
    assert read(DOCUMENTS.answer("/openapi/v2", accept))[0] == status


@pytest.mark.parametrize("path", ["/openapi", "/openapi/v1", "/openapi/v3/apis/apps/v1", "/swagger.json", "/"])
def test_other_paths_are_not_answered_here(path: str) -> None:
    assert DOCUMENTS.answer(path) is None


def test_without_external_metrics_the_group_is_not_described() -> None:
    documents = OpenApiDocuments.of(external=False)
    assert documents.answer("/openapi/v3/apis/external.metrics.k8s.io/v1beta1") is None
    document = read(documents.answer("/openapi/v2"))[2]
    assert [path for path in document["paths"] if "external.metrics" in path] == []
    assert [name for name in document["definitions"] if "External" in name] == []
