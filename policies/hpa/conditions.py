"""The four conditions of an HPA's status.

Source: pkg/controller/podautoscaler/horizontal.go (setCondition), v1.36.3.
"""

from dataclasses import dataclass

from policies.snapshot import ConditionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition. last_transition_ns: when the status (not the reason) last changed."""

    status: ConditionStatus
    reason: str
    message: str = ""
    last_transition_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Every condition of one HPA; None where it was never set.

    able_to_scale: the scale can be read and written, and stabilization.
    scaling_active: metrics give a replica count.
    scaling_limited: the count was cut by bounds or by the rate of change.
    scaled_to_zero: this controller took the target to 0, so it may bring it back (gate HPAScaleToZero).
    """

    able_to_scale: Condition | None = None
    scaling_active: Condition | None = None
    scaling_limited: Condition | None = None
    scaled_to_zero: Condition | None = None

    def by_type(self) -> dict[str, Condition]:
        """The API's condition type -> condition, only those that are set."""
        named = {
            "AbleToScale": self.able_to_scale,
            "ScalingActive": self.scaling_active,
            "ScalingLimited": self.scaling_limited,
            "ScaledToZero": self.scaled_to_zero,
        }
        return {name: condition for name, condition in named.items() if condition is not None}


def set_condition(
    previous: Condition | None, status: ConditionStatus, reason: str, message: str, now_ns: int
) -> Condition:
    """The condition's next value; the transition time moves only when the status changes."""
    unchanged = previous is not None and previous.status == status
    return Condition(
        status=status,
        reason=reason,
        message=message,
        last_transition_ns=previous.last_transition_ns if previous is not None and unchanged else now_ns,
    )
