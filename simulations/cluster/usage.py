"""What a cluster's nodes and pods add up to: node-seconds, GPU-seconds, cost by pool, counts over time, paths taken.

A node counts from the ask for it until its removal, provisioning and a spot node's notice included, as a GPU-hour
counts from the ask for a pod. That is an upper bound: EC2, for one, does not bill an instance while it is `pending` or
`shutting-down` (User Guide, "Amazon EC2 instance state changes"). An ask that the cloud refused made no machine, and
does not count; one that was given up did.

Everything is within [0, horizon]; instants are seconds since the start of the run.
"""

from dataclasses import dataclass

from simulations.cluster import Cluster
from simulations.cluster.placement import Node
from simulations.lead_time import StartPath

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCounts:
    """How many nodes there are from `at_seconds` until the next counts."""

    at_seconds: float
    provisioning: int
    ready: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSeconds:
    """What became of the GPU time that was paid: before the node was ready, held by pods, and idle."""

    provisioning: float
    held: float
    idle: float

    @property
    def paid(self) -> float:
        """All of it."""
        return self.provisioning + self.held + self.idle


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolCost:
    """One pool's share of the bill, in USD."""

    pool: str
    spot: bool
    price_per_node_hour: float
    node_seconds: float
    gpu_seconds: GpuSeconds
    usd: float


def node_seconds(cluster: Cluster, horizon_seconds: float, pool: str | None = None) -> float:
    """Time of all nodes, or of one pool's, from the ask to the removal."""
    return sum(
        _overlap(node.asked_at, node.removed_at, horizon_seconds)
        for node in cluster.nodes
        if node.was_created and _is_of(node, pool)
    )


def allocated_gpu_seconds(cluster: Cluster, horizon_seconds: float, pool: str | None = None) -> float:
    """Time of all GPUs that pods hold: from placing to release, starting and draining included; shares as shares."""
    return sum(
        record.gpus
        * _overlap(record.placement.placed_at, record.released_at, horizon_seconds)
        / record.pool.shares_per_gpu
        for record in cluster.pods.values()
        if record.placement is not None and (pool is None or record.pool.name == pool)
    )


def gpu_seconds(cluster: Cluster, horizon_seconds: float, pool: str | None = None) -> GpuSeconds:
    """What was paid, by what became of it."""
    provisioning = ready = 0.0
    for node in cluster.nodes:
        if node.was_created and _is_of(node, pool):
            gpus = node.pool.gpus_per_node
            before = min(node.ready_at, horizon_seconds if node.removed_at is None else node.removed_at)
            provisioning += gpus * _overlap(node.asked_at, before, horizon_seconds)
            if node.is_ready:
                ready += gpus * _overlap(node.ready_at, node.removed_at, horizon_seconds)
    held = allocated_gpu_seconds(cluster, horizon_seconds, pool)
    return GpuSeconds(provisioning=provisioning, held=held, idle=ready - held)


def cost_by_pool(cluster: Cluster, horizon_seconds: float, price_per_gpu_hour: float) -> tuple[PoolCost, ...]:
    """The bill by pool, in the order of the pools; one without a price per node costs its GPUs at a GPU-hour's."""
    costs = []
    for pool in cluster.pools.values():
        price = pool.price_per_node_hour
        if price is None:
            price = pool.gpus_per_node * price_per_gpu_hour
        seconds = node_seconds(cluster, horizon_seconds, pool.name)
        costs.append(
            PoolCost(
                pool=pool.name,
                spot=pool.spot is not None,
                price_per_node_hour=price,
                node_seconds=seconds,
                gpu_seconds=gpu_seconds(cluster, horizon_seconds, pool.name),
                usd=price * seconds / SECONDS_PER_HOUR,
            )
        )
    return tuple(costs)


def cost_usd(cluster: Cluster, horizon_seconds: float, price_per_gpu_hour: float, *, spot: bool | None = None) -> float:
    """Price of the nodes, as `cost_by_pool`; spot: of spot nodes only, or of on-demand nodes only."""
    return sum(
        cost.usd
        for cost in cost_by_pool(cluster, horizon_seconds, price_per_gpu_hour)
        if spot is None or cost.spot == spot
    )


def nodes_over_time(cluster: Cluster, pool: str | None = None) -> tuple[NodeCounts, ...]:
    """The counts after every change up to now, oldest first: a step function that starts at 0 s."""
    changes: dict[float, tuple[int, int]] = {0.0: (0, 0)}
    for node in (node for node in cluster.nodes if _is_of(node, pool)):
        _change(changes, node.asked_at, provisioning=node.stands_for)
        if node.is_ready:
            _change(changes, node.ready_at, provisioning=-1, ready=1)
        if node.removed_at is not None:
            if node.is_ready:
                _change(changes, node.removed_at, ready=-1)
            else:
                _change(changes, node.removed_at, provisioning=-node.stands_for)
    counts = []
    provisioning = ready = 0
    for at_seconds, (asked, became_ready) in sorted(changes.items()):
        provisioning += asked
        ready += became_ready
        counts.append(NodeCounts(at_seconds=at_seconds, provisioning=provisioning, ready=ready))
    return tuple(counts)


def start_seconds_by_path(cluster: Cluster) -> dict[StartPath, tuple[float, ...]]:
    """From the ask to running containers, waiting included, of every pod that was placed, by the path it took."""
    spans: dict[StartPath, list[float]] = {path: [] for path in StartPath}
    for record in cluster.pods.values():
        if record.placement is not None:
            spans[record.placement.path].append(record.placement.starts_at - record.asked_at)
    return {path: tuple(seconds) for path, seconds in spans.items()}


def _overlap(begin: float, end: float | None, horizon_seconds: float) -> float:
    return max(0.0, (horizon_seconds if end is None else min(end, horizon_seconds)) - begin)


def _is_of(node: Node, pool: str | None) -> bool:
    return pool is None or node.pool.name == pool


def _change(changes: dict[float, tuple[int, int]], at: float, *, provisioning: int = 0, ready: int = 0) -> None:
    before = changes.get(at, (0, 0))
    changes[at] = (before[0] + provisioning, before[1] + ready)
