"""What a step of a pool came to, in the words of the status."""

from autoscaler.node_pools.pool_step import PoolStep
from autoscaler.node_pools.pools import SharedPool
from autoscaler.node_pools.provider import Owner, PoolTold
from autoscaler.outcome import PoolOutcome

_IN_ORDER = ("Idle", "Resizing", "Recommended")


def pool_outcome(shared: SharedPool, owner: Owner, done: PoolStep, told: PoolTold) -> PoolOutcome:
    """For one of those that share the pool.

    A pool that could hold what is needed and cannot be told so is not in order: then its provider's state is the
    condition.
    """
    guarded = done.guarded
    sentences = (guarded.decision.message, guarded.why, told.message, shared.disagreement)
    split = guarded.decision.spot_nodes
    numbers = {
        **guarded.decision.numbers,
        "keep_nodes": float(guarded.keep_nodes),
        **(
            {}
            if not split
            else {"on_demand_nodes": float(guarded.decision.on_demand_nodes), "spot_nodes": float(split)}
        ),
        **({} if told.min_nodes is None else {"told_min_nodes": float(told.min_nodes)}),
    }
    return PoolOutcome(
        name=owner.pool_name,
        provider=shared.pool.provider,
        floor_nodes=guarded.decision.floor_nodes,
        ready_nodes=sum(node.is_ready for node in done.seen.nodes),
        nodes=done.ask.nodes,  # without those that were asked for and are not there yet
        condition=told.state if guarded.condition == "Ready" and told.state not in _IN_ORDER else guarded.condition,
        state=told.state,
        message="; ".join(sentence for sentence in sentences if sentence),
        numbers=numbers,
    )


def refused_outcome(shared: SharedPool, owner: Owner, why: str) -> PoolOutcome:
    """Where the pool cannot be decided: what its spec says does not go together."""
    return PoolOutcome(
        name=owner.pool_name,
        provider=shared.pool.provider,
        floor_nodes=0,
        ready_nodes=0,
        nodes=0,
        condition="Invalid",
        state="Refused",
        message=why,
    )
