"""What a cluster keeps about its nodes and pods. Instants are seconds since the start of the run."""

from dataclasses import dataclass
from enum import StrEnum

from simulations.lead_time import PodLeadTime
from simulations.node_pool import NodePool


class StartPath(StrEnum):
    """How a pod came to run."""

    INITIAL = "already running"
    WARM_NODE = "warm node"
    NEW_NODE = "new node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """A pod on a node: pending from `asked_at`, on the node from `placed_at`, its containers run from `starts_at`.

    path: NEW_NODE when the node did not have the image yet at `placed_at`, else WARM_NODE.
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
    image_at: from when the image is there; None until the first pod is placed, which pulls it.
    empty_since: set while it is ready and holds no pod.
    """

    number: int
    name: str
    pool: NodePool
    asked_at: float
    ready_at: float
    is_ready: bool
    free_gpus: int
    image_at: float | None = None
    empty_since: float | None = None
    removed_at: float | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class PodRecord:
    """What one pod asked for and what came of it. lead_time is None for a pod that ran at the start."""

    pod: str
    pool: NodePool
    gpus: int
    asked_at: float
    lead_time: PodLeadTime | None
    node: Node | None = None
    placement: Placement | None = None
    released_at: float | None = None
