"""Where a pod goes: the nodes of a pool by what they have free, and the node that a pod gets of them.

As kube-scheduler's NodeResourcesFit: a node has to have all that the pod asks for; of several, MostAllocated takes
the one with the fewest free GPUs, so that nodes empty out, LeastAllocated the one with the most, which leaves every
node a little used and no room for large pods (pkg/scheduler/framework/plugins/noderesources; LeastAllocated is
Kubernetes' default scoring, GKE's optimize-utilization profile and clusters for GPUs prefer MostAllocated). Only GPUs
are scored; the older node wins a tie.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from simulations.cluster.placement import Node, PodRecord

Scoring = Literal["MostAllocated", "LeastAllocated"]


@dataclass(slots=True)
class Room:
    """Nodes of one pool by their free GPUs. `take` and `give` keep a node's counts and its place here."""

    scoring: Scoring = "MostAllocated"
    _by_free: dict[int, dict[int, Node]] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        self._by_free.setdefault(node.free_gpus, {})[node.number] = node

    def remove(self, node: Node) -> None:
        nodes = self._by_free[node.free_gpus]
        del nodes[node.number]
        if not nodes:
            del self._by_free[node.free_gpus]

    def __contains__(self, node: Node) -> bool:
        return node.number in self._by_free.get(node.free_gpus, ())

    def __iter__(self) -> Iterator[Node]:
        for nodes in self._by_free.values():
            yield from nodes.values()

    def best(self, record: PodRecord, apart_from: Node | None = None) -> Node | None:
        """The node that the pod gets, None when it fits nowhere."""
        for free in sorted(self._by_free, reverse=self.scoring == "LeastAllocated"):
            if free >= record.gpus:
                fitting = [
                    number
                    for number, node in self._by_free[free].items()
                    if node is not apart_from and fits_besides_gpus(record, node)
                ]
                if fitting:
                    return self._by_free[free][min(fitting)]
        return None


def fits_besides_gpus(record: PodRecord, node: Node) -> bool:
    """Whether zone, CPU, memory and disk allow the pod."""
    if record.zone is not None and node.zone != record.zone:
        return False
    asked = record.resources
    return (
        asked is None
        or node.pool.allocatable is None
        or (
            node.free_cpu_milli >= asked.cpu_milli
            and node.free_memory_bytes >= asked.memory_bytes
            and node.free_ephemeral_bytes >= asked.ephemeral_bytes
        )
    )


def occupy(node: Node, record: PodRecord) -> None:
    """Take what the pod asks for off what the node has free."""
    _change(node, record, -1)


def vacate(node: Node, record: PodRecord) -> None:
    """Give it back."""
    _change(node, record, 1)


def _change(node: Node, record: PodRecord, sign: int) -> None:
    node.free_gpus += sign * record.gpus
    if record.resources is not None:
        node.free_cpu_milli += sign * record.resources.cpu_milli
        node.free_memory_bytes += sign * record.resources.memory_bytes
        node.free_ephemeral_bytes += sign * record.resources.ephemeral_bytes


@dataclass(slots=True)
class Plan:
    """Room on nodes that are on their way, or that stay, into which pods are packed without placing them yet.

    What is packed is booked on the nodes' own counts; `undo` gives all of it back.
    """

    scoring: Scoring = "MostAllocated"
    _rooms: dict[str, Room] = field(default_factory=dict)
    _booked: list[tuple[Node, PodRecord]] = field(default_factory=list)

    def add(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._room(node.pool.name).add(node)

    def discard(self, node: Node) -> None:
        room = self._room(node.pool.name)
        if node in room:
            room.remove(node)

    def pack(self, record: PodRecord, apart_from: Node | None = None) -> bool:
        """Book the pod on the best node of the first of its pools that has one."""
        for pool in record.pools:
            node = self._room(pool.name).best(record, apart_from)
            if node is not None:
                self.book(record, node)
                return True
        return False

    def book(self, record: PodRecord, node: Node) -> None:
        room = self._room(node.pool.name)
        room.remove(node)
        occupy(node, record)
        self._booked.append((node, record))
        room.add(node)

    def undo(self) -> None:
        for node, record in reversed(self._booked):
            vacate(node, record)
        self._booked.clear()
        self._rooms.clear()

    def _room(self, pool: str) -> Room:
        return self._rooms.setdefault(pool, Room(self.scoring))
