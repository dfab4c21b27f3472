"""A spot pool and the on-demand pool behind it: what each is told, where the two kinds of nodes are two pools.

    nodes needed on both -> spot_plan: on demand, spot, spares -> what is still to come is divided, what stands stays

A pod is never moved: nodes that hold pods count as they are. What is on demand beyond those comes out of the nodes that
are still to come for pods without one; headroom and spares are spot. What the spot pool cannot get is not divided here:
it is missing there, and the next pool is asked for it anyway.
"""

from dataclasses import dataclass

from policies.nodepools.spec import PoolSpec
from policies.nodepools.spot import spot_plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Division:
    """floor_nodes, keep_nodes: of the spot pool, without and with spares. moved_nodes: of its floor, to be had from the
    on-demand pool beside what stands there. on_demand_nodes: of both pools' nodes, as the plan has it."""

    floor_nodes: int
    keep_nodes: int
    moved_nodes: int
    on_demand_nodes: int


def divide(
    spec: PoolSpec,
    floor_nodes: int,
    *,
    occupied_nodes: int,
    on_demand_nodes: int,
    unplaced_gpus: int,
    replace_seconds: float,
    attainment: float,
) -> Division:
    """spec: of the spot pool; with `spot`. floor_nodes: what it would be told if all nodes to come were its own, so
    without those of the other pool.

    occupied_nodes: of the spot pool, with pods. on_demand_nodes: of the other one, with pods of the same workloads.
    unplaced_gpus: of replicas without a node. replace_seconds, attainment: as in spot_plan.
    """
    plan = spot_plan(
        spec, floor_nodes + on_demand_nodes, replace_seconds=replace_seconds, attainment=attainment, most_nodes=None
    )
    lacking = plan.on_demand_nodes - on_demand_nodes
    to_come = floor_nodes - max(occupied_nodes, spec.min_nodes)
    moved = max(0, min(lacking, to_come, -(-unplaced_gpus // spec.gpus_per_node)))
    floor = floor_nodes - moved
    return Division(
        floor_nodes=floor,
        keep_nodes=max(floor, min(floor + plan.spare_nodes, spec.most_nodes)),
        moved_nodes=moved,
        on_demand_nodes=plan.on_demand_nodes,
    )
