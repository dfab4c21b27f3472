"""What a scenario says of its cluster besides pools: the node autoscaler, and what the cloud refuses."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from simulations.cluster.cluster import Cluster
from simulations.cluster.node_autoscaler import NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.pod_policy import PodDisruptionBudget
from simulations.cluster.scheduler import Scoring
from simulations.cluster.zones import Quota, RandomStockouts, Stockout


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterRules:
    """Of all pools of a cluster, whatever workloads it holds. The default acts at once and refuses nothing."""

    autoscaler: NodeAutoscaler = field(default_factory=NodeAutoscaler)
    quotas: tuple[Quota, ...] = ()
    stockouts: tuple[Stockout | RandomStockouts, ...] = ()
    scoring: Scoring = "MostAllocated"

    def cluster(self, pools: Iterable[NodePool], *, seed: int, budgets: Iterable[PodDisruptionBudget] = ()) -> Cluster:
        """An empty cluster under these rules."""
        return Cluster(
            pools,
            seed=seed,
            autoscaler=self.autoscaler,
            quotas=self.quotas,
            stockouts=self.stockouts,
            budgets=budgets,
            scoring=self.scoring,
        )
