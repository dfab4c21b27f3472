"""What a HorizontalPodAutoscaler asks for, and the controller's own options.

The words are those of the API (autoscaling/v2) in snake_case; quantities that the API writes as text are
milli-units here (1000 = 1). Nothing is checked on construction: `validation.validate` says what people may
ask for, `decide` follows the controller for anything.
"""

from dataclasses import dataclass, field
from typing import Literal

from policies.hpa.quantity import Quantity
from policies.snapshot import MetricQuery, MetricType

TargetType = Literal["Value", "AverageValue", "Utilization"]
PolicyType = Literal["Pods", "Percent"]
SelectPolicy = Literal["Max", "Min", "Disabled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingPolicy:
    """One limit: at most `value` pods or percent of change within any `period_seconds`."""

    type: PolicyType
    value: int
    period_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingRules:
    """One direction of `behavior`, with its defaults filled in (see `defaults`).

    stabilization_window_seconds: None only for scale-down; then the controller's
        downscale_stabilization_seconds holds.
    select_policy: of several policies, the one that allows the most (Max) or the least (Min) change.
    tolerance: a fraction of the target; None leaves the controller's.
    """

    stabilization_window_seconds: int | None
    select_policy: SelectPolicy = "Max"
    policies: tuple[ScalingPolicy, ...]
    tolerance: Quantity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """`spec.behavior` as the API server stores it. `defaults.behavior` fills in what is not given."""

    scale_up: ScalingRules
    scale_down: ScalingRules


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One entry of `spec.metrics`. One of the three targets is set; see `used_target` where there are several.

    name: the resource (`cpu`) for Resource and ContainerResource, else the metric's name.
    object_name: `Kind/name` of the described object, for Object.
    target_type: `target.type`; only Object goes by it. None stands for the type of the target that is set.
    average_utilization: percent of the pods' requests (Resource and ContainerResource).
    average_value_milli: per pod. value_milli: of the whole (Object and External).
    """

    type: MetricType
    name: str
    container: str = ""
    object_name: str = ""
    selector: tuple[tuple[str, str], ...] = ()
    target_type: TargetType | None = None
    average_utilization: int | None = None
    average_value_milli: int | None = None
    value_milli: int | None = None

    @property
    def used_target(self) -> TargetType | None:
        """Which target the controller goes by; None where it can go by none.

        Source: pkg/controller/podautoscaler/horizontal.go (computeStatusFor...Metric), v1.36.3.
        """
        if self.type == "Object":
            if self.value_milli is not None and self.target_type in {"Value", None}:
                return "Value"
            has_average = self.average_value_milli is not None and self.target_type in {"AverageValue", None}
            return "AverageValue" if has_average else None
        if self.average_value_milli is not None:
            return "AverageValue"
        if self.type == "External":
            return None if self.value_milli is None else "Value"
        return None if self.average_utilization is None or self.type == "Pods" else "Utilization"

    @property
    def query(self) -> MetricQuery:
        """What to ask the metrics APIs: the key of this metric's answer in `Snapshot.observations`."""
        return MetricQuery(
            type=self.type,
            name=self.name,
            container=self.container,
            object_name=self.object_name,
            selector=self.selector,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOptions:
    """Flags of kube-controller-manager; the defaults are upstream's.

    tolerance: fraction, both directions (--horizontal-pod-autoscaler-tolerance).
    downscale_stabilization_seconds: how long the highest recommendation holds a scale-down back.
    cpu_initialization_period_seconds: after a pod's start, CPU samples count only once it is ready.
    initial_readiness_delay_seconds: a pod that went unready within this time of its start never was ready.
    hpa_scale_to_zero: feature gate, alpha and off in 1.36. hpa_configurable_tolerance: gate, on.
    """

    tolerance: float = 0.1
    downscale_stabilization_seconds: int = 300
    cpu_initialization_period_seconds: int = 300
    initial_readiness_delay_seconds: int = 30
    hpa_scale_to_zero: bool = False
    hpa_configurable_tolerance: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HPASpec:
    """`spec` of a HorizontalPodAutoscaler together with the options of the controller that runs it.

    behavior: None means the classic limits (double, at least 4) and the controller's downscale
        stabilization, which is not the same as a behavior with every default.
    """

    min_replicas: int = 1
    max_replicas: int
    metrics: tuple[MetricSpec, ...]
    behavior: Behavior | None = None
    controller: ControllerOptions = field(default_factory=ControllerOptions)
