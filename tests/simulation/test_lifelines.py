"""Lifelines: the stages of pods and nodes add up to what the fleet and the cluster say of them."""

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from policies.decision import Decision
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, Snapshot
from simulations.cluster import Cluster
from simulations.cluster.node_pool import NodePool
from simulations.cluster.spot import SPOT_PREEMPTED, Spot
from simulations.cluster.usage import node_seconds
from simulations.fleet import Fleet, advance_together
from simulations.lead_time import LeadTime, Stage
from simulations.results import Result
from simulations.results.lifelines import NodeLine, PodLine, PodStage, node_lines, pod_lines
from simulations.scenario import Failures, Scenario
from simulations.simulate import simulate, simulate_together
from simulations.start.staged_start import StagedStart

EXACT = LeadTime(start_median_seconds=100.0, load_median_seconds=60.0, sigma=0.0, warm_start_median_seconds=3.0)
SECONDS = 1_200.0


def pool(**changes: Any) -> NodePool:
    """Nodes that take exactly 80 s; the image and the container take the other 20 s of a start on a new node."""
    fields = {"name": "l4", "gpus_per_node": 1, "max_nodes": 3, "provision": Stage(80.0, 0.0)}
    return NodePool(**(fields | changes))


def scenario(**changes: Any) -> Scenario:
    """20 minutes of Poisson requests at 1 a second."""
    arrivals = np.cumsum(np.random.default_rng(1).exponential(1.0, 1_200))
    trace = trace_of(arrivals[arrivals < SECONDS], 200, 60, ends_seconds=SECONDS)
    fields = {"trace": trace, "profile": PROFILES["llama-3.1-8b-fp8-l4"], "lead_time": EXACT, "initial_replicas": 1}
    return Scenario(**(fields | changes))


def wanting(steps: Mapping[int, int]) -> Policy[Any, None]:
    """A policy that asks for so many replicas from that second on."""

    def decide(spec: Any, state: None, snapshot: Snapshot, now_ns: int) -> tuple[Decision, None]:  # noqa: ARG001
        wanted = [count for second, count in spec.items() if second * NS_PER_SECOND <= now_ns]
        return Decision(desired_replicas=wanted[-1], reason="Test", message="as told"), state

    return Policy(name="told", decide=decide, spec=steps, initial_state=None, queries=())


def stages(pod: PodLine) -> list[tuple[str, float, float]]:
    return [(str(span.stage), span.begin_seconds, span.end_seconds) for span in pod.spans]


def assert_adds_up(pods: tuple[PodLine, ...]) -> None:
    """Spans follow each other without a gap, in time, from the ask to the end."""
    for pod in pods:
        if not pod.spans:
            assert pod.ended_at == pod.asked_at, f"{pod.name} lasted and did nothing"
            continue
        assert pod.spans[0].begin_seconds == pod.asked_at
        assert pod.spans[-1].end_seconds == pod.ended_at
        for before, after in pairwise(pod.spans):
            assert before.end_seconds == after.begin_seconds
            assert before.begin_seconds < before.end_seconds
        for horizon in (0.0, 333.3, SECONDS):
            life = max(0.0, min(pod.ended_at, horizon) - pod.asked_at)
            assert math.fsum(pod.seconds(stage, horizon) for stage in PodStage) == pytest.approx(life)


@pytest.mark.parametrize(
    ("max_nodes", "expected"),
    [
        pytest.param(
            3,
            [("pending", 20, 100), ("container start", 100, 120), ("model load", 120, 180), ("ready", 180, 620)],
            id="a-new-node-takes-80-s-and-what-the-start-has-left-20-s",
        ),
        pytest.param(1, [("pending", 20, 620)], id="a-pod-that-never-got-a-node-was-pending-all-its-life"),
    ],
)
def test_a_pods_life(max_nodes: int, expected: list[tuple[str, float, float]]) -> None:
    """Syncs are at 5, 20, 35 ... s: asked for at 20 s, deleted at 620 s with nothing left to answer, or soon after."""
    result = simulate(scenario(nodes=pool(max_nodes=max_nodes)), wanting({0: 1, 20: 2, 620: 1}))
    second = result.lifelines.pods[1]
    shown = [span for span in stages(second) if span[0] != "draining"]
    assert shown == expected
    assert second.deleted_at == 620.0
    assert second.ended_at < 640.0
    assert_adds_up(result.lifelines.pods)


def test_a_pod_that_runs_at_the_start_is_ready_at_once() -> None:
    result = simulate(scenario(), wanting({0: 1}))
    assert stages(result.lifelines.pods[0]) == [("ready", 0.0, math.inf)]
    assert result.lifelines.nodes == (), "no nodes are simulated"


