"""The adapter's APIs through a real kube-apiserver: what kubectl, discovery clients and each user get."""

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from adapter_in_cluster import Adapter
from api_service import api_service_path
from kube_api import Api, ApiError, Object
from model_servers import ModelServers
from pod_addresses import wait_own_addresses

pytestmark = pytest.mark.e2e

METRIC = "vllm:num_requests_waiting"
CUSTOM = "/apis/custom.metrics.k8s.io"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
RBAC = "rbac.authorization.k8s.io"


@pytest.fixture(scope="module", autouse=True)
def served(adapter: Adapter) -> Iterator[list[str]]:
    """Two pods of one Deployment behind a Service in `served`, with 3 and 4 waiting requests; their names."""
    api = adapter.plane.api
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in ("served", "other")]
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-0", "labels": {"kubernetes.io/os": "linux"}}}
    spec = {"selector": {"app": "vllm"}, "ports": [{"port": 80, "targetPort": "http"}]}
    metadata = {"name": "vllm", "namespace": "served"}
    with ModelServers() as servers:
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        api.apply([*namespaces, node, service, servers.deployment("served", "vllm", 2)])
        path = "/apis/apps/v1/namespaces/served/deployments/vllm"
        api.wait(path, lambda seen: seen.get("status", {}).get("readyReplicas") == 2)
        wait_own_addresses(api, "served")
        api.wait(path, lambda seen: seen.get("status", {}).get("readyReplicas") == 2)
        pods = sorted(api.get("/api/v1/namespaces/served/pods")["items"], key=lambda pod: str(pod["metadata"]["name"]))
        servers.waiting = {pod["status"]["podIP"]: waiting for pod, waiting in zip(pods, (3, 4), strict=True)}
        api.wait(f"{CUSTOM}/v1beta2/namespaces/served/services/vllm/{METRIC}", lambda seen: values(seen) == ["7"])
        yield [pod["metadata"]["name"] for pod in pods]
        for namespace in ("served", "other"):
            api.delete(f"/api/v1/namespaces/{namespace}")


def values(listed: Object) -> list[str]:
    """Of a metric's list, whole numbers without the milli."""
    found = [item["value"] for item in listed["items"]]
    return [str(int(value[:-1]) // 1000) if value.endswith("000m") else value for value in found]


def test_a_replica_runs_as_the_deployment_says(adapter: Adapter) -> None:
    """The user and the groups of its securityContext, no capability, nothing to be gained by a setuid program."""
    status = Path(f"/proc/{adapter.replicas[0].process.pid}/status").read_text()
    seen = {name: value.split() for name, _, value in (line.partition(":") for line in status.splitlines())}
    security = adapter.deployment["spec"]["template"]["spec"]["securityContext"]
    if os.geteuid() == 0:  # else it is whoever runs the tests
        assert set(seen["Uid"]) == {str(security["runAsUser"])}
        assert set(seen["Gid"]) == {str(security["runAsGroup"])}
        assert seen["Groups"] == [str(security["fsGroup"])]
    assert {int(seen[name][0], 16) for name in ("CapBnd", "CapInh", "CapAmb")} == {0}
    assert seen["NoNewPrivs"] == ["1"]
    mounts = Path(f"/proc/{adapter.replicas[0].process.pid}/mounts").read_text().splitlines()
    options = {fields[1]: fields[3].split(",") for fields in map(str.split, mounts)}
    for path in ("/", "/usr", "/etc/leadtime/config", "/etc/leadtime/rules"):
        assert "ro" in options[path]
    assert "rw" in options["/tmp"]  # noqa: S108 (the container's own)


def test_the_api_server_trusts_the_adapter_by_the_ca_that_it_wrote(adapter: Adapter) -> None:
    """TLS is verified, by a caBundle that is in no manifest."""
    api = adapter.plane.api
    secret = api.get("/api/v1/namespaces/leadtime-system/secrets/leadtime-adapter-serving")
    for name in adapter.api_services:
        spec = api.get(api_service_path(name))["spec"]
        assert spec["caBundle"] == secret["data"]["ca.crt"]
        assert not spec.get("insecureSkipTLSVerify")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(f"{CUSTOM}/v1beta2/namespaces/served/pods/*/{METRIC}", ["3", "4"], id="pods"),
        pytest.param(f"{CUSTOM}/v1beta1/namespaces/served/pods/*/{METRIC}", ["3", "4"], id="pods-v1beta1"),
        pytest.param(f"{CUSTOM}/v1beta2/namespaces/served/pods/%2A/{METRIC}", ["3", "4"], id="pods-escaped"),
        pytest.param(
            f"{CUSTOM}/v1beta2/namespaces/served/pods/*/{METRIC}?labelSelector=app%3Dvllm", ["3", "4"], id="labels"
        ),
        pytest.param(f"{CUSTOM}/v1beta2/namespaces/served/services/vllm/{METRIC}", ["7"], id="service"),
        pytest.param(f"{CUSTOM}/v1beta2/namespaces/served/deployments.apps/vllm/{METRIC}", ["7"], id="deployment"),
        pytest.param(f"{CUSTOM}/v1beta2/namespaces/served/metrics/{METRIC}", ["7"], id="namespace"),
        pytest.param(f"{EXTERNAL}/namespaces/served/{METRIC}", ["3", "4"], id="external"),
        pytest.param(
            f"{EXTERNAL}/namespaces/served/prometheus.googleapis.com|{METRIC}|gauge", ["3", "4"], id="stackdriver-name"
        ),
    ],
)
def test_values_are_had_as_by_kubectl_get_raw(adapter: Adapter, path: str, expected: list[str]) -> None:
    assert values(adapter.plane.api.get(path)) == expected


