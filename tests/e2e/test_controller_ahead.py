"""Scaling ahead of a ramp whose shape the controller has seen, on nodes that take a while to arrive; and what it does
while nodes do not come, while pods drain, and while its word is too old to count.

Time is scaled: a node takes 15 s and a model 8 s to load, instead of minutes, and that is what the controller has
learned of them. What it knows of the days before is in its file, as a controller that had run for so long would have
kept it.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import pytest
from autoscaler_watch import AutoscalerWatch
from controller_in_cluster import Controller, autoscaler
from controller_writes import AUDITED_WRITES, writes
from daily_wave import DailyWave, Past, following, learned_from, pods_seen
from kube_api import Object
from node_provisioner import POOL_LABEL, NodeProvisioner, Pool
from pod_process import PodProcess
from pod_view import APP_LABEL
from scenario import Scenario, World, example_hpa, start_world
from workload_path import recorded

from autoscaler.cluster import Key
from autoscaler.crd.build import combined_spec
from autoscaler.crd.parse import parse_spec

pytestmark = [pytest.mark.e2e, pytest.mark.controller]

SEEN = "ahead-of-a-ramp-it-has-seen"
"""The namespace of the workloads whose past is known: of the test of this name."""
BY_MODE = {"Direct": "direct", "Metric": "metric", "Floor": "floor"}
DEPLOYMENTS = tuple(BY_MODE.values())
STATEFUL_SETS = tuple(f"{name}-set" for name in DEPLOYMENTS)
BEFORE_RAMP_SECONDS = 80.0
"""For the workloads' first pods, and for a node and a model."""
AFTER_RAMP_SECONDS = 75.0
NODE_SECONDS, LOAD_SECONDS = 15.0, 8.0
LEAD_TIME = {"assumedSeconds": NODE_SECONDS + LOAD_SECONDS}
WAVE = DailyWave(low=6.0, high=60.0, starts=0.0, slope_seconds=120.0, lasts_seconds=1_200.0)
SLO = {"ttftSeconds": 2, "tpotSeconds": 0.075, "attainment": 0.98}
RATE = 30.0
"""Requests/s of 200 and 100 tokens: more than one replica of the example's profile serves within its SLO."""
DOWN_AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}
DRAIN_SECONDS = 10.0
PUBLISHED_MAX_AGE_SECONDS = 10
NODES_PERIOD_SECONDS = 5
QUICK = Pool("", max_nodes=10, min_nodes=1, provision_seconds=1.0, unneeded_seconds=4.0)
SLOW = replace(QUICK, provision_seconds=NODE_SECONDS)
POOLS = (
    *(replace(SLOW, name=name) for name in (*DEPLOYMENTS, *STATEFUL_SETS, "reactive")),
    *(replace(QUICK, name=name) for name in ("ample", "drained", "spoken")),
    replace(QUICK, name="short", max_nodes=2),
)


@dataclass(frozen=True, slots=True)
class Here:
    """What the tests share. wave: of the ramp that is to come. epoch: the provisioner's second 0, since the epoch."""

    wave: DailyWave
    provisioner: NodeProvisioner
    epoch: float


SHARED: dict[World, Here] = {}


@pytest.fixture(scope="module")
def world(start_control_plane: Callable[..., Any]) -> Iterator[World]:
    """No GPU node but those that the provisioner brings; the controller with a past, and the rights of all modes."""
    spec = combined_spec(parse_spec(seen_autoscalers()[0]["spec"]))
    learning = ThreadPoolExecutor(1).submit(learned_from, WAVE, spec, time.time())  # seconds, as a cluster starts
    settings = {"publishedMaxAgeSeconds": PUBLISHED_MAX_AGE_SECONDS, "nodePoolsPeriodSeconds": NODES_PERIOD_SECONDS}
    rights = ("overlays/direct", "overlays/floor", "overlays/placeholders")
    for world in start_world(start_control_plane, flags=AUDITED_WRITES, nodes=0):
        with (
            NodeProvisioner(world.plane.api, POOLS) as provisioner,
            Controller(world.plane, "base", *rights, settings=settings) as controller,
        ):
            learned = learning.result()
            wave = replace(WAVE, starts=time.time() + BEFORE_RAMP_SECONDS)
            lead_times = pods_seen(NODE_SECONDS, LOAD_SECONDS, now=time.time())
            past = Past(wave=wave, learned=learned, lead_times=lead_times)
            replica = controller.start_replica(before_start=partial(remember, past))
            SHARED[world] = Here(wave, provisioner, time.time() - provisioner.elapsed_seconds)
            replica.wait_ready(timeout_seconds=60.0)
            yield world
            assert replica.process.popen.poll() is None
            assert "Traceback" not in replica.log


