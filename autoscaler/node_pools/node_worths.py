"""What the nodes under one workload's pods are worth, by its spec.nodePools: for the deletion costs of its pods."""

from collections.abc import Collection, Mapping, Sequence

from autoscaler.crd.build import pool_spec
from autoscaler.crd.node_pool import NodePool
from autoscaler.lead_times.node_facts import is_spot
from autoscaler.node_pools.seen import PLACEHOLDER_LABEL, NodeNow, PodsOn, gpus_held, nodes_of
from policies.nodepools.decide import Headroom
from policies.nodepools.deletion_cost import NodeWorth, on_demand_share


def node_worths(
    pools: Sequence[NodePool], names: Collection[str], nodes: Mapping[str, NodeNow], pods_on: PodsOn
) -> dict[str, NodeWorth]:
    """Of the nodes that are named, are there and are in one of the pools; in several, the first one counts.

    Which nodes are spot is said by the pool where it has one kind, else by the labels of clouds and of Karpenter.
    """
    worths = {}
    for name in names:
        node = nodes.get(name)
        at = None if node is None else next((i for i, pool in enumerate(pools) if nodes_of(pool, [node])), None)
        if node is not None and at is not None:
            worths[name] = _worth(pools, at, node, pods_on)
    return worths


def on_demand_shares(
    pools: Sequence[NodePool], worths: Mapping[str, NodeWorth], headroom: Headroom
) -> dict[str, float]:
    """Plan -> of these nodes the share that must stay on demand. Raises BadInput for a pool that cannot be."""
    return {
        pool.name: on_demand_share(
            pool_spec(pool),
            sum(worth.plan == pool.name for worth in worths.values()),
            replace_seconds=headroom.replace_seconds,
            attainment=headroom.attainment,
        )
        for pool in pools
        if pool.spot is not None
    }


def _worth(pools: Sequence[NodePool], at: int, node: NodeNow, pods_on: PodsOn) -> NodeWorth:
    pool, plan, price, on_demand = pools[at], "", pools[at].price_per_node_hour, True
    if pool.spot is not None:
        plan = pool.name
        on_demand = not (pool.spot.on_demand_in_next_pool or is_spot(node.labels))
        price = price if on_demand else pool.spot.price_per_node_hour
    elif at > 0 and (before := pools[at - 1].spot) is not None and before.on_demand_in_next_pool:
        plan = pools[at - 1].name
    return NodeWorth(
        price_per_gpu_hour=price / pool.gpus_per_node,
        gpu_pods=sum(
            gpus_held(each.pod, pool.gpu_resource) > 0
            for each in pods_on(node.name)
            if PLACEHOLDER_LABEL not in each.labels
            and not each.pod.deleting
            and each.pod.phase not in ("Succeeded", "Failed")
        ),
        plan=plan,
        is_on_demand=on_demand,
    )
