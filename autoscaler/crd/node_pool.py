"""`nodePools[]`: the nodes that the workload's pods run on, and who is told how many there should be."""

from typing import Annotated, Literal

from pydantic import Field

from autoscaler.crd.names import DnsLabel, DnsSubdomain, Labels
from autoscaler.crd.rule import Rule
from autoscaler.crd.section import CrdSection

_CloudName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$")]
"""Of Google Cloud's resources: part of the path of a request."""


class Spot(CrdSection):
    """What spot nodes cost and how they are lost; from both follows how many spares they need. Not given: they are not
    wanted."""

    price_per_node_hour: float = Field(ge=0.001, le=10_000.0)
    """Price of one spot node for an hour, 0.001 to 10,000, in the currency of the other prices."""
    preemptions_per_node_hour: float = Field(ge=0.0, le=60.0)
    """How often one node is taken away by itself, per node and hour, 0 to 60: 0.05 is once in 20 hours."""
    zone_events_per_hour: float = Field(0.0, ge=0.0, le=60.0)
    """How often all spot nodes of a zone are taken away at once, per hour, 0 to 60. 0 by default: not known to happen;
    above 0 it costs a zone's worth of spares."""
    zones: int = Field(1, ge=1, le=100)
    """Zones over which the spot nodes are spread evenly, 1 to 100. 1 by default: an event takes them all."""
    on_demand_in_next_pool: bool = False
    """true: all nodes of this pool are spot, and those on demand are the next pool's in nodePools, which must have as
    many GPUs a node. Of the nodes that are still to come, each of the two is told its part, by this one's
    onDemandBaseShare, prices and preemptions; what does not come as spot is asked of the next pool in any case. false
    by default: one pool has both kinds."""


class GkePool(CrdSection):
    """For provider GKE: which node pool of Google Kubernetes Engine."""

    project: str = Field(min_length=1, max_length=63, pattern=r"^[a-z][-a-z0-9.:]*[a-z0-9]$")
    """The project's id, not its number."""
    location: _CloudName
    """The cluster's region or zone: us-central1, us-central1-a."""
    cluster: _CloudName
    """The cluster's name."""
    node_pool: _CloudName
    """The node pool's name in that cluster."""
    sizing: Literal["MinSize", "Size"] = "MinSize"
    """What is set. MinSize (the default): the pool's minimum, where the cluster autoscaler runs on it and does the
    rest. Size: the number of nodes itself, where no cluster autoscaler runs on it: the two would undo each other."""


class Placeholders(CrdSection):
    """For provider Placeholders: pods of low priority that hold room, so that nodes come before the pods that need
    them, which push the placeholders aside."""

    priority_class_name: DnsSubdomain = "leadtime-placeholder"
    """Their PriorityClass, whose value must be below the workload's. By default the one that the controller's
    manifests bring."""
    image: str = Field("registry.k8s.io/pause:3.10", min_length=1, max_length=1000)
    """What they run; it does nothing. For clusters without that registry: a copy in one of your own."""


class NodePool(CrdSection):
    """One pool of equal nodes that the workload's pods run on, its limits and prices, and how it is told a floor."""

    rules = (
        Rule(
            field="gke",
            cel="self.provider != 'GKE' || has(self.gke)",
            holds=lambda self: self.provider != "GKE" or self.gke is not None,
            message="was not given, must be there for provider GKE; name project, location, cluster and nodePool, or "
            "choose another provider",
        ),
        Rule(
            field="minNodes",
            cel="self.minNodes <= self.maxNodes",
            holds=lambda self: self.min_nodes <= self.max_nodes,
            message="was {minNodes}, must be at most maxNodes ({maxNodes}); lower it or raise maxNodes",
        ),
        Rule(
            field="quotaGpus",
            cel="!has(self.quotaGpus) || self.minNodes * self.gpusPerNode <= self.quotaGpus",
            holds=lambda self: self.quota_gpus is None or self.min_nodes * self.gpus_per_node <= self.quota_gpus,
            message="was {quotaGpus}, must be at least minNodes x gpusPerNode ({minNodes} x {gpusPerNode}); lower "
            "minNodes or ask for more quota",
        ),
        Rule(
            field="budgetPerHour",
            cel="!has(self.budgetPerHour) || double(self.minNodes) * self.pricePerNodeHour <= self.budgetPerHour",
            holds=lambda self: (
                self.budget_per_hour is None or self.min_nodes * self.price_per_node_hour <= self.budget_per_hour
            ),
            message="was {budgetPerHour}, must be at least minNodes x pricePerNodeHour ({minNodes} x "
            "{pricePerNodeHour}); lower minNodes or raise the budget",
        ),
    )

    name: DnsLabel
    """What messages, status and metrics call it; unique here. Up to 63 characters: placeholders are named after it."""
    provider: Literal["Recommend", "GKE", "Placeholders", "CapacityBuffer"] = "Recommend"
    """How it is told. Recommend (the default): not at all, the floor is only shown. GKE: through Google's API.
    Placeholders: pods of low priority hold the room, on any cluster with a node autoscaler. CapacityBuffer: an object
    of that kind asks the cluster autoscaler for it."""
    gke: GkePool | None = None
    placeholders: Placeholders = Placeholders()
    node_selector: Labels = Field(default_factory=dict)
    """Labels that all nodes of the pool have and no others: label -> value, up to 20. By them its nodes are found, and
    placeholders are placed. Not given: for GKE the label of the node pool itself; else all nodes with such GPUs are
    taken for this pool's."""
    gpu_resource: str = Field("nvidia.com/gpu", min_length=1, max_length=253)
    """The extended resource that counts its GPUs."""
    gpus_per_node: int = Field(1, ge=1, le=64)
    """GPUs of one node, 1 to 64. The GPUs of one pod are all on one node."""
    min_nodes: int = Field(0, ge=0, le=15_000)
    """Never fewer nodes, 0 to maxNodes. 0 by default: an idle pool costs nothing."""
    max_nodes: int = Field(ge=1, le=15_000)
    """Never more nodes, 1 to 15,000 (the largest cluster of GKE); nodes on their way count."""
    quota_gpus: int | None = Field(None, ge=1, le=960_000)
    """The project's quota for these GPUs, at least what minNodes take. Not given: nobody knows, and only the cloud's
    refusal tells."""
    price_per_node_hour: float = Field(1.0, ge=0.001, le=10_000.0)
    """Price of one node on demand for an hour, 0.001 to 10,000. With the default of 1, costs are node-hours."""
    budget_per_hour: float | None = Field(None, ge=0.001, le=150_000_000.0)
    """The floor never costs more an hour than this, in the currency of the prices; at least what minNodes cost. Not
    given: only maxNodes bounds it."""
    spot: Spot | None = None
    on_demand_base_share: float = Field(0.0, ge=0.0, le=1.0)
    """Of the nodes, at least this share is on demand, 0 to 1; with `spot` only. 0 by default: prices and preemptions
    decide."""
    max_step_nodes: int = Field(10, ge=1, le=15_000)
    """The floor moves by at most so many nodes in one decision, 1 to 15,000. 10 by default: a wrong need is seen before
    it is dear."""
    cooldown_seconds: float = Field(600.0, ge=0.0, le=86_400.0)
    """The floor goes down only after nobody needed it for so many seconds, 0 to 86,400; up it goes at once. 600 by
    default, as the cluster autoscaler keeps an unneeded node."""
    provision_seconds: float = Field(120.0, ge=1.0, le=7200.0)
    """Seconds from asking for a node to a Ready one, 1 to 7200; assumed until nodes were seen to come."""
