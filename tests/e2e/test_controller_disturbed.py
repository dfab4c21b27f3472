"""One workload or its objects are disturbed: pages that lie, a second writer, wrong objects, modes that change.

Each test has a namespace of its own; the controller goes on for all others meanwhile.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from autoscaler_watch import AutoscalerWatch
from beside import beside
from controller_in_cluster import Controller, autoscaler
from controller_writes import AUDITED_WRITES, Write, made, writes
from exporter_process import Fault
from kube_api import Object
from scenario import Scenario, World, example_hpa, start_world

pytestmark = [pytest.mark.e2e, pytest.mark.controller]

RATE = 30.0
"""Requests/s of 200 and 100 tokens: more than one replica of the example's profile serves within its SLO."""
DOWN_SOON = {"scaleDown": {"stabilizationWindowSeconds": 4}}
MORNING = {"name": "morning", "start": "0 8 * * *", "end": "0 9 * * *", "minReplicas": 2}
SCALE, HPA = "deployments/scale", "horizontalpodautoscalers"
OTHERS_WRITE_SECONDS = 0.01
A_STEP_NS = 1_000_000_000
"""Steps of one object are 2 s apart; what one of them writes comes within this."""


@pytest.fixture(scope="module")
def world(start_control_plane: Callable[..., Any]) -> Iterator[World]:
    """With the controller beside the adapter, and the rights of all modes."""
    for world in start_world(start_control_plane, flags=AUDITED_WRITES):
        with Controller(world.plane, "base", "overlays/direct", "overlays/floor") as controller:
            controller.start_replica().wait_ready(timeout_seconds=60.0)
            yield world
            (replica,) = controller.replicas
            assert replica.process.popen.poll() is None
            assert "Traceback" not in replica.log


def runs(scene: Scenario) -> None:
    scene.runs("vllm")
    scene.simulates()
    scene.demands(RATE)


def applied(scene: Scenario, name: str = "vllm", **spec: Any) -> AutoscalerWatch:
    """A PredictiveAutoscaler on the workload of this scenario."""
    wanted = autoscaler(scene.namespace, name, **spec)
    wanted["spec"]["scaleTargetRef"]["name"] = "vllm"
    scene.world.plane.api.apply(wanted)
    return AutoscalerWatch(scene.world.plane, scene.namespace, name, target="vllm")


def hpa_of(scene: Scenario, **spec: Any) -> str:
    """The stock HPA on the controller's published need; its path."""
    hpa: Object = example_hpa("hpa-predictive.yaml", scene.namespace, "vllm")
    labels = hpa["spec"]["metrics"][0]["external"]["metric"]["selector"]["matchLabels"]
    labels["exported_namespace"] = scene.namespace
    hpa["spec"] |= spec
    (there,) = scene.world.plane.api.apply(hpa)
    return scene.world.plane.api.path_of(there)


@pytest.mark.parametrize("fault", ["nan", "frozen", "hang"])
def test_pages_without_news(scene: Scenario, fault: Fault) -> None:
    """Numbers that are none, old ones, no answer: all the same, nothing is known, and nothing is scaled down for it."""
    runs(scene)
    seen = applied(scene, mode="Direct", behavior=DOWN_SOON, fallback={"holdSeconds": 5})
    seen.wait(lambda replicas, status: status.get("readyReplicas") == replicas >= 2, "2 or more, all ready")
    scene.fails(fault)
    seen.wait_condition("DemandKnown", "False", seconds=120)  # a sample is the present for 60 s
    seen.never_fewer(15.0)
    scene.heals()
    seen.wait_condition("DemandKnown", "True", seconds=60)


def test_another_writer(scene: Scenario) -> None:
    """Somebody sets the replicas again and again. Each step decides from what is there: it tries twice at most, writes
    over nothing that it has not seen, and comes through once it is alone."""
    runs(scene)
    seen = applied(scene, mode="Direct")
    seen.wait_replicas(2)
    with others_writing(scene, (1, 2)):
        seen.wait(
            lambda _, status: "changed meanwhile" in str(status.get("conditions")), "a write withheld", seconds=60.0
        )
        conflicts = [write for write in writes(scene.world.plane, scene.namespace) if write.request.status == 409]
        status = seen.look()[1]
    seen.wait_replicas(max(2, status["desiredReplicas"]))
    seen.wait_condition("AbleToScale", "True")
    assert conflicts, "else nothing is shown"
    all_writes = writes(scene.world.plane, scene.namespace)
    assert all(write.request.sent["metadata"]["resourceVersion"] for write in all_writes)
    assert max(len(step) for step in by_step(all_writes)) <= 2, [write.what for write in all_writes]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param({"profile": "llama-9-h900"}, "spec.profile: was 'llama-9-h900'", id="profile"),
        pytest.param(
            {"schedules": [{**MORNING, "start": "61 8 * * *"}]},
            "spec.schedules[0].start: cron minute: was '61'",
            id="cron",
        ),
        pytest.param(
            {"schedules": [{**MORNING, "timeZone": "Mars/Olympus"}]},
            "spec.schedules[0].timeZone: was 'Mars/Olympus'",
            id="time-zone",
        ),
    ],
)
def test_a_wrong_object_beside_a_good_one(scene: Scenario, wrong: dict[str, Any], says: str) -> None:
    """What no schema can refuse is told by a condition; the other is acted on, and so is this one once it is mended."""
    runs(scene)
    bad = applied(scene, "wrong", mode="Recommend", **wrong)
    good = applied(scene, mode="Direct")
    assert says in bad.wait_condition("Ready", "False", "InvalidSpec")
    good.wait_replicas(2)
    assert "desiredReplicas" not in bad.look()[1], bad.table()
    bad.set(**{**dict.fromkeys(wrong), **({"profile": "llama-3.1-8b-fp8-l4"} if "profile" in wrong else {})})
    bad.wait(lambda _, status: status.get("desiredReplicas", 0) >= 2, "a decision")
    bad.wait_condition("Ready", "True")


