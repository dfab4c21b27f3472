"""What a cluster keeps about its nodes and pods. Instants are seconds since the start of the run."""

from dataclasses import dataclass, field

from simulations.cluster.node_pool import NodePool
from simulations.cluster.pod_policy import PodPolicy
from simulations.cluster.resources import PodResources
from simulations.lead_time import PodStart, StartPath


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A pod on a node: pending from `asked_at`, on the node from `placed_at`, its containers run from `starts_at`.

    path: as the pod's start says: NEW_NODE when the node did not have the image yet at `placed_at`, else WARM_NODE.
    """

    pod: str
    node: str
    path: StartPath
    asked_at: float
    placed_at: float
    starts_at: float
    zone: str = ""
    spot: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """A pod has to leave its node: it is told at `notice_at` and is gone at `gone_at`, whatever it does.

    reason: SPOT_PREEMPTED, ZONE_LOST (simulations/cluster/spot.py) or SCALED_DOWN (node_autoscaler.py).
    """

    pod: str
    node: str
    notice_at: float
    gone_at: float
    reason: str


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One node from the ask for it to its removal.

    number: its place among all nodes of the cluster, from 0 in the order of the asks.
    free_gpus: of those that it advertises; of a pool that shares GPUs, free shares.
    cached: what is on its disk (an image, a model's files) and from when; pods' starts read and write it.
    empty_since: set while it is ready and holds no pod.
    fails_at: when the ask turns out to fail, for fail_reason; inf for never. was_created: False for an ask that the
        cloud refused: there was no machine, and no bill. stands_for: how many nodes it was then asked for.
    leaving_since: from then on no pod is placed here, for leaving_reason: it is taken back, or being emptied.
    unneeded_since: the scan that found it little used and its pods movable.
    """

    number: int
    name: str
    pool: NodePool
    asked_at: float
    ready_at: float
    is_ready: bool
    free_gpus: int
    zone: str = ""
    spot: bool = False
    free_cpu_milli: int = 0
    free_memory_bytes: int = 0
    free_ephemeral_bytes: int = 0
    cached: dict[str, float] = field(default_factory=dict)
    pods: dict[str, "PodRecord"] = field(default_factory=dict)
    empty_since: float | None = None
    leaving_since: float | None = None
    leaving_reason: str = ""
    unneeded_since: float | None = None
    fails_at: float = float("inf")
    fail_reason: str = ""
    was_created: bool = True
    stands_for: int = 1
    removed_at: float | None = None
    removed_reason: str = ""

    @property
    def takes_pods(self) -> bool:
        """Ready, there, and not leaving."""
        return self.is_ready and self.removed_at is None and self.leaving_since is None


@dataclass(slots=True, kw_only=True, eq=False)
class PodRecord:
    """What one pod asked for and what came of it. start is None for a pod that ran at the start.

    pool: of its node; while it is pending, the first that it may use. pools: all that it may use, first choice first.
    gpus: advertised ones, so shares on a pool that shares GPUs.
    shape: pods of one shape fit the same nodes.
    evicted_at: when it had to be gone, if its node left before it did; released_at is the same instant.
    """

    pod: str
    pool: NodePool
    gpus: int
    asked_at: float
    start: PodStart | None
    pools: tuple[NodePool, ...] = ()
    resources: PodResources | None = None
    policy: PodPolicy = field(default_factory=PodPolicy)
    zone: str | None = None
    shape: tuple[object, ...] = ()
    node: Node | None = None
    placement: Placement | None = None
    released_at: float | None = None
    evicted_at: float | None = None
