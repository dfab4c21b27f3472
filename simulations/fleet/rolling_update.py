"""A Deployment's rolling update: new pods as far as maxSurge allows, old ones as far as maxUnavailable does.

Source: kubernetes v1.36.3 pkg/controller/deployment/rolling.go (reconcileNewReplicaSet, reconcileOldReplicaSets),
sync.go (scale), progress.go, util/deployment_util.go (ResolveFenceposts, NewRSNewReplicas, GetReplicaSetProportion),
with one old ReplicaSet and minReadySeconds 0.
"""

import math
from dataclasses import dataclass

from policies.errors import BadInput
from simulations.fleet.rollout import COMPLETE, PROGRESSING, TIMED_OUT, RevisionStatus, Seen, Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingUpdate:
    """strategy.rollingUpdate, with Kubernetes' defaults. Raises BadInput.

    max_surge, max_unavailable: pods, or a share of spec.replicas such as "25%"; rounded up and down.
    progress_deadline_seconds: without progress for so long the Deployment says ProgressDeadlineExceeded, and goes on.
    """

    max_surge: int | str = "25%"
    max_unavailable: int | str = "25%"
    progress_deadline_seconds: float = 600.0

    def __post_init__(self) -> None:
        surge, unavailable = self._value("maxSurge"), self._value("maxUnavailable")
        if not surge and not unavailable:
            raise BadInput("maxUnavailable: was 0, must be above 0 where maxSurge is 0: nothing could ever move")

    def fenceposts(self, desired: int) -> tuple[int, int]:
        """(surge, unavailable) in pods: surge rounded up, unavailable down, and not both 0."""
        surge, unavailable = self._value("maxSurge"), self._value("maxUnavailable")
        most = surge if isinstance(surge, int) else math.ceil(surge * desired / 100)
        least = unavailable if isinstance(unavailable, int) else math.floor(unavailable * desired / 100)
        return most, least if most or least else 1

    def begin(self, now_seconds: float, desired: int) -> "RollingUpdateRun":
        return RollingUpdateRun(spec=self, progressed_at=now_seconds, desired=desired)

    def _value(self, name: str) -> int | float:
        """Pods as int, percent as float."""
        given = self.max_surge if name == "maxSurge" else self.max_unavailable
        if isinstance(given, int) and given >= 0:
            return given
        digits = given[:-1] if isinstance(given, str) and given.endswith("%") else ""
        if not digits.isdigit() or (name == "maxUnavailable" and int(digits) > 100):
            most = " to 100" if name == "maxUnavailable" else " or more"
            raise BadInput(f"{name}: was {given!r}, must be 0 or more pods, or a percentage such as '25%' (0{most})")
        return float(digits)


def next_sizes(desired: int, old: RevisionStatus, new: RevisionStatus, *, surge: int, unavailable: int) -> Sizes:
    """One sync: scale the new ReplicaSet up, or else the old one down."""
    sizes = Sizes(old.replicas, new.replicas)
    if new.replicas > desired:
        return Sizes(old.replicas, desired)
    room = min(desired + surge - old.replicas - new.replicas, desired - new.replicas)
    if room > 0:
        return Sizes(old.replicas, new.replicas + room)
    least = desired - unavailable
    may_go = old.replicas + new.replicas - least - (new.replicas - new.available)
    if not old.replicas or may_go <= 0:
        return sizes
    unhealthy = min(may_go, old.replicas - old.available)
    left = old.replicas - unhealthy
    healthy = min(left, max(0, old.available + new.available - least))
    return Sizes(left - healthy, new.replicas)


def proportional(before: int, desired: int, sizes: Sizes, *, surge_before: int, surge: int, new_is_full: bool) -> Sizes:
    """spec.replicas changed from `before` while both ReplicaSets have pods: each gets its share of the difference.

    new_is_full: the new ReplicaSet has all its pods, and they are Ready.
    """
    if not sizes.old:
        return Sizes(0, desired)
    if not sizes.new:
        return Sizes(desired, 0)
    if new_is_full and sizes.new == desired:
        return Sizes(0, sizes.new)
    to_add = (desired + surge if desired else 0) - sizes.old - sizes.new
    by_size = sorted(("new", "old"), key=lambda name: -getattr(sizes, name))  # of equals the newer first
    if to_add < 0 and sizes.old == sizes.new:
        by_size.reverse()
    result, added = {"old": sizes.old, "new": sizes.new}, 0
    for name in by_size:
        size = result[name]
        share = -size if not desired else _rounded(size * (desired + surge) / (before + surge_before)) - size
        share = min(share, to_add - added) if to_add > 0 else max(share, to_add - added)
        if to_add == 0 or to_add == added:
            share = 0
        result[name] = size + share
        added += share
    result[by_size[0]] = max(0, result[by_size[0]] + to_add - added)
    return Sizes(result["old"], result["new"])


@dataclass(slots=True, kw_only=True)
class RollingUpdateRun:
    """Under way. progressed_at: when last something got on, as the Progressing condition notes it."""

    spec: RollingUpdate
    progressed_at: float
    desired: int
    phase: str = PROGRESSING
    _seen: tuple[int, int, int] = (0, 0, 0)

    @property
    def next_event_seconds(self) -> float:
        """The deadline."""
        return self.progressed_at + self.spec.progress_deadline_seconds if self.phase == PROGRESSING else math.inf

    @property
    def share_of_new(self) -> float | None:
        return None

    def sizes(self, seen: Seen) -> Sizes:
        surge, unavailable = self.spec.fenceposts(seen.desired)
        sizes = Sizes(seen.old.replicas, seen.new.replicas)
        if seen.desired != self.desired:
            surge_before, _ = self.spec.fenceposts(self.desired)
            sizes = proportional(
                self.desired,
                seen.desired,
                sizes,
                surge_before=surge_before,
                surge=surge,
                new_is_full=seen.new.available == seen.new.replicas == self.desired,
            )
            self.desired = seen.desired
        else:
            sizes = next_sizes(seen.desired, seen.old, seen.new, surge=surge, unavailable=unavailable)
        self._note_progress(seen)
        return sizes

    def routes_new(self) -> bool:
        return True

    def routes_old(self) -> bool:
        return True

    def _note_progress(self, seen: Seen) -> None:
        """More new pods, fewer old ones, more Ready ones (DeploymentProgressing)."""
        now = (seen.new.replicas, -seen.old.replicas, seen.old.available + seen.new.available)
        if any(after > before for after, before in zip(now, self._seen, strict=True)):
            self.progressed_at = seen.now_seconds
            self.phase = PROGRESSING
        self._seen = now
        if seen.new.available == seen.new.replicas == seen.desired and not seen.old.replicas:
            self.phase = COMPLETE
        elif self.phase == PROGRESSING and seen.now_seconds >= self.next_event_seconds:
            self.phase = TIMED_OUT


def _rounded(value: float) -> int:
    """Half away from zero (k8s.io/utils/integer RoundToInt32); sizes are not negative."""
    return math.floor(value + 0.5)
