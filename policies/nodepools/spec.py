"""What an admin states of a node pool."""

from dataclasses import dataclass

from policies.errors import BadInput

_MOST_NODES = 15_000
"""The largest cluster that GKE runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpotTerms:
    """What a pool's spot nodes cost and how they are lost. Raises BadInput.

    price_per_node_hour: USD, above 0.
    preemptions_per_node_hour: of one node by itself, 0 or more.
    zone_events_per_hour: of one zone, in which all its spot nodes go at once, 0 or more.
    zones: the spot nodes are spread evenly over so many, at least 1.
    """

    price_per_node_hour: float
    preemptions_per_node_hour: float
    zone_events_per_hour: float = 0.0
    zones: int = 1

    def __post_init__(self) -> None:
        _check("spot.price_per_node_hour", self.price_per_node_hour, 0.001, 10_000.0, "state USD per hour of one node")
        for name in ("preemptions_per_node_hour", "zone_events_per_hour"):
            _check(f"spot.{name}", getattr(self, name), 0.0, 60.0, "state events per hour, not per day or month")
        _check("spot.zones", self.zones, 1, 100, "state the zones that the pool spans")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSpec:
    """Bounds, prices and manners of one pool of equal nodes. Raises BadInput.

    gpus_per_node: in [1, 64]. A replica's GPUs are all on one node.
    min_nodes, max_nodes: of the pool, nodes on their way included.
    quota_gpus: the project's quota for these GPUs; None where nobody knows: then only the cloud's refusal tells.
    price_per_node_hour: USD on demand, above 0.
    spot: None where spot nodes are not wanted.
    on_demand_base_share: of the nodes, at least so many are on demand, in [0, 1]; read only with `spot`.
    max_step_nodes: the floor moves at most so far in one decision.
    cooldown_seconds: the floor goes down only after nobody needed it for so long; up it goes at once.
    provision_seconds: from the ask to a ready node, assumed until nodes were seen to come.
    other_pool: where to send what this one cannot hold; it is named in the decision, nothing else is done.
    """

    name: str
    gpus_per_node: int
    max_nodes: int
    min_nodes: int = 0
    quota_gpus: int | None = None
    price_per_node_hour: float = 1.0
    spot: SpotTerms | None = None
    on_demand_base_share: float = 0.0
    max_step_nodes: int = 10
    cooldown_seconds: float = 600.0
    provision_seconds: float = 120.0
    other_pool: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise BadInput("pool.name: was empty, must be the node pool's name")
        if self.other_pool == self.name:
            raise BadInput(f"{self.name}.other_pool: was {self.name} itself, must be another pool; leave it out")
        for field, low, high, remedy in (
            ("gpus_per_node", 1, 64, "state the GPUs of one node"),
            ("max_nodes", 1, _MOST_NODES, "with 0 no pod ever runs"),
            ("min_nodes", 0, self.max_nodes, "lower it or raise max_nodes"),
            ("price_per_node_hour", 0.001, 10_000.0, "state USD per hour of one node"),
            ("on_demand_base_share", 0.0, 1.0, "it is a share, not percent"),
            ("max_step_nodes", 1, _MOST_NODES, "with 0 the floor never moves"),
            ("cooldown_seconds", 0.0, 86_400.0, "state seconds"),
            ("provision_seconds", 1.0, 7_200.0, "state seconds from the ask to a ready node"),
        ):
            _check(f"{self.name}.{field}", getattr(self, field), low, high, remedy)
        if self.quota_gpus is not None and not self.min_nodes * self.gpus_per_node <= self.quota_gpus:
            raise BadInput(
                f"{self.name}.quota_gpus: was {self.quota_gpus}, must be at least "
                f"{self.min_nodes * self.gpus_per_node}, which min_nodes take; lower min_nodes or ask for more quota"
            )

    @property
    def quota_nodes(self) -> int | None:
        """Whole nodes that the quota admits."""
        return None if self.quota_gpus is None else self.quota_gpus // self.gpus_per_node

    @property
    def most_nodes(self) -> int:
        """Nodes that max_nodes and the quota admit."""
        return self.max_nodes if self.quota_nodes is None else min(self.max_nodes, self.quota_nodes)


def _check(name: str, value: float, low: float, high: float, remedy: str) -> None:
    if not low <= value <= high:  # NaN fails as well
        raise BadInput(f"{name}: was {value}, must be in [{low:g}, {high:g}]; {remedy}")
