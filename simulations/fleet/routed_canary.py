"""Canary by traffic: a gateway sends a weight of the requests to the new revision, however many pods either has.

As Argo Rollouts' canary with spec.strategy.canary.trafficRouting (Gateway API, Istio and others), by argo-rollouts
rollout/trafficrouting.go at 002f75c7 and utils/replicaset/canary.go at 007a38d8:

- the new ReplicaSet is scaled to the weight, rounded up; the old one stays at spec.replicas until the end, so that all
  requests can go back at once (documentation, "Dynamic Stable Scale": "double the number of replica pods");
- a weight waits until both ReplicaSets have the step's pods Ready; until then the weight of the step before holds, and
  none while no new pod is Ready. Once reached, it holds through the step's pause, however spec.replicas is scaled;
- after the last step the new ReplicaSet has spec.replicas; when these are Ready it gets all requests, and the old pods
  go scaleDownDelaySeconds (30) later;
- on a rollback all requests go to the old pods at once, and the new ones go abortScaleDownDelaySeconds (30) later.

Not modelled: dynamicStableScale, setCanaryScale, the seconds in which a gateway learns of a weight.
"""

import math
from dataclasses import dataclass

from simulations.fleet.canary_steps import CanarySteps, CanaryStepsRun
from simulations.fleet.rollout import COMPLETE, PROGRESSING, ROLLED_BACK, Seen, Sizes
from simulations.lead_time import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutedCanary(CanarySteps):
    """scale_down_delay_seconds: how long pods that get no requests any more stay, on either end. Raises BadInput."""

    scale_down_delay_seconds: float = 30.0

    def __post_init__(self) -> None:
        CanarySteps.__post_init__(self)
        check_seconds("scaleDownDelaySeconds", self.scale_down_delay_seconds)

    def begin(self, now_seconds: float, desired: int) -> "RoutedCanaryRun":
        del now_seconds, desired
        return RoutedCanaryRun(spec=self)


def routed_canary_pods(weight_percent: float, desired: int) -> int:
    """Pods of the new revision for a weight: spec.replicas times it, rounded up."""
    return math.ceil(weight_percent * desired / 100 - 1e-9)


@dataclass(slots=True, kw_only=True)
class RoutedCanaryRun(CanaryStepsRun):
    """Under way. weight_percent: of the requests, that the gateway sends to the new revision now.

    decided_at: when all requests went to one revision for good; None before. is_over: the other one's pods are gone.
    """

    spec: RoutedCanary
    weight_percent: float = 0.0
    decided_at: float | None = None
    is_over: bool = False

    @property
    def next_event_seconds(self) -> float:
        if self.decided_at is None:
            return self.pause_ends
        return math.inf if self.is_over else self.decided_at + self.spec.scale_down_delay_seconds

    @property
    def share_of_new(self) -> float | None:
        return self.weight_percent / 100.0 if 0.0 < self.weight_percent < 100.0 else None

    def sizes(self, seen: Seen) -> Sizes:
        """Of the ReplicaSets; the weight is set on the way."""
        if self.decided_at is None:
            self._go_on(seen)
        if self.decided_at is None:
            self.weight_percent = self._weight() if seen.new.available else 0.0
            return Sizes(seen.desired, self._target(seen))
        self.is_over = seen.now_seconds >= self.decided_at + self.spec.scale_down_delay_seconds
        if self.phase == ROLLED_BACK:
            self.weight_percent = 0.0
            return Sizes(seen.desired, 0 if self.is_over else seen.new.replicas)
        self.weight_percent = 100.0
        self.phase = COMPLETE if self.is_over else PROGRESSING
        return Sizes(0 if self.is_over else seen.old.replicas, seen.desired)

    def routes_new(self) -> bool:
        return self.weight_percent > 0.0

    def routes_old(self) -> bool:
        return self.weight_percent < 100.0

    def _go_on(self, seen: Seen) -> None:
        """To the next step, to the end or back, where it is time."""
        target = self._target(seen)
        is_ready = seen.new.available >= target > 0 and seen.old.available >= seen.desired
        if self.step < len(self.spec.weights_percent):
            self.look(self.spec, seen, is_ready=is_ready)
            is_decided = self.phase == ROLLED_BACK
        else:
            is_decided = is_ready
        if is_decided:
            self.decided_at = seen.now_seconds

    def _weight(self) -> float:
        """The step's once its pods were Ready, before that the one of the step before."""
        reached = self.step if self.is_paused else self.step - 1
        return self.spec.weights_percent[reached] if reached >= 0 else 0.0

    def _target(self, seen: Seen) -> int:
        if self.step >= len(self.spec.weights_percent):
            return seen.desired
        return routed_canary_pods(self.spec.weights_percent[self.step], seen.desired)
