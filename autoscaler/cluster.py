"""What the controller needs of a cluster: one protocol, implemented by Kubernetes, simulations and fakes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from policies.decision import Decision
from policies.snapshot import MetricQuery, Snapshot


@dataclass(frozen=True, slots=True)
class Key:
    """A scale target."""

    namespace: str
    name: str


class Cluster(Protocol):
    async def observe(self, key: Key, queries: Iterable[MetricQuery]) -> Snapshot:
        """The target's scale and pods, and one observation per query; an unavailable metric is a MetricError."""
        ...

    async def scale(self, key: Key, decision: Decision) -> None:
        """Set spec.replicas of the target to the decision's."""
        ...

    async def report(self, key: Key, decision: Decision) -> None:
        """Make the decision visible: number and reason."""
        ...
