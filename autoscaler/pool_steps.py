"""What the node loop is told of each workload: what its last step saw and decided."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from autoscaler.autoscaler import Autoscaler
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.node_pools.node_loop import NodeLoop
from autoscaler.node_pools.seen import HeldPod, NodeNow
from autoscaler.node_pools.workload import WorkloadNow, workload_now
from autoscaler.observe.observer import Seen
from policies.decision import Decision
from policies.snapshot import NS_PER_SECOND

_STALE_NS = 120 * NS_PER_SECOND
"""A workload that was not observed for so long has a need that is not known: its pools keep what they have."""


class Nodes(Protocol):
    """What is asked of autoscaler.observe.world.World."""

    @property
    def autoscalers(self) -> Mapping[Key, Autoscaler]: ...
    @property
    def nodes(self) -> Mapping[str, NodeNow]: ...
    def pods_on(self, node: str) -> Iterable[HeldPod]: ...


@dataclass(frozen=True, slots=True)
class _Last:
    seen: Seen
    decision: Decision
    at_ns: int


class PoolSteps:
    """One step of all node pools at each `turn`."""

    def __init__(self, world: Nodes, loop: NodeLoop, clock: Clock) -> None:
        self._world = world
        self._loop = loop
        self._clock = clock
        self._last: dict[Key, _Last] = {}
        self._began_ns: int | None = None

    def decided(self, key: Key, seen: Seen, decision: Decision, at_ns: int) -> None:
        self._last[key] = _Last(seen, decision, at_ns)

    def forget(self, key: Key) -> None:
        self._last.pop(key, None)

    def lately(self, key: Key, now_ns: int) -> Seen | None:
        """What its last step saw; None where that is older than 2 min."""
        last = self._last.get(key)
        return None if last is None or now_ns - last.at_ns >= _STALE_NS else last.seen

    async def turn(self) -> None:
        """Workloads share pools: nothing is told until each was looked at, or 2 min showed that some cannot be."""
        now_ns = self._clock.now_ns()
        if self._began_ns is None:
            self._began_ns = now_ns
        if now_ns - self._began_ns < _STALE_NS and self._unknown_uids():
            return
        workloads = (self._now(key, autoscaler, now_ns) for key, autoscaler in self._world.autoscalers.items())
        await self._loop.step(
            [each for each in workloads if each is not None],
            self._world.nodes,
            self._world.pods_on,
            now_ns,
            unreadable_uids=self._unknown_uids(),
        )

    def _now(self, key: Key, autoscaler: Autoscaler, now_ns: int) -> WorkloadNow | None:
        """With a need that is not known where it never was observed, or not lately: a pool is not lowered for that."""
        last = self._last.get(key)
        if last is None:
            found = workload_now(autoscaler, replicas=0, decision=None, pods=())
            return None if found is None else replace(found, needed_replicas=None)
        decision = last.decision if now_ns - last.at_ns < _STALE_NS else None
        return workload_now(autoscaler, replicas=last.seen.scale.replicas, decision=decision, pods=last.seen.pods)

    def _unknown_uids(self) -> list[str]:
        """Of objects that are there and were not decided about: what holds room for them stays."""
        return [
            autoscaler.uid
            for key, autoscaler in self._world.autoscalers.items()
            if autoscaler.spec is None or key not in self._last
        ]
