"""Which nodes are removed: empty ones, and ones little used whose pods may move and fit elsewhere.

Source: kubernetes/autoscaler cluster-autoscaler/FAQ.md, "How does scale-down work?", "What types of pods can prevent
CA from removing a node?", "I have a couple of nodes with low utilization, but they are not scaled down. Why?":
a node has to be unneeded for unneeded_seconds, its pool above its floor, and no node was asked for within the delay;
empty nodes go in bulk, others one in a scan.
"""

import math

from simulations.cluster.cluster_state import ClusterState
from simulations.cluster.node_autoscaler import SCALED_DOWN, UNUSED
from simulations.cluster.placement import Node
from simulations.cluster.pod_policy import budgets_allow
from simulations.cluster.pool_state import PoolState
from simulations.cluster.scheduler import Plan


def empty_due_seconds(cluster: ClusterState, state: PoolState) -> float:
    """When an empty node of the pool may go next; inf for never."""
    since = state.longest_empty_since
    if since == math.inf:
        return math.inf
    rules = cluster.rules
    return rules.scan_at_or_after(rules.scan_at_or_after(since) + state.pool.unneeded_seconds)


def remove_one_empty(cluster: ClusterState) -> Node:
    """Remove the oldest node of those that are due now, of all pools."""
    node = min(
        (
            node
            for state in cluster.pools.values()
            if state.size > state.floor
            for node in state.empty.values()
            if _was_empty_long(cluster, node)
        ),
        key=lambda node: node.number,
    )
    cluster.remove(node, UNUSED)
    return node


def remove_empty(cluster: ClusterState) -> int:
    """Remove what a scan may; how many."""
    removed = 0
    for state in cluster.pools.values():
        due = sorted(
            (node for node in state.empty.values() if _was_empty_long(cluster, node)), key=lambda node: node.number
        )
        spare = state.size - state.floor
        for node in due[: max(0, min(spare, cluster.rules.max_empty_bulk_delete - removed))]:
            cluster.remove(node, UNUSED)
            removed += 1
    return removed


def note_unneeded(cluster: ClusterState) -> None:
    """Mark the nodes that hold pods and are not needed, from this scan on; unmark the others."""
    for state in cluster.pools.values():
        for node in tuple(state.room):
            if not node.pods or not _may_be_emptied(cluster, node):
                state.is_needed(node)
            elif node.unneeded_since is None:
                state.is_unneeded(node, cluster.now)


def emptying_due_seconds(cluster: ClusterState) -> float:
    """When a node that holds pods may be emptied next; inf for never."""
    return min(
        (
            cluster.rules.scan_at_or_after(node.unneeded_since + node.pool.unneeded_seconds)
            for state in cluster.pools.values()
            if state.size > state.floor
            for node in state.unneeded.values()
            if node.unneeded_since is not None
        ),
        default=math.inf,
    )


def empty_one_node(cluster: ClusterState) -> bool:
    """Begin to empty the least used node that was unneeded for long enough; False when there is none."""
    due = [
        node
        for state in cluster.pools.values()
        if state.size > state.floor
        for node in state.unneeded.values()
        if node.unneeded_since is not None and node.unneeded_since + node.pool.unneeded_seconds <= cluster.now
    ]
    for node in sorted(due, key=lambda node: (-node.free_gpus, node.number)):
        cluster.pools[node.pool.name].is_needed(node)
        if _may_be_emptied(cluster, node):
            grace = cluster.rules.max_graceful_termination_seconds
            cluster.give_notice(node, SCALED_DOWN, grace, grace)
            return True
    return False


def _may_be_emptied(cluster: ClusterState, node: Node) -> bool:
    """Little used, every pod may leave, no budget is in the way, and all fit elsewhere at once."""
    advertised = node.pool.advertised_gpus
    if (advertised - node.free_gpus) / advertised >= cluster.rules.utilization_threshold:
        return False
    records = tuple(node.pods.values())
    if not all(record.policy.movable for record in records):
        return False
    if not budgets_allow(cluster.budgets, [record.policy.budget for record in records], cluster.placed_by_budget):
        return False
    plan = Plan(cluster.scoring)
    for state in cluster.pools.values():
        plan.add(state.room)
    fits = all(plan.pack(record, apart_from=node) for record in records)
    plan.undo()
    return fits


def _was_empty_long(cluster: ClusterState, node: Node) -> bool:
    return cluster.rules.scan_at_or_after(_empty_since(node)) + node.pool.unneeded_seconds <= cluster.now


def _empty_since(node: Node) -> float:
    assert node.empty_since is not None
    return node.empty_since
