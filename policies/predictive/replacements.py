"""Pods that come in place of others: what a rolling update, an eviction or a crash took away and has not given back.

A scale-down in the middle of a rolling update takes serving pods twice: the update holds some back, and of the rest as
many as the smaller count allows to be unavailable go as well. An HPA is spared this, as it counts pods without a metric
as busy before it scales down (kubernetes, pkg/controller/podautoscaler/replica_calculator.go, calcPlainMetricReplicas).
Pods that a scale-up has asked for are no such loss: they may be given back while they are pending.
"""

from dataclasses import dataclass
from typing import Self

from policies.snapshot import NS_PER_SECOND, Snapshot

_ASKED_FOR_SECONDS = 60.0
"""Pods created within this time of a scale-up are its own; a Deployment's controller takes seconds."""

_LONGEST_LEAD_TIMES = 2.0
"""A pod that is not ready after twice the lead time is broken or finds no node: it is not waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacements:
    """replicas: the scale when it was last seen; None before. raises: (Unix ns, how many more), oldest first."""

    replicas: int | None = None
    raises: tuple[tuple[int, int], ...] = ()

    def seen(self, snapshot: Snapshot, *, lead_seconds: float, now_ns: int) -> Self:
        """With the scale of this snapshot. The first one counts as asked for just now."""
        more = snapshot.replicas - (self.replicas or 0)
        kept = tuple(each for each in self.raises if each[0] >= _oldest_ns(lead_seconds, now_ns))
        return type(self)(replicas=snapshot.replicas, raises=(*kept, (now_ns, more)) if more > 0 else kept)

    def spared(self, wanted_replicas: int, snapshot: Snapshot, *, lead_seconds: float, now_ns: int) -> int:
        """What to ask for where `wanted_replicas` would do: no scale-down below it and the pods being replaced."""
        starting = [
            pod.created_ns
            for pod in snapshot.pods
            if not pod.is_ready
            and not pod.deleting
            and pod.created_ns is not None
            and pod.created_ns >= _oldest_ns(lead_seconds, now_ns)
        ]
        asked_for = sum(
            min(more, sum(0 <= created_ns - at_ns <= _ASKED_FOR_SECONDS * NS_PER_SECOND for created_ns in starting))
            for at_ns, more in self.raises
        )
        missing = max(0, len(starting) - asked_for)
        return max(wanted_replicas, min(snapshot.replicas, wanted_replicas + missing))


def _oldest_ns(lead_seconds: float, now_ns: int) -> int:
    return now_ns - round(_LONGEST_LEAD_TIMES * lead_seconds * NS_PER_SECOND)
