"""A control plane with the benchmark's pods in it: tests/e2e's, so its modules are found by path."""

import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metrics_adapter.fleet import Fleet, address

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "e2e"))

from control_plane import ControlPlane  # noqa: E402
from kube_api import Api  # noqa: E402

MANIFESTS = ROOT / "manifests" / "adapter" / "base"
SERVICE_ACCOUNT = ("leadtime-system", "leadtime-adapter")
IMAGE = "vllm/vllm-openai:v0.11.0"
_THREADS = 8
Object = dict[str, Any]


def install_adapter(plane: ControlPlane) -> Path:
    """The rights of manifests/adapter; the kubeconfig of its ServiceAccount."""
    for name in ("namespace", "service-account", "cluster-role", "role-binding-authentication-reader"):
        plane.api.apply(MANIFESTS / f"{name}.yaml")
    return plane.service_account_kubeconfig(*SERVICE_ACCOUNT)


def account_with(plane: ControlPlane, namespace: str, name: str, rules: Iterable[Object]) -> Path:
    """A ServiceAccount as an aggregated API server needs it, with these rules; its kubeconfig."""
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    rbac, metadata = "rbac.authorization.k8s.io", {"name": name}
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": metadata, "rules": list(rules)}
    bindings = [
        _binding("ClusterRoleBinding", metadata, "ClusterRole", name, subject),
        _binding("ClusterRoleBinding", {"name": f"{name}-delegator"}, "ClusterRole", "system:auth-delegator", subject),
        _binding(
            "RoleBinding",
            {"name": name, "namespace": "kube-system"},
            "Role",
            "extension-apiserver-authentication-reader",
            subject,
        ),
    ]
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}
    plane.api.apply([_namespace(namespace), account, role, *bindings])
    return plane.service_account_kubeconfig(namespace, name)


def create_pods(api: Api, fleet: Fleet, port: int) -> None:
    """The fleet's pods, Running and Ready, with addresses at which the exporter answers on `port`."""
    api.apply(_namespace(fleet.namespace))
    path = f"/api/v1/namespaces/{fleet.namespace}/pods"

    def create(pod: int) -> None:
        api.create(path, pod_object(fleet, pod, port))
        api.merge(f"{path}/{fleet.name(pod)}/status", {"status": pod_status(pod)})

    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(create, range(fleet.pods)))


def delete_pods(api: Api, fleet: Fleet) -> None:
    """All of them, at once."""
    api.delete(f"/api/v1/namespaces/{fleet.namespace}/pods")


def pod_object(fleet: Fleet, pod: int, port: int) -> Object:
    """A vLLM pod as it is created; its annotations name the page."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": fleet.name(pod),
            "labels": fleet.labels(pod),
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)},
        },
        "spec": {
            "containers": [
                {
                    "name": "vllm",
                    "image": IMAGE,
                    "ports": [{"name": "http", "containerPort": port}],
                    "resources": {"limits": {"nvidia.com/gpu": "1"}},
                }
            ]
        },
    }


def pod_status(pod: int) -> Object:
    """Running and Ready, as a kubelet tells it."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    ip = address(pod)
    container = {
        "name": "vllm",
        "image": IMAGE,
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": now}},
    }
    return {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "startTime": now,
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": now} for kind in ("Ready", "Initialized")
        ],
        "containerStatuses": [container],
    }


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _binding(kind: str, metadata: Object, role_kind: str, role: str, subject: Object) -> Object:
    group = "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "kind": role_kind, "name": role}
    return {
        "apiVersion": f"{group}/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": reference,
        "subjects": [subject],
    }
