"""The HPA that KEDA generates for a ScaledObject.

Source: kedacore/keda controllers/keda/hpa.go (newHPAForScaledObject) and scaledobject_types.go (GetHPAMinReplicas):
minReplicas is at least 1, since the way to zero is the executor's, and without `behavior` none is written, which
leaves the HPA controller's classic limits in force.
"""

from collections.abc import Iterable
from dataclasses import replace

from policies.hpa import Behavior, HPASpec, MetricSpec, default_behavior, scale_down_rules, scale_up_rules


def generated_hpa(
    metrics: Iterable[MetricSpec],
    *,
    min_replicas: int,
    max_replicas: int,
    behavior: Behavior | None,
    paused_scale_in: bool,
    paused_scale_out: bool,
) -> HPASpec:
    """One External metric per trigger; a paused direction is one whose selectPolicy is Disabled."""
    if paused_scale_in or paused_scale_out:
        behavior = behavior or default_behavior()
        up, down = behavior.scale_up, behavior.scale_down
        behavior = Behavior(
            scale_up=replace(up, select_policy="Disabled") if paused_scale_out else up,
            scale_down=replace(down, select_policy="Disabled") if paused_scale_in else down,
        )
    return HPASpec(
        min_replicas=max(1, min_replicas), max_replicas=max_replicas, metrics=tuple(metrics), behavior=behavior
    )


def behavior_of_windows(scale_up_seconds: int | None, scale_down_seconds: int | None) -> Behavior | None:
    """The behavior that gives only windows; None where neither is given, because then none is written."""
    if scale_up_seconds is None and scale_down_seconds is None:
        return None
    return default_behavior(
        scale_up=scale_up_rules(stabilization_window_seconds=scale_up_seconds),
        scale_down=scale_down_rules(stabilization_window_seconds=scale_down_seconds),
    )
