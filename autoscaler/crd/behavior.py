"""`behavior`: how fast the replica count may move, in the HPA's words and with its defaults.

Source: kubernetes/api autoscaling/v2/types.go (HorizontalPodAutoscalerBehavior); defaults of
pkg/apis/autoscaling/v2/defaults.go and, for the window of scaling down, of the controller's flag
--horizontal-pod-autoscaler-downscale-stabilization; v1.36.3.
"""

from typing import Literal

from pydantic import Field

from autoscaler.crd.quantity import ToleranceQuantity
from autoscaler.crd.section import CrdSection
from policies.hpa import ControllerOptions, ScalingRules, scale_down_rules, scale_up_rules
from policies.hpa.go_numbers import MAX_INT32

_DOWN_WINDOW_SECONDS = ControllerOptions().downscale_stabilization_seconds


class ScalingPolicy(CrdSection):
    """One limit on the change within a time."""

    type: Literal["Pods", "Percent"]
    """Pods: `value` is a count. Percent: of the present replicas."""
    value: int = Field(ge=1, le=MAX_INT32)
    """The most that may change within the period, pods or percent, at least 1."""
    period_seconds: int = Field(ge=1, le=1800)
    """Seconds over which changes are summed, 1 to 1800."""


def _policies_of(rules: ScalingRules) -> tuple[ScalingPolicy, ...]:
    return tuple(
        ScalingPolicy(type=policy.type, value=policy.value, period_seconds=policy.period_seconds)
        for policy in rules.policies
    )


class ScaleUp(CrdSection):
    """Limits on adding replicas. By default none waits, and the larger of 4 pods and 100 % comes every 15 s."""

    stabilization_window_seconds: int = Field(0, ge=0, le=3600)
    """Seconds, 0 to 3600: the lowest need within them holds. 0 by default: a need is met at once."""
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Of several policies the one that allows the most (Max) or the least (Min); Disabled: never add replicas."""
    policies: tuple[ScalingPolicy, ...] = Field(
        _policies_of(scale_up_rules()), strict=False, min_length=1, max_length=10
    )
    """Limits. By default the HPA's: 4 pods or 100 % per 15 s."""
    tolerance: ToleranceQuantity | None = None
    """Of `metrics`: the fraction above the target that is let be; in quotes: "0.05". 0.1 by default, as in the HPA."""


class ScaleDown(CrdSection):
    """Limits on removing replicas. By default the highest need of 5 min holds, and then all may go."""

    stabilization_window_seconds: int = Field(_DOWN_WINDOW_SECONDS, ge=0, le=3600)
    """Seconds, 0 to 3600: the highest need within them holds. 300 by default, as in the HPA: what was just removed is
    minutes away if it is missed."""
    select_policy: Literal["Max", "Min", "Disabled"] = "Max"
    """Of several policies the one that allows the most (Max) or the least (Min); Disabled: never remove replicas."""
    policies: tuple[ScalingPolicy, ...] = Field(
        _policies_of(scale_down_rules()), strict=False, min_length=1, max_length=10
    )
    """Limits. By default the HPA's: 100 % per 15 s, so that only the window slows it."""
    tolerance: ToleranceQuantity | None = None
    """Of `metrics`: the fraction below the target that is let be; in quotes: "0.05". 0.1 by default, as in the HPA."""


class Behavior(CrdSection):
    """How fast the replica count may move, exactly as `behavior` of an HPA, with its defaults."""

    scale_up: ScaleUp = ScaleUp()
    scale_down: ScaleDown = ScaleDown()
