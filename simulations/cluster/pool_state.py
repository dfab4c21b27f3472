"""What the cluster keeps of one pool while it runs: its nodes by what they do, its size, floor and random numbers."""

import math
from dataclasses import dataclass, field

import numpy as np

from simulations.cluster.node_pool import NodePool
from simulations.cluster.placement import Node
from simulations.cluster.scheduler import Room
from simulations.cluster.spot import SpotMarket


@dataclass(slots=True, kw_only=True)
class PoolState:
    """room: nodes that take pods. upcoming: asked for and not ready. empty: of those in `room`, without a pod.
    unneeded: of those in `room`, with pods that may all move; each says since when.

    size: nodes that are there or on their way, leaving ones included until they are gone; by_zone: the same by zone.
    asked_at, asked_together: the last instant with an ask, and how many it had.
    """

    pool: NodePool
    floor: int
    stream: np.random.Generator
    room: Room
    market: SpotMarket | None = None
    size: int = 0
    by_zone: dict[str, int] = field(default_factory=dict)
    upcoming: dict[int, Node] = field(default_factory=dict)
    empty: dict[int, Node] = field(default_factory=dict)
    unneeded: dict[int, Node] = field(default_factory=dict)
    asked_at: float = -math.inf
    asked_together: int = 0
    _longest_empty: float | None = None

    def __post_init__(self) -> None:
        self.by_zone = dict.fromkeys(self.pool.zones or ("",), 0)

    @property
    def zones(self) -> tuple[str, ...]:
        """Those that a new node may go to, the one with the fewest nodes first (GKE's location policy BALANCED)."""
        if len(self.by_zone) == 1:
            return tuple(self.by_zone)
        return tuple(sorted(self.by_zone, key=self.by_zone.__getitem__))

    def provision_seconds(self, now: float) -> float:
        """How long the node takes that is asked for now."""
        self.asked_together = self.asked_together + 1 if self.asked_at == now else 1
        self.asked_at = now
        deviate = float(self.stream.standard_normal())
        return self.pool.provision.seconds(deviate) + (self.asked_together - 1) * self.pool.provision_step_seconds

    def enter(self, node: Node) -> None:
        """A node is asked for, or there."""
        self.size += 1
        self.by_zone[node.zone] += 1

    def leave(self, node: Node) -> None:
        """A node is gone, or its ask failed."""
        self.size -= 1
        self.by_zone[node.zone] -= 1

    def is_empty(self, node: Node, since: float) -> None:
        """A node in `room` holds no pod from now on."""
        node.empty_since = since
        self.empty[node.number] = node
        if self._longest_empty is not None:
            self._longest_empty = min(self._longest_empty, since)

    def is_used(self, node: Node) -> None:
        """It holds one, or leaves."""
        self.is_needed(node)
        if self.empty.pop(node.number, None) is not None:
            if node.empty_since == self._longest_empty:
                self._longest_empty = None
            node.empty_since = None

    def is_unneeded(self, node: Node, since: float) -> None:
        """A scan found it little used, and its pods movable."""
        node.unneeded_since = since
        self.unneeded[node.number] = node

    def is_needed(self, node: Node) -> None:
        """It is not, or no longer."""
        node.unneeded_since = None
        self.unneeded.pop(node.number, None)

    @property
    def longest_empty_since(self) -> float:
        """Since when the node is empty that has been for longest; inf where none is, or none may go."""
        if not self.empty or self.size <= self.floor:
            return math.inf
        if self._longest_empty is None:
            self._longest_empty = min(node.empty_since for node in self.empty.values() if node.empty_since is not None)
        return self._longest_empty
