"""Paths as authorization sees them, and the words of a refusal: both as in a Go API server."""

import pytest

from adapter.auth.access_review import forbidden, go_quoted, subject_access_review
from adapter.auth.identity import User
from adapter.auth.request_attributes import Attributes, attributes_of

CUSTOM, EXTERNAL = "custom.metrics.k8s.io", "external.metrics.k8s.io"


@pytest.mark.parametrize(
    ("method", "path", "attributes"),
    [
        pytest.param(
            "GET",
            f"/apis/{CUSTOM}/v1beta2/namespaces/llm/pods/*/queue_depth",
            Attributes("get", CUSTOM, "v1beta2", "llm", "pods", "queue_depth", "*"),
            id="custom-metric-of-pods",
        ),
        pytest.param(
            "GET",
            f"/apis/{CUSTOM}/v1beta1/namespaces/llm/deployments.apps/vllm/queue_depth",
            Attributes("get", CUSTOM, "v1beta1", "llm", "deployments.apps", "queue_depth", "vllm"),
            id="custom-metric-of-an-object",
        ),
        pytest.param(
            "GET",
            f"/apis/{CUSTOM}/v1beta2/namespaces/llm/metrics/queue_depth",
            Attributes("get", CUSTOM, "v1beta2", "llm", "metrics", "", "queue_depth"),
            id="custom-metric-of-a-namespace",
        ),
        pytest.param(
            "GET",
            f"/apis/{CUSTOM}/v1beta2/nodes/gpu-0/duty_cycle",
            Attributes("get", CUSTOM, "v1beta2", "", "nodes", "duty_cycle", "gpu-0"),
            id="custom-metric-of-a-node",
        ),
        pytest.param(
            "GET",
            f"/apis/{EXTERNAL}/v1beta1/namespaces/llm/queue_depth",
            Attributes("list", EXTERNAL, "v1beta1", "llm", "queue_depth"),
            id="external-metric",
        ),
        pytest.param(
            "HEAD",
            f"/apis/{EXTERNAL}/v1beta1/namespaces/llm/queue_depth",
            Attributes("list", EXTERNAL, "v1beta1", "llm", "queue_depth"),
            id="head-is-get",
        ),
        pytest.param(
            "GET",
            f"/apis/{EXTERNAL}/v1beta1/namespaces/llm/status",
            Attributes("get", EXTERNAL, "v1beta1", "llm", "namespaces", "status", "llm"),
            id="status-is-a-subresource-of-the-namespace",
        ),
        pytest.param(
            "GET",
            f"/apis/{EXTERNAL}/v1beta1/namespaces/llm",
            Attributes("get", EXTERNAL, "v1beta1", "llm", "namespaces", "", "llm"),
            id="a-namespace-itself",
        ),
        pytest.param(
            "GET",
            f"/apis/{EXTERNAL}/v1beta1/watch/namespaces/llm/queue_depth",
            Attributes("watch", EXTERNAL, "v1beta1", "llm", "queue_depth"),
            id="a-verb-in-the-path",
        ),
        pytest.param(
            "DELETE",
            f"/apis/{CUSTOM}/v1beta2/namespaces/llm/pods",
            Attributes("deletecollection", CUSTOM, "v1beta2", "llm", "pods"),
            id="another-method",
        ),
        pytest.param("GET", "/apis", Attributes("get", path="/apis"), id="discovery"),
        pytest.param("GET", f"/apis/{CUSTOM}", Attributes("get", path=f"/apis/{CUSTOM}"), id="discovery-of-a-group"),
        pytest.param(
            "GET", f"/apis/{CUSTOM}/v1beta2", Attributes("get", path=f"/apis/{CUSTOM}/v1beta2"), id="of-a-version"
        ),
        pytest.param("POST", "/metrics", Attributes("post", path="/metrics"), id="own-metrics"),
        pytest.param("GET", "/openapi/v3/apis/a/b", Attributes("get", path="/openapi/v3/apis/a/b"), id="openapi"),
        pytest.param("GET", "/", Attributes("get", path="/"), id="root"),
    ],
)
def test_attributes_of_a_path(method: str, path: str, attributes: Attributes) -> None:
    segments = path.removeprefix("/").split("/")
    assert attributes_of(method, segments if path != "/" else ()) == attributes


