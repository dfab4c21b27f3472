"""The sections about nodes: pools with zones, spot and shared GPUs; the node autoscaler, quotas and stockouts."""

from typing import Literal, Self

from pydantic import Field, model_validator

from leadtime.scenario_section import Section
from policies.errors import BadInput


class NodesSection(Section):
    """The node pool that the replicas share; without it, every pod finds a node of its own."""

    gpus_per_node: int = Field(default=8, ge=1, le=1_024)
    """a replica's GPUs must be on one node"""
    min_nodes: int = Field(default=0, ge=0, le=100_000)
    """never fewer"""
    max_nodes: int = Field(default=10, ge=1, le=100_000)
    """never more: pods wait for GPUs to become free"""
    price_per_node_hour: float | None = Field(default=None, ge=0, le=100_000)
    """US dollars; null prices GPUs, not nodes"""
    provision_median_seconds: float = Field(default=90.0, ge=0, le=86_400)
    """from asking for a node until pods run on it"""
    unneeded_seconds: float = Field(default=600.0, ge=0, le=86_400)
    """an empty node goes after this time; 600 is the cluster autoscaler's default"""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        _check_sizes(self.min_nodes, self.max_nodes)
        return self


class SpotSection(Section):
    """How a pool's nodes are taken back. Rates are not published: they are yours."""

    preemptions_per_node_hour: float = Field(default=0.0, ge=0, le=60)
    """of each node by itself"""
    zone_events_per_hour: float = Field(default=0.0, ge=0, le=60)
    """of each zone: all of the pool's nodes there at once"""
    notice_seconds: float = Field(default=30.0, ge=0, le=86_400)
    """from the notice to the node's end; 30 is Compute Engine's"""
    pod_grace_seconds: float = Field(default=15.0, ge=0, le=86_400)
    """of them, to the pods' end; 15 is what GKE's kubelet leaves"""

    @model_validator(mode="after")
    def _pods_before_the_node(self) -> Self:
        if self.pod_grace_seconds > self.notice_seconds:
            raise BadInput(
                f"pod_grace_seconds: was {self.pod_grace_seconds:g}, must be in [0, notice_seconds = "
                f"{self.notice_seconds:g}]; lower it or raise notice_seconds"
            )
        return self


class GpuSharingSection(Section):
    """GPUs that several pods share."""

    per_gpu: int = Field(ge=2, le=48)
    """pods on a GPU; at most 7 for mig"""
    strategy: Literal["time-sharing", "mps", "mig"] = "time-sharing"
    """T4, L4 and L40S have no mig"""


class PoolSection(Section):
    """One of several node pools, where replicas may run."""

    name: str = Field(min_length=1, max_length=63)
    """what tables call it"""
    machine_type: str | None = Field(default=None, min_length=1)
    """its GPUs, CPU, memory and price are the price table's; null: as said below"""
    gpus_per_node: int | None = Field(default=None, ge=1, le=1_024)
    """null: the machine type's; required without one"""
    gpu: str | None = Field(default=None, min_length=1)
    """null: the machine type's, or the profile's"""
    min_nodes: int = Field(default=0, ge=0, le=100_000)
    """never fewer; above what replicas need they are headroom"""
    max_nodes: int = Field(default=10, ge=1, le=100_000)
    """never more"""
    price_per_node_hour: float | None = Field(default=None, ge=0, le=100_000)
    """US dollars; null: the price table's for the machine type, spot where spot is given"""
    provision_median_seconds: float | None = Field(default=None, ge=0, le=86_400)
    """from asking for a node until pods run on it; null: that of start.preset, or 90"""
    provision_step_seconds: float = Field(default=0.0, ge=0, le=86_400)
    """the k-th node asked for at one instant takes (k - 1) times that longer"""
    unneeded_seconds: float = Field(default=600.0, ge=0, le=86_400)
    """an empty node goes after this time"""
    zones: list[str] = Field(default=[])
    """new nodes go to the one with the fewest; [] is one zone without a name"""
    spot: SpotSection | None = None
    """its nodes are spot nodes, which may be taken back; null: on demand"""
    gpu_sharing: GpuSharingSection | None = None
    """GPUs that several pods share; null: whole ones"""
    taints: list[str] = Field(default=[])
    """keys besides nvidia.com/gpu that pods must tolerate"""
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    """the pool with the highest is tried first; equal ones in the order of the file"""
    boot_disk_gib: int = Field(default=100, ge=10, le=65_536)
    """of a machine type: what ephemeral storage is taken from"""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_sizes(self.min_nodes, self.max_nodes)
        if self.machine_type is None and self.gpus_per_node is None:
            raise BadInput("machine_type: was null, must be a machine of the price table; or give gpus_per_node")
        if self.machine_type is not None:
            for name in ("gpus_per_node", "gpu"):
                if getattr(self, name) is not None:
                    raise BadInput(f"{name}: was given with machine_type, which says it; leave one of them out")
        return self