def test_two_objects_on_one_workload(scene: Scenario) -> None:
    """The older one acts, the other says so; once the older is gone, the other acts."""
    runs(scene)
    older = applied(scene, mode="Direct")
    older.wait_replicas(2)
    younger = applied(scene, "younger", mode="Direct", maxReplicas=1, behavior=DOWN_SOON)
    message = younger.wait_condition("NoConflict", "False", "WorkloadTaken")
    assert "PredictiveAutoscaler vllm acts on this workload" in message
    younger.never_fewer(8.0)
    older.wait_condition("NoConflict", "True")
    scene.world.plane.api.delete(older.path)
    younger.wait(lambda replicas, _: replicas == 1, "as the younger one wants it")
    younger.wait_condition("NoConflict", "True")


def test_floor_of_a_deleted_object(scene: Scenario) -> None:
    runs(scene)
    hpa, api = hpa_of(scene, minReplicas=1), scene.world.plane.api
    floor = applied(scene, mode="Floor")
    api.wait(hpa, lambda found: found["spec"]["minReplicas"] >= 2)
    api.delete(floor.path)
    left = api.wait(hpa, lambda found: found["spec"]["minReplicas"] == 1)
    assert not any("leadtime" in name for name in left["metadata"].get("annotations", {}))
    assert made(scene.world.plane, scene.namespace)[-1] == (HPA, 1)


def test_modes_that_change(scene: Scenario) -> None:
    """Direct, Recommend, Metric, Floor, Recommend on a live object: each writes its own, and nobody anything else."""
    runs(scene)
    plane = scene.world.plane
    seen = applied(scene, mode="Direct")
    seen.wait_replicas(2)
    seen.set(mode="Recommend")
    seen.wait(lambda _, status: status.get("mode") == "Recommend", "Recommend")
    by_direct = made(plane, scene.namespace)
    assert by_direct
    assert by_direct == [(SCALE, replicas) for replicas in sorted({count for _, count in by_direct if count})]
    hpa = hpa_of(scene, minReplicas=1)
    seen.set(mode="Metric")
    plane.api.wait(hpa, lambda found: _is_active(found), timeout_seconds=60.0)
    seen.never_fewer(6.0)
    assert made(plane, scene.namespace) == by_direct
    seen.set(mode="Floor")
    plane.api.wait(hpa, lambda found: found["spec"]["minReplicas"] >= 2)
    seen.never_fewer(6.0)
    seen.set(mode="Recommend")
    plane.api.wait(hpa, lambda found: found["spec"]["minReplicas"] == 1)
    seen.never_fewer(6.0)
    *floors, given_back = made(plane, scene.namespace)[len(by_direct) :]
    assert {what for what, _ in floors} == {HPA}
    assert [count for _, count in floors] == sorted({count for _, count in floors if count and count >= 2})
    assert given_back == (HPA, 1)
    assert seen.replica_path == sorted(seen.replica_path), seen.table()


@contextmanager
def others_writing(scene: Scenario, counts: tuple[int, ...]) -> Iterator[None]:
    """Somebody who sets the workload's replicas to these in turn, again and again, until the end of the block."""
    api = scene.world.plane.api
    path = f"/apis/apps/v1/namespaces/{scene.namespace}/deployments/vllm/scale"

    def write(stopped: threading.Event) -> None:
        turn = 0
        while not stopped.wait(OTHERS_WRITE_SECONDS):
            api.merge(path, {"spec": {"replicas": counts[turn % len(counts)]}})
            turn += 1

    with beside(write):
        yield


def by_step(found: list[Write]) -> list[list[Write]]:
    """Those that one step sent together."""
    steps: list[list[Write]] = []
    for write in found:
        if steps and write.request.received_ns - steps[-1][0].request.received_ns < A_STEP_NS:
            steps[-1].append(write)
        else:
            steps.append([write])
    return steps


def _is_active(hpa: Object) -> bool:
    conditions = hpa.get("status", {}).get("conditions") or []
    return any(one["type"] == "ScalingActive" and one["status"] == "True" for one in conditions)
