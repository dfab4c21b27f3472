"""Installed where another adapter holds the metrics APIs, by the commands of docs/adapter.md."""

from collections.abc import Callable, Iterator

import pytest
from adapter_manifests import BASE
from api_service import api_service_path
from control_plane import ControlPlane
from kube_api import Object
from kubectl import kubectl

pytestmark = pytest.mark.e2e

CUSTOM, EXTERNAL = "v1beta1.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"
OURS = {"namespace": "leadtime-system", "name": "leadtime-adapter", "port": 443}


@pytest.fixture(scope="module")
def plane(start_control_plane: Callable[..., ControlPlane]) -> Iterator[ControlPlane]:
    with start_control_plane() as plane:
        yield plane


def api_service(name: str, namespace: str, service: str) -> Object:
    """As other adapters install it."""
    version, _, group = name.partition(".")
    spec = {
        "group": group,
        "version": version,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {"namespace": namespace, "name": service},
    }
    return {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": name},
        "spec": spec,
    }


def spec_of(plane: ControlPlane, name: str) -> Object:
    spec: Object = plane.api.get(api_service_path(name))["spec"]
    return spec


def test_apis_that_another_adapter_holds_are_taken_over_in_one_apply(plane: ControlPlane) -> None:
    """The Stackdriver adapter's by what `kubectl apply` did: at once, and TLS is no longer skipped. Those that Helm
    holds are refused by name first, as they should be, and follow with --force-conflicts."""
    stackdriver = api_service(CUSTOM, "custom-metrics", "custom-metrics-stackdriver-adapter")
    assert kubectl("apply", "-f", "-", kubeconfig=plane.admin, given=stackdriver).returncode == 0
    keda = api_service(EXTERNAL, "keda", "keda-operator-metrics-apiserver")
    by_helm = ("apply", "--server-side", "--field-manager=helm", "-f", "-")
    assert kubectl(*by_helm, kubeconfig=plane.admin, given=keda).returncode == 0

    done = kubectl("apply", "--server-side", "-k", BASE, kubeconfig=plane.admin)
    assert done.returncode == 1
    assert 'conflicts with "helm"' in done.stderr
    assert spec_of(plane, CUSTOM)["service"] == OURS
    assert "insecureSkipTLSVerify" not in spec_of(plane, CUSTOM)
    assert spec_of(plane, EXTERNAL)["service"]["name"] == "keda-operator-metrics-apiserver"

    done = kubectl("apply", "--server-side", "--force-conflicts", "-k", BASE, kubeconfig=plane.admin)
    assert done.returncode == 0, done.stderr
    assert spec_of(plane, EXTERNAL)["service"] == OURS