def seen_autoscalers() -> list[Object]:
    """Of each mode on a Deployment, and on a StatefulSet."""
    wanted = []
    for mode, name in BY_MODE.items():
        of_set = autoscaler(SEEN, f"{name}-set", mode=mode, slo=SLO, leadTime=LEAD_TIME)
        of_set["spec"]["scaleTargetRef"]["kind"] = "StatefulSet"
        wanted += [autoscaler(SEEN, name, mode=mode, slo=SLO, leadTime=LEAD_TIME), of_set]
    return wanted


def remember(past: Past, replica: PodProcess) -> None:
    """Put the past of the workloads into its file."""
    file = replica.folder / "store" / "leadtime.sqlite"
    keys = [Key(SEEN, name) for name in (*DEPLOYMENTS, *STATEFUL_SETS)]
    asyncio.run(past.write(file, keys, time.time()))
    file.chmod(0o666)  # the container is another user


def test_ahead_of_a_ramp_it_has_seen(scene: Scenario, record_property: Callable[[str, object], None]) -> None:
    """Each mode, on a Deployment and on a StatefulSet whose pods come one after the other: it is scaled before the ramp
    begins, and its nodes are asked for before. A stock HPA on the queue, with the same demand and the same kind of
    nodes, begins when the queue is there."""
    assert scene.namespace == SEEN
    here, plane = SHARED[scene.world], scene.world.plane
    ours, names = (*DEPLOYMENTS, *STATEFUL_SETS), (*DEPLOYMENTS, *STATEFUL_SETS, "reactive")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(partial(runs_for_a_ramp, scene), names))
    with following(scene, here.wave, names):
        plane.api.apply(seen_autoscalers())
        for name in ("", "-set"):
            kind = "StatefulSet" if name else "Deployment"
            plane.api.apply(need_hpa(SEEN, f"metric{name}", kind, maxReplicas=10))
            plane.api.apply(queue_hpa(SEEN, f"floor{name}", kind, maxReplicas=10))
        plane.api.apply(queue_hpa(SEEN, "reactive", "Deployment", maxReplicas=10))
        paths = recorded(plane.api, SEEN, names, until=here.wave.starts + AFTER_RAMP_SECONDS)
    statuses = {name: AutoscalerWatch(plane, SEEN, name).status for name in ours}
    told = "\n".join(
        f"{name}: nodes asked for at {[round(at, 1) for at in node_asks(here, name)]} s from the start of the ramp\n"
        f"{path.table(here.wave.starts)}\n{statuses.get(name, {}).get('message', '')}"
        for name, path in paths.items()
    )
    for name in ours:
        assert "days of its own load" in statuses[name]["message"], told
        assert paths[name].asked_for(2) < here.wave.starts, f"{name}: not ahead\n{told}"
        assert min(node_asks(here, name)[1:], default=math.inf) < 0.0, f"{name}: nodes not ahead\n{told}"
        assert paths[name].counts == sorted(paths[name].counts), f"{name}: turned back\n{told}"
    assert paths["reactive"].asked_for(2) > here.wave.starts, told
    for name in STATEFUL_SETS:
        assert all(at.there <= at.ready + 1 for at in paths[name].moments), f"{name}: not one by one\n{told}"
    made = counts_written(scene)
    assert made.keys() == {"direct", "direct-set", "floor", "floor-set"}, "mode Metric writes nothing"
    assert all(counts == sorted(set(counts)) for counts in made.values()), f"a count was asked for again: {made}"
    per_replica = statuses["direct"]["capacity"]["requestsPerSecondPerReplica"]
    earlier = {name: paths["reactive"].served_by(2) - paths[name].served_by(2) for name in ours}
    short = {name: path.short_of(here.wave.rate, per_replica) for name, path in paths.items()}
    for name in ours:
        assert earlier[name] > NODE_SECONDS + LOAD_SECONDS, told
        assert short[name] < short["reactive"] / 2, f"{short}\n{told}"
    record_property(
        "ahead of a ramp it has seen, against a stock HPA on the queue",
        "\n".join(
            f"{name}: asked {here.wave.starts - paths[name].asked_for(2):.0f} s before the ramp, ready "
            f"{earlier[name]:.0f} s before the HPA's second; requests beyond what was ready: {short[name]:.0f}, with "
            f"the HPA {short['reactive']:.0f}"
            for name in ours
        ),
    )


