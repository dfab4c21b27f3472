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
from policies.nodepools.division import divide
from policies.nodepools.pool_seen import PoolSeen, WorkloadNeed
from policies.nodepools.spec import PoolSpec

NOT_ASKED = PoolTold(state="Idle", message="its provider was not asked yet")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolMemory:
    """Between two steps. told: by its provider, last.

    told_nodes: None where it was not told, or where telling brings no node.
    overflow_gpus: what its last decision could not hold, or leaves to the on-demand pool behind it.
    """

    state: PoolState = field(default_factory=PoolState)
    awaited: AwaitedNodes = field(default_factory=AwaitedNodes)
    told: PoolTold = NOT_ASKED
    told_nodes: Told | None = None
    overflow_gpus: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class OnDemandPool:
    """The one behind a pool whose nodes are all spot. nodes: that hold pods of the same workloads."""

    name: str
    nodes: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolStep:
    """guarded: what this pool is told; where it is divided, its part. seen: with the nodes that were asked for and are
    not there yet."""

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
    on_demand: OnDemandPool | None = None,
) -> PoolStep:
    """nodes: the pool's. needs: of its workloads. on_demand: None where nothing is to be divided. Raises BadInput."""
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
    whole = protect(pool, decision, seen, before, shared.workloads)
    unplaced_gpus = sum(need.unplaced * need.gpus_per_replica for need in needs)
    guarded, moved_nodes = whole, 0
    # What is kept for a need that is unknown or has fallen was divided when it was asked for.
    is_asked_for = "need_gpus" in decision.numbers and decision.numbers["wanted_nodes"] >= before
    if on_demand is not None and is_asked_for:
        guarded, moved_nodes = _divided(
            whole, spec, on_demand, headroom, occupied_nodes=occupied_nodes(pool, seen), unplaced_gpus=unplaced_gpus
        )
    ask = PoolAsk(
        keep_nodes=guarded.keep_nodes,
        placeholders=placeholders_for(
            guarded.keep_nodes,
            gpus_per_node=pool.gpus_per_node,
            used_gpus=sum(gpus_used(pods_on(node.name), pool.gpu_resource) for node in nodes),
            unplaced_gpus=max(0, unplaced_gpus - moved_nodes * pool.gpus_per_node),
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
            overflow_gpus=(whole.decision.missing_nodes + moved_nodes) * pool.gpus_per_node,
        ),
    )


def _divided(
    whole: Protected,
    spec: PoolSpec,
    on_demand: OnDemandPool,
    headroom: Headroom,
    *,
    occupied_nodes: int,
    unplaced_gpus: int,
) -> tuple[Protected, int]:
    """(the spot pool's part, nodes that are left to the other pool)."""
    part = divide(
        spec,
        whole.decision.floor_nodes,
        occupied_nodes=occupied_nodes,
        on_demand_nodes=on_demand.nodes,
        unplaced_gpus=unplaced_gpus,
        replace_seconds=headroom.replace_seconds,
        attainment=headroom.attainment,
    )
    keep_nodes = min(part.keep_nodes, max(part.floor_nodes, whole.keep_nodes))  # the budget bounds that one
    decision = replace(
        whole.decision,
        floor_nodes=part.floor_nodes,
        on_demand_nodes=part.on_demand_nodes,
        spot_nodes=keep_nodes,
        numbers={**whole.decision.numbers, "floor_nodes": float(part.floor_nodes)},
    )
    why = f"{part.moved_nodes} of them on demand, from {on_demand.name}" if part.moved_nodes else ""
    guarded = replace(
        whole,
        decision=decision,
        keep_nodes=keep_nodes,
        why="; ".join(text for text in (why, whole.why) if text),
    )
    return guarded, part.moved_nodes
