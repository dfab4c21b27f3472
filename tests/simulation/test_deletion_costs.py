"""Which pods a scale-down takes: as the ReplicaSet controller orders them, and with costs by their nodes."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from engine_runs import trace_of

from policies.capacity.profile import PROFILES
from policies.combined.spec import CombinedSpec
from policies.decision import Decision
from policies.errors import BadInput
from policies.nodepools.spec import PoolSpec, SpotTerms
from policies.policy import Policy
from policies.predictive.spec import PredictiveSpec
from policies.snapshot import NS_PER_SECOND, Snapshot
from simulations.cluster.node_pool import NodePool
from simulations.cluster.spot import Spot
from simulations.cluster.usage import node_seconds
from simulations.fleet.pod import SimulatedPod
from simulations.fleet.replica_set import deletion_order
from simulations.lead_time import LeadTime, Stage
from simulations.node_loop import NodeLoop
from simulations.results import Result
from simulations.scenario import Scenario, Workload
from simulations.simulate import simulate_together

NOW = 1_000.0
SECONDS = 7_200.0


def pod(number: int, **changes: Any) -> SimulatedPod:
    """Ready since the second of its number, unless it is changed."""
    fields: dict[str, Any] = {
        "created": 0.0,
        "placed_at": 0.0,
        "starts": 0.0,
        "first_starts": 0.0,
        "load_seconds": float(number),
        "row": number,
    }
    start = cast(Any, SimpleNamespace())
    return SimulatedPod(number=number, name=f"p{number}", uid=f"p{number}", start=start, **(fields | changes))


@pytest.mark.parametrize(
    ("first", "then", "node"),
    [
        pytest.param(
            {"placed_at": math.inf, "first_starts": math.inf, "row": None, "deletion_cost": 9},
            {"first_starts": math.inf, "row": None},
            "n0",
            id="without-a-node-before-a-pending-one",
        ),
        pytest.param(
            {"first_starts": NOW + 1, "row": None, "deletion_cost": 9}, {"row": None}, "n0", id="pending-before-started"
        ),
        pytest.param({"row": None, "deletion_cost": 9}, {}, "n0", id="not-ready-before-ready"),
        pytest.param({"deletion_cost": -1}, {}, "crowded", id="the-lower-cost-before-the-one-that-is-doubled-up"),
        pytest.param({"load_seconds": 1.0}, {"load_seconds": 9.0}, "n0", id="doubled-up-before-the-youngest"),
        pytest.param({"load_seconds": 9.0}, {"load_seconds": 1.0}, "crowded", id="the-latest-ready-one-first"),
        pytest.param(
            {"row": None, "restarts": 2, "created": 1.0}, {"row": None, "created": 5.0}, "crowded", id="more-restarts"
        ),
        pytest.param({"row": None, "created": 5.0}, {"row": None, "created": 1.0}, "crowded", id="the-youngest"),
    ],
)
def test_who_goes_first(first: dict[str, Any], then: dict[str, Any], node: str) -> None:
    """The first stands on a node with two more of the workload's pods, the other one on `node`."""
    one, other = pod(1, **first), pod(2, **then)
    beside = [pod(3), pod(4)]
    nodes = {"p1": "crowded", "p2": node, "p3": "crowded", "p4": "crowded"}
    for pods in ([one, other], [other, one]):
        order = deletion_order(pods, NOW, node_of=lambda each: nodes[each.name], related=[one, other, *beside])
        assert [each.name for each in order] == ["p1", "p2"]


def told(steps: dict[int, int], spec: Any = None) -> Policy[Any, None]:
    """Asks for so many replicas from that second on."""

    def decide(_: Any, state: None, __: Snapshot, now_ns: int) -> tuple[Decision, None]:
        wanted = [count for second, count in steps.items() if second * NS_PER_SECOND <= now_ns]
        return Decision(desired_replicas=wanted[-1], reason="Test", message="as told"), state

    return Policy(name="told", decide=decide, spec=spec, initial_state=None, queries=())


def world(workload: Workload | None = None, *, gpus_per_node: int = 1) -> Scenario:
    """Two spot nodes before on-demand ones at twice the price."""
    pool = NodePool(
        name="spot",
        gpus_per_node=gpus_per_node,
        max_nodes=2,
        price_per_node_hour=0.3,
        provision=Stage(60.0, 0.0),
        spot=Spot(preemptions_per_node_hour=0.0),
    )
    return Scenario(
        trace=trace_of(np.arange(10.0, SECONDS, 60.0), 100, 20, ends_seconds=SECONDS),
        profile=PROFILES["llama-3.1-8b-fp8-l4"],
        lead_time=LeadTime(
            start_median_seconds=80.0, load_median_seconds=10.0, sigma=0.0, warm_start_median_seconds=3.0
        ),
        initial_replicas=1,
        nodes=pool,
        fallback_pools=(replace(pool, name="on-demand", max_nodes=9, price_per_node_hour=0.6, spot=None),),
        workload=workload or Workload(),
    )


