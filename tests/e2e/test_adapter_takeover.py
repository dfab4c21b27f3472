"""Installed where another adapter holds the metrics APIs, by the commands of docs/adapter.md."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from control_plane import ControlPlane
from kube_api import Object

pytestmark = pytest.mark.e2e

BASE = Path(__file__).parents[2] / "manifests" / "adapter" / "base"
CUSTOM, EXTERNAL = "v1beta1.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io"
OURS = {"namespace": "leadtime-system", "name": "leadtime-adapter", "port": 443}


@pytest.fixture(scope="module")
def plane(start_control_plane: Callable[..., ControlPlane]) -> Iterator[ControlPlane]:
    with start_control_plane() as plane:
        yield plane


def kubectl(plane: ControlPlane, *arguments: str, given: Object | None = None) -> subprocess.CompletedProcess[str]:
    command = shutil.which("kubectl")
    if command is None:
        pytest.skip("kubectl is not on the PATH")
    return subprocess.run(  # noqa: S603 - fixed commands on our own files
        [command, "--kubeconfig", str(plane.admin), *arguments],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


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
    spec: Object = plane.api.get(f"/apis/apiregistration.k8s.io/v1/apiservices/{name}")["spec"]
    return spec


def test_apis_that_another_adapter_holds_are_taken_over_in_one_apply(plane: ControlPlane) -> None:
    """The Stackdriver adapter's by what `kubectl apply` did: at once, and TLS is no longer skipped. Those that Helm
    holds are refused by name first, as they should be, and follow with --force-conflicts."""
    stackdriver = api_service(CUSTOM, "custom-metrics", "custom-metrics-stackdriver-adapter")
    assert kubectl(plane, "apply", "-f", "-", given=stackdriver).returncode == 0
    keda = api_service(EXTERNAL, "keda", "keda-operator-metrics-apiserver")
    by_helm = ("apply", "--server-side", "--field-manager=helm", "-f", "-")
    assert kubectl(plane, *by_helm, given=keda).returncode == 0

    done = kubectl(plane, "apply", "--server-side", "-k", str(BASE))
    assert done.returncode == 1
    assert 'conflicts with "helm"' in done.stderr
    assert spec_of(plane, CUSTOM)["service"] == OURS
    assert "insecureSkipTLSVerify" not in spec_of(plane, CUSTOM)
    assert spec_of(plane, EXTERNAL)["service"]["name"] == "keda-operator-metrics-apiserver"

    done = kubectl(plane, "apply", "--server-side", "--force-conflicts", "-k", str(BASE))
    assert done.returncode == 0, done.stderr
    assert spec_of(plane, EXTERNAL)["service"] == OURS