def test_pods_without_gpus_are_not_asked_for_again(scene: Scenario) -> None:
    """Two nodes are all there are, and two replicas serve the load: those that were asked for beyond wait, and are
    counted. The count is what the same load takes where each pod gets its node."""
    watches = {}
    for name in ("short", "ample"):
        scene.runs("vllm", name, pool=name)
        scene.simulates(app=name)
        scene.demands(RATE, app=name)
    for name, nodes in (("short", 2), ("ample", 10)):
        pool = {"name": name, "provider": "Placeholders", "maxNodes": nodes, "nodeSelector": {POOL_LABEL: name}}
        scene.world.plane.api.apply(autoscaler(scene.namespace, name, mode="Direct", nodePools=[pool]))
        watches[name] = AutoscalerWatch(scene.world.plane, scene.namespace, name)
    short, ample = watches["short"], watches["ample"]
    short.wait(lambda count, status: count >= 3 and status.get("pendingReplicas"), "one without a node", seconds=90.0)
    ample.wait(lambda count, status: status.get("readyReplicas") == count >= 3, "3 or more, all ready", seconds=90.0)
    for watch in watches.values():
        watch.never_fewer(15.0)
    short.wait(
        lambda count, status: (status["readyReplicas"], status.get("pendingReplicas")) == (2, count - 2),
        "two ready, and all others without a node",
    )
    asked = counts_written(scene)["short"]
    assert asked == sorted(set(asked)), f"asked for again: {asked}"
    assert short.look()[0] <= ample.look()[0] + 1, f"{short.table()}\n{ample.table()}"
    pool_status = _pool(short)
    assert (pool_status["condition"], pool_status["floorNodes"]) == ("AtMaxNodes", 2), pool_status
    assert len(SHARED[scene.world].provisioner.asked("short")) == 2, "the first one and one more"


def test_a_scale_down_drains(scene: Scenario) -> None:
    """Pods that end are no capacity, and keep their nodes until they have answered what they have; then the nodes go,
    and with them the pool's floor. The pod that stays keeps its node."""
    scene.runs("vllm", "drained", pool="drained", drain_seconds=DRAIN_SECONDS)
    scene.simulates()
    scene.demands(RATE)
    pool = {"name": "drained", "maxNodes": 10, "cooldownSeconds": 0, "nodeSelector": {POOL_LABEL: "drained"}}
    pool |= {"provider": "Placeholders"}
    plane, here = scene.world.plane, SHARED[scene.world]
    plane.api.apply(autoscaler(scene.namespace, "drained", mode="Direct", minReplicas=3, nodePools=[pool]))
    seen = AutoscalerWatch(plane, scene.namespace, "drained")
    seen.wait(lambda count, status: status.get("readyReplicas") == count >= 3, "3 or more, all ready", seconds=60.0)
    seen.wait(lambda count, status: status["nodePools"][0]["floorNodes"] >= count, "the pool's floor holds them")
    seen.set(minReplicas=1, maxReplicas=1)
    seen.wait(lambda replicas, _: replicas == 1, "scaled down")
    began = time.monotonic()
    seen.wait(lambda _, status: status.get("readyReplicas") == 1, "one ready", seconds=DRAIN_SECONDS * 0.8)
    assert len(pods_of(scene, "drained")) >= 3, "the others are still there, and drain"
    while len(pods := pods_of(scene, "drained")) > 1:
        held = {pod["spec"]["nodeName"] for pod in pods}
        assert held <= set(here.provisioner.node_names("drained")), "a node was taken from a pod that drains"
        assert _pool(seen)["floorNodes"] >= len(held), seen.table()
        assert time.monotonic() - began < 4 * DRAIN_SECONDS
        time.sleep(0.5)
    assert time.monotonic() - began >= DRAIN_SECONDS * 0.9
    (survivor,) = pods
    seen.wait(lambda _, status: status["nodePools"][0]["floorNodes"] == 1, "the pool's floor follows")
    seen.wait(lambda *_: len(here.provisioner.node_names("drained")) == 1, "the nodes go")
    assert here.provisioner.node_names("drained") == [survivor["spec"]["nodeName"]]
    assert [pod["metadata"]["uid"] for pod in pods_of(scene, "drained")] == [survivor["metadata"]["uid"]]


