"""What can be known of a node pool at one instant. Instants are Unix ns."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """One node that is ready or was asked for. ready_ns: None while it is on its way.

    free_gpus: not held by any pod; all of them while it is on its way.
    """

    name: str
    asked_ns: int
    ready_ns: int | None
    free_gpus: int

    @property
    def is_ready(self) -> bool:
        return self.ready_ns is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadNeed:
    """One workload on the pool. replicas: asked for (spec.replicas). placed_replicas: of them, pods that have a node.

    needed_replicas: what its policy says now, before behavior; None while that is unknown. max_replicas: more of them
    nobody may ask for; None where there is no such bound. elsewhere_replicas: its pods on other pools, which the others
    do not count: one that comes to stand there is no sign that less is needed.
    """

    name: str
    gpus_per_replica: int
    replicas: int
    placed_replicas: int
    needed_replicas: int | None
    max_replicas: int | None = None
    elsewhere_replicas: int = 0

    @property
    def pods(self) -> int:
        """Replicas that must find room."""
        return max(self.replicas, self.needed_replicas or 0)

    @property
    def unplaced(self) -> int:
        """Of those, how many have no node yet."""
        return max(0, self.pods - self.placed_replicas)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSeen:
    """All of it. quota_refused: the last ask was answered with quota exceeded."""

    nodes: tuple[NodeSeen, ...]
    workloads: tuple[WorkloadNeed, ...]
    quota_refused: bool = False

    @property
    def need_gpus(self) -> float | None:
        """GPUs of all replicas that must find room; None while any workload's need is unknown."""
        if any(each.needed_replicas is None for each in self.workloads):
            return None
        return float(sum(each.pods * each.gpus_per_replica for each in self.workloads))

    @property
    def elsewhere_gpus(self) -> float:
        """GPUs of the workloads' pods on other pools."""
        return float(sum(each.elsewhere_replicas * each.gpus_per_replica for each in self.workloads))

    @property
    def most_gpus(self) -> float:
        """GPUs of all replicas that there may ever be; infinity while a workload has no bound."""
        if any(each.max_replicas is None for each in self.workloads):
            return math.inf
        return float(sum((each.max_replicas or 0) * each.gpus_per_replica for each in self.workloads))
