"""Which pods of a workload a scale-down should take: a cost for each, where nodes differ.

    on-demand nodes beyond what the plan wants there  -> go first, the dearest GPUs before cheaper ones
    nodes with few pods that hold GPUs                -> are emptied next, so that the node autoscaler can remove them
    on-demand nodes that the plan wants               -> go last
    nothing of it                                     -> no cost: Kubernetes' own order

The cost is what the annotation controller.kubernetes.io/pod-deletion-cost takes: of pods that are equally ready the
lower one goes first, and a pod without one counts as 0. So most pods have none: those that are alone on nodes of the
cheapest kind, and all of a workload whose pods are alike. A cost depends on prices and on the pods of its own node, so
that it changes rarely, as Kubernetes asks (kubernetes.io/docs/concepts/workloads/controllers/replicaset, "Pod deletion
cost": each update is one of the API server's).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from policies.nodepools.spec import PoolSpec
from policies.nodepools.spot import spot_plan

PodDeletionCost = Literal["Unset", "ByNode"]
"""Unset: no pod is given a cost. ByNode: by this file."""

_STEP = 100
"""Between two prices: more than the pods of one node count for."""
_ALIKE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeWorth:
    """What is known of one node. price_per_gpu_hour: of one of its GPUs, in any currency, the same for all nodes.

    gpu_pods: that hold GPUs, of any workload. plan: the spot plan that it belongs to, "" for none.
    is_on_demand: of a plan; without one it is not read.
    """

    price_per_gpu_hour: float
    gpu_pods: int
    plan: str = ""
    is_on_demand: bool = True


def deletion_costs(
    pods: Mapping[str, str], nodes: Mapping[str, NodeWorth], on_demand_shares: Mapping[str, float] | None = None
) -> dict[str, int]:
    """The cost of each pod that should have one, never 0; the others go as a pod with 0 does.

    pods: name -> node, of one workload. nodes: those that are known; a pod on another one has no cost.
    on_demand_shares: plan -> of its nodes that hold pods of this workload at least this share stays on demand, in
    [0, 1]. However many pods are taken in the order of these costs, what is left of a plan holds its share, unless it
    lacked already before.
    """
    known = {pod: node for pod, node in pods.items() if node in nodes}
    used = {node: nodes[node] for node in sorted(set(known.values()))}
    kept = frozenset(
        node for plan, share in (on_demand_shares or {}).items() for node in _kept(_of_plan(used, plan), share)
    )
    prices = _levels(worth.price_per_gpu_hour for worth in used.values())
    of_node = {
        node: (_STEP if node in kept else -_STEP * _level(prices, worth.price_per_gpu_hour))
        + min(worth.gpu_pods - 1, _STEP - 1)
        for node, worth in used.items()
    }
    if len(set(of_node.values())) < 2:
        return {}
    return {pod: of_node[node] for pod, node in known.items() if of_node[node]}


@lru_cache(maxsize=1024)  # the same few counts come again at each step, and hundreds of nodes take 0.3 s
def on_demand_share(spec: PoolSpec, nodes: int, *, replace_seconds: float, attainment: float) -> float:
    """Of so many nodes the share that should be on demand: what prices and preemptions make cheapest, at least
    onDemandBaseShare. replace_seconds, attainment: as in spot_plan. Raises BadInput."""
    base = math.ceil(spec.on_demand_base_share * nodes - _ALIKE)
    plan = spot_plan(spec, nodes, replace_seconds=replace_seconds, attainment=attainment)
    return spec.on_demand_base_share if plan.on_demand_nodes <= base else plan.on_demand_nodes / nodes


def _of_plan(used: Mapping[str, NodeWorth], plan: str) -> dict[str, NodeWorth]:
    return {node: worth for node, worth in used.items() if worth.plan == plan}


def _kept(nodes: Mapping[str, NodeWorth], share: float) -> list[str]:
    """Of a plan's nodes those on demand that must stay, the cheapest and fullest.

    Without x of D on-demand nodes of N in all, the share holds while D - x >= share * (N - x).
    """
    on_demand = sorted(
        (node for node, worth in nodes.items() if worth.is_on_demand),
        key=lambda node: (-nodes[node].price_per_gpu_hour, nodes[node].gpu_pods, node),
    )
    spare = len(on_demand) - share * len(nodes)
    beyond = 0 if share >= 1.0 else math.floor(spare / (1.0 - share) + _ALIKE)
    return on_demand[max(0, min(beyond, len(on_demand))) :]


def _levels(prices: Iterable[float]) -> list[float]:
    """Prices that differ, the lowest first."""
    levels: list[float] = []
    for price in sorted(prices):
        if not levels or price > levels[-1] * (1.0 + _ALIKE):
            levels.append(price)
    return levels


def _level(levels: list[float], price: float) -> int:
    return sum(level * (1.0 + _ALIKE) < price for level in levels)
