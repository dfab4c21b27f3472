"""Each mode of the controller on a real control plane: what it says, what it writes, and what it leaves alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from autoscaler_watch import AutoscalerWatch
from controller_in_cluster import Controller, autoscaler
from gpu_cluster import gpu_nodes
from kube_api import Object
from node_provisioner import POOL_LABEL
from scenario import Scenario, World, example_hpa, start_world

pytestmark = [pytest.mark.e2e, pytest.mark.controller]

RATE = 30.0
"""Requests/s of 200 and 100 tokens: more than one replica of the example's profile serves within its SLO."""
POD_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
DOWN_SOON = {"scaleDown": {"stabilizationWindowSeconds": 4}}


@pytest.fixture(scope="module")
def world(start_control_plane: Callable[..., Any]) -> Iterator[World]:
    """With the controller beside the adapter, and the rights of all modes."""
    for world in start_world(start_control_plane):
        rights = ("overlays/direct", "overlays/floor", "overlays/pod-deletion-cost")
        with Controller(world.plane, "base", *rights, settings={"nodePoolsPeriodSeconds": 5}) as controller:
            controller.start_replica().wait_ready()
            yield world


def scaled(
    scene: Scenario, mode: str, *, system: str = "vllm", kind: str = "Deployment", **spec: Any
) -> AutoscalerWatch:
    """A workload under load, named vllm, with a PredictiveAutoscaler of this mode. system: the server in its pods."""
    scene.runs(system, "vllm", kind=kind)  # type: ignore[arg-type]
    scene.simulates()
    scene.demands(RATE)
    wanted = autoscaler(scene.namespace, mode=mode, **spec)
    wanted["spec"]["scaleTargetRef"]["kind"] = kind
    scene.world.plane.api.apply(wanted)
    return AutoscalerWatch(scene.world.plane, scene.namespace, "vllm", kind=f"{kind.lower()}s")


def hpa_of(scene: Scenario, **spec: Any) -> str:
    """The stock HPA on the controller's published need; its path."""
    hpa: Object = example_hpa("hpa-predictive.yaml", scene.namespace, "vllm")
    labels = hpa["spec"]["metrics"][0]["external"]["metric"]["selector"]["matchLabels"]
    labels["exported_namespace"] = scene.namespace
    hpa["spec"] |= spec
    (applied,) = scene.world.plane.api.apply(hpa)
    return scene.world.plane.api.path_of(applied)


def test_recommend_says_and_writes_nothing(scene: Scenario) -> None:
    seen = scaled(scene, "Recommend")
    status = seen.wait(lambda _, status: status.get("desiredReplicas", 0) >= 2, "a need of 2 or more")
    seen.holds(6.0)
    assert status["demand"]["requestsPerSecond"] > RATE / 2
    assert status["capacity"]["requestsPerSecondPerReplica"] > 0
    assert "req/s" in status["message"]
    assert seen.replica_path == [1], seen.table()


def test_recommend_knows_the_demand_of_sglang(scene: Scenario) -> None:
    """From SGLang's own page at its own port, found by its image, to a need."""
    seen = scaled(scene, "Recommend", system="sglang")
    seen.wait_condition("DemandKnown", "True")
    status = seen.wait(lambda _, status: status.get("desiredReplicas", 0) >= 2, "a need of 2 or more")
    assert status["demand"]["requestsPerSecond"] > RATE / 2
    assert seen.replica_path == [1], seen.table()


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet"])
def test_direct_scales_up_and_down(scene: Scenario, kind: str) -> None:
    """Down by a bound: after a peak the rule itself keeps capacity for hours."""
    seen = scaled(scene, "Direct", kind=kind)
    seen.wait_replicas(2)
    status = seen.wait(lambda replicas, status: status.get("readyReplicas") == replicas >= 2, "all of them ready")
    assert status["mode"] == "Direct"
    seen.wait_condition("AbleToScale", "True")
    seen.set(maxReplicas=1)
    seen.wait(lambda replicas, _: replicas == 1, "scaled down")
    seen.wait_condition("ScalingLimited", "True", "TooManyReplicas")


def test_direct_leaves_a_workload_to_its_hpa(scene: Scenario) -> None:
    """Two controllers on one scale would undo each other's work."""
    scene.runs("vllm")
    hpa_of(scene, minReplicas=1)
    scene.simulates()
    scene.demands(RATE)
    scene.world.plane.api.apply(autoscaler(scene.namespace, mode="Direct"))
    seen = AutoscalerWatch(scene.world.plane, scene.namespace, "vllm")
    message = seen.wait_condition("NoConflict", "False")
    assert "vllm-predictive" in message
    seen.holds(5.0)


def test_floor_raises_the_hpas_minimum_and_gives_it_back(scene: Scenario) -> None:
    scene.runs("vllm")
    path = hpa_of(scene, minReplicas=1)
    api = scene.world.plane.api
    scene.simulates()
    scene.demands(RATE)
    api.apply(autoscaler(scene.namespace, mode="Floor"))
    seen = AutoscalerWatch(scene.world.plane, scene.namespace, "vllm")
    api.wait(path, lambda hpa: hpa["spec"]["minReplicas"] >= 2)
    seen.wait_replicas(2)
    seen.set(mode="Recommend")
    api.wait(path, lambda hpa: hpa["spec"]["minReplicas"] == 1)


