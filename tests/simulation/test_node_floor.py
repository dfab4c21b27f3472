"""A floor under a pool: what it keeps, what it costs, and what the node loop makes of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engine_runs import trace_of
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.capacity.profile import PROFILES
from policies.combined.spec import CombinedSpec
from policies.decision import Decision
from policies.errors import BadInput
from policies.nodepools.decide import Headroom
from policies.nodepools.spec import PoolSpec
from policies.policy import Policy
from policies.predictive.spec import PredictiveSpec
from policies.registry import ENTRIES, configured
from policies.snapshot import NS_PER_SECOND, Snapshot
from simulations.cluster import Cluster
from simulations.cluster.cluster_rules import ClusterRules
from simulations.cluster.node_pool import NodePool
from simulations.cluster.usage import node_seconds
from simulations.cluster.zones import Stockout
from simulations.lead_time import Draws, LeadTime, Stage, StartPath
from simulations.node_loop import NodeLoop, max_replicas_of
from simulations.results import Result
from simulations.scenario import Scenario, Workload
from simulations.simulate import simulate_together

EXACT = LeadTime(start_median_seconds=320.0, load_median_seconds=60.0, sigma=0.0, warm_start_median_seconds=3.0)
PROVISION_SECONDS = 300.0
SECONDS = 7_200.0


def pool(**changes: Any) -> NodePool:
    """Nodes of 2 GPUs that take exactly 300 s; the image takes 20 s more."""
    fields = {"name": "shared", "gpus_per_node": 2, "max_nodes": 9, "provision": Stage(PROVISION_SECONDS, 0.0)}
    return NodePool(**(fields | changes))


def workload(name: str, nodes: NodePool, seed: int = 1) -> Scenario:
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(2.0, 3_600))
    trace = trace_of(arrivals[arrivals < SECONDS], 200, 60, ends_seconds=SECONDS)
    return Scenario(
        trace=trace,
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
        name=name,
        lead_time=EXACT,
        initial_replicas=1,
        nodes=nodes,
        seed=seed,
    )


def wanting(steps: Mapping[int, int], blind: tuple[int, int] = (0, 0)) -> Policy[Any, None]:
    """A policy that asks for so many replicas from that second on; between the seconds of `blind` it knows nothing."""

    def decide(spec: Any, state: None, snapshot: Snapshot, now_ns: int) -> tuple[Decision, None]:  # noqa: ARG001
        wanted = [count for second, count in spec.items() if second * NS_PER_SECOND <= now_ns]
        is_blind = blind[0] <= now_ns / NS_PER_SECOND < blind[1]
        reason = "FailedGetPodsMetric" if is_blind else "Test"
        return Decision(desired_replicas=wanted[-1], reason=reason, message="as told"), state

    return Policy(name="told", decide=decide, spec=steps, initial_state=None, queries=())


def test_a_floor_asks_for_nodes_at_once_and_they_are_billed_from_the_ask() -> None:
    cluster = Cluster([pool(min_nodes=1)])
    cluster.set_floor("shared", 3, 100.0)
    assert [node.is_ready for node in cluster.live_nodes()] == [True, False, False]
    cluster.advance(400.0)
    assert [node.ready_at for node in cluster.live_nodes()] == [0.0, 400.0, 400.0]
    assert cluster.floor("shared") == 3
    assert node_seconds(cluster, 1_000.0) == 1_000.0 + 2 * 900.0


def test_nodes_under_the_floor_stay_and_those_above_go_when_they_were_empty_for_long() -> None:
    cluster = Cluster([pool(unneeded_seconds=600.0)])
    cluster.set_floor("shared", 3, 0.0)
    cluster.advance(5_000.0)
    assert len(cluster.live_nodes()) == 3
    cluster.set_floor("shared", 1, 5_000.0)
    assert len(cluster.live_nodes()) == 1, "they were empty for longer than 600 s already"
    cluster.set_floor("shared", 0, 5_100.0)
    assert cluster.live_nodes() == ()


def test_the_larger_of_floor_and_min_nodes_counts() -> None:
    cluster = Cluster([pool(min_nodes=2, unneeded_seconds=0.0)])
    cluster.set_floor("shared", 0, 10.0)
    cluster.advance(1_000.0)
    assert cluster.floor("shared") == len(cluster.live_nodes()) == 2


@pytest.mark.parametrize(
    ("floor", "path", "starts_at"),
    [(0, StartPath.NEW_NODE, 1_000 + 320), (1, StartPath.NEW_NODE, 1_000 + 20), (2, StartPath.NEW_NODE, 1_000 + 20)],
)
def test_a_pod_on_a_kept_node_saves_the_node_but_not_the_image(floor: int, path: StartPath, starts_at: float) -> None:
    """No pod ran on it before: the image is pulled."""
    cluster = Cluster([pool(unneeded_seconds=60.0)])
    cluster.set_floor("shared", floor, 0.0)
    start = Draws(EXACT, 1).pod(0)
    cluster.place("pod", gpus=2, pool="shared", start=start, now_seconds=1_000.0)
    cluster.advance(2_000.0)
    placement = cluster.pods["pod"].placement
    assert placement is not None
    assert (placement.path, placement.starts_at) == (path, starts_at)


@given(
    st.lists(
        st.tuples(st.floats(0.0, 900.0), st.sampled_from(["floor", "place", "release"]), st.integers(0, 9)), max_size=30
    )
)
@settings(max_examples=40)
def test_whatever_is_asked_a_pool_is_between_its_floor_and_max_nodes(steps: list[tuple[float, str, int]]) -> None:
    cluster, second, pods = Cluster([pool(unneeded_seconds=120.0)]), 0.0, []
    for step, (pause, what, number) in enumerate(steps):
        second += pause
        cluster.advance(second)
        if what == "floor":
            cluster.set_floor("shared", number, second)
        elif what == "place":
            name = f"pod-{step}"
            cluster.place(name, gpus=1 + number % 2, pool="shared", start=Draws(EXACT, 1).pod(0), now_seconds=second)
            pods.append(name)
        elif pods:
            cluster.release(pods.pop(number % len(pods)), second)
        assert cluster.floor("shared") <= len(cluster.live_nodes()) <= 9
        assert all(0 <= node.free_gpus <= 2 for node in cluster.live_nodes())
    cluster.advance(second + 5_000.0)
    occupied = sum(node.free_gpus < 2 for node in cluster.live_nodes())
    assert len(cluster.live_nodes()) == max(occupied, cluster.floor("shared")), "what is idle above it has gone"


@pytest.mark.parametrize("floor", [-1, 10])
def test_bad_floor(floor: int) -> None:
    with pytest.raises(BadInput, match=rf"shared.floor: was {floor}, must be in \[0, 9\]"):
        Cluster([pool()]).set_floor("shared", floor, 0.0)


def run(
    first: Policy[Any, None], second: Policy[Any, None], *, moves: bool, nodes: NodePool | None = None
) -> tuple[list[Result], NodeLoop]:
    nodes = nodes or pool()
    spec = PoolSpec(name="shared", gpus_per_node=2, max_nodes=nodes.max_nodes, provision_seconds=PROVISION_SECONDS)
    loop = NodeLoop(spec, Headroom(quantile=0.9), moves=moves)
    runs = [(workload("first", nodes, 1), first), (workload("second", nodes, 2), second)]
    return simulate_together(runs, node_loops=[loop]), loop


RISES = {0: 1, 600: 4, 1_500: 1, 4_200: 4}
"""Up by three replicas at 600 s, back, and up again 45 min after the first time was over."""


def became_ready(result: Result, replicas: int, since: float) -> float:
    return next(each.second for each in result.moments if each.second >= since and each.ready_replicas >= replicas)


def test_watching_changes_nothing_and_says_what_would_be_done() -> None:
    plain = simulate_together(
        [(workload("first", pool(), 1), wanting(RISES)), (workload("second", pool(), 2), wanting({0: 1}))]
    )
    watched, loop = run(wanting(RISES), wanting({0: 1}), moves=False)
    assert [result.moments for result in watched] == [result.moments for result in plain]
    assert len(loop.decisions) > 200
    assert max(decision.floor_nodes for _, decision in loop.decisions) >= 3
    assert loop.node_hours(SECONDS) > 0


def test_a_floor_serves_whoever_climbs_next() -> None:
    """`first` climbs at 600 s; while the peak fades, `second` does the same and finds the nodes that were kept."""
    early, later = {0: 1, 600: 4, 1_500: 1}, {0: 1, 1_860: 4}
    hasty = pool(unneeded_seconds=60.0)
    without, idle = run(wanting(early), wanting(later), moves=False, nodes=hasty)
    kept, loop = run(wanting(early), wanting(later), moves=True, nodes=hasty)
    assert became_ready(without[1], 4, 1_860) - 1_860 >= PROVISION_SECONDS + 60
    assert became_ready(kept[1], 4, 1_860) - 1_860 < 120
    assert loop.node_hours(SECONDS) > idle.node_hours(SECONDS), "and the nodes were paid for"


class Bounded(dict[int, int]):
    """Steps of a policy whose maxReplicas are 4."""

    max_replicas = 4


def test_no_node_is_kept_for_replicas_that_max_replicas_forbids() -> None:
    """Both stand at maxReplicas: 8 GPUs are all that there can ever be, whatever rose in the past."""
    climbs = {0: 1, 600: 4, 1_500: 1, 2_400: 4}
    _, free = run(wanting(climbs), wanting(climbs), moves=True)
    _, bounded = run(wanting(Bounded(climbs)), wanting(Bounded(climbs)), moves=True)
    assert max(decision.floor_nodes for second, decision in free.decisions if second > 2_400) > 4
    assert max(decision.floor_nodes for second, decision in bounded.decisions if second > 2_400) == 4


@pytest.mark.parametrize("name", sorted(ENTRIES))
def test_every_policys_bound_is_known_to_the_node_loop(name: str) -> None:
    """All but `static`, whose one count is what it asks for; no bound of Knative is none."""
    fitting = {"profile": PROFILES["llama-3.1-8b-l4"], "tpot_seconds": 0.1, "ttft_seconds": 2.0, "max_replicas": 7}
    policy = configured(name, {"metric": "m", "target": "1"} if name == "hpa" else {}, fitting)
    assert max_replicas_of(policy.spec) == (None if name == "static" else 7)
    if name == "knative-kpa":
        assert max_replicas_of(replace(policy.spec, max_replicas=0)) is None


def test_the_bound_of_the_controllers_policy_is_that_of_its_predictive_part() -> None:
    spec = CombinedSpec(
        predictive=PredictiveSpec(profile=PROFILES["llama-3.1-8b-l4"], tpot_seconds=0.1, max_replicas=9)
    )
    assert max_replicas_of(spec) == 9


def test_while_a_workload_is_blind_no_node_is_let_go() -> None:
    blind, loop = run(wanting({0: 4, 1_000: 1}, blind=(1_000, 6_000)), wanting({0: 1}), moves=True)
    during = [decision for second, decision in loop.decisions if 1_100 < second < 6_000]
    assert {decision.reason for decision in during} == {"NeedUnknown"}
    assert len({decision.floor_nodes for decision in during}) == 1
    assert [moment.nodes for moment in blind[0].moments if 2_000 < moment.second < 6_000].count(3) > 100


def test_a_pool_of_another_name_is_left_alone() -> None:
    nodes = pool()
    loop = NodeLoop(PoolSpec(name="other", gpus_per_node=2, max_nodes=9))
    simulate_together([(workload("only", nodes), wanting({0: 1}))], node_loops=[loop])
    assert loop.decisions == []
    assert loop.node_hours(SECONDS) == 0.0


def test_refused_asks_are_no_nodes_and_ordinals_that_come_again_are_counted_once() -> None:
    """An ask that is refused after 200 s is no node, no bill and no missing node; a StatefulSet's pod has a new uid."""
    nodes = pool(gpus_per_node=1, zones=("a",))
    stockout = Stockout(zone="a", start_seconds=500.0, end_seconds=7_200.0, fails_after_seconds=200.0)
    scenario = replace(
        workload("first", nodes),
        cluster=ClusterRules(stockouts=(stockout,)),
        workload=Workload(kind="StatefulSet", pod_management_policy="Parallel", has_volumes=False),
        initial_replicas=2,
    )
    loop = NodeLoop(PoolSpec(name="shared", gpus_per_node=1, max_nodes=9), moves=False)
    result = simulate_together([(scenario, wanting({0: 2, 300: 1, 450: 2, 600: 3}))], node_loops=[loop])[0]
    assert "first-1/1" in {pod.name for pod in result.lifelines.pods}
    assert any(not node.is_billed for node in result.lifelines.nodes)
    assert {moment.nodes for moment in result.moments} == {2}
    assert len(loop.decisions) > 200
    assert loop.node_hours(SECONDS) == 2 * SECONDS / 3_600


def test_workloads_on_one_cluster_have_one_set_of_rules() -> None:
    first, second = workload("first", pool()), workload("second", pool())
    ruled = replace(second, cluster=ClusterRules(scoring="LeastAllocated"))
    with pytest.raises(BadInput, match="cluster: workload second has other rules than first, must have the same"):
        simulate_together([(first, wanting({0: 1})), (ruled, wanting({0: 1}))])
