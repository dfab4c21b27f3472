"""Node pools: equal nodes with GPUs that are added when pods do not fit and removed when nobody needs them."""

import difflib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from policies.errors import BadInput
from simulations.cluster.pod_policy import GPU_TAINT, PodPolicy
from simulations.cluster.resources import GpuSharing, NodeResources, PodResources
from simulations.cluster.spot import Spot
from simulations.lead_time import Stage, check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePool:
    """Equal nodes under a cluster autoscaler. Raises BadInput.

    gpus_per_node: GPUs of one node; a replica's GPUs are all on one node.
    gpu: their name, as a profile spells it; empty for any.
    price_per_node_hour: USD; None where GPUs are priced, not nodes.
    min_nodes: kept when idle; they are there at the start, with the image.
    max_nodes: of the pool, those being provisioned included; pods that do not fit wait.
    unneeded_seconds: an empty node is removed after that long (cluster-autoscaler's scale-down-unneeded-time, 10 min).
    provision: from the ask to a ready node, the autoscaler's reaction (a scan every 10 s) included. Default: the
        short end of the 1.5 to 5 min that GPU nodes take; with LeadTime's 111 s it leaves 21 s for the image and the
        container. Only the sum of the two was measured.
    provision_step_seconds: the k-th node asked for at one instant takes (k - 1) times that longer.
    machine_type: its name in simulations/prices.py, for tables; simulations/cluster/machine_pool.py makes pools of it.
    allocatable: CPU, memory and disk for pods; None to heed GPUs only. gpu_sharing: None for whole GPUs.
    zones: new nodes go to the one with the fewest nodes of the pool; empty for one zone without a name.
    spot: how its nodes are taken back; None for on demand. price_per_node_hour is then the spot price.
    taints: keys; a pod has to tolerate them all.
    priority: the priority expander's: of the pools that a pod may use, the highest grows first, then in the pod's
        order.
    """

    name: str
    gpus_per_node: int
    max_nodes: int
    min_nodes: int = 0
    gpu: str = ""
    price_per_node_hour: float | None = None
    unneeded_seconds: float = 600.0
    provision: Stage = field(default_factory=lambda: Stage(90.0))
    provision_step_seconds: float = 0.0
    machine_type: str = ""
    allocatable: NodeResources | None = None
    gpu_sharing: GpuSharing | None = None
    zones: tuple[str, ...] = ()
    spot: Spot | None = None
    taints: tuple[str, ...] = (GPU_TAINT,)
    priority: int = 0

    def __post_init__(self) -> None:
        if not self.name:
            raise BadInput("pool.name: was empty; name the pool")
        if self.gpus_per_node < 1:
            raise BadInput(f"{self.name}.gpus_per_node: was {self.gpus_per_node}, must be at least 1")
        if self.max_nodes < 1:
            raise BadInput(f"{self.name}.max_nodes: was {self.max_nodes}, must be at least 1, or no pod ever runs")
        if not 0 <= self.min_nodes <= self.max_nodes:
            raise BadInput(
                f"{self.name}.min_nodes: was {self.min_nodes}, must be in [0, {self.max_nodes}] (max_nodes); "
                "lower it or raise max_nodes"
            )
        if self.price_per_node_hour is not None and not 0.0 <= self.price_per_node_hour < float("inf"):
            raise BadInput(
                f"{self.name}.price_per_node_hour: was {self.price_per_node_hour}, must be 0 or more USD; "
                "leave it out to price GPUs"
            )
        check_seconds(f"{self.name}.unneeded_seconds", self.unneeded_seconds)
        check_seconds(f"{self.name}.provision_step_seconds", self.provision_step_seconds)
        if len(set(self.zones)) < len(self.zones) or "" in self.zones:
            raise BadInput(f"{self.name}.zones: was {list(self.zones)}, must be names that differ; name each zone once")
        if self.gpu_sharing is not None:
            self.gpu_sharing.check_gpu(self.gpu)

    @property
    def shares_per_gpu(self) -> int:
        """Pods that one GPU takes."""
        return 1 if self.gpu_sharing is None else self.gpu_sharing.per_gpu

    @property
    def advertised_gpus(self) -> int:
        """What a node says it has of nvidia.com/gpu: its GPUs, or their shares."""
        return self.gpus_per_node * self.shares_per_gpu

    def check_resources(self, asked: PodResources, policy: PodPolicy, zone: str | None = None) -> None:
        """Raise BadInput when a pod that asks for more than GPUs could never run here."""
        missing = [taint for taint in self.taints if taint not in policy.tolerations]
        if missing:
            raise BadInput(
                f"tolerations: was {list(policy.tolerations)}, must have {', '.join(missing)}, with which the nodes of "
                f"{self.name} are tainted; add it or choose another pool"
            )
        if zone is not None and zone not in (self.zones or ("",)):
            raise BadInput(
                f"zone: was {zone!r}, must be one of {', '.join(self.zones) or 'none'}, the zones of {self.name}"
            )
        if asked.gpus and asked.gpu_share != self.shares_per_gpu:
            raise BadInput(
                f"resources.gpu_share: was {asked.gpu_share}, must be {self.shares_per_gpu}, into which {self.name} "
                "divides a GPU; ask for that or choose another pool"
            )
        for name in ("cpu_milli", "memory_bytes", "ephemeral_bytes"):
            most = None if self.allocatable is None else getattr(self.allocatable, name)
            if most is not None and getattr(asked, name) > most:
                raise BadInput(
                    f"resources.{name}: was {getattr(asked, name)}, must be in [0, {most}], what a node of {self.name} "
                    "leaves to pods; ask for less or choose larger machines"
                )

    def check_pod(self, gpus: int, gpu: str = "") -> None:
        """Raise BadInput when a pod with that many GPUs (of that kind, unless empty) could never run here."""
        if not 1 <= gpus <= self.gpus_per_node:
            raise BadInput(
                f"gpus_per_replica: was {gpus}, must be in [1, {self.gpus_per_node}], the GPUs of one node of "
                f"pool {self.name}: a replica does not span nodes; split the model over fewer GPUs or choose a pool "
                "with larger nodes"
            )
        if gpu and self.gpu and gpu != self.gpu:
            raise BadInput(
                f"{self.name}.gpu: was {self.gpu}, must be {gpu}, which the profile is for; "
                "choose another pool or another profile"
            )


def elastic_pool(gpus_per_replica: int, name: str = "elastic") -> NodePool:
    """Where no nodes are described: every pod gets a node of just its size, which ends with it.

    The node takes no time of its own, so a pod's start is LeadTime's whole start on a new node, and node-hours are
    pod-hours.
    """
    return NodePool(
        name=name,
        gpus_per_node=gpus_per_replica,
        max_nodes=sys.maxsize,
        unneeded_seconds=0.0,
        provision=Stage(0.0, 0.0),
    )


def pool_named(pools: Mapping[str, NodePool], name: str) -> NodePool:
    """The pool of that name, or BadInput with the nearest names."""
    if name not in pools:
        near = difflib.get_close_matches(name, pools, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"must be one of {', '.join(pools)}"
        raise BadInput(f"pool: was {name!r}; {hint}")
    return pools[name]