BY_NODE = Workload(pod_deletion_cost="ByNode")


def run(scenario: Scenario, policy: Policy[Any, None], *loops: NodeLoop) -> tuple[Result, dict[str, int], float]:
    """(result, pods at the end by pool, USD of all nodes)."""
    seen: list[Any] = []
    (result,) = simulate_together([(scenario, policy)], seen.append, node_loops=loops)
    fleet = seen[-1].fleet
    names = [fleet.node_of(each).rsplit("-", 1)[0] for each in fleet.existing() if each.is_wanted]
    usd = sum(
        node_seconds(fleet.cluster, SECONDS, pool.name) / 3_600.0 * pool.price_per_node_hour for pool in scenario.pools
    )
    return result, {name: names.count(name) for name in sorted(set(names))}, usd


def scarce_at_first(scenario: Scenario) -> Scenario:
    """The first pods come on demand, as in a stockout; spot is to be had for the later ones."""
    return replace(scenario, nodes=scenario.fallback_pools[0], fallback_pools=(scenario.nodes,))  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["scenario", "policy"])
def test_a_scale_down_empties_the_on_demand_nodes_and_costs_less_at_the_same_replicas(way: str) -> None:
    """3 pods on demand are older than 2 on spot: Kubernetes takes the youngest."""
    without = scarce_at_first(world())
    without = replace(without, nodes=replace(without.nodes, max_nodes=3))  # type: ignore[type-var]
    steps = {0: 1, 60: 3, 600: 5, 1_200: 2}
    policy = told(steps)
    wants = replace(without, workload=BY_NODE)
    if way == "policy":
        wants = without
        predictive = PredictiveSpec(profile=without.profile, tpot_seconds=0.1, max_replicas=9)
        policy = told(steps, CombinedSpec(predictive=predictive, pod_deletion_cost="ByNode"))
    plain, plain_pods, plain_usd = run(without, told(steps))
    result, pods, usd = run(wants, policy)
    assert plain_pods == {"on-demand": 2}
    assert pods == {"spot": 2}
    assert usd < 0.75 * plain_usd
    assert result.summary.gpu_hours == pytest.approx(plain.summary.gpu_hours, rel=0.01)


def test_the_base_share_of_the_node_loops_pool_stays_on_demand() -> None:
    one_by_one = {0: 1, 60: 5, 1_200: 4, 1_500: 3, 1_800: 2}
    terms = SpotTerms(price_per_node_hour=0.3, preemptions_per_node_hour=0.01)
    spec = PoolSpec(
        name="spot", gpus_per_node=1, max_nodes=2, price_per_node_hour=0.6, spot=terms, on_demand_base_share=0.5
    )
    _, pods, _ = run(world(BY_NODE), told(one_by_one), NodeLoop(spec, moves=False))
    assert pods == {"on-demand": 1, "spot": 1}
    _, pods, _ = run(world(BY_NODE), told(one_by_one))
    assert pods == {"spot": 2}


def test_nodes_of_several_gpus_are_emptied_one_after_the_other() -> None:
    """Two nodes of 4 on demand, 4 pods and 2: without costs one of the fuller goes, as it is doubled up."""
    scenario = world(gpus_per_node=4)
    scenario = replace(scenario, nodes=scenario.fallback_pools[0], fallback_pools=())
    steps = {0: 1, 60: 6, 1_200: 4}
    used = {}
    for name, workload in (("Unset", Workload()), ("ByNode", BY_NODE)):
        seen: list[Any] = []
        simulate_together([(replace(scenario, workload=workload), told(steps))], seen.append)
        fleet = seen[-1].fleet
        used[name] = len({fleet.node_of(each) for each in fleet.existing() if each.is_wanted})
    assert used == {"Unset": 2, "ByNode": 1}


def test_a_stateful_set_has_no_deletion_costs() -> None:
    with pytest.raises(BadInput, match="podDeletionCost: was ByNode, must be Unset for a StatefulSet"):
        Workload(kind="StatefulSet", pod_deletion_cost="ByNode")
