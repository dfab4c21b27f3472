"""From the metrics' recommendation to the count that may be asked for now.

Source: pkg/controller/podautoscaler/horizontal.go (normalizeDesiredReplicas,
normalizeDesiredReplicasWithBehaviors), v1.36.3.
"""

from dataclasses import dataclass, replace

from policies.hpa.conditions import set_condition
from policies.hpa.scaling_rules import Limited, limit_with_behavior, limit_with_defaults
from policies.hpa.spec import HPASpec
from policies.hpa.stabilization import scale_down_window_seconds, stabilize, stabilize_with_behavior
from policies.hpa.state import HPAState, Recommendation

_STABILIZED_MESSAGES = {
    "ScaleDownStabilized": (
        "recent recommendations were higher than current one, applying the highest recent recommendation"
    ),
    "ScaleUpStabilized": (
        "recent recommendations were lower than current one, applying the lowest recent recommendation"
    ),
    "ReadyForNewScale": "recommended size matches current size",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Normalized:
    """The metrics' count, then after stabilization, then after the limits, the last two with a reason."""

    unstabilized_replicas: int
    stabilized_replicas: int
    stabilized_reason: str
    replicas: int
    limited_reason: str

    @property
    def is_limited(self) -> bool:
        """Whether a bound or a rate cut the stabilized count."""
        return self.replicas != self.stabilized_replicas


def normalize(
    spec: HPASpec, state: HPAState, *, current_replicas: int, desired_replicas: int, now_ns: int
) -> tuple[Normalized, HPAState]:
    """Stabilize, then limit; record the recommendation and both conditions."""
    behavior = spec.behavior
    if behavior is None:
        window_seconds = spec.controller.downscale_stabilization_seconds
        stabilized, recommendations = stabilize(state.recommendations, desired_replicas, window_seconds, now_ns)
        reason = "ScaleDownStabilized"
        limited = limit_with_defaults(
            current_replicas=current_replicas,
            desired_replicas=stabilized,
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
        )
    else:
        stabilized, reason, recommendations = stabilize_with_behavior(
            state.recommendations,
            current_replicas=current_replicas,
            desired_replicas=desired_replicas,
            scale_up_window_seconds=behavior.scale_up.stabilization_window_seconds or 0,
            scale_down_window_seconds=scale_down_window_seconds(spec),
            now_ns=now_ns,
        )
        limited = limit_with_behavior(
            behavior,
            state.scale_up_events,
            state.scale_down_events,
            current_replicas=current_replicas,
            desired_replicas=stabilized,
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            now_ns=now_ns,
        )
    normalized = Normalized(
        unstabilized_replicas=desired_replicas,
        stabilized_replicas=stabilized,
        stabilized_reason=reason if stabilized != desired_replicas else "ReadyForNewScale",
        replicas=limited.replicas,
        limited_reason=limited.reason,
    )
    return normalized, _recorded(state, normalized, limited, recommendations=recommendations, now_ns=now_ns)


def _recorded(
    state: HPAState,
    normalized: Normalized,
    limited: Limited,
    *,
    recommendations: tuple[Recommendation, ...],
    now_ns: int,
) -> HPAState:
    conditions = state.conditions
    able_to_scale = set_condition(
        conditions.able_to_scale,
        "True",
        normalized.stabilized_reason,
        _STABILIZED_MESSAGES[normalized.stabilized_reason],
        now_ns,
    )
    scaling_limited = set_condition(
        conditions.scaling_limited,
        "True" if normalized.is_limited else "False",
        limited.reason,
        limited.message,
        now_ns,
    )
    return replace(
        state,
        recommendations=recommendations,
        conditions=replace(conditions, able_to_scale=able_to_scale, scaling_limited=scaling_limited),
    )
