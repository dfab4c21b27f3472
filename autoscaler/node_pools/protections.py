"""What stands between a decision and the pool, beyond the step and the cooldown that are part of the decision itself.

Each protection only ever keeps nodes that a decision would let go, but for the budget, which keeps new ones from
coming; and a budget takes no node away from a pod that runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from autoscaler.crd.node_pool import NodePool
from autoscaler.node_pools.pools import budget_nodes
from autoscaler.node_pools.workload import WorkloadNow
from policies.nodepools.decide import NodeDecision, PoolCondition
from policies.nodepools.pool_seen import PoolSeen


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """keep_nodes: what the pool is told. condition: what is in the way, in one word. why: a sentence, or ""."""

    decision: NodeDecision
    keep_nodes: int
    condition: str
    why: str = ""


def occupied_nodes(pool: NodePool, seen: PoolSeen) -> int:
    """Nodes that hold a pod with GPUs."""
    return sum(node.free_gpus < pool.gpus_per_node for node in seen.nodes)


def protect(
    pool: NodePool, decision: NodeDecision, seen: PoolSeen, before_nodes: int, workloads: Sequence[WorkloadNow]
) -> Protected:
    """before_nodes: the floor so far."""
    reasons = []
    floor, condition = decision.floor_nodes, decision.condition.value
    affordable = budget_nodes(pool)
    if affordable is not None and affordable < pool.max_nodes and decision.condition is PoolCondition.AT_MAX_NODES:
        condition = "BudgetLimited"
        reasons.append(
            f"budgetPerHour {pool.budget_per_hour:g} pays for {affordable} nodes at {pool.price_per_node_hour:g} each"
        )
    if affordable is not None and affordable < 1 and floor > 0:
        floor, condition = 0, "BudgetLimited"
        reasons.append(
            f"budgetPerHour: was {pool.budget_per_hour:g}, must be at least pricePerNodeHour "
            f"({pool.price_per_node_hour:g}) for a single node; raise it"
        )
    rolling_out = [f"{each.key.namespace}/{each.key.name}" for each in workloads if each.is_rolling_out]
    if floor < before_nodes and rolling_out and (affordable is None or before_nodes <= affordable):
        floor = before_nodes
        reasons.append(f"no node is let go while {', '.join(rolling_out)} rolls out a new revision")
    occupied = occupied_nodes(pool, seen)
    if floor < occupied:
        floor = occupied
        reasons.append(f"{occupied} nodes hold pods with GPUs, and none of them is taken away")
    # Spares for spot nodes come on top of the floor.
    spares = max(0, decision.on_demand_nodes + decision.spot_nodes - decision.floor_nodes)
    most = pool.max_nodes if affordable is None else min(pool.max_nodes, affordable)
    return Protected(
        decision=replace(decision, floor_nodes=floor),
        keep_nodes=max(floor, min(floor + spares, most)),
        condition=condition,
        why="; ".join(reasons),
    )