def test_one_pod_is_had_by_its_name(adapter: Adapter, served: list[str]) -> None:
    found = adapter.plane.api.get(f"{CUSTOM}/v1beta2/namespaces/served/pods/{served[1]}/{METRIC}")
    assert values(found) == ["4"]
    assert found["items"][0]["describedObject"]["name"] == served[1]


def test_an_unknown_metric_is_not_found_with_the_apis_reason(adapter: Adapter) -> None:
    with pytest.raises(ApiError) as refused:
        adapter.plane.api.get(f"{CUSTOM}/v1beta2/namespaces/served/pods/*/no_such_metric")
    assert (refused.value.status, refused.value.reason) == (404, "NotFound")
    assert "could not find the metric no_such_metric for pods" in refused.value.message


def test_aggregated_discovery_lists_the_groups_with_their_resources(adapter: Adapter) -> None:
    """What kubectl api-resources and client-go ask since 1.27; an empty list would hide the metrics."""
    api = adapter.plane.api
    groups = {
        "custom.metrics.k8s.io": {"v1beta2": "pods", "v1beta1": "pods"},
        "external.metrics.k8s.io": {"v1beta1": "externalmetrics"},
    }
    reply = api.send("GET", "/apis", headers=AGGREGATED)
    assert "apidiscovery.k8s.io" in reply.headers["Content-Type"]
    found = {group["metadata"]["name"]: group["versions"] for group in reply.json()["items"]}
    for name, expected in groups.items():
        assert [version["version"] for version in found[name]] == list(expected), "the preferred version is first"
        for version in found[name]:
            resources = {one["resource"]: one for one in version["resources"]}
            assert version["freshness"] == "Current"
            assert expected[version["version"]] in resources
    pods = next(one for one in found["custom.metrics.k8s.io"][0]["resources"] if one["resource"] == "pods")
    assert METRIC in {one["subresource"] for one in pods["subresources"]}
    listed = {one["name"] for one in api.get(f"{CUSTOM}/v1beta2")["resources"]}
    assert {f"pods/{METRIC}", "pods/DCGM_FI_DEV_GPU_UTIL"} <= listed


def test_openapi_through_the_api_server_has_our_paths(adapter: Adapter) -> None:
    api = adapter.plane.api
    path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/{resource}/{name}/{subresource}"
    # The API server asks for them in the background, a minute later where the first time failed.
    api.wait("/openapi/v2", lambda seen: path in seen["paths"], timeout_seconds=90)
    for version in (
        "custom.metrics.k8s.io/v1beta1",
        "custom.metrics.k8s.io/v1beta2",
        "external.metrics.k8s.io/v1beta1",
    ):
        key = f"apis/{version}"
        index = api.wait("/openapi/v3", partial(_lists, key), timeout_seconds=90)
        document = api.get(index["paths"][key]["serverRelativeURL"])
        assert any(path.startswith(f"/apis/{version}/namespaces/") for path in document["paths"])


