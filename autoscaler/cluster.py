"""What a step needs of a cluster: one protocol, implemented for Kubernetes, simulations and fakes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from policies.decision import Decision
from policies.snapshot import MetricQuery, Snapshot


@dataclass(frozen=True, slots=True)
class Key:
    """A PredictiveAutoscaler; in a simulation, its one scale target."""

    namespace: str
    name: str


class Observed(Protocol):
    """What one look at a workload gave: the policy's share of it, beside what acting needs."""

    @property
    def snapshot(self) -> Snapshot: ...


Seen = TypeVar("Seen", bound=Observed)
Done = TypeVar("Done")


class Cluster(Protocol[Seen, Done]):
    async def observe(self, key: Key, queries: Iterable[MetricQuery], now_ns: int) -> Seen:
        """The target's scale and pods, and one observation per query; an unavailable metric is a MetricError."""
        ...

    async def act(self, key: Key, seen: Seen, decision: Decision, now_ns: int) -> Done:
        """Bring about what was decided, where it differs from what was seen; what came of it."""
        ...

    async def report(self, key: Key, seen: Seen, decision: Decision, done: Done) -> None:
        """Make the decision visible: number and reason, and what was done."""
        ...
