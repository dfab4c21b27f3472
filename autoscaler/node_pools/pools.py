"""Which pools there are: several PredictiveAutoscalers may name the same one, and then it is decided once.

The same pool is the same thing to its provider: for GKE the node pool's path, else the name with the node selector.
Where they do not agree about its bounds, the most careful one counts, and that is said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from autoscaler.crd.build import pool_spec
from autoscaler.crd.node_pool import NodePool
from autoscaler.node_pools.provider import Owner
from autoscaler.node_pools.workload import WorkloadNow
from policies.nodepools.spec import PoolSpec

PoolKey = tuple[str, ...]
"""What makes two pools the same one."""

_MOST_CAREFUL = {
    "max_nodes": min,
    "min_nodes": max,
    "quota_gpus": min,
    "budget_per_hour": min,
    "max_step_nodes": min,
    "cooldown_seconds": max,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPool:
    """pool: with the most careful bounds. owners, workloads: by key, one for one. disagreement: "" where they agree."""

    key: PoolKey
    pool: NodePool
    owners: tuple[Owner, ...]
    workloads: tuple[WorkloadNow, ...]
    disagreement: str = ""

    @property
    def acts(self) -> bool:
        """Whether any of them may act on it: nobody writes for advice alone."""
        return any(not workload.paused and not workload.recommends for workload in self.workloads)

    @property
    def is_advice(self) -> bool:
        """Whether all of them are in mode Recommend: then what holds room for it is given back."""
        return all(workload.recommends for workload in self.workloads)


def pool_key(pool: NodePool) -> PoolKey:
    if pool.provider == "GKE" and pool.gke is not None:
        return ("GKE", pool.gke.project, pool.gke.location, pool.gke.cluster, pool.gke.node_pool)
    selector = [f"{label}={value}" for label, value in sorted(pool.node_selector.items())]
    return (pool.provider, pool.name, pool.gpu_resource, *selector)


def shared_pools(workloads: Iterable[WorkloadNow]) -> Mapping[PoolKey, SharedPool]:
    """Every pool once, with everyone who names it."""
    named: dict[PoolKey, list[tuple[WorkloadNow, NodePool]]] = {}
    for workload in sorted(workloads, key=lambda each: (each.key.namespace, each.key.name)):
        for pool in workload.pools:
            named.setdefault(pool_key(pool), []).append((workload, pool))
    return {key: _shared(key, uses) for key, uses in named.items()}


def _shared(key: PoolKey, uses: list[tuple[WorkloadNow, NodePool]]) -> SharedPool:
    pools = [pool for _, pool in uses]
    bounds: dict[str, object] = {}
    for field, most_careful in _MOST_CAREFUL.items():
        given = [value for pool in pools if (value := getattr(pool, field)) is not None]
        bounds[field] = most_careful(given) if given else None
    first = pools[0]
    most_nodes = min(pool.max_nodes for pool in pools)
    bounds["min_nodes"] = min(max(pool.min_nodes for pool in pools), most_nodes)
    differing = sorted(
        field
        for field in type(first).model_fields
        if field != "name" and any(getattr(pool, field) != getattr(first, field) for pool in pools)
    )
    disagreement = ""
    if differing:
        names = ", ".join(f"{workload.key.namespace}/{workload.key.name}" for workload, _ in uses)
        fields = ", ".join(type(first).model_fields[field].alias or field for field in differing)
        disagreement = (
            f"{names} share this pool and differ in {fields}: the most careful bounds count, and for the rest what the "
            "first one says; write the same everywhere"
        )
    return SharedPool(
        key=key,
        pool=first.model_copy(update=bounds),
        owners=tuple(Owner(key=each.key, uid=each.uid, pool_name=pool.name) for each, pool in uses),
        workloads=tuple(workload for workload, _ in uses),
        disagreement=disagreement,
    )


def budget_nodes(pool: NodePool) -> int | None:
    """Nodes that the budget admits, at the price on demand: a spot node may have to be replaced by one of those."""
    if pool.budget_per_hour is None:
        return None
    return int(pool.budget_per_hour / pool.price_per_node_hour + 1e-9)


def affordable_spec(pool: NodePool) -> PoolSpec:
    """What the decision reads, its max_nodes within the budget. Raises BadInput."""
    affordable = budget_nodes(pool)
    if affordable is None:
        return pool_spec(pool)
    most = min(pool.max_nodes, max(1, affordable))  # less than one node is the protections' business
    return pool_spec(pool.model_copy(update={"max_nodes": most, "min_nodes": min(pool.min_nodes, most)}))
