"""Discovery documents, as the aggregation layer and client-go ask for them."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.api.discovery import PLACEHOLDER, DiscoveryDocuments, Metric
from adapter.api.negotiation import etag, is_current, parse_accept

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
V2BETA1 = V2.replace("v=v2", "v=v2beta1")
METRICS: list[Metric] = [
    ("pods", True, "vllm:num_requests_waiting"),
    ("pods", True, "prometheus.googleapis.com|vllm:num_requests_waiting|gauge"),
    ("jobs.batch", True, "progress"),
    ("nodes", False, "duty_cycle"),
]
DOCUMENTS = DiscoveryDocuments.of(METRICS)
PATHS = (
    "/apis",
    "/apis/custom.metrics.k8s.io",
    "/apis/custom.metrics.k8s.io/v1beta1",
    "/apis/custom.metrics.k8s.io/v1beta2",
    "/apis/external.metrics.k8s.io",
    "/apis/external.metrics.k8s.io/v1beta1",
)


def read(answer: bytes | None) -> tuple[int, dict[str, str], Any]:
    assert answer is not None
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    return int(status.split()[1]), dict(line.split(": ", 1) for line in lines), json.loads(body) if body else None


def names(documents: DiscoveryDocuments, path: str) -> list[str]:
    return [one["name"] for one in read(documents.answer(path))[2]["resources"]]


def test_groups_name_the_version_that_the_hpa_shall_use_first() -> None:
    _, _, listed = read(DOCUMENTS.answer("/apis"))
    assert (listed["kind"], listed["apiVersion"]) == ("APIGroupList", "v1")
    assert [
        (group["name"], [one["version"] for one in group["versions"]], group["preferredVersion"]["groupVersion"])
        for group in listed["groups"]
    ] == [
        ("custom.metrics.k8s.io", ["v1beta2", "v1beta1"], "custom.metrics.k8s.io/v1beta2"),
        ("external.metrics.k8s.io", ["v1beta1"], "external.metrics.k8s.io/v1beta1"),
    ]
    _, _, group = read(DOCUMENTS.answer("/apis/custom.metrics.k8s.io"))
    assert group == {"kind": "APIGroup", "apiVersion": "v1", **listed["groups"][0]}


@pytest.mark.parametrize("version", ["v1beta1", "v1beta2"])
def test_resource_lists_name_each_metric_below_what_it_describes(version: str) -> None:
    _, headers, listed = read(DOCUMENTS.answer(f"/apis/custom.metrics.k8s.io/{version}"))
    assert headers["Content-Type"] == "application/json"
    assert listed["groupVersion"] == f"custom.metrics.k8s.io/{version}"
    assert {one["name"]: one["namespaced"] for one in listed["resources"]} == {
        f"{resource}/{metric}": namespaced for resource, namespaced, metric in METRICS
    }
    assert listed["resources"][0] == {
        "name": "jobs.batch/progress",
        "singularName": "",
        "namespaced": True,
        "kind": "MetricValueList",
        "verbs": ["get"],
    }


def test_the_external_list_does_not_grow_with_the_metrics() -> None:
    assert names(DOCUMENTS, "/apis/external.metrics.k8s.io/v1beta1") == ["externalmetrics"]


@pytest.mark.parametrize("path", PATHS)
def test_no_list_is_ever_empty(path: str) -> None:
    """client-go takes an empty one for an error (keda#4224)."""
    _, _, plain = read(DiscoveryDocuments.of([]).answer(path))
    assert plain.get("resources") or plain.get("groups") or plain.get("versions")


def test_without_metrics_a_placeholder_is_listed() -> None:
    empty = DiscoveryDocuments.of([])
    assert names(empty, "/apis/custom.metrics.k8s.io/v1beta2") == [PLACEHOLDER]
    _, _, aggregated = read(empty.answer("/apis", V2))
    assert all(version["resources"] for group in aggregated["items"] for version in group["versions"])


def test_without_external_metrics_the_group_is_not_served() -> None:
    documents = DiscoveryDocuments.of(METRICS, external=False)
    assert documents.answer("/apis/external.metrics.k8s.io/v1beta1") is None
    assert [group["name"] for group in read(documents.answer("/apis"))[2]["groups"]] == ["custom.metrics.k8s.io"]
    assert [group["metadata"]["name"] for group in read(documents.answer("/apis", V2))[2]["items"]] == [
        "custom.metrics.k8s.io"
    ]


@pytest.mark.parametrize(
    "path", ["", "/", "/api", "/apis/", "/apis/apps", "/apis/custom.metrics.k8s.io/v1", "/apis/metrics.k8s.io/v1beta1"]
)
def test_other_paths_are_not_answered_here(path: str) -> None:
    assert DOCUMENTS.answer(path, V2) is None


PLAIN = "APIGroupList"
V2_KIND, V2BETA1_KIND = "apidiscovery.k8s.io/v2", "apidiscovery.k8s.io/v2beta1"


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        pytest.param("", PLAIN, id="no-header"),
        pytest.param("application/json", PLAIN, id="json"),
        pytest.param("*/*", PLAIN, id="anything"),
        pytest.param("application/*;q=0.5", PLAIN, id="any-application"),
        pytest.param("application/vnd.kubernetes.protobuf, */*", PLAIN, id="protobuf-or-anything"),
        pytest.param(V2, V2_KIND, id="aggregator-1.36"),
        pytest.param(f"{V2},{V2BETA1}", V2_KIND, id="aggregator-1.30"),
        pytest.param(f"{V2BETA1},{V2}", V2BETA1_KIND, id="the-first-of-equals"),
        pytest.param(f"{V2},{V2BETA1},application/json", V2_KIND, id="client-go"),
        pytest.param(V2BETA1, V2BETA1_KIND, id="aggregator-1.26"),
        pytest.param(f"{V2};profile=nopeer", V2_KIND, id="further-parameters"),
        pytest.param(f"{V2};q=0.1,application/json;q=0.9", PLAIN, id="json-wanted-more"),
        pytest.param(f"{V2};q=0,application/json", PLAIN, id="aggregated-excluded"),
        pytest.param(V2.replace("v=v2", "v=v3") + ",application/json", PLAIN, id="unknown-version-falls-back"),
        pytest.param(V2.replace(";", " ; "), V2_KIND, id="spaces"),
        pytest.param(V2.replace("v=v2", "v=v3"), None, id="unknown-version-only"),
        pytest.param("application/json;as=Table;g=meta.k8s.io;v=v1", None, id="table-only"),
        pytest.param("application/vnd.kubernetes.protobuf", None, id="protobuf-only"),
        pytest.param("text/html", None, id="html-only"),
        pytest.param("nonsense", None, id="malformed-only"),
        pytest.param("application/json;q=high", None, id="malformed-q"),
    ],
)
def test_apis_answers_in_the_form_that_is_accepted(accept: str, given: str | None) -> None:
    status, headers, body = read(DOCUMENTS.answer("/apis", accept))
    if given is None:
        assert (status, body["reason"]) == (406, "NotAcceptable")
        return
    assert status == 200
    assert headers["Vary"] == "Accept"
    assert given == (PLAIN if body["kind"] == PLAIN else body["apiVersion"])
    if given != PLAIN:
        version = given.partition("/")[2]
        assert headers["Content-Type"] == V2.replace("v=v2", f"v={version}")


