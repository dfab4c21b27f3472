"""The adapter's manifests at a real API server: taken field by field, admitted as pods, and with no right too many."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from adapter_manifests import built
from api_service import api_service_path
from control_plane import ControlPlane
from kube_api import ApiError

pytestmark = pytest.mark.e2e

MANIFESTS = Path(__file__).parents[2] / "manifests"
BASE = MANIFESTS / "adapter" / "base"
OVERLAYS = sorted(path.parent for path in (MANIFESTS / "adapter" / "overlays").glob("*/kustomization.yaml"))
EXAMPLES = sorted((MANIFESTS / "examples").glob("hpa*.yaml"))
ACCOUNT = "system:serviceaccount:leadtime-system:leadtime-adapter"


@pytest.fixture(scope="module")
def plane(start_control_plane: Callable[..., ControlPlane]) -> Iterator[ControlPlane]:
    """One of its own: the APIServices, which nobody serves here, would trouble other tests."""
    with start_control_plane() as plane:
        plane.api.apply(built(BASE))
        yield plane


@pytest.mark.parametrize("folder", OVERLAYS, ids=lambda folder: folder.name)
def test_an_overlay_is_taken_without_an_unknown_field(plane: ControlPlane, folder: Path) -> None:
    objects = [item for item in built(folder) if not item["apiVersion"].startswith("cert-manager.io/")]
    assert len(plane.api.apply(objects)) == len(objects)


def test_what_the_adapter_wrote_into_an_api_service_outlasts_another_apply(plane: ControlPlane) -> None:
    """caBundle is no field of the manifests, so that an upgrade does not cut the API server off."""
    path = api_service_path("v1beta2.custom.metrics.k8s.io")
    plane.api.merge(path, {"spec": {"caBundle": "b3Vycw=="}})
    plane.api.apply(built(BASE))
    assert plane.api.get(path)["spec"]["caBundle"] == "b3Vycw=="


def test_its_pod_is_admitted_where_only_restricted_pods_are(plane: ControlPlane) -> None:
    (deployment,) = (item for item in built(BASE) if item["kind"] == "Deployment")
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": "adapter"}}
    pods = "/api/v1/namespaces/leadtime-system/pods"
    assert plane.api.call("POST", f"{pods}?dryRun=All&fieldValidation=Strict", pod)["kind"] == "Pod"
    careless = json.loads(json.dumps(pod))
    del careless["spec"]["containers"][0]["securityContext"]
    with pytest.raises(ApiError, match=r'violates PodSecurity "restricted'):
        plane.api.call("POST", f"{pods}?dryRun=All", careless)


@pytest.mark.parametrize(
    ("verb", "group", "resource", "namespace", "name", "allowed"),
    [
        ("list", "", "pods", "", "", True),
        ("watch", "", "pods", "team-a", "", True),
        ("watch", "", "services", "", "", True),
        ("list", "monitoring.googleapis.com", "podmonitorings", "", "", True),
        ("list", "monitoring.googleapis.com", "clusterpodmonitorings", "", "", True),
        ("watch", "monitoring.coreos.com", "podmonitors", "", "", True),
        ("watch", "monitoring.coreos.com", "servicemonitors", "", "", True),
        ("create", "authentication.k8s.io", "tokenreviews", "", "", True),
        ("create", "authorization.k8s.io", "subjectaccessreviews", "", "", True),
        ("watch", "", "configmaps", "kube-system", "extension-apiserver-authentication", True),
        ("get", "", "secrets", "leadtime-system", "leadtime-adapter-serving", True),
        ("create", "", "secrets", "leadtime-system", "", True),
        ("update", "", "secrets", "leadtime-system", "leadtime-adapter-serving", True),
        ("get", "apiregistration.k8s.io", "apiservices", "", "v1beta1.external.metrics.k8s.io", True),
        ("patch", "apiregistration.k8s.io", "apiservices", "", "v1beta2.custom.metrics.k8s.io", True),
        ("get", "", "secrets", "leadtime-system", "another", False),
        ("list", "", "secrets", "leadtime-system", "", False),
        ("get", "", "secrets", "team-a", "leadtime-adapter-serving", False),
        ("get", "", "configmaps", "kube-system", "another", False),
        ("patch", "apiregistration.k8s.io", "apiservices", "", "v1beta1.metrics.k8s.io", False),
        ("delete", "apiregistration.k8s.io", "apiservices", "", "v1beta2.custom.metrics.k8s.io", False),
        ("delete", "", "pods", "team-a", "vllm-0", False),
        ("get", "", "nodes", "", "", False),
        ("create", "", "pods/exec", "team-a", "vllm-0", False),
        ("update", "apps", "deployments/scale", "team-a", "vllm", False),
        ("impersonate", "", "users", "", "", False),
    ],
)
def test_its_service_account_may_do_exactly_what_it_needs(
    plane: ControlPlane, verb: str, group: str, resource: str, namespace: str, name: str, allowed: bool
) -> None:
    resource, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": resource, "subresource": subresource}
    spec = {
        "user": ACCOUNT,
        "groups": ["system:serviceaccounts", "system:serviceaccounts:leadtime-system", "system:authenticated"],
        "resourceAttributes": {**attributes, "namespace": namespace, "name": name},
    }
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    assert (
        plane.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)["status"]["allowed"] is allowed
    )


def test_the_stock_hpa_controller_may_read_both_apis(plane: ControlPlane) -> None:
    """So the manifests bind no role to it."""
    role: Any = plane.api.get(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:controller:horizontal-pod-autoscaler"
    )
    readable = {rule["apiGroups"][0]: (rule["resources"], rule["verbs"]) for rule in role["rules"]}
    for group in ("custom.metrics.k8s.io", "external.metrics.k8s.io"):
        assert readable[group] == (["*"], ["get", "list", "watch"])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_hpa_is_taken(plane: ControlPlane, path: Path) -> None:
    assert len(plane.api.apply(path)) == 1


def test_scaling_to_zero_needs_its_feature_gate(plane: ControlPlane) -> None:
    """As the example says."""
    with pytest.raises(ApiError, match=r"spec\.minReplicas: Invalid value: 0: must be greater than or equal to 1"):
        plane.api.apply(MANIFESTS / "examples" / "scale-to-zero" / "hpa.yaml")
