"""Several workloads on one pool of nodes: who gets a node, who waits, and what it comes to."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from engine_runs import trace_of

from policies.baselines.static import StaticSpec, static_policy
from policies.capacity.profile import PROFILES
from policies.decision import Decision
from policies.errors import BadInput
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, Snapshot
from simulations.cluster import Cluster
from simulations.cluster.node_pool import NodePool
from simulations.cluster.usage import node_seconds
from simulations.fleet import Fleet, advance_together
from simulations.lead_time import LeadTime, Stage
from simulations.results import Recorder, Result
from simulations.scenario import Scenario
from simulations.simulate import simulate, simulate_together

ONE_GPU = PROFILES["llama-3.1-8b-fp8-l4"]
TWO_GPUS = replace(ONE_GPU, name="tp2", tensor_parallel_size=2)
EXACT = LeadTime(start_median_seconds=100.0, load_median_seconds=60.0, sigma=0.0, warm_start_median_seconds=3.0)


def pool(**changes: Any) -> NodePool:
    """Nodes that take exactly 80 s; the image and the container take the other 20 s of a start on a new node."""
    fields = {"name": "shared", "gpus_per_node": 1, "max_nodes": 3, "provision": Stage(80.0, 0.0)}
    return NodePool(**(fields | changes))


def workload(name: str, nodes: NodePool, seed: int = 1, **changes: Any) -> Scenario:
    """20 minutes of Poisson requests, other ones for another seed."""
    rng = np.random.default_rng(seed)
    arrivals = np.cumsum(rng.exponential(1.0, 1_200))
    trace = trace_of(arrivals[arrivals < 1_200.0], 200, 60, ends_seconds=1_200.0)
    fields = {"profile": ONE_GPU, "lead_time": EXACT, "initial_replicas": 1, "seed": seed}
    return Scenario(trace=trace, name=name, nodes=nodes, **(fields | changes))


def wanting(steps: Mapping[int, int]) -> Policy[Any, None]:
    """A policy that asks for so many replicas from that second on."""

    def decide(spec: Any, state: None, snapshot: Snapshot, now_ns: int) -> tuple[Decision, None]:  # noqa: ARG001
        wanted = [count for second, count in spec.items() if second * NS_PER_SECOND <= now_ns]
        return Decision(desired_replicas=wanted[-1], reason="Test", message="as told"), state

    return Policy(name="told", decide=decide, spec=steps, initial_state=None, queries=())


def ready_at(result: Result, second: float) -> int:
    """Ready replicas at the last sync up to then."""
    return [moment.ready_replicas for moment in result.moments if moment.second <= second][-1]


def test_a_full_pool_lets_pods_wait_until_another_workload_gives_a_node_back() -> None:
    """Three nodes: one each at the start, the third for `first`, which asked a sync earlier. `second` gets its second
    replica only after `first` has let one go, on a warm node: 3 s for the container and 60 s for the model."""
    nodes = pool(max_nodes=3)
    first, second = simulate_together(
        [
            (workload("first", nodes, 1), wanting({0: 1, 20: 2, 600: 1})),
            (workload("second", nodes, 2), wanting({0: 1, 35: 2})),
        ]
    )
    assert [ready_at(first, at) for at in (100, 179, 200, 590)] == [1, 1, 2, 2]
    assert [ready_at(second, at) for at in (200, 590, 650, 680)] == [1, 1, 1, 2]
    assert max(moment.nodes or 0 for moment in (*first.moments, *second.moments)) == 3


def test_pods_get_nodes_in_the_order_of_the_asks_across_workloads() -> None:
    """Three nodes, one of them taken by `c`; `a` and `b` ask in turn, and each gives its node up later."""
    nodes = pool(max_nodes=3, min_nodes=3)
    cluster = Cluster([nodes])
    a, b, c = fleets = [Fleet(workload(name, nodes, initial_replicas=name == "c"), cluster) for name in "abc"]
    for second, fleet, replicas in ((1.0, a, 1), (2.0, b, 1), (3.0, b, 2), (4.0, a, 2)):
        advance_together(fleets, second)
        fleet.scale(replicas)
    assert cluster.pending == ("b-0001", "a-0001")
    advance_together(fleets, 500.0)
    assert [len(fleet.serving()) for fleet in fleets] == [1, 1, 1]
    c.scale(0)
    advance_together(fleets, 700.0)
    assert cluster.pending == ("a-0001",), "the one that asked first"
    assert [len(fleet.serving()) for fleet in fleets] == [1, 2, 0]
    b.scale(0)
    advance_together(fleets, 900.0)
    assert [len(fleet.serving()) for fleet in fleets] == [2, 0, 0]


def test_pods_of_two_gpus_pack_on_nodes_of_four() -> None:
    """Two of 2 GPUs fill a node of 4; a third and two of 1 GPU fill the next; nothing straddles two nodes."""
    nodes = pool(gpus_per_node=4, max_nodes=4)
    cluster = Cluster([nodes])
    large = Fleet(workload("large", nodes, profile=TWO_GPUS, initial_replicas=0), cluster)
    small = Fleet(workload("small", nodes, initial_replicas=0), cluster)
    large.scale(3)
    small.scale(2)
    advance_together([large, small], 300.0)
    assert len(cluster.live_nodes()) == 2
    placed = {name: record.placement.node for name, record in cluster.pods.items() if record.placement}
    assert placed["large-0000"] == placed["large-0001"] != placed["large-0002"]
    assert placed["small-0000"] == placed["small-0001"] == placed["large-0002"]
    assert [node.free_gpus for node in cluster.live_nodes()] == [0, 0]
    assert large.gpu_seconds(large.pods[0], 300.0) == pytest.approx(600.0)


def test_a_pod_waits_for_a_whole_node_while_a_smaller_one_of_another_workload_passes() -> None:
    """One GPU is free on each of two full-sized nodes: enough for a pod of 1, not for one of 2, wherever they are."""
    nodes = pool(gpus_per_node=2, max_nodes=2, min_nodes=2)
    cluster = Cluster([nodes])
    small = Fleet(workload("small", nodes, initial_replicas=3), cluster)
    large = Fleet(workload("large", nodes, profile=TWO_GPUS, initial_replicas=0), cluster)
    large.scale(1)
    advance_together([small, large], 10.0)
    small.scale(4)
    advance_together([small, large], 100.0)
    assert cluster.pending == ("large-0000",)
    assert len(small.serving()) == 4


def test_node_hours_count_from_the_ask_to_the_removal() -> None:
    """Two nodes run from the start; a third from its ask at 20 s until 600 s after its pod is gone."""
    nodes = pool(max_nodes=9, unneeded_seconds=600.0)
    cluster = Cluster([nodes])
    fleets = [Fleet(workload(name, nodes), cluster) for name in ("a", "b")]
    advance_together(fleets, 20.0)
    fleets[0].scale(2)
    advance_together(fleets, 400.0)
    fleets[0].scale(1)
    advance_together(fleets, 1_199.0)
    third = cluster.nodes[2]
    gone = fleets[0].pods[1].ended
    assert gone is not None
    assert third.asked_at == 20.0
    assert third.removed_at == pytest.approx(gone + 600.0, abs=1.0), "a drained pod is noticed within a second"
    assert node_seconds(cluster, 1_199.0) == pytest.approx(2 * 1_199.0 + third.removed_at - 20.0)


@pytest.mark.parametrize("seed", [1, 2])
def test_an_ample_pool_gives_each_workload_what_it_gets_alone(seed: int) -> None:
    """Nodes enough that stand ready, and lead times of their own seeds: nobody notices the other."""
    nodes = pool(gpus_per_node=2, max_nodes=40, min_nodes=40, provision=Stage(80.0))
    spread = replace(EXACT, sigma=0.3)
    runs = [
        (workload("a", nodes, seed, lead_time=spread), wanting({0: 1, 50: 3, 500: 2, 700: 5})),
        (workload("b", nodes, seed + 9, lead_time=spread, profile=TWO_GPUS), static_policy(StaticSpec(replicas=2))),
    ]
    together = simulate_together(runs)
    for (scenario, policy), shared in zip(runs, together, strict=True):
        alone = simulate(scenario, policy)
        assert alone.kept is not None
        assert shared.kept is not None
        for field in ("outcome", "replica", "first_token", "finish"):
            np.testing.assert_array_equal(shared.kept.rows[field], alone.kept.rows[field], field)
        assert [moment.ready_replicas for moment in shared.moments] == [m.ready_replicas for m in alone.moments]
        assert shared.summary.gpu_hours == pytest.approx(alone.summary.gpu_hours)


def test_workloads_share_pools_by_name_and_must_agree_on_them() -> None:
    told = wanting({0: 1})
    with pytest.raises(BadInput, match="nodes: pool shared was described in two ways"):
        simulate_together([(workload("a", pool()), told), (workload("b", pool(max_nodes=4)), told)])
    with pytest.raises(BadInput, match="'a' was given twice"):
        simulate_together([(workload("a", pool()), told), (workload("a", pool()), told)])
    with pytest.raises(BadInput, match="nodes: workload b has none"):
        simulate_together([(workload("a", pool()), told), (replace(workload("b", pool()), nodes=None), told)])


def test_what_the_pods_cost_adds_up_to_the_nodes_where_every_node_is_full() -> None:
    """One GPU a node and none idle: GPU-seconds of both workloads are node-seconds."""
    nodes = pool(max_nodes=9)
    cluster = Cluster([nodes])
    scenarios = [workload(name, nodes, seed) for seed, name in enumerate("ab")]
    fleets = [Fleet(scenario, cluster) for scenario in scenarios]
    advance_together(fleets, 100.0)
    for fleet in fleets:
        fleet.scale(3)
    advance_together(fleets, 1_200.0)
    billed = sum(fleet.gpu_seconds(pod, 1_200.0) for fleet in fleets for pod in fleet.pods)
    assert billed == pytest.approx(node_seconds(cluster, 1_200.0)) == 2 * 1_200 + 4 * 1_100
    advance_together(fleets, 9_000.0)
    for scenario, fleet in zip(scenarios, fleets, strict=True):
        Recorder(scenario, "none", fleet).result()  # checks conservation
