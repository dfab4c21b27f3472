"""Pools that several workloads share, and what protects them."""

from typing import Any

import pytest

from autoscaler.autoscaler import PAUSED_ANNOTATION, Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.node_pool import GkePool, NodePool
from autoscaler.crd.parse import parse_spec
from autoscaler.node_pools.pools import affordable_spec, budget_nodes, shared_pools
from autoscaler.node_pools.protections import protect
from autoscaler.node_pools.workload import PodPlace, WorkloadNow, workload_now
from policies.decision import Decision
from policies.nodepools.decide import NodeDecision, PoolCondition
from policies.nodepools.pool_seen import NodeSeen, PoolSeen
from policies.snapshot import Pod, PodPhase

GKE = GkePool(project="acme", location="us-central1", cluster="c", node_pool="l4")


def workload(name: str, *pools: NodePool, **changes: Any) -> WorkloadNow:
    given: dict[str, Any] = {"replicas": 1, "needed_replicas": 1, "pods": (), "gpus_per_replica": 1, **changes}
    return WorkloadNow(key=Key("llm", name), uid=f"uid-{name}", pools=pools, **given)


def pool(name: str = "l4", **changes: Any) -> NodePool:
    return NodePool(**{"name": name, "max_nodes": 10, **changes})


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        pytest.param(pool(), pool(), 1, id="same-name-and-selector"),
        pytest.param(pool("a", provider="GKE", gke=GKE), pool("b", provider="GKE", gke=GKE), 1, id="gkes-path-decides"),
        pytest.param(pool(), pool(node_selector={"gpu": "l4"}), 2, id="another-selector"),
        pytest.param(pool(), pool("h100"), 2, id="another-name"),
        pytest.param(pool(), pool(provider="Placeholders"), 2, id="another-provider"),
    ],
)
def test_what_is_one_pool(one: Any, other: Any, count: Any) -> None:
    assert len(shared_pools([workload("b", other), workload("a", one)])) == count


def test_the_most_careful_bounds_of_a_shared_pool_count_and_the_disagreement_is_said() -> None:
    (shared,) = shared_pools(
        [
            workload("b", pool(max_nodes=8, min_nodes=1, budget_per_hour=20.0, max_step_nodes=2)),
            workload("a", pool(max_nodes=10, quota_gpus=9, cooldown_seconds=900.0)),
        ]
    ).values()
    bounds = shared.pool
    assert (bounds.max_nodes, bounds.min_nodes, bounds.quota_gpus, bounds.budget_per_hour) == (8, 1, 9, 20.0)
    assert (bounds.max_step_nodes, bounds.cooldown_seconds) == (2, 900.0)
    assert [owner.key.name for owner in shared.owners] == ["a", "b"]
    assert shared.disagreement.startswith("llm/a, llm/b share this pool and differ in budgetPerHour, cooldownSeconds, ")
    (agreed,) = shared_pools([workload("b", pool()), workload("a", pool())]).values()
    assert agreed.disagreement == ""


@pytest.mark.parametrize(
    ("states", "acts", "is_advice"),
    [
        pytest.param([{}, {"paused": True}], True, False, id="one-acts"),
        pytest.param([{"recommends": True}, {"paused": True}], False, False, id="none-acts"),
        pytest.param([{"recommends": True}, {"recommends": True}], False, True, id="all-advice"),
    ],
)
def test_whether_a_pool_is_written(states: Any, acts: Any, is_advice: Any) -> None:
    (shared,) = shared_pools([workload(str(number), pool(), **state) for number, state in enumerate(states)]).values()
    assert (shared.acts, shared.is_advice) == (acts, is_advice)


def spec_json(**changes: Any) -> dict[str, Any]:
    return {
        "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
        "maxReplicas": 8,
        "profile": "llama-3.1-8b-fp8-l4",
        "slo": {"tpotSeconds": 0.1},
        "mode": "Direct",
        "cost": {"gpusPerReplica": 2},
        "nodePools": [{"name": "l4", "maxNodes": 10}],
        **changes,
    }


class SeenPod:
    def __init__(self, node: str, *, deleting: bool = False, phase: PodPhase = "Running") -> None:
        self.node, self.revision = node, "5d4f"
        self.pod = Pod(name="p", phase=phase, ready="True", deleting=deleting)


def autoscaler(annotations: dict[str, str] | None = None, **changes: Any) -> Autoscaler:
    return Autoscaler(
        key=Key("llm", "vllm"),
        uid="u",
        generation=1,
        resource_version="1",
        spec=parse_spec(spec_json(**changes)),
        annotations=annotations or {},
    )


KNOWN = Decision(desired_replicas=5, reason="", message="", numbers={"wanted_replicas": 7.0, "known": 1.0})
UNKNOWN = Decision(desired_replicas=5, reason="", message="", numbers={"wanted_replicas": 5.0, "known": 0.0})


@pytest.mark.parametrize(
    ("changes", "decision", "needed"),
    [
        pytest.param({}, KNOWN, 7, id="what-the-policy-wants-before-behavior"),
        pytest.param({"maxReplicas": 4}, KNOWN, 4, id="no-node-for-pods-that-nobody-may-ask-for"),
        pytest.param({}, UNKNOWN, None, id="demand-is-unknown"),
        pytest.param({}, None, None, id="not-observed"),
        pytest.param({"mode": "Recommend"}, KNOWN, 3, id="advice-brings-no-pods"),
    ],
)
def test_what_a_workload_needs(changes: Any, decision: Any, needed: Any) -> None:
    pods = [SeenPod("n0"), SeenPod(""), SeenPod("n1", deleting=True), SeenPod("n2", phase="Failed")]
    found = workload_now(autoscaler(**changes), replicas=3, decision=decision, pods=pods)
    assert found is not None
    assert (found.needed_replicas, found.replicas, found.gpus_per_replica) == (needed, 3, 2)
    assert found.max_replicas == changes.get("maxReplicas", spec_json()["maxReplicas"])
    assert [place.node for place in found.pods] == ["n0", ""]


