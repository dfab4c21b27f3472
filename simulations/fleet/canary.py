"""Canary: a few pods of the new revision get a few of the requests, then more, as long as they keep the SLO.

As Argo Rollouts' canary without a traffic router: a weight is approximated by the ReplicaSets' sizes behind one
router, so 5 % takes 20 replicas to be 5 % (argo-rollouts documentation, "Canary Deployment Strategy", "best effort").
The new pods come on top (surge), and old ones go only when as many new ones are Ready.
"""

import math
from dataclasses import dataclass, field

from policies.errors import BadInput
from simulations.fleet.rolling_update import RollingUpdate, next_sizes
from simulations.fleet.rollout import COMPLETE, PROGRESSING, ROLLED_BACK, Seen, Sizes
from simulations.lead_time import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """Raises BadInput.

    weights_percent: of the requests, one step after the other. pause_seconds: of each step, from when all its pods are
    Ready. min_attainment: share of the new revision's requests within the SLO, in each step, below which all goes back.
    update: how what is left is replaced after the last step.
    """

    weights_percent: tuple[float, ...] = (5.0, 10.0, 20.0)
    pause_seconds: float = 300.0
    min_attainment: float = 0.95
    update: RollingUpdate = field(default_factory=RollingUpdate)

    def __post_init__(self) -> None:
        check_seconds("pause.duration", self.pause_seconds)
        for weight in self.weights_percent:
            if not 0.0 < weight < 100.0:
                raise BadInput(f"setWeight: was {weight}, must be above 0 and below 100 percent")
        if not self.weights_percent:
            raise BadInput("steps: was empty, must hold a weight; without one it is a rolling update")
        if not 0.0 <= self.min_attainment <= 1.0:
            raise BadInput(f"min_attainment: was {self.min_attainment}, must be in [0, 1], a share of requests")

    def begin(self, now_seconds: float, desired: int) -> "CanaryRun":
        del now_seconds, desired
        return CanaryRun(spec=self)


def canary_pods(weight_percent: float, desired: int) -> int:
    """Pods of the new revision for a weight: the nearest number, at least 1, and not all where there are others."""
    if desired <= 1:
        return desired
    return min(max(1, math.floor(weight_percent * desired / 100 + 0.5)), desired - 1)


@dataclass(slots=True, kw_only=True)
class CanaryRun:
    """Under way. step: index of the weight that holds, its number when all are passed.

    judged: (second, attainment or None) of each pause that ended; where no request was answered, it is begun again.
    """

    spec: Canary
    step: int = 0
    phase: str = PROGRESSING
    pause_ends: float = math.inf
    judged: list[tuple[float, float | None]] = field(default_factory=list)

    @property
    def next_event_seconds(self) -> float:
        return self.pause_ends

    def sizes(self, seen: Seen) -> Sizes:
        if self.phase == ROLLED_BACK:
            return Sizes(seen.desired, 0)
        if self.phase == PROGRESSING and self.step < len(self.spec.weights_percent):
            self._look(seen)
        if self.phase == ROLLED_BACK:
            return Sizes(seen.desired, 0)
        if self.step < len(self.spec.weights_percent):
            target = canary_pods(self.spec.weights_percent[self.step], seen.desired)
            return Sizes(seen.desired - min(seen.new.available, target), target)
        surge, unavailable = self.spec.update.fenceposts(seen.desired)
        if seen.new.available == seen.new.replicas == seen.desired and not seen.old.replicas:
            self.phase = COMPLETE
        return next_sizes(seen.desired, seen.old, seen.new, surge=surge, unavailable=unavailable)

    def routes_new(self) -> bool:
        return True

    def routes_old(self) -> bool:
        return True

    def _look(self, seen: Seen) -> None:
        """Begin the pause when the step's pods are Ready, judge it at its end."""
        target = canary_pods(self.spec.weights_percent[self.step], seen.desired)
        if self.pause_ends == math.inf:
            if seen.new.available >= target > 0:
                seen.attainment_of_new()  # counts from here on
                self.pause_ends = seen.now_seconds + self.spec.pause_seconds
            return
        if seen.now_seconds < self.pause_ends:
            return
        attainment = seen.attainment_of_new()
        self.judged.append((seen.now_seconds, attainment))
        self.pause_ends = math.inf
        if attainment is None:
            self.pause_ends = seen.now_seconds + self.spec.pause_seconds
        elif attainment < self.spec.min_attainment:
            self.phase = ROLLED_BACK
        else:
            self.step += 1
