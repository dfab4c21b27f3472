"""What a cluster keeps about its nodes and pods. Instants are seconds since the start of the run."""

from dataclasses import dataclass, field

from simulations.cluster.node_pool import NodePool
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


@dataclass(slots=True, kw_only=True, eq=False)
class Node:
    """One node from the ask for it to its removal.

    number: its place among all nodes of the cluster, from 0 in the order of the asks.
    cached: what is on its disk (an image, a model's files) and from when; pods' starts read and write it.
    empty_since: set while it is ready and holds no pod.
    """

    number: int
    name: str
    pool: NodePool
    asked_at: float
    ready_at: float
    is_ready: bool
    free_gpus: int
    cached: dict[str, float] = field(default_factory=dict)
    empty_since: float | None = None
    removed_at: float | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class PodRecord:
    """What one pod asked for and what came of it. start is None for a pod that ran at the start."""

    pod: str
    pool: NodePool
    gpus: int
    asked_at: float
    start: PodStart | None
    node: Node | None = None
    placement: Placement | None = None
    released_at: float | None = None
