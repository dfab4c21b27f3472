"""A StatefulSet's controller: which ordinals it creates and deletes now.

OrderedReady: ordinals are looked at from 0 up; one that is missing is created, and nothing after one that is missing,
terminating or not Ready is touched. So k new replicas take k lead times, one after the other, and while a replica
that is to stay is not Ready nothing is deleted either. Then the highest superfluous ordinal is deleted, if it is Ready
or the lowest one that is not, and the next waits until it is gone. Parallel: all at once, but an ordinal is created
anew only when its last pod is gone.

Source: kubernetes v1.36.3 pkg/controller/statefulset/stateful_set_control.go (updateStatefulSet, processReplica,
processCondemned), with minReadySeconds 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OrdinalState:
    """Of one pod that is there."""

    is_ready: bool
    is_terminating: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """Ordinals to create, and ordinals whose pods are to be deleted, in this order."""

    create: tuple[int, ...] = ()
    delete: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.create or self.delete)


@dataclass(slots=True)
class VolumeClaim:
    """The PersistentVolumeClaim of one ordinal: what is on it, and from when; its zone once it is bound, else empty.

    Bound at the first pod's node (volumeBindingMode WaitForFirstConsumer): a zonal disk cannot be attached elsewhere,
    so later pods of the ordinal have to go to that zone (kubernetes.io/docs/concepts/storage/storage-classes).
    """

    disk: dict[str, float] = field(default_factory=dict)
    zone: str = ""


def next_changes(replicas: int, pods: Mapping[int, OrdinalState], *, is_ordered: bool) -> Changes:
    """What the controller does in one sync. pods: by ordinal, all that are there, terminating ones included."""
    if is_ordered:
        return _next_in_order(replicas, pods)
    missing = tuple(ordinal for ordinal in range(replicas) if ordinal not in pods)
    condemned = sorted((ordinal for ordinal in pods if ordinal >= replicas), reverse=True)
    return Changes(missing, tuple(ordinal for ordinal in condemned if not pods[ordinal].is_terminating))


def _next_in_order(replicas: int, pods: Mapping[int, OrdinalState]) -> Changes:
    for ordinal in range(replicas):
        if ordinal not in pods:
            return Changes(create=(ordinal,))
        if pods[ordinal].is_terminating or not pods[ordinal].is_ready:
            return Changes()
    condemned = sorted(ordinal for ordinal in pods if ordinal >= replicas)
    if not condemned:
        return Changes()
    highest = condemned[-1]
    unhealthy = [each for each in condemned if pods[each].is_terminating or not pods[each].is_ready]
    may_go = pods[highest].is_ready or unhealthy[0] == highest
    return Changes(delete=(highest,)) if may_go and not pods[highest].is_terminating else Changes()