def test_a_start_in_stages_has_the_image_by_itself() -> None:
    start = StagedStart(
        scheduling=Stage(1.0, 0.0),
        volume=Stage(2.0, 0.0),
        pull=Stage(30.0, 0.0),
        container=Stage(4.0, 0.0),
        download=Stage(50.0, 0.0),
        read=Stage(10.0, 0.0),
        warm_up=Stage(5.0, 0.0),
    )
    result = simulate(scenario(nodes=pool(), start=start), wanting({0: 1, 20: 2}))
    seen = stages(result.lifelines.pods[1])
    assert [name for name, _, _ in seen] == ["pending", "volume, image", "container start", "model load", "ready"]
    assert [end - begin for _, begin, end in seen[:3]] == pytest.approx([80.0, 33.0, 4.0])
    assert_adds_up(result.lifelines.pods)


def test_a_crash_is_a_new_load_until_the_server_answers_again() -> None:
    """A server loads for 60 s after each crash, and every crash has its instant."""
    result = simulate(scenario(failures=Failures(mtbf_seconds=300.0)), wanting({0: 2}))
    pods = result.lifelines.pods
    assert sum(len(pod.ended_containers_at) for pod in pods) >= 3, "the seed draws some crashes"
    for pod in pods:
        for at in pod.ended_containers_at:
            loads = [span for span in pod.spans if span.stage == PodStage.LOADING and span.begin_seconds == at]
            assert len(loads) == 1
            assert loads[0].end_seconds == pytest.approx(at + 60.0)
    assert_adds_up(pods)


@pytest.mark.parametrize("seed", range(6))
def test_stages_and_nodes_add_up_to_the_bill(seed: int) -> None:
    """GPU-seconds of pods and node-seconds, counted by the fleet and the cluster and once more from the lines."""
    rng = np.random.default_rng(seed)
    steps = {0: 2} | {int(second): int(rng.integers(1, 7)) for second in range(40, 1_200, 90)}
    nodes = pool(gpus_per_node=2, unneeded_seconds=60.0, provision=Stage(80.0, 0.3))
    each = scenario(nodes=nodes, seed=seed, failures=Failures(mtbf_seconds=500.0), lead_time=replace(EXACT, sigma=0.3))
    cluster = Cluster([nodes], seed=seed)
    fleet = Fleet(each, cluster)
    for second in range(0, 1_200, 10):
        advance_together([fleet], float(second))
        fleet.scale([count for at, count in steps.items() if at <= second][-1])
    pods, lines = pod_lines(fleet), node_lines(cluster)
    assert_adds_up(pods)
    assert len(lines) > 1
    for horizon in (400.0, 1_190.0):
        billed = math.fsum(fleet.gpu_seconds(pod, horizon) for pod in fleet.pods)
        bars = math.fsum(line.gpus * line.seconds(stage, horizon) for line in pods for stage in PodStage)
        assert bars == pytest.approx(billed, rel=1e-12)
        of_nodes = math.fsum(line.within(horizon) for line in lines)
        assert of_nodes == pytest.approx(node_seconds(cluster, horizon), rel=1e-12)
        assert math.fsum(line.provisioning_within(horizon) for line in lines) <= of_nodes


def test_a_pod_on_a_spot_node_that_is_taken_back_says_why_it_left() -> None:
    nodes = pool(max_nodes=8, spot=Spot(preemptions_per_node_hour=12.0))
    result = simulate(scenario(nodes=nodes), wanting({0: 3}))
    taken = [node for node in result.lifelines.nodes if node.was_taken]
    assert taken
    assert {node.removed_reason for node in taken} == {SPOT_PREEMPTED}
    assert all(node.spot for node in result.lifelines.nodes)
    evicted = [pod for pod in result.lifelines.pods if pod.evicted]
    assert evicted
    for pod in evicted:
        node = next(node for node in taken if node.name == pod.node)
        assert pod.deleted_at == pytest.approx(node.removed_at - 30.0), "the notice is 30 s"
        assert pod.ended_at <= node.removed_at
    assert_adds_up(result.lifelines.pods)


def test_what_a_cloud_refused_is_not_billed() -> None:
    line = NodeLine(
        name="n", pool="p", gpus=1, usd_per_hour=1.0, asked_at=5.0, ready_at=math.inf, removed_at=25.0, is_billed=False
    )
    assert line.has_failed
    assert line.within(100.0) == line.provisioning_within(100.0) == 0.0
    assert (
        replace(line, is_billed=True).within(100.0) == replace(line, is_billed=True).provisioning_within(100.0) == 20.0
    )


def test_workloads_on_shared_nodes_have_their_own_pods_and_all_nodes() -> None:
    nodes = pool(max_nodes=4)
    results: list[Result] = simulate_together(
        [(scenario(nodes=nodes, name=name), wanting({0: 1, 50: 2})) for name in ("a", "b")]
    )
    for result, name in zip(results, "ab", strict=True):
        assert {pod.workload for pod in result.lifelines.pods} == {name}
        assert result.lifelines.shares_nodes
        assert len(result.lifelines.nodes) == 4
