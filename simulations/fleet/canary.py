"""Canary by pods: a few pods of the new revision get a few of the requests, then more, as long as they keep the SLO.

As Argo Rollouts' canary without a traffic router: a weight is approximated by the ReplicaSets' sizes behind one
router, so 5 % takes 20 replicas to be 5 % (argo-rollouts documentation, "Canary Deployment Strategy", "best effort").
The new pods come on top (surge), and old ones go only when as many new ones are Ready. With a traffic router it is
routed_canary.py.
"""

import math
from dataclasses import dataclass, field

from simulations.fleet.canary_steps import CanarySteps, CanaryStepsRun
from simulations.fleet.rolling_update import RollingUpdate, next_sizes
from simulations.fleet.rollout import COMPLETE, PROGRESSING, ROLLED_BACK, Seen, Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary(CanarySteps):
    """update: how what is left is replaced after the last step. Raises BadInput."""

    update: RollingUpdate = field(default_factory=RollingUpdate)

    def begin(self, now_seconds: float, desired: int) -> "CanaryRun":
        del now_seconds, desired
        return CanaryRun(spec=self)


def canary_pods(weight_percent: float, desired: int) -> int:
    """Pods of the new revision for a weight: the nearest number, at least 1, and not all where there are others."""
    if desired <= 1:
        return desired
    return min(max(1, math.floor(weight_percent * desired / 100 + 0.5)), desired - 1)


@dataclass(slots=True, kw_only=True)
class CanaryRun(CanaryStepsRun):
    """Under way."""

    spec: Canary

    @property
    def next_event_seconds(self) -> float:
        return self.pause_ends

    @property
    def share_of_new(self) -> float | None:
        return None

    def sizes(self, seen: Seen) -> Sizes:
        if self.phase == ROLLED_BACK:
            return Sizes(seen.desired, 0)
        if self.phase == PROGRESSING and self.step < len(self.spec.weights_percent):
            self.look(self.spec, seen, is_ready=seen.new.available >= self._target(seen) > 0)
        if self.phase == ROLLED_BACK:
            return Sizes(seen.desired, 0)
        if self.step < len(self.spec.weights_percent):
            target = self._target(seen)
            return Sizes(seen.desired - min(seen.new.available, target), target)
        surge, unavailable = self.spec.update.fenceposts(seen.desired)
        if seen.new.available == seen.new.replicas == seen.desired and not seen.old.replicas:
            self.phase = COMPLETE
        return next_sizes(seen.desired, seen.old, seen.new, surge=surge, unavailable=unavailable)

    def routes_new(self) -> bool:
        return True

    def routes_old(self) -> bool:
        return True

    def _target(self, seen: Seen) -> int:
        return canary_pods(self.spec.weights_percent[self.step], seen.desired)
