"""The defaults that the API server fills into `behavior`.

Source: pkg/apis/autoscaling/v2/defaults.go (GenerateHPAScaleUpRules, GenerateHPAScaleDownRules), v1.36.3.
"""

from policies.hpa.quantity import Quantity
from policies.hpa.spec import Behavior, ScalingPolicy, ScalingRules, SelectPolicy

_UP_POLICIES = (
    ScalingPolicy(type="Pods", value=4, period_seconds=15),
    ScalingPolicy(type="Percent", value=100, period_seconds=15),
)
_DOWN_POLICIES = (ScalingPolicy(type="Percent", value=100, period_seconds=15),)


def default_behavior(*, scale_up: ScalingRules | None = None, scale_down: ScalingRules | None = None) -> Behavior:
    """`behavior` with the directions that are not given filled in."""
    return Behavior(scale_up=scale_up or scale_up_rules(), scale_down=scale_down or scale_down_rules())


def scale_up_rules(
    *,
    stabilization_window_seconds: int | None = None,
    select_policy: SelectPolicy | None = None,
    policies: tuple[ScalingPolicy, ...] | None = None,
    tolerance: Quantity | None = None,
) -> ScalingRules:
    """`behavior.scaleUp`: no window; the larger of +4 pods and +100 % per 15 s. None means not given."""
    return ScalingRules(
        stabilization_window_seconds=stabilization_window_seconds or 0,
        select_policy=select_policy or "Max",
        policies=_UP_POLICIES if policies is None else policies,
        tolerance=tolerance,
    )


def scale_down_rules(
    *,
    stabilization_window_seconds: int | None = None,
    select_policy: SelectPolicy | None = None,
    policies: tuple[ScalingPolicy, ...] | None = None,
    tolerance: Quantity | None = None,
) -> ScalingRules:
    """`behavior.scaleDown`: -100 % per 15 s. None means not given.

    The window stays None, since the controller's flag, not the API server, gives its default.
    """
    return ScalingRules(
        stabilization_window_seconds=stabilization_window_seconds,
        select_policy=select_policy or "Max",
        policies=_DOWN_POLICIES if policies is None else policies,
        tolerance=tolerance,
    )