def _lists(key: str, index: Object) -> bool:
    return key in index["paths"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            f"{CUSTOM}/v1beta2/namespaces/served/pods/*/{METRIC}",
            f'pods.custom.metrics.k8s.io "*" is forbidden: User "bob" cannot get resource "pods/{METRIC}"',
        ),
        (
            f"{EXTERNAL}/namespaces/served/{METRIC}",
            f'{METRIC}.external.metrics.k8s.io is forbidden: User "bob" cannot list resource "{METRIC}"',
        ),
    ],
)
def test_without_a_right_the_answer_is_the_api_servers_own(adapter: Adapter, path: str, message: str) -> None:
    with pytest.raises(ApiError) as refused:
        adapter.plane.api_of("bob").get(path)
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    group = path.split("/")[2]
    assert refused.value.message == f'{message} in API group "{group}" in the namespace "served"'


def test_a_tenant_sees_its_own_series_and_no_others(adapter: Adapter) -> None:
    """Alice may read every External metric in `other`; that shows her nothing of `served`."""
    alice = reader(adapter, "alice", "other")
    own, others = f"{EXTERNAL}/namespaces/other/{METRIC}", f"{EXTERNAL}/namespaces/served/{METRIC}"
    for path, status, reason in (
        (f"{own}?labelSelector=namespace%3Dserved", 403, "may not read series of namespace 'served'"),
        (own, 404, "could not find the metric"),
        (f"{own}?labelSelector=app%3Dvllm", 404, "could not find the metric"),
        (others, 403, 'User "alice" cannot list resource'),
    ):
        with pytest.raises(ApiError, match=reason) as refused:
            alice.get(path)
        assert refused.value.status == status


def test_explain_prints_sources_samples_and_ages_through_the_api_server(adapter: Adapter, served: list[str]) -> None:
    """With the rights to read the metric, and no others."""
    reader(adapter, "erin", "served")
    command = [sys.executable, "-m", "leadtime", "adapter", "explain", METRIC, "--namespace", "served", "--external"]
    done = subprocess.run(  # noqa: S603
        [*command, "--kubeconfig", str(adapter.plane.kubeconfig("erin"))], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{METRIC} in namespace served" in done.stdout
    assert "pods: in use, last success" in done.stdout
    for name, waiting in zip(served, (3, 4), strict=True):
        (row,) = (line.split() for line in done.stdout.splitlines() if line.startswith(name))
        assert (row[1], row[3]) == (str(waiting), "fresh")
        assert 0 <= float(row[2].rstrip("s")) < 60
    refused = subprocess.run(  # noqa: S603
        [*command, "--kubeconfig", str(adapter.plane.kubeconfig("bob"))], capture_output=True, text=True, timeout=60
    )
    assert refused.returncode == 2
    assert 'User "bob" cannot list resource' in refused.stderr
    assert refused.stderr.count("\n") == 1


def reader(adapter: Adapter, user: str, namespace: str) -> Api:
    """This user, who may read all External metrics in one namespace."""
    metadata = {"name": f"{user}-reads-metrics", "namespace": namespace}
    rules = [{"apiGroups": ["external.metrics.k8s.io"], "resources": ["*"], "verbs": ["list"]}]
    role = {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules}
    reference = {"apiGroup": RBAC, "kind": "Role", "name": metadata["name"]}
    subjects = [{"apiGroup": RBAC, "kind": "User", "name": user}]
    binding = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": metadata}
    adapter.plane.api.apply([role, {**binding, "roleRef": reference, "subjects": subjects}])
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "verb": "list",
                "group": "external.metrics.k8s.io",
                "resource": METRIC,
                "namespace": namespace,
            }
        },
    }
    who = adapter.plane.api_of(user)
    for _ in range(100):  # RBAC learns of a binding by a watch
        if who.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)["status"]["allowed"]:
            return who
    raise TimeoutError(f"{user} is not allowed to read metrics in {namespace}")