def test_aggregated_discovery_is_what_apiserver_makes_of_the_lists() -> None:
    _, _, body = read(DOCUMENTS.answer("/apis", V2))
    kind = {"group": "", "version": "", "kind": "MetricValueList"}
    custom, external = body["items"]
    assert [one["version"] for one in custom["versions"]] == ["v1beta2", "v1beta1"]
    assert all(one["freshness"] == "Current" for one in (*custom["versions"], *external["versions"]))
    jobs, nodes, pods = custom["versions"][0]["resources"]
    assert jobs == {
        "resource": "jobs.batch",
        "responseKind": {"group": "", "version": "", "kind": ""},
        "scope": "Namespaced",
        "singularResource": "",
        "verbs": [],
        "subresources": [{"subresource": "progress", "responseKind": kind, "verbs": ["get"]}],
    }
    assert nodes["scope"] == "Cluster"
    assert [one["subresource"] for one in pods["subresources"]] == sorted(
        metric for resource, _, metric in METRICS if resource == "pods"
    )
    assert external["versions"][0]["resources"] == [
        {
            "resource": "externalmetrics",
            "responseKind": {"group": "", "version": "", "kind": "ExternalMetricValueList"},
            "scope": "Namespaced",
            "singularResource": "",
            "verbs": ["get"],
        }
    ]


