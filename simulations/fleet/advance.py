"""Time, for fleets that may share a cluster: from event to event, so that all see the same nodes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simulations.cluster.placement import Eviction

if TYPE_CHECKING:
    from simulations.fleet.fleet import Fleet


def advance_together(fleets: "Sequence[Fleet]", until_seconds: float) -> None:
    """Move the time of fleets that share a cluster, from event to event, so that all see the same nodes."""
    clusters = {id(fleet.cluster): fleet.cluster for fleet in fleets}.values()
    now = max(fleet.now_seconds for fleet in fleets)
    while True:
        events = [part.next_event_seconds() for part in fleets] + [part.next_event_seconds() for part in clusters]
        now = max(now, min(until_seconds, *events))
        evictions: dict[int, tuple[Eviction, ...]] = {}
        for cluster in clusters:
            cluster.advance(now)
            evictions[id(cluster)] = cluster.take_evictions()
        for fleet in fleets:
            fleet.step(now, evictions[id(fleet.cluster)])
        if now >= until_seconds and min(part.next_event_seconds() for part in fleets) > until_seconds:
            return
