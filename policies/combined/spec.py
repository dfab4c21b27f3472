"""What an admin states beyond the predictive rule."""

from dataclasses import dataclass, field

from policies.hpa import ControllerOptions, MetricSpec
from policies.nodepools.deletion_cost import PodDeletionCost
from policies.predictive.spec import PredictiveSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledFloor:
    """At least min_replicas from each time of `start` to the next of `end`; cron expressions in time_zone."""

    name: str
    start: str
    end: str
    time_zone: str
    min_replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """While demand is not known: the last need is held for hold_seconds, then `replicas` is a floor where it is set."""

    hold_seconds: float = 300.0
    replicas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CombinedSpec:
    """predictive: its bounds and behavior are those of the whole. metrics: as in an HPA; they only ever add.

    pod_deletion_cost: for who carries a scale-down out; no decision goes by it.
    """

    predictive: PredictiveSpec
    metrics: tuple[MetricSpec, ...] = ()
    schedules: tuple[ScheduledFloor, ...] = ()
    fallback: Fallback = field(default_factory=Fallback)
    controller: ControllerOptions = field(default_factory=ControllerOptions)
    pod_deletion_cost: PodDeletionCost = "Unset"