class QuotaSection(Section):
    """GPUs of a kind in the region, over all pools."""

    gpu: str = Field(min_length=1)
    """as the pools have it: NVIDIA-L4, or l4"""
    gpus: int = Field(ge=0, le=1_000_000)
    """at most so many, those on their way included"""
    spot: bool | None = None
    """true: of spot nodes; false: of on-demand nodes; null: of all"""


class StockoutSection(Section):
    """A zone that has no nodes to give: in one window, or now and then."""

    zone: str | None = Field(default=None, min_length=1)
    """one of the pools' zones; null: all of them"""
    start_minutes: float | None = Field(default=None, ge=0, le=527_040)
    """of a window"""
    end_minutes: float | None = Field(default=None, gt=0, le=527_040)
    """of a window"""
    mean_between_hours: float | None = Field(default=None, gt=0, le=100_000)
    """from the end of one to the begin of the next, exponential"""
    length_median_minutes: float | None = Field(default=None, gt=0, le=1_440)
    """of each of them, lognormal with sigma 0.2"""
    spot: bool | None = None
    """true: of spot nodes only; false: of on-demand nodes only; null: of all"""
    fails_after_seconds: float = Field(default=0.0, ge=0, le=86_400)
    """from an ask until it is refused"""

    @model_validator(mode="after")
    def _window_or_process(self) -> Self:
        window = (self.start_minutes, self.end_minutes)
        process = (self.mean_between_hours, self.length_median_minutes)
        if (None in window) == (None in process) or (None in window and any(each is not None for each in window)):
            raise BadInput(
                "start_minutes: must be given with end_minutes for a window, or mean_between_hours with "
                "length_median_minutes for stockouts at random; give one pair"
            )
        if None in process and any(each is not None for each in process):
            raise BadInput("mean_between_hours: must be null where there is a window; leave it out")
        if self.start_minutes is not None and self.end_minutes is not None and self.start_minutes >= self.end_minutes:
            raise BadInput(
                f"start_minutes: was {self.start_minutes:g}, must be below end_minutes = {self.end_minutes:g}"
            )
        return self


class ClusterSection(Section):
    """What holds for all pools."""

    autoscaler: Literal["simple", "cluster-autoscaler"] = "simple"
    """simple acts at once on empty nodes only; cluster-autoscaler has its scans, delays, back-off and utilization"""
    scoring: Literal["MostAllocated", "LeastAllocated"] = "MostAllocated"
    """kube-scheduler's: MostAllocated packs pods; LeastAllocated, Kubernetes' own default, spreads them"""
    region: str | None = Field(default=None, min_length=1)
    """of the prices; null: each machine's first one"""
    prices: str | None = Field(default=None, min_length=1)
    """a file of machines and prices, added to the table's or in their place"""
    quotas: list[QuotaSection] = Field(default=[])
    """GPUs that the region gives at most"""
    stockouts: list[StockoutSection] = Field(default=[])
    """when there are no nodes to be had"""


def _check_sizes(min_nodes: int, max_nodes: int) -> None:
    if min_nodes > max_nodes:
        raise BadInput(
            f"min_nodes: was {min_nodes}, must be in [0, max_nodes = {max_nodes}]; lower it or raise max_nodes"
        )