def test_metric_reaches_the_stock_hpa(scene: Scenario) -> None:
    """Controller -> its page -> adapter -> HPA -> scale."""
    scene.runs("vllm")
    hpa_of(scene)
    scene.simulates()
    scene.demands(RATE)
    scene.world.plane.api.apply(autoscaler(scene.namespace, mode="Metric"))
    seen = AutoscalerWatch(scene.world.plane, scene.namespace, "vllm")
    seen.wait_replicas(2, seconds=60)
    seen.wait(lambda _, status: status.get("mode") == "Metric", "its mode")


def test_without_pages_nothing_is_scaled_down(scene: Scenario) -> None:
    seen = scaled(scene, "Direct", behavior=DOWN_SOON, fallback={"holdSeconds": 5})
    seen.wait_replicas(2)
    scene.fails("refuse")
    seen.wait_condition("DemandKnown", "False", seconds=90)  # a sample is the present for 60 s
    seen.holds(15.0)
    scene.heals()
    seen.wait_condition("DemandKnown", "True")


def test_paused_writes_nothing(scene: Scenario) -> None:
    seen = scaled(scene, "Direct", paused=True)
    seen.wait(lambda _, status: status.get("desiredReplicas", 0) >= 2, "a need of 2 or more")
    seen.holds(5.0)
    seen.set(paused=False)
    seen.wait_replicas(2)


def test_a_scale_down_takes_the_pods_on_demand(scene: Scenario) -> None:
    """Three pods on nodes on demand and two on spot nodes: the ReplicaSet controller takes the three. What somebody
    else set stays, and ours goes when it is not wanted any more."""
    api = scene.world.plane.api
    pools = [mixed_pool(scene, "spot", 2), mixed_pool(scene, "demand", 3)]
    pools[0]["spot"] = {"pricePerNodeHour": 0.3, "preemptionsPerNodeHour": 0.05, "onDemandInNextPool": True}
    try:
        scene.runs("vllm", replicas=5, pool="mixed")
        scene.simulates()
        spot = next(pod for pod in pods_by_node(scene).values() if pod["spec"]["nodeName"].startswith("spot-"))
        theirs = f"/api/v1/namespaces/{scene.namespace}/pods/{spot['metadata']['name']}"
        api.merge(theirs, {"metadata": {"annotations": {POD_DELETION_COST: "7"}}})
        bounds: dict[str, Any] = {"minReplicas": 5, "maxReplicas": 5, "behavior": DOWN_SOON}
        api.apply(autoscaler(scene.namespace, mode="Direct", nodePools=pools, podDeletionCost="ByNode", **bounds))
        seen = AutoscalerWatch(scene.world.plane, scene.namespace, "vllm")
        demand = dict.fromkeys(("demand-0", "demand-1", "demand-2"), "-100")
        others = {spot["spec"]["nodeName"]: "7"}
        seen.wait(lambda *_: costs_by_node(scene) == demand | others, "costs of the three")
        assert "somebody else set" in seen.wait_condition("PodDeletionCostSet", "True", "ByNode")
        seen.set(podDeletionCost="Unset")
        seen.wait(lambda *_: costs_by_node(scene) == others, "ours taken off")
        seen.set(podDeletionCost="ByNode")
        seen.wait(lambda *_: costs_by_node(scene) == demand | others, "costs of the three again")
        seen.set(minReplicas=2, maxReplicas=2)
        seen.wait(lambda *_: set(pods_by_node(scene)) == {"spot-0", "spot-1"}, "the pods on demand go")
        assert costs_by_node(scene) == others
    finally:
        for node in ("spot-0", "spot-1", "demand-0", "demand-1", "demand-2"):
            api.merge(f"/api/v1/nodes/{node}", {"spec": {"unschedulable": True}})


def mixed_pool(scene: Scenario, name: str, count: int) -> Object:
    """Brings nodes of one GPU for pods of the pool `mixed`; the entry of spec.nodePools for them."""
    nodes = gpu_nodes(count, gpus=1, pool=name)
    selector = {POOL_LABEL: "mixed", "kind": name}
    for node in nodes:
        node["metadata"]["labels"] |= selector
    scene.world.plane.api.apply(nodes)
    for node in nodes:
        scene.world.plane.api.merge(f"/api/v1/nodes/{node['metadata']['name']}/status", {"status": node["status"]})
    return {"name": name, "maxNodes": count, "nodeSelector": selector, "pricePerNodeHour": 0.7}


def pods_by_node(scene: Scenario) -> dict[str, Object]:
    items: list[Object] = scene.world.plane.api.get(f"/api/v1/namespaces/{scene.namespace}/pods")["items"]
    return {pod["spec"]["nodeName"]: pod for pod in items if "deletionTimestamp" not in pod["metadata"]}


def costs_by_node(scene: Scenario) -> dict[str, str]:
    found = {node: pod["metadata"].get("annotations", {}) for node, pod in pods_by_node(scene).items()}
    return {node: each[POD_DELETION_COST] for node, each in found.items() if POD_DELETION_COST in each}
