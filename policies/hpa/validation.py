"""What people may ask an HPA for.

Source: pkg/apis/autoscaling/validation/validation.go (ValidateHorizontalPodAutoscaler, validateBehavior,
validateMetrics), v1.36.3.
"""

import math
from collections.abc import Mapping

from policies.errors import BadInput
from policies.hpa.go_numbers import MAX_INT32, MAX_INT64
from policies.hpa.spec import Behavior, ControllerOptions, HPASpec, MetricSpec, ScalingRules

_MAX_WINDOW_SECONDS = 3600
_MAX_PERIOD_SECONDS = 1800
_SELECT_POLICIES = ("Max", "Min", "Disabled")
_POLICY_TYPES = ("Pods", "Percent")
_TARGETS: Mapping[str, tuple[str, ...]] = {
    "Resource": ("averageUtilization", "averageValue"),
    "ContainerResource": ("averageUtilization", "averageValue"),
    "Pods": ("averageValue",),
    "Object": ("value", "averageValue"),
    "External": ("value", "averageValue"),
}


def validate(spec: HPASpec) -> None:
    """Raise BadInput for the first field that the API server or the controller's flags would refuse."""
    check_options(spec.controller)
    _check_bounds(spec)
    if not spec.metrics:
        raise BadInput("metrics: was empty, must hold at least one metric; add one")
    for index, metric in enumerate(spec.metrics):
        _check_metric(f"metrics[{index}]", metric)
    if spec.behavior is not None:
        check_behavior(spec.behavior)


def _check_bounds(spec: HPASpec) -> None:
    _in_range("maxReplicas", spec.max_replicas, 1, MAX_INT32)
    _in_range("minReplicas", spec.min_replicas, 0, MAX_INT32)
    if spec.min_replicas == 0 and not spec.controller.hpa_scale_to_zero:
        raise BadInput("minReplicas: was 0, must be >= 1; raise it or enable the feature gate HPAScaleToZero")
    if spec.min_replicas == 0 and not any(metric.type in {"Object", "External"} for metric in spec.metrics):
        raise BadInput(
            "minReplicas: was 0, must be >= 1 without an Object or External metric, since pods that are not "
            "there report none; raise it or add such a metric"
        )
    if spec.min_replicas > spec.max_replicas:
        raise BadInput(
            f"minReplicas: was {spec.min_replicas}, must be <= maxReplicas ({spec.max_replicas}); "
            "lower it or raise maxReplicas"
        )


def check_options(options: ControllerOptions) -> None:
    """Raise BadInput for a flag that kube-controller-manager would refuse."""
    if not 0.0 <= options.tolerance < math.inf:
        raise BadInput(f"controller.tolerance: was {options.tolerance}, must be a finite number >= 0")
    for name, seconds in (
        ("downscaleStabilizationSeconds", options.downscale_stabilization_seconds),
        ("cpuInitializationPeriodSeconds", options.cpu_initialization_period_seconds),
        ("initialReadinessDelaySeconds", options.initial_readiness_delay_seconds),
    ):
        _in_range(f"controller.{name}", seconds, 0, MAX_INT32)


def _check_metric(field: str, metric: MetricSpec) -> None:
    allowed = _TARGETS.get(metric.type)
    if allowed is None:
        raise BadInput(f"{field}.type: was {metric.type!r}, must be one of {', '.join(_TARGETS)}")
    if not metric.name:
        raise BadInput(f"{field}.name: was empty, must name the metric or resource")
    if (metric.type == "ContainerResource") != bool(metric.container):
        rule = "name a container" if metric.type == "ContainerResource" else f"be empty for type {metric.type}"
        raise BadInput(f"{field}.container: was {metric.container!r}, must {rule}")
    if metric.type == "Object" and not all(metric.object_name.partition("/")):
        raise BadInput(f"{field}.describedObject: was {metric.object_name!r}, must be Kind/name")
    given = {
        "averageUtilization": metric.average_utilization,
        "averageValue": metric.average_value_milli,
        "value": metric.value_milli,
    }
    targets = [name for name, value in given.items() if value is not None]
    if len(targets) != 1 or targets[0] not in allowed:
        raise BadInput(
            f"{field}.target: was {' and '.join(targets) or 'empty'}, must set exactly one of "
            f"{', '.join(allowed)} for type {metric.type}"
        )
    if metric.average_utilization is not None:
        _in_range(f"{field}.target.averageUtilization", metric.average_utilization, 1, MAX_INT32)
    for name, milli in (("averageValue", metric.average_value_milli), ("value", metric.value_milli)):
        if milli is not None:
            _in_range(f"{field}.target.{name} (in milli-units)", milli, 1, MAX_INT64)


def check_behavior(behavior: Behavior) -> None:
    for field, rules in (
        ("behavior.scaleUp", behavior.scale_up),
        ("behavior.scaleDown", behavior.scale_down),
    ):
        window_seconds = rules.stabilization_window_seconds
        if window_seconds is not None:
            _in_range(f"{field}.stabilizationWindowSeconds", window_seconds, 0, _MAX_WINDOW_SECONDS)
        elif rules is behavior.scale_up:
            raise BadInput(
                f"{field}.stabilizationWindowSeconds: was not given, must be in [0, {_MAX_WINDOW_SECONDS}]; "
                "the API server's default is 0"
            )
        _check_policies(field, rules)


def _check_policies(field: str, rules: ScalingRules) -> None:
    _one_of(f"{field}.selectPolicy", rules.select_policy, _SELECT_POLICIES)
    if not rules.policies:
        raise BadInput(f"{field}.policies: was empty, must hold at least one; leave it out for the defaults")
    for index, policy in enumerate(rules.policies):
        _one_of(f"{field}.policies[{index}].type", policy.type, _POLICY_TYPES)
        _in_range(f"{field}.policies[{index}].value", policy.value, 1, MAX_INT32)
        _in_range(f"{field}.policies[{index}].periodSeconds", policy.period_seconds, 1, _MAX_PERIOD_SECONDS)
    if rules.tolerance is not None and rules.tolerance.mantissa < 0:
        raise BadInput(f"{field}.tolerance: was {rules.tolerance.canonical()}, must be >= 0")


def _in_range(field: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise BadInput(f"{field}: was {value}, must be in [{low}, {high}]")


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise BadInput(f"{field}: was {value!r}, must be one of {', '.join(allowed)}")
