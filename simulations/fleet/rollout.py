"""Rollouts: a new revision of the pods takes the old one's place, and by which strategy.

A revision is a label on pods. Both revisions answer the same requests behind the same router, and an autoscaler sees
one spec.replicas and all the pods: a warming pod of the new revision is not capacity yet, one of the old revision that
is about to go is none for long.
"""

from dataclasses import dataclass, field
from typing import Protocol

from policies.capacity.profile import Profile
from policies.errors import BadInput
from simulations.lead_time import LeadTime, check_seconds
from simulations.start.staged_start import StagedStart


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionStatus:
    """Of one ReplicaSet. replicas: that it is to have, terminating ones are none. available: of them, Ready."""

    replicas: int
    available: int


@dataclass(frozen=True, slots=True)
class Sizes:
    """spec.replicas of the two ReplicaSets."""

    old: int
    new: int


class Seen(Protocol):
    """What a strategy may look at."""

    now_seconds: float
    desired: int
    old: RevisionStatus
    new: RevisionStatus

    def attainment_of_new(self) -> float | None:
        """Share of the new revision's requests within the SLO since the last call; None where it answered none."""
        ...


class StrategyRun(Protocol):
    """A strategy at work. phase: what `kubectl argo rollouts get rollout` or a Deployment's condition would say."""

    @property
    def phase(self) -> str: ...

    @property
    def next_event_seconds(self) -> float:
        """When it has something to do by itself; inf for never."""
        ...

    @property
    def share_of_new(self) -> float | None:
        """Of the requests, that a gateway sends to the new revision; None: to whichever pods get requests, alike."""
        ...

    def sizes(self, seen: Seen) -> Sizes:
        """What the ReplicaSets are to have now; asked again until it does not change."""
        ...

    def routes_new(self) -> bool:
        """Whether Ready pods of the new revision get requests."""
        ...

    def routes_old(self) -> bool:
        """Whether Ready pods of the old revision do."""
        ...


class Strategy(Protocol):
    """How a rollout goes about it."""

    def begin(self, now_seconds: float, desired: int) -> StrategyRun: ...


PROGRESSING, COMPLETE, TIMED_OUT, ROLLED_BACK = "Progressing", "Complete", "ProgressDeadlineExceeded", "RolledBack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What changes and when. Raises BadInput.

    at_seconds: since the start of the run, when the new pod template is applied.
    profile: of the new revision's servers, None for the same; the KV cache and the GPUs have to be the same.
    start, lead_time: of its pods; both None for the same as before.
    """

    at_seconds: float
    strategy: Strategy
    profile: Profile | None = None
    start: StagedStart | None = None
    lead_time: LeadTime | None = None

    def __post_init__(self) -> None:
        check_seconds("rollout.at_seconds", self.at_seconds)
        if self.start is not None and self.lead_time is not None:
            raise BadInput("rollout.start: was given with rollout.lead_time, must be one of them; leave one out")

    def check(self, before: Profile) -> None:
        """Raise BadInput where the new revision's servers cannot stand beside the old one's."""
        after = self.profile or before
        for name in ("kv_blocks", "gpus_per_replica"):
            if getattr(after, name) != getattr(before, name):
                raise BadInput(
                    f"rollout.profile.{name}: was {getattr(after, name)}, must be {getattr(before, name)} as before: "
                    "a rollout changes servers, not their memory; simulate another memory as a workload of its own"
                )


@dataclass(slots=True, kw_only=True)
class SeenNow:
    """A `Seen` as the fleet gives it."""

    now_seconds: float
    desired: int
    old: RevisionStatus
    new: RevisionStatus
    counts: "AttainmentCounts"

    def attainment_of_new(self) -> float | None:
        return self.counts.take()


@dataclass(slots=True)
class AttainmentCounts:
    """Requests of the new revision's servers. by_pod: uid -> (within the SLO, all), counters as they stand."""

    by_pod: dict[str, tuple[int, int]] = field(default_factory=dict)
    _taken: dict[str, tuple[int, int]] = field(default_factory=dict)

    def take(self) -> float | None:
        """Share within the SLO since the last call."""
        good = total = 0
        for uid, (within, count) in self.by_pod.items():
            before = self._taken.get(uid, (0, 0))
            if count < before[1]:  # the server was started anew, and counts from 0 again
                before = (0, 0)
            good, total = good + within - before[0], total + count - before[1]
        self._taken = dict(self.by_pod)
        return good / total if total else None