@pytest.mark.parametrize("cause", ["no-decision", "no-demand"])
def test_no_word(scene: Scenario, cause: str) -> None:
    """Mode Metric: no decision can be made any more, or demand is not known any more. What was published is withheld
    when it is too old, the HPA says that it has no value and holds, though the load has gone; then it goes on."""
    scene.runs("vllm", "spoken", pool="spoken")
    scene.simulates()
    scene.demands(RATE)
    plane = scene.world.plane
    plane.api.apply(autoscaler(scene.namespace, "spoken", mode="Metric", fallback={"holdSeconds": 5}))
    seen = AutoscalerWatch(plane, scene.namespace, "spoken")
    metrics = need_hpa(scene.namespace, "spoken", "Deployment")["spec"]["metrics"]
    hpa = scene.autoscales("hpa-predictive.yaml", metrics=metrics, behavior=DOWN_AT_ONCE, maxReplicas=10)
    hpa.wait(lambda moment: moment.replicas == moment.ready >= 2, "2 or more, all ready", timeout_seconds=90)
    if cause == "no-decision":
        seen.set(profile="llama-9-h900")
        seen.wait_condition("Ready", "False", "InvalidSpec")
    else:
        scene.fails("refuse")
        seen.wait_condition("DemandKnown", "False", seconds=90)
    hpa.wait_condition("ScalingActive", "False", "FailedGetExternalMetric", timeout_seconds=120)
    held = hpa.now
    scene.demands(1.0)
    hpa.wait(lambda moment: moment.failed_syncs >= held.failed_syncs + 5, "failing 5 times", timeout_seconds=60)
    assert hpa.now.replicas == held.replicas == hpa.now.desired, hpa.table()
    scene.demands(2 * RATE)
    if cause == "no-decision":
        seen.set(profile="llama-3.1-8b-fp8-l4")
    else:
        scene.heals()
    hpa.wait_condition("ScalingActive", "True", "ValidMetricFound", timeout_seconds=60)
    hpa.wait(lambda moment: moment.replicas > held.replicas, "scaled up", timeout_seconds=60)


def runs_for_a_ramp(scene: Scenario, name: str) -> None:
    """A workload in a pool of its own name, whose demand will be told."""
    kind: Literal["Deployment", "StatefulSet"] = "StatefulSet" if name in STATEFUL_SETS else "Deployment"
    scene.runs("vllm", name, kind=kind, in_order=True, pool=name, load_seconds=LOAD_SECONDS)
    scene.simulates(app=name)


def need_hpa(namespace: str, name: str, kind: str, **spec: Any) -> Object:
    """The stock HPA on the controller's published need."""
    hpa = _hpa("hpa-predictive.yaml", namespace, name, kind, spec)
    labels = hpa["spec"]["metrics"][0]["external"]["metric"]["selector"]["matchLabels"]
    labels |= {"exported_namespace": namespace, "predictiveautoscaler": name}
    return hpa


def queue_hpa(namespace: str, name: str, kind: str, **spec: Any) -> Object:
    """The stock HPA on the queue."""
    return _hpa("hpa-queue.yaml", namespace, name, kind, spec)


def _hpa(file: str, namespace: str, name: str, kind: str, spec: dict[str, Any]) -> Object:
    hpa = example_hpa(file, namespace, name)
    hpa["metadata"]["name"] = name
    hpa["spec"]["scaleTargetRef"]["kind"] = kind
    hpa["spec"] |= spec
    return hpa


def counts_written(scene: Scenario) -> dict[str, list[int]]:
    """What the controller wrote, one after the other: name of the workload or the HPA -> replicas."""
    made: dict[str, list[int]] = {}
    for write in writes(scene.world.plane, scene.namespace):
        if write.request.succeeded and write.replicas is not None:
            made.setdefault(write.request.name, []).append(write.replicas)
    return made


def node_asks(here: Here, pool: str) -> list[float]:
    """When each of its nodes was asked for, seconds from the start of the ramp."""
    return [here.epoch + at - here.wave.starts for at in here.provisioner.asked(pool)]


def pods_of(scene: Scenario, app: str) -> list[Object]:
    path = f"/api/v1/namespaces/{scene.namespace}/pods?labelSelector={APP_LABEL}%3D{app}"
    found: list[Object] = scene.world.plane.api.get(path)["items"]
    return found


def _pool(seen: AutoscalerWatch) -> dict[str, Any]:
    """What its status says of its only pool."""
    found: dict[str, Any]
    (found,) = seen.status["nodePools"]
    return found
