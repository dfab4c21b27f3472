"""Pods, Services and monitors of a real API server, found as the adapter finds them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from control_plane import ControlPlane
from kube_api import ApiError, Object

from adapter.sources.kubernetes.client import KubeClient
from adapter.sources.kubernetes.discovery import KubernetesDiscovery
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.series import PodKey

pytestmark = pytest.mark.e2e

PODS = 120  # more than two pages of a list


def pod_monitor_crd() -> Object:
    """PodMonitor's definition, with any spec."""
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "podmonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": {"kind": "PodMonitor", "plural": "podmonitors"},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


def pod(namespace: str, name: str) -> Object:
    container = {
        "name": "server",
        "image": "vllm/vllm-openai:v0.12.0",
        "ports": [{"name": "http", "containerPort": 8000}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "vllm"}},
        "spec": {"nodeName": "gpu-node-1", "containers": [container]},
    }


async def starts(client: KubeClient, namespace: str, name: str, ip: str) -> None:
    """Say of the pod what its kubelet would."""
    running = {"running": {"startedAt": "2026-11-21T10:00:00Z"}}
    container = {"name": "server", "ready": True, "restartCount": 0, "image": "v", "imageID": "", "state": running}
    status = {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [container],
    }
    await client.patch(f"/api/v1/namespaces/{namespace}/pods/{name}/status", {"status": status})


async def until(true: Callable[[], bool], *, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.01)


@asynccontextmanager
async def discovery(
    kubeconfig: Path, settings: dict[str, Any] | None = None
) -> AsyncIterator[tuple[KubeClient, KubernetesDiscovery]]:
    async def short_sleep(seconds: float) -> None:
        await asyncio.sleep(min(seconds, 0.1))

    client = await KubeClient.connect(kubeconfig)
    found = KubernetesDiscovery(
        client, KubernetesSettings.model_validate(settings or {}), watch_options={"sleep": short_sleep}
    )
    task = asyncio.create_task(found.run())
    try:
        yield client, found
    finally:
        task.cancel()
        await asyncio.wait([task])
        await client.close()


async def test_pods_pages_services_and_a_later_monitor_are_found(control_plane: ControlPlane) -> None:
    namespace = "discovered"
    control_plane.api.apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}])
    pods = f"/api/v1/namespaces/{namespace}/pods"
    async with discovery(control_plane.admin, {"namespaces": [namespace]}) as (client, found):
        for number in range(PODS):
            await client.post(pods, pod(namespace, f"vllm-{number}"))
        await until(lambda: len(found.pods()) == PODS)
        assert found.targets().targets == ()  # none has an address yet
        for number in range(PODS):
            await starts(client, namespace, f"vllm-{number}", f"10.9.0.{number}")
        await until(lambda: len(found.targets().targets) == PODS)
        vllm_7 = PodKey(namespace, "vllm-7")
        assert {target.url for target in found.targets().targets if target.owner == vllm_7} == {
            "http://10.9.0.7:8000/metrics"
        }
        assert found.pods()[vllm_7].ready
        assert found.synced
        assert found.faults == ()

        spec = {"selector": {"app": "vllm"}, "ports": [{"name": "web", "port": 80, "targetPort": "http"}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "vllm"}, "spec": spec}
        await client.post(f"/api/v1/namespaces/{namespace}/services", service)
        await until(lambda: found.pods()[vllm_7].services == ("vllm",))

        control_plane.api.apply(pod_monitor_crd())
        monitor = {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PodMonitor",
            "metadata": {"name": "vllm", "namespace": namespace},
            "spec": {
                "selector": {"matchLabels": {"app": "vllm"}},
                "podMetricsEndpoints": [{"port": "http", "path": "/m"}],
            },
        }
        await until_applied(control_plane, monitor)
        await until(lambda: all(target.url.endswith("/m") for target in found.targets().targets))

    async with discovery(control_plane.admin, {"namespaces": [namespace]}) as (client, found):
        await until(lambda: found.synced)  # listed anew, in pages
        assert len(found.pods()) == PODS
        await until(lambda: all(target.url.endswith("/m") for target in found.targets().targets))
        await client.patch(f"{pods}/vllm-0", {"metadata": {"finalizers": ["leadtime.dev/test"]}})
        control_plane.api.delete(f"{pods}/vllm-0")  # it ends, and stays for its finalizer
        await until(lambda: PodKey(namespace, "vllm-0") not in found.pods())
        assert (await client.get(f"{pods}/vllm-0"))["metadata"]["deletionTimestamp"]
        await client.patch(f"{pods}/vllm-0", {"metadata": {"finalizers": None}})
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        control_plane.api.delete(f"{definitions}/podmonitors.monitoring.coreos.com")
        await until(lambda: all(target.url.endswith("/metrics") for target in found.targets().targets))
        await until(lambda: found.faults == ())


async def until_applied(control_plane: ControlPlane, item: Object) -> None:
    """A new kind takes a moment to be served."""
    deadline = time.monotonic() + 30
    while True:
        try:
            control_plane.api.apply(item)
        except (ApiError, LookupError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            return


async def test_rights_that_are_missing_are_named_and_enough_when_added(control_plane: ControlPlane) -> None:
    reader = control_plane.kubeconfig("reader")
    async with discovery(reader, {"monitors": []}) as (_, found):
        await until(lambda: len(found.faults) == 2)
        assert not found.synced
        remedy = '{apiGroups: [""], resources: ["pods"], verbs: ["list", "watch"]}'
        assert any("403 Forbidden" in fault and remedy in fault for fault in found.faults)
        rbac = "rbac.authorization.k8s.io"
        rule = {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list", "watch"]}
        named = {"apiVersion": f"{rbac}/v1", "metadata": {"name": "reader"}}
        control_plane.api.apply(
            [
                named | {"kind": "ClusterRole", "rules": [rule]},
                named
                | {
                    "kind": "ClusterRoleBinding",
                    "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "reader"},
                    "subjects": [{"apiGroup": rbac, "kind": "User", "name": "reader"}],
                },
            ]
        )
        await until(lambda: found.synced and not found.faults)


async def test_a_selector_is_the_servers_own(control_plane: ControlPlane) -> None:
    namespace = "selected"
    other = pod(namespace, "other")
    other["metadata"]["labels"] = {"app": "web"}
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    control_plane.api.apply([home, pod(namespace, "chosen"), other])
    settings = {"podLabelSelector": "app in (vllm, nim)", "namespaces": [namespace]}
    async with discovery(control_plane.admin, settings) as (_, found):
        await until(lambda: found.synced)
        assert list(found.pods()) == [PodKey(namespace, "chosen")]
