"""What one HPA remembers between syncs: a value, so that replaying the syncs replays the decisions.

Source: pkg/controller/podautoscaler/horizontal.go (HorizontalController's maps and
HorizontalPodAutoscalerStatus), v1.36.3.
"""

from dataclasses import dataclass, field, replace

from policies.hpa.conditions import Conditions


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A replica count before stabilization, and when it was computed."""

    replicas: int
    at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleEvent:
    """One change of the scale that this controller made.

    replica_change: absolute, >= 0. outdated: older than every policy's period; its slot is reused.
    """

    replica_change: int
    at_ns: int
    outdated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HPAState:
    """Controller memory (lost when it restarts) and HPA status (kept by the API server).

    recommendations, scale_up_events, scale_down_events: in upstream's slot order, where a slot that fell
        out of every window is overwritten in place; no recommendation means this HPA was never met.
    desired_replicas: status.desiredReplicas. last_scale_ns: status.lastScaleTime, None before any.
    """

    recommendations: tuple[Recommendation, ...] = ()
    scale_up_events: tuple[ScaleEvent, ...] = ()
    scale_down_events: tuple[ScaleEvent, ...] = ()
    conditions: Conditions = field(default_factory=Conditions)
    desired_replicas: int = 0
    last_scale_ns: int | None = None

    def after_controller_restart(self) -> "HPAState":
        """The status survives; recommendations and scale events do not."""
        return replace(self, recommendations=(), scale_up_events=(), scale_down_events=())
