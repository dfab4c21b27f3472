"""One simulated pod, from its creation to its end."""

import math
from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class SimulatedPod:
    """Instants are seconds since the start of the run; inf for what is not known yet, None for what did not happen.

    number: of its creation in its fleet. row: its server's in the engine, None while no server runs in it.
    load_seconds: from its containers' start to Ready. starts: of its containers, the present ones after a restart.
    unready_since: when it last stopped being ready, its creation if it never was.
    first_ready_at: when it served for the first time.
    """

    number: int
    name: str
    created: float
    load_seconds: float
    starts: float = math.inf
    row: int | None = None
    unready_since: float = 0.0
    first_ready_at: float | None = None
    fails_at: float = math.inf
    restarts: int = 0
    deleted: float | None = None
    ended: float | None = None

    @property
    def ready_at(self) -> float:
        """When its server answers, after the start that is under way or over."""
        return self.starts + self.load_seconds