def test_a_slash_within_a_segment_names_no_other_resource() -> None:
    segments = ("apis", EXTERNAL, "v1beta1", "namespaces", "llm", "kubernetes.io/container/duty_cycle")
    assert attributes_of("GET", segments).resource == "kubernetes.io/container/duty_cycle"


ADA = User("ada", ("dev",), "7", (("scopes", ("view",)),))


def test_a_review_says_who_and_what_and_leaves_out_what_is_empty() -> None:
    body = subject_access_review(ADA, Attributes("list", EXTERNAL, "v1beta1", "llm", "queue_depth"))
    assert body["spec"] == {
        "user": "ada",
        "groups": ["dev"],
        "uid": "7",
        "extra": {"scopes": ["view"]},
        "resourceAttributes": {
            "verb": "list",
            "group": EXTERNAL,
            "version": "v1beta1",
            "namespace": "llm",
            "resource": "queue_depth",
        },
    }
    body = subject_access_review(User("ada"), Attributes("get", path="/metrics"))
    assert body["spec"] == {
        "user": "ada",
        "groups": [],
        "nonResourceAttributes": {"path": "/metrics", "verb": "get"},
    }


@pytest.mark.parametrize(
    ("attributes", "reason", "message", "details"),
    [
        pytest.param(
            Attributes("get", CUSTOM, "v1beta2", "llm", "pods", "queue_depth", "*"),
            "",
            'pods.custom.metrics.k8s.io "*" is forbidden: User "ada" cannot get resource "pods/queue_depth" in API '
            'group "custom.metrics.k8s.io" in the namespace "llm"',
            {"name": "*", "group": CUSTOM, "kind": "pods"},
            id="custom",
        ),
        pytest.param(
            Attributes("list", EXTERNAL, "v1beta1", "llm", "queue_depth"),
            "no RBAC policy matched",
            'queue_depth.external.metrics.k8s.io is forbidden: User "ada" cannot list resource "queue_depth" in API '
            'group "external.metrics.k8s.io" in the namespace "llm": no RBAC policy matched',
            {"group": EXTERNAL, "kind": "queue_depth"},
            id="external-with-the-authorizers-reason",
        ),
        pytest.param(
            Attributes("get", CUSTOM, "v1beta2", "", "nodes", "duty_cycle", "gpu-0"),
            "",
            'nodes.custom.metrics.k8s.io "gpu-0" is forbidden: User "ada" cannot get resource "nodes/duty_cycle" in '
            'API group "custom.metrics.k8s.io" at the cluster scope',
            {"name": "gpu-0", "group": CUSTOM, "kind": "nodes"},
            id="at-the-cluster-scope",
        ),
        pytest.param(
            Attributes("get", path="/metrics"), "", 'forbidden: User "ada" cannot get path "/metrics"', {}, id="a-path"
        ),
        pytest.param(
            Attributes("list", EXTERNAL, "v1beta1", "llm", "<a&b>"),
            "",
            '<a&b>.external.metrics.k8s.io is forbidden: User "ada" cannot list resource "&lt;a&amp;b&gt;" in API '
            'group "external.metrics.k8s.io" in the namespace "llm"',
            {"group": EXTERNAL, "kind": "<a&b>"},
            id="escaped-where-go-escapes",
        ),
    ],
)
def test_a_refusal_has_the_words_of_a_go_api_server(
    attributes: Attributes, reason: str, message: str, details: dict[str, str]
) -> None:
    refusal = forbidden(ADA, attributes, reason)
    assert (str(refusal), refusal.details, refusal.code, refusal.reason) == (message, details, 403, "Forbidden")


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("a*b", '"a*b"'),
        ('a"b\\c', '"a\\"b\\\\c"'),
        ("a\nb\tc", '"a\\nb\\tc"'),
        ("\x00\x7f", '"\\x00\\x7f"'),
        ("Jürgen", '"Jürgen"'),
        ("\u200b\U000e0001", '"\\u200b\\U000e0001"'),
    ],
)
def test_quoted_as_go_does(text: str, quoted: str) -> None:
    assert go_quoted(text) == quoted