@pytest.mark.parametrize(
    ("annotations", "changes", "paused"),
    [({}, {}, False), ({PAUSED_ANNOTATION: "true"}, {}, True), ({}, {"paused": True}, True)],
    ids=["not", "by-annotation", "by-spec"],
)
def test_a_paused_workload(annotations: Any, changes: Any, paused: Any) -> None:
    found = workload_now(autoscaler(annotations, **changes), replicas=1, decision=KNOWN, pods=[])
    assert found is not None
    assert found.paused is paused


def test_a_workload_without_pools_needs_none() -> None:
    assert workload_now(autoscaler(nodePools=[]), replicas=1, decision=KNOWN, pods=[]) is None


@pytest.mark.parametrize(
    ("budget", "price", "nodes", "max_nodes"),
    [(None, 2.0, None, 10), (9.0, 2.0, 4, 4), (100.0, 2.0, 50, 10), (0.3, 0.1, 3, 3), (1.0, 2.0, 0, 1)],
)
def test_the_budget_pays_for_whole_nodes(budget: Any, price: Any, nodes: Any, max_nodes: Any) -> None:
    given = pool(budget_per_hour=budget, price_per_node_hour=price)
    assert budget_nodes(given) == nodes
    assert affordable_spec(given).max_nodes == max_nodes


def decision(
    floor: int, condition: PoolCondition = PoolCondition.READY, *, spot: int = 0, spares: int = 0
) -> NodeDecision:
    return NodeDecision(
        floor_nodes=floor,
        on_demand_nodes=floor - spot,
        spot_nodes=spot + spares,
        placeholders={},
        condition=condition,
        missing_nodes=0,
        other_pool=None,
        reason=condition.value,
        message="",
        numbers={},
    )


def seen(occupied: int, empty: int = 0) -> PoolSeen:
    nodes = [NodeSeen(name=f"n{number}", asked_ns=0, ready_ns=1, free_gpus=0) for number in range(occupied)]
    nodes += [NodeSeen(name=f"e{number}", asked_ns=0, ready_ns=1, free_gpus=1) for number in range(empty)]
    return PoolSeen(nodes=tuple(nodes), workloads=())


ROLLING = workload("vllm", pods=(PodPlace(node="n0", revision="old"), PodPlace(node="n1", revision="new")))
STEADY = workload("vllm", pods=(PodPlace(node="n0", revision="old"),))
AT_MAX = PoolCondition.AT_MAX_NODES


@pytest.mark.parametrize(
    ("bounds", "decided", "seen_now", "who", "keep", "condition", "why"),
    [
        pytest.param({}, decision(3), seen(1, 4), STEADY, 3, "Ready", "", id="nothing-in-the-way"),
        pytest.param(
            {}, decision(3), seen(1, 4), ROLLING, 5, "Ready", "llm/vllm rolls out", id="a-rollout-keeps-nodes"
        ),
        pytest.param({}, decision(7), seen(1, 4), ROLLING, 7, "Ready", "", id="a-rollout-may-get-more"),
        pytest.param({}, decision(1), seen(4), STEADY, 4, "Ready", "4 nodes hold pods", id="never-below-running-pods"),
        pytest.param(
            {"budget_per_hour": 3.0},
            decision(3, AT_MAX),
            seen(1),
            STEADY,
            3,
            "BudgetLimited",
            "pays for 3",
            id="budget",
        ),
        pytest.param(
            {"max_nodes": 3}, decision(3, AT_MAX), seen(1), STEADY, 3, "AtMaxNodes", "", id="max-nodes-without-a-budget"
        ),
        pytest.param(
            {"budget_per_hour": 2.0},
            decision(2, AT_MAX),
            seen(4),
            STEADY,
            4,
            "BudgetLimited",
            "4 nodes hold",
            id="pods-first",
        ),
        pytest.param(
            {"budget_per_hour": 0.5},
            decision(1),
            seen(0),
            STEADY,
            0,
            "BudgetLimited",
            "for a single node",
            id="too-poor",
        ),
        pytest.param(
            {"budget_per_hour": 4.0},
            decision(3),
            seen(1, 4),
            ROLLING,
            3,
            "Ready",
            "",
            id="the-budget-ends-a-rollouts-claim",
        ),
        pytest.param({}, decision(4, spot=4, spares=2), seen(1), STEADY, 6, "Ready", "", id="spares-come-on-top"),
        pytest.param(
            {"max_nodes": 5},
            decision(4, spot=4, spares=2),
            seen(1),
            STEADY,
            5,
            "Ready",
            "",
            id="spares-within-max-nodes",
        ),
    ],
)
def test_protections(bounds: Any, decided: Any, seen_now: Any, who: Any, keep: Any, condition: Any, why: Any) -> None:
    """The floor so far is 5."""
    guarded = protect(pool(**bounds), decided, seen_now, 5, [who])
    assert (guarded.keep_nodes, guarded.condition) == (keep, condition)
    assert why in guarded.why
    assert bool(why) == bool(guarded.why)
