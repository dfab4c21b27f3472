"""Stabilization windows: a recommendation acts only once the recent ones agree.

Source: pkg/controller/podautoscaler/horizontal.go (stabilizeRecommendation,
stabilizeRecommendationWithBehaviors, maybeInitScaleDownStabilizationWindow), v1.36.3.
"""

from policies.hpa.go_numbers import wrap_int32
from policies.hpa.spec import HPASpec
from policies.hpa.state import Recommendation
from policies.snapshot import NS_PER_SECOND

Recommendations = tuple[Recommendation, ...]


def stabilize(
    recommendations: Recommendations, desired_replicas: int, window_seconds: int, now_ns: int
) -> tuple[int, Recommendations]:
    """Without a behavior: the highest recommendation within the window, the new one included.

    A sample exactly `window_seconds` old still counts. Returns (replicas, recommendations with the new one).
    """
    cutoff_ns = now_ns - window_seconds * NS_PER_SECOND
    highest = desired_replicas
    reusable: int | None = None
    for slot, recommendation in enumerate(recommendations):
        if recommendation.at_ns < cutoff_ns:
            reusable = slot
        elif recommendation.replicas > highest:
            highest = recommendation.replicas
    return highest, _record(recommendations, desired_replicas, now_ns, reusable)


def stabilize_with_behavior(
    recommendations: Recommendations,
    *,
    current_replicas: int,
    desired_replicas: int,
    scale_up_window_seconds: int,
    scale_down_window_seconds: int,
    now_ns: int,
) -> tuple[int, str, Recommendations]:
    """With a behavior: move up to the lowest recent recommendation, or down to the highest, or stay.

    A sample exactly as old as a window no longer counts in it. Returns (replicas, the reason if the
    recommendation was held back, recommendations with the new one).
    """
    up_cutoff_ns = now_ns - scale_up_window_seconds * NS_PER_SECOND
    down_cutoff_ns = now_ns - scale_down_window_seconds * NS_PER_SECOND
    lowest = highest = desired_replicas
    reusable: int | None = None
    for slot, recommendation in enumerate(recommendations):
        at_ns = recommendation.at_ns
        if at_ns > up_cutoff_ns:
            lowest = min(lowest, recommendation.replicas)
        if at_ns > down_cutoff_ns:
            highest = max(highest, recommendation.replicas)
        if at_ns < up_cutoff_ns and at_ns < down_cutoff_ns:
            reusable = slot
    stabilized = min(max(current_replicas, lowest), highest)
    reason = "ScaleUpStabilized" if desired_replicas >= current_replicas else "ScaleDownStabilized"
    return stabilized, reason, _record(recommendations, desired_replicas, now_ns, reusable)


def scale_down_window_seconds(spec: HPASpec) -> int:
    """The behavior's window, or the controller's where the behavior leaves it out."""
    given = spec.behavior.scale_down.stabilization_window_seconds if spec.behavior is not None else None
    return wrap_int32(spec.controller.downscale_stabilization_seconds) if given is None else given


def _record(recommendations: Recommendations, replicas: int, now_ns: int, reusable: int | None) -> Recommendations:
    """Overwrite the last slot that fell out of every window, else append."""
    newest = Recommendation(replicas=replicas, at_ns=now_ns)
    if reusable is None:
        return (*recommendations, newest)
    return (*recommendations[:reusable], newest, *recommendations[reusable + 1 :])
