"""A canary's steps: a weight, a pause in which the new revision is judged, then the next weight, or all goes back."""

import math
from dataclasses import dataclass, field

from policies.errors import BadInput
from simulations.fleet.rollout import PROGRESSING, ROLLED_BACK, Seen
from simulations.lead_time import check_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class CanarySteps:
    """Raises BadInput.

    weights_percent: of the requests, one step after the other. pause_seconds: of each step, from when all its pods are
    Ready. min_attainment: share of the new revision's requests within the SLO, in each step, below which all goes back.
    """

    weights_percent: tuple[float, ...] = (5.0, 10.0, 20.0)
    pause_seconds: float = 300.0
    min_attainment: float = 0.95

    def __post_init__(self) -> None:
        check_seconds("pause.duration", self.pause_seconds)
        for weight in self.weights_percent:
            if not 0.0 < weight < 100.0:
                raise BadInput(f"setWeight: was {weight}, must be above 0 and below 100 percent")
        if not self.weights_percent:
            raise BadInput("steps: was empty, must hold a weight; without one it is a rolling update")
        if not 0.0 <= self.min_attainment <= 1.0:
            raise BadInput(f"min_attainment: was {self.min_attainment}, must be in [0, 1], a share of requests")


@dataclass(slots=True, kw_only=True)
class CanaryStepsRun:
    """Under way. step: index of the weight that holds, its number when all are passed.

    judged: (second, attainment or None) of each pause that ended; where no request was answered, it is begun again.
    """

    step: int = 0
    phase: str = PROGRESSING
    pause_ends: float = math.inf
    judged: list[tuple[float, float | None]] = field(default_factory=list)

    @property
    def is_paused(self) -> bool:
        return self.pause_ends < math.inf

    def look(self, spec: CanarySteps, seen: Seen, *, is_ready: bool) -> None:
        """Begin the pause when the step's pods are Ready, judge it at its end."""
        if not self.is_paused:
            if is_ready:
                seen.attainment_of_new()  # counts from here on
                self.pause_ends = seen.now_seconds + spec.pause_seconds
            return
        if seen.now_seconds < self.pause_ends:
            return
        attainment = seen.attainment_of_new()
        self.judged.append((seen.now_seconds, attainment))
        self.pause_ends = math.inf
        if attainment is None:
            self.pause_ends = seen.now_seconds + spec.pause_seconds
        elif attainment < spec.min_attainment:
            self.phase = ROLLED_BACK
        else:
            self.step += 1