def test_who_has_the_document_gets_304() -> None:
    _, headers, _ = read(DOCUMENTS.answer("/apis", V2))
    status, again, body = read(DOCUMENTS.answer("/apis", V2, headers["ETag"]))
    assert (status, body, again["ETag"], again["Vary"]) == (304, None, headers["ETag"], "Accept")
    assert read(DOCUMENTS.answer("/apis", V2, '"other"'))[0] == 200
    assert read(DOCUMENTS.answer("/apis", "application/json", headers["ETag"]))[0] == 200, "another form"
    assert read(DOCUMENTS.answer("/apis/custom.metrics.k8s.io/v1beta2", "", headers["ETag"]))[0] == 200, (
        "the aggregation layer sends it along when it falls back, and takes only 200 there"
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(["pods", "nodes", "jobs.batch"]), st.booleans(), st.text(min_size=1)), max_size=9
    )
)
def test_the_etag_depends_on_the_metrics_and_not_on_their_order(metrics: list[Metric]) -> None:
    once = {(resource, metric): (resource, namespaced, metric) for resource, namespaced, metric in metrics}
    forward = DiscoveryDocuments.of(list(once.values()))
    backward = DiscoveryDocuments.of(list(reversed(once.values())))
    assert forward.answer("/apis", V2) == backward.answer("/apis", V2)
    more = DiscoveryDocuments.of([*once.values(), ("pods", True, "one more metric"), ("pods", True, "one more metric")])
    tags = [read(one.answer("/apis", V2))[1]["ETag"] for one in (forward, more)]
    assert (tags[0] == tags[1]) is (("pods", "one more metric") in once)


def test_five_thousand_names_are_built_once_and_answered_from_memory() -> None:
    documents = DiscoveryDocuments.of([("pods", True, f"metric_{n}") for n in range(5000)])
    assert documents.answer("/apis", V2) is documents.answer("/apis", V2)
    assert len(names(documents, "/apis/custom.metrics.k8s.io/v1beta2")) == 5000


@given(st.text(max_size=200))
def test_any_accept_header_can_be_read(header: str) -> None:
    ranges = parse_accept(header)
    assert [one.q for one in ranges] == sorted((one.q for one in ranges), reverse=True)
    assert all(0 < one.q <= 1 for one in ranges)


@pytest.mark.parametrize(
    ("if_none_match", "current"),
    [("", False), ('"x"', True), ('W/"x"', True), ('"y", "x"', True), ("*", True), ("x", False), ('"X"', False)],
)
def test_if_none_match(if_none_match: str, current: bool) -> None:
    assert is_current(if_none_match, '"x"') is current


def test_an_etag_is_a_quoted_sha512_in_upper_case() -> None:
    assert etag(b"") == (
        '"CF83E1357EEFB8BDF1542850D66D8007D620E4050B5715DC83F4A921D36CE9CE'
        '47D0D13C5D85F2B0FF8318D2877EEC2F63B931BD47417A81A538327AF927DA3E"'
    )
