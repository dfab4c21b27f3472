"""One pool's step without any waiting: from what is seen and was told to what the pool should be told. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from autoscaler.node_pools import asks
from autoscaler.node_pools.asks import AwaitedNodes, Told
from autoscaler.node_pools.holding import placeholders_for
from autoscaler.node_pools.pools import SharedPool, affordable_spec
from autoscaler.node_pools.protections import Protected, occupied_nodes, protect
from autoscaler.node_pools.provider import PoolAsk, PoolTold
from autoscaler.node_pools.seen import NodeNow, PodsOn, gpus_used, lasting_taints, nodes_seen
from policies.nodepools.decide import Headroom, PoolState, decide
from policies.nodepools.pool_seen import PoolSeen, WorkloadNeed

NOT_ASKED = PoolTold(state="Idle", message="its provider was not asked yet")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolMemory:
    """Between two steps. told: by its provider, last.

    told_nodes: None where it was not told, or where telling brings no node.
    overflow_gpus: what its last decision could not hold.
    """

    state: PoolState = field(default_factory=PoolState)
    awaited: AwaitedNodes = field(default_factory=AwaitedNodes)
    told: PoolTold = NOT_ASKED
    told_nodes: Told | None = None
    overflow_gpus: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolStep:
    """seen: with the nodes that were asked for and are not there yet."""

    seen: PoolSeen
    guarded: Protected
    ask: PoolAsk
    memory: PoolMemory


def pool_step(
    shared: SharedPool,
    nodes: Sequence[NodeNow],
    needs: Sequence[WorkloadNeed],
    pods_on: PodsOn,
    memory: PoolMemory,
    *,
    headroom: Headroom,
    now_ns: int,
) -> PoolStep:
    """nodes: the pool's. needs: of its workloads. Raises BadInput."""
    pool = shared.pool
    spec = affordable_spec(pool)
    there = nodes_seen(pool, nodes, pods_on)
    quota_refused = memory.told.state == "QuotaExceeded"
    # A node that the quota does not admit is not on its way.
    told_nodes = None if quota_refused else memory.told_nodes
    awaited = asks.follow(memory.awaited, [node.name for node in there], told_nodes, now_ns)
    with_missing = asks.with_awaited(there, awaited, gpus=pool.gpus_per_node, refused=memory.told.state == "StockedOut")
    seen = PoolSeen(nodes=tuple(with_missing), workloads=tuple(needs), quota_refused=quota_refused)
    before = len(there) if memory.state.floor_nodes is None else memory.state.floor_nodes
    decision, state = decide(spec, headroom, memory.state, seen, now_ns)
    guarded = protect(pool, decision, seen, before, shared.workloads)
    ask = PoolAsk(
        keep_nodes=guarded.keep_nodes,
        placeholders=placeholders_for(
            guarded.keep_nodes,
            gpus_per_node=pool.gpus_per_node,
            used_gpus=sum(gpus_used(pods_on(node.name), pool.gpu_resource) for node in nodes),
            unplaced_gpus=sum(need.unplaced * need.gpus_per_replica for need in needs),
            sizes=[need.gpus_per_replica for need in needs],
        ),
        nodes=len(there),
        occupied_nodes=occupied_nodes(pool, seen),
        owners=shared.owners,
        taints=lasting_taints(nodes),
    )
    return PoolStep(
        seen=seen,
        guarded=guarded,
        ask=ask,
        memory=replace(
            memory,
            state=replace(state, floor_nodes=guarded.decision.floor_nodes),
            awaited=awaited,
            overflow_gpus=guarded.decision.missing_nodes * pool.gpus_per_node,
        ),
    )
