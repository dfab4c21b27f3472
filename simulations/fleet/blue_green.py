"""Blue-green: a second fleet of the full size is started beside the first, and gets all requests once all of it is up.

As Argo Rollouts' blueGreen strategy with autoPromotionEnabled: the preview ReplicaSet gets spec.replicas pods, the
active Service is switched when they are Ready, and the old pods go scaleDownDelaySeconds (30) later
(argo-rollouts documentation, "BlueGreen Deployment Strategy").
"""

import math
from dataclasses import dataclass

from simulations.fleet.rollout import COMPLETE, PROGRESSING, Seen, Sizes
from simulations.lead_time import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class BlueGreen:
    """scale_down_delay_seconds: how long the old pods stay, without requests, after the switch. Raises BadInput."""

    scale_down_delay_seconds: float = 30.0

    def __post_init__(self) -> None:
        check_seconds("scaleDownDelaySeconds", self.scale_down_delay_seconds)

    def begin(self, now_seconds: float, desired: int) -> "BlueGreenRun":
        del now_seconds, desired
        return BlueGreenRun(spec=self)


@dataclass(slots=True, kw_only=True)
class BlueGreenRun:
    """Under way. switched_at: when the requests went over; None before."""

    spec: BlueGreen
    phase: str = PROGRESSING
    switched_at: float | None = None

    @property
    def next_event_seconds(self) -> float:
        if self.switched_at is None or self.phase == COMPLETE:
            return math.inf
        return self.switched_at + self.spec.scale_down_delay_seconds

    @property
    def share_of_new(self) -> float | None:
        return None

    def sizes(self, seen: Seen) -> Sizes:
        if self.switched_at is None and seen.desired and seen.new.available >= seen.desired:
            self.switched_at = seen.now_seconds
        if self.switched_at is None:
            return Sizes(seen.desired, seen.desired)
        if seen.now_seconds < self.switched_at + self.spec.scale_down_delay_seconds:
            return Sizes(seen.old.replicas, seen.desired)
        self.phase = COMPLETE
        return Sizes(0, seen.desired)

    def routes_new(self) -> bool:
        return self.switched_at is not None

    def routes_old(self) -> bool:
        return self.switched_at is None
