"""Each mode of the controller on a real control plane: what it says, what it writes, and what it leaves alone."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from autoscaler_watch import AutoscalerWatch
from controller_in_cluster import Controller, autoscaler
from kube_api import Object
from scenario import Scenario, World, example_hpa, start_world

pytestmark = [pytest.mark.e2e, pytest.mark.controller]

RATE = 30.0
"""Requests/s of 200 and 100 tokens: more than one replica of the example's profile serves within its SLO."""
DOWN_SOON = {"scaleDown": {"stabilizationWindowSeconds": 4}}


@pytest.fixture(scope="module")
def world(start_control_plane: Callable[..., Any]) -> Iterator[World]:
    """With the controller beside the adapter, and the rights of all modes."""
    for world in start_world(start_control_plane):
        with Controller(world.plane, "base", "overlays/direct", "overlays/floor") as controller:
            controller.start_replica().wait_ready()
            yield world


def scaled(scene: Scenario, mode: str, *, kind: str = "Deployment", **spec: Any) -> AutoscalerWatch:
    """A workload under load with a PredictiveAutoscaler of this mode."""
    scene.runs("vllm", kind=kind)  # type: ignore[arg-type]
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
