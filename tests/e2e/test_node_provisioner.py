"""Nodes that come for pods, and before them: the provisioner stand-in and our placeholders on a real control plane."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from control_plane import ControlPlane
from gpu_cluster import GPU_STAGES, workload
from kube_api import Object
from node_provisioner import POOL_LABEL, NodeProvisioner, Pool

from adapter.sources.kubernetes.client import KubeClient
from adapter.sources.kubernetes.configuration import load_configuration
from autoscaler.act.writer import Writer
from autoscaler.cluster import Key
from autoscaler.crd.node_pool import NodePool
from autoscaler.node_pools.placeholders import PlaceholderProvider, placeholder_deployments
from autoscaler.node_pools.pools import SharedPool, pool_key
from autoscaler.node_pools.provider import Owner, PoolAsk, PoolTold, Taint
from autoscaler.node_pools.seen import PLACEHOLDER_LABEL, lasting_taints, nodes_of, nodes_seen, parse_node

pytestmark = [pytest.mark.e2e, pytest.mark.controller]

NAMESPACE = "provisioned"
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
PRIORITY_CLASS = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "leadtime-placeholder"},
    "value": -10,
    "preemptionPolicy": "Never",
    "globalDefault": False,
    "description": "Placeholders of leadtime: they hold room on GPU nodes and give it up to any other pod.",
}
POOL = NodePool(name="l4", max_nodes=4, provider="Placeholders", node_selector={POOL_LABEL: "l4"})


@pytest.fixture(scope="module")
def plane(start_control_plane: Callable[..., ControlPlane]) -> Iterator[ControlPlane]:
    """A cluster without a GPU node, and the PriorityClass of the placeholders."""
    with start_control_plane(controllers=True, scheduler=True, kwok=True, stages=GPU_STAGES) as started:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        started.api.apply([namespace, PRIORITY_CLASS])
        yield started


def test_nodes_come_for_pods_and_before_them_and_go_again(plane: ControlPlane) -> None:
    """A pod takes a placeholder's node at once, and the placeholder gets another one."""
    pool = Pool("l4", max_nodes=4, provision_seconds=2.0, unneeded_seconds=4.0, taints=(TAINT,))
    with NodeProvisioner(plane.api, [pool]) as provisioner:
        plane.api.apply(_vllm(replicas=1))
        _wait_ready(plane, 1)
        assert provisioner.node_names("l4") == ["l4-0"]
        (event,) = _events(plane, "TriggeredScaleUp")
        assert event["message"] == "pod triggered scale-up: [{l4 0->1 (max: 4)}]"

        (node,) = (parse_node(each) for each in plane.api.get("/api/v1/nodes")["items"])
        (seen,) = nodes_seen(POOL, nodes_of(POOL, [node]), lambda _: [])
        assert (seen.is_ready, seen.free_gpus, lasting_taints([node])) == (True, 1, (Taint(**TAINT),))

        told, writes = asyncio.run(_tell(plane, {1: 1}))
        assert (told.state, writes) == ("Resizing", ["ok"])
        _wait_placeholders(plane, 1)
        assert provisioner.node_names("l4") == ["l4-0", "l4-1"]
        told, writes = asyncio.run(_tell(plane, {1: 1}))
        assert (told.message, writes) == ("1 placeholders hold room", []), "what stands is not written again"

        _scale(plane, 2)
        _wait_ready(plane, 2)
        assert {_node_of(pod) for pod in _pods(plane, "app=vllm")} == {"l4-0", "l4-1"}
        _wait_placeholders(plane, 1)
        assert provisioner.node_names("l4") == ["l4-0", "l4-1", "l4-2"]
        assert _events(plane, "Preempted"), "the placeholder gave its place up"

        asyncio.run(_tell(plane, {}))
        provisioner.set_min("l4", 1)
        _scale(plane, 0)
        _wait_nodes(plane, 1)
        provisioner.set_min("l4", 3)
        _wait_nodes(plane, 3)
        provisioner.set_min("l4", 0)
        _wait_nodes(plane, 0)
    texts = [text for _, text in provisioner.log]
    assert not [text for text in texts if "failed" in text]
    asked = next(second for second, text in provisioner.log if text == "l4-0 is asked for")
    there = next(second for second, text in provisioner.log if text == "l4-0 is there")
    assert 2.0 <= there - asked < 10.0


async def _tell(plane: ControlPlane, placeholders: dict[int, int]) -> tuple[PoolTold, list[str]]:
    """Through the controller's own provider and client; and how each write came out."""
    writes: list[str] = []
    owner = Owner(key=Key(NAMESPACE, "vllm"), uid="00000000-0000-0000-0000-000000000001", pool_name="l4")
    shared = SharedPool(key=pool_key(POOL), pool=POOL, owners=(owner,), workloads=())
    ask = PoolAsk(
        keep_nodes=2,
        placeholders=placeholders,
        nodes=1,
        occupied_nodes=1,
        owners=(owner,),
        taints=(Taint(**TAINT),),
    )
    client = KubeClient(await load_configuration(plane.admin))
    try:
        writer = Writer(client, count=lambda _, outcome: writes.append(outcome))
        return await PlaceholderProvider(shared, placeholder_deployments(writer)).tell(ask, 0), writes
    finally:
        await client.close()


def _vllm(replicas: int) -> Object:
    body = workload(NAMESPACE, "vllm", "vllm", replicas=replicas)
    spec = body["spec"]["template"]["spec"]
    spec["nodeSelector"] = {POOL_LABEL: "l4"}
    spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists"}]
    return body


def _scale(plane: ControlPlane, replicas: int) -> None:
    plane.api.merge(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/vllm/scale", {"spec": {"replicas": replicas}})


def _wait_ready(plane: ControlPlane, replicas: int) -> None:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/vllm"
    plane.api.wait(path, lambda seen: (seen.get("status") or {}).get("readyReplicas") == replicas)


def _wait_placeholders(plane: ControlPlane, count: int) -> None:
    """Until so many have a node and none waits for one."""
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments?labelSelector={PLACEHOLDER_LABEL}"
    plane.api.wait(
        path, lambda seen: [each.get("status", {}).get("readyReplicas") for each in seen["items"]] == [count]
    )


def _wait_nodes(plane: ControlPlane, count: int) -> None:
    plane.api.wait(f"/api/v1/nodes?labelSelector={POOL_LABEL}", lambda seen: len(seen["items"]) == count)


def _pods(plane: ControlPlane, selector: str) -> list[Object]:
    found: list[Object] = plane.api.get(
        f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector.replace('=', '%3D')}"
    )["items"]
    return found


def _events(plane: ControlPlane, reason: str) -> list[Any]:
    events = plane.api.get(f"/api/v1/namespaces/{NAMESPACE}/events")["items"]
    return [event for event in events if event["reason"] == reason]


def _node_of(pod: Object) -> str:
    return str(pod["spec"]["nodeName"])
