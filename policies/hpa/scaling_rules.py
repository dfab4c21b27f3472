"""How far one sync may move: the bounds, and the rate of change.

Source: pkg/controller/podautoscaler/horizontal.go (convertDesiredReplicasWithBehaviorRate,
convertDesiredReplicasWithRules, calculateScaleUpLimitWithScalingRules,
calculateScaleDownLimitWithBehaviors), v1.36.3.
"""

from dataclasses import dataclass

from policies.hpa.go_numbers import MAX_INT32, MIN_INT32, ceil_int32, truncate_int32, wrap_int32
from policies.hpa.scale_events import ScaleEvents, replicas_changed
from policies.hpa.spec import Behavior, ScalingPolicy, ScalingRules

_MESSAGES = {
    "ScaleUpLimit": "the desired replica count is increasing faster than the maximum scale rate",
    "ScaleDownLimit": "the desired replica count is decreasing faster than the maximum scale rate",
    "TooManyReplicas": "the desired replica count is more than the maximum replica count",
    "TooFewReplicas": "the desired replica count is less than the minimum replica count",
    "DesiredWithinRange": "the desired count is within the acceptable range",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limited:
    """A replica count within its limits, and the limit that cut it (`DesiredWithinRange` for none)."""

    replicas: int
    reason: str

    @property
    def message(self) -> str:
        """Upstream's sentence for the reason."""
        return _MESSAGES[self.reason]


def limit_with_behavior(
    behavior: Behavior,
    scale_up_events: ScaleEvents,
    scale_down_events: ScaleEvents,
    *,
    current_replicas: int,
    desired_replicas: int,
    min_replicas: int,
    max_replicas: int,
    now_ns: int,
) -> Limited:
    """Cut a change to what the behavior's policies and the bounds allow now."""
    if desired_replicas > current_replicas:
        limit = _scale_up_limit(current_replicas, scale_up_events, scale_down_events, behavior.scale_up, now_ns)
        limit = max(limit, current_replicas)  # events may leave no room, which never turns into a change
        allowed, reason = (limit, "ScaleUpLimit") if max_replicas > limit else (max_replicas, "TooManyReplicas")
        if desired_replicas > allowed:
            return Limited(replicas=allowed, reason=reason)
    elif desired_replicas < current_replicas:
        limit = _scale_down_limit(current_replicas, scale_up_events, scale_down_events, behavior.scale_down, now_ns)
        limit = min(limit, current_replicas)
        allowed, reason = (limit, "ScaleDownLimit") if min_replicas < limit else (min_replicas, "TooFewReplicas")
        if desired_replicas < allowed:
            return Limited(replicas=allowed, reason=reason)
    return Limited(replicas=desired_replicas, reason="DesiredWithinRange")


def limit_with_defaults(
    *, current_replicas: int, desired_replicas: int, min_replicas: int, max_replicas: int
) -> Limited:
    """Without a behavior: within the bounds, and up to double the current count or 4."""
    limit = truncate_int32(max(2.0 * float(current_replicas), 4.0))
    allowed, reason = (limit, "ScaleUpLimit") if max_replicas > limit else (max_replicas, "TooManyReplicas")
    if desired_replicas < min_replicas:
        return Limited(replicas=min_replicas, reason="TooFewReplicas")
    if desired_replicas > allowed:
        return Limited(replicas=allowed, reason=reason)
    return Limited(replicas=desired_replicas, reason="DesiredWithinRange")


def _scale_up_limit(
    current_replicas: int, added: ScaleEvents, removed: ScaleEvents, rules: ScalingRules, now_ns: int
) -> int:
    if rules.select_policy == "Disabled":
        return current_replicas
    proposals = [
        _after_scale_up(_at_period_start(current_replicas, added, removed, policy, now_ns), policy)
        for policy in rules.policies
    ]
    if rules.select_policy == "Min":
        return min(proposals, default=MAX_INT32)
    return max(proposals, default=MIN_INT32)


def _scale_down_limit(
    current_replicas: int, added: ScaleEvents, removed: ScaleEvents, rules: ScalingRules, now_ns: int
) -> int:
    if rules.select_policy == "Disabled":
        return current_replicas
    proposals = [
        _after_scale_down(_at_period_start(current_replicas, added, removed, policy, now_ns), policy)
        for policy in rules.policies
    ]
    if rules.select_policy == "Min":
        return max(proposals, default=MIN_INT32)
    return min(proposals, default=MAX_INT32)


def _at_period_start(
    current_replicas: int, added: ScaleEvents, removed: ScaleEvents, policy: ScalingPolicy, now_ns: int
) -> int:
    """Replicas when the policy's period began: undo what this controller changed since."""
    return wrap_int32(
        current_replicas
        - replicas_changed(added, policy.period_seconds, now_ns)
        + replicas_changed(removed, policy.period_seconds, now_ns)
    )


def _after_scale_up(replicas: int, policy: ScalingPolicy) -> int:
    if policy.type == "Pods":
        return wrap_int32(replicas + policy.value)
    # Rounded up: a small percentage of few replicas must still allow one more.
    return ceil_int32(float(replicas) * (1.0 + float(policy.value) / 100.0))


def _after_scale_down(replicas: int, policy: ScalingPolicy) -> int:
    if policy.type == "Pods":
        return wrap_int32(replicas - policy.value)
    return truncate_int32(float(replicas) * (1.0 - float(policy.value) / 100.0))
