"""A step up takes longer the larger it is: what fits on nodes that are there comes soon, the rest waits for nodes, and
a StatefulSet with podManagementPolicy OrderedReady brings one pod after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from autoscaler.lead_times.lead_time import NodeKind
from autoscaler.lead_times.lead_times import LeadTimes

LONGEST_SECONDS = 7200.0
"""A policy looks no farther ahead (leadTime.assumedSeconds has the same limit)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """replicas: to be added, at least 1. in_order: each is created when the one before is Ready (OrderedReady).

    ordinals: of a StatefulSet's pods to come, in their order; empty for other workloads.
    """

    replicas: int = 1
    in_order: bool = False
    ordinals: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Replicas that fit on Ready nodes now. replicas: None where that is not known. by_zone: how many of them in each
    zone; empty where that is not known: then any zone will do."""

    replicas: int | None = None
    by_zone: Mapping[str, int] = field(default_factory=dict)


UNKNOWN_ROOM = Room()


def step_seconds(lead_times: LeadTimes, step: Step, room: Room, assumed_seconds: float) -> float:
    """Seconds until the whole step serves, its last replica included; at most LONGEST_SECONDS.

    Where the room is not known, each replica waits for a node as often as the latest pods did. An ordinal that has
    served before has its volume, and where that is; it fits only in its own zone.
    """
    each = _each_seconds(lead_times, step, room, assumed_seconds)
    return min(LONGEST_SECONDS, sum(each) if step.in_order else max(each))


def _each_seconds(lead_times: LeadTimes, step: Step, room: Room, assumed_seconds: float) -> list[float]:
    """Of each replica, from its creation on; the first in order take the room."""
    left = _Left(room)
    share = lead_times.new_node_share
    seconds = []
    for number in range(max(1, step.replicas)):
        ordinal = step.ordinals[number] if number < len(step.ordinals) else None
        returning = ordinal is not None and lead_times.has_served(ordinal)
        zone = lead_times.zone_of(ordinal) if ordinal is not None and returning else ""
        if room.replicas is not None:
            kind: NodeKind = "WarmNode" if left.take(zone) else "NewNode"
            seconds.append(lead_times.expected_seconds(assumed_seconds, kind, returning=returning))
        else:
            seconds.append(
                lead_times.expected_seconds_of(assumed_seconds, 1.0 if share is None else share, returning=returning)
            )
    return seconds


class _Left:
    """Room that is taken replica by replica."""

    def __init__(self, room: Room) -> None:
        self._replicas = room.replicas or 0
        self._by_zone = dict(room.by_zone)

    def take(self, zone: str) -> bool:
        """Whether one more fits; zone: "" for any, then the one with the most room gives it."""
        if self._replicas <= 0:
            return False
        if self._by_zone:
            chosen = zone or max(self._by_zone, key=lambda name: self._by_zone[name])
            if self._by_zone.get(chosen, 0) <= 0:
                return False
            self._by_zone[chosen] -= 1
        self._replicas -= 1
        return True
