"""Spot nodes: cheaper, and taken back at any time, singly or all of a zone at once, with a short notice.

Compute Engine takes a Spot VM back 30 s after a notice (documentation, "Spot VMs", "Preemption process"). GKE's
kubelet gives the first 15 s of them to ordinary pods and the rest to critical system pods, whatever
terminationGracePeriodSeconds says (GKE documentation, "Spot VMs", "Termination and graceful shutdown of Spot VMs").
How often it happens is not published: the rates are the user's.
"""

import heapq
import math
from dataclasses import dataclass, field

import numpy as np

from policies.errors import BadInput
from simulations.lead_time import check_seconds, generator

SPOT_PREEMPTED = "spot preempted"
ZONE_LOST = "zone lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """How a pool's spot nodes are taken back. Raises BadInput.

    preemptions_per_node_hour: of each node by itself, from when it is ready; memoryless.
    zone_events_per_hour: of each zone: all of the pool's nodes there get notice at once.
    notice_seconds: from the notice to the node's end, which is billed. pod_grace_seconds: of them, to the pods' end.
    """

    preemptions_per_node_hour: float = 0.0
    zone_events_per_hour: float = 0.0
    notice_seconds: float = 30.0
    pod_grace_seconds: float = 15.0

    def __post_init__(self) -> None:
        for name in ("preemptions_per_node_hour", "zone_events_per_hour"):
            if not 0.0 <= getattr(self, name) <= 60.0:
                raise BadInput(f"spot.{name}: was {getattr(self, name)}, must be in [0, 60]: once a minute is the most")
        check_seconds("spot.notice_seconds", self.notice_seconds)
        if not 0.0 <= self.pod_grace_seconds <= self.notice_seconds:
            raise BadInput(
                f"spot.pod_grace_seconds: was {self.pod_grace_seconds:g}, must be in [0, {self.notice_seconds:g}] "
                "(notice_seconds); lower it or raise notice_seconds"
            )


@dataclass(slots=True)
class SpotMarket:
    """When one pool's spot nodes are taken back, equal for equal seeds whatever the policy asks for.

    The k-th node of the pool that becomes ready lives as long under every policy; zone events have fixed instants.
    """

    spot: Spot
    pool: str
    zones: tuple[str, ...]
    seed: int
    _lives: np.random.Generator = field(init=False)
    _zone_streams: dict[str, np.random.Generator] = field(init=False, default_factory=dict)
    _zone_events: list[tuple[float, str]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        self._lives = generator(self.seed, "spot", self.pool)
        if self.spot.zone_events_per_hour > 0:
            for zone in self.zones or ("",):
                self._zone_streams[zone] = generator(self.seed, "spot zone", self.pool, zone)
                self._draw_event(zone, 0.0)

    def life_seconds(self) -> float:
        """From ready to the notice, of the next node that becomes ready; inf for never."""
        rate = self.spot.preemptions_per_node_hour
        return float(self._lives.exponential(3_600.0 / rate)) if rate > 0 else math.inf

    @property
    def next_zone_event_seconds(self) -> float:
        """When a zone is lost next; inf for never."""
        return self._zone_events[0][0] if self._zone_events else math.inf

    def take_zone_event(self) -> str:
        """The zone that is lost at `next_zone_event_seconds`; the next event of that zone is drawn."""
        at, zone = heapq.heappop(self._zone_events)
        self._draw_event(zone, at)
        return zone

    def _draw_event(self, zone: str, after: float) -> None:
        wait = float(self._zone_streams[zone].exponential(3_600.0 / self.spot.zone_events_per_hour))
        heapq.heappush(self._zone_events, (after + wait, zone))
