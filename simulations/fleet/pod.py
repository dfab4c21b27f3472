"""One simulated pod, from its creation to its end."""

import math
from dataclasses import dataclass, field

from simulations.lead_time import ContainerStart


@dataclass(slots=True, kw_only=True)
class SimulatedPod:
    """Instants are seconds since the start of the run; inf for what is not known yet, None for what did not happen.

    number: of its creation in its fleet. name: as the API server shows it; a StatefulSet gives it again.
    uid: its own for ever, the name but for pods of a name that was there before; the cluster knows it by that.
    ordinal: of a StatefulSet's pod. revision: of the pod template that it was made from.
    start: how its containers fare. row: its server's in the engine, None while no server runs in it.
    load_seconds: from its containers' start to Ready, inf when they are killed before.
    starts: of its containers, the present ones after a restart; first_starts: of the first ones.
    ends: when containers of it ended and were to be started again, oldest first.
    deletion_cost: of its annotation controller.kubernetes.io/pod-deletion-cost; 0 without one.
    is_routed: whether the router may use its server; a Ready pod of a revision that gets no requests is not.
    unready_since: when it last stopped being ready, its creation if it never was.
    first_ready_at: when it served for the first time.
    stays_until: a preStop hook runs until then. leaves_by: what it has not answered by then is lost.
    leaving: why it has to go, of a pod whose node leaves; empty for one that is not wanted any more.
    """

    number: int
    name: str
    uid: str
    created: float
    start: ContainerStart
    load_seconds: float
    ordinal: int | None = None
    revision: str = ""
    placed_at: float = math.inf
    starts: float = math.inf
    first_starts: float = math.inf
    row: int | None = None
    is_routed: bool = False
    unready_since: float = 0.0
    first_ready_at: float | None = None
    fails_at: float = math.inf
    restarts: int = 0
    deletion_cost: int = 0
    ends: list[float] = field(default_factory=list)
    deleted: float | None = None
    stays_until: float = 0.0
    leaves_by: float = math.inf
    leaving: str = ""
    ended: float | None = None

    @property
    def ready_at(self) -> float:
        """When its server answers, after the start that is under way or over."""
        return self.starts + self.load_seconds

    @property
    def killed_at(self) -> float:
        """When a probe has its loading container killed, in the start that is under way; inf when none does."""
        return self.starts + self.start.killed_after_seconds

    @property
    def is_wanted(self) -> bool:
        """There, and not on its way out."""
        return self.deleted is None and self.ended is None
