"""What the HPA makes of the published need: its tolerance, its target, its own windows. Pure.

An HPA compares usage / target with its tolerance before it counts replicas, so that with the usual 0.1 a need of 21 at
20 replicas is lost. With behavior.scaleUp.tolerance and scaleDown.tolerance at 0 every need is met exactly.
Source: policies/hpa/replica_calculator.py, external_per_pod_replicas (GetExternalPerPodMetricReplicas, v1.36.3).
"""

from collections.abc import Iterator

from autoscaler.act.published import METRIC_NAME
from autoscaler.cluster import Key
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.outcome import Finding
from policies.hpa import Behavior, ControllerOptions, HPASpec, MetricSpec
from policies.hpa.replica_calculator import external_per_pod_replicas
from policies.hpa.tolerance import Tolerances, tolerances_for

_ONE_MILLI = 1000  # averageValue "1": the metric counts replicas, so a replica's share of it is one
_DEFAULT_WINDOW_SECONDS = ControllerOptions().downscale_stabilization_seconds


_NAME_LABEL, _NAMESPACE_LABEL = "predictiveautoscaler", "exported_namespace"
"""Of the object, as the adapter's series bear them: their `namespace` is that of the controller's pod."""


def metric_read(hpa: HpaSeen, key: Key) -> MetricSpec | None:
    """The HPA's entry that reads this object's need, among others' where its selector leaves them in; None where it has
    none. The entry for this object alone comes first. client-go lower-cases External names."""
    found = [
        metric
        for metric in hpa.metrics
        if metric.type == "External" and metric.name.lower() == METRIC_NAME and _selects(metric, key)
    ]
    return min(found, key=lambda metric: len(_left_open(metric)), default=None)


def hpa_tolerances(hpa: HpaSeen) -> Tolerances:
    """Of this HPA, with kube-controller-manager's default where its behavior gives none."""
    return tolerances_for(HPASpec(max_replicas=hpa.max_replicas, metrics=hpa.metrics, behavior=hpa.behavior))


def replicas_by_hpa(need: int, status_replicas: int, tolerances: Tolerances) -> int:
    """What the HPA's calculator makes of the published need, before its behavior and bounds."""
    count = external_per_pod_replicas(
        (need * _ONE_MILLI,),
        status_replicas=status_replicas,
        target_average_milli=_ONE_MILLI,
        tolerances=tolerances,
    )
    return count.replicas


def dead_band(status_replicas: int, tolerances: Tolerances) -> tuple[int, int]:
    """(lowest, highest) need that this HPA takes for the present count."""
    low = high = status_replicas
    while low > 1 and replicas_by_hpa(low - 1, status_replicas, tolerances) == status_replicas:
        low -= 1
    while high < 2 * status_replicas and replicas_by_hpa(high + 1, status_replicas, tolerances) == status_replicas:
        high += 1
    return low, high


def findings_on(
    hpa: HpaSeen, key: Key, *, need: int | None, status_replicas: int, our_behavior: Behavior
) -> Iterator[Finding]:
    """What keeps this HPA from following the need. need: None while nothing is published."""
    metric = metric_read(hpa, key)
    if metric is None:
        yield _not_read(hpa, key)
        return
    if metric.average_value_milli != _ONE_MILLI:
        yield _wrong_target(hpa, metric)
        return
    if _left_open(metric):
        yield _reads_several(hpa, metric, key)
    if need is not None and need > hpa.max_replicas:
        yield Finding(
            type="ScalingLimited",
            status="True",
            reason="NeedAboveHPAMax",
            message=f"{need} replicas are needed, but maxReplicas of HPA {hpa.name} is {hpa.max_replicas}; raise it",
        )
    tolerances = hpa_tolerances(hpa)
    if need is not None and need != status_replicas:
        got = replicas_by_hpa(need, status_replicas, tolerances)
        if got == status_replicas and status_replicas > 0:
            yield _within_tolerance(hpa, need, status_replicas, tolerances)
    window_seconds, ours_seconds = down_window_seconds(hpa.behavior), down_window_seconds(our_behavior)
    if window_seconds != ours_seconds:
        yield Finding(
            type="ScalingLimited",
            status="True",
            reason="BehaviorOfHPA",
            message=f"in mode Metric the behavior of HPA {hpa.name} applies: its scaleDown.stabilizationWindowSeconds "
            f"is {window_seconds}, that of this object, {ours_seconds}, has no effect but is what sizing was learned "
            "for; set both the same",
        )


def down_window_seconds(behavior: Behavior | None) -> int:
    """scaleDown.stabilizationWindowSeconds in force."""
    window = None if behavior is None else behavior.scale_down.stabilization_window_seconds
    return _DEFAULT_WINDOW_SECONDS if window is None else window


def still_reading(hpa: HpaSeen, mode: str) -> Finding:
    """The mode is not Metric, and yet this HPA reads the need: it holds for ever on a metric that does not come."""
    return Finding(
        type="NoConflict",
        status="False",
        reason="HPAWithoutItsMetric",
        message=f"HPA {hpa.name} reads {METRIC_NAME} of this object, which mode {mode} does not publish, so it never "
        "scales down; remove that metric from the HPA, or set mode Metric",
    )


def _not_read(hpa: HpaSeen, key: Key) -> Finding:
    return Finding(
        type="AbleToScale",
        status="False",
        reason="NeedNotRead",
        message=f"HPA {hpa.name} does not read the need; add to its metrics: type External, metric.name "
        f"{METRIC_NAME}, metric.selector.matchLabels {_NAMESPACE_LABEL}: {key.namespace}, {_NAME_LABEL}: {key.name} "
        "and namespace: the controller's, target type AverageValue, averageValue 1",
    )


def _selects(metric: MetricSpec, key: Key) -> bool:
    """Whether the selector, whose entries are equalities, lets this object's series pass."""
    selector = dict(metric.selector)
    return (
        selector.get(_NAME_LABEL, key.name) == key.name
        and selector.get(_NAMESPACE_LABEL, key.namespace) == key.namespace
    )


def _left_open(metric: MetricSpec) -> tuple[str, ...]:
    """Labels of the object that the selector does not fix."""
    selector = dict(metric.selector)
    return tuple(label for label in (_NAME_LABEL, _NAMESPACE_LABEL) if label not in selector)


def _reads_several(hpa: HpaSeen, metric: MetricSpec, key: Key) -> Finding:
    left_open = _left_open(metric)
    whose = "every PredictiveAutoscaler's need"
    if left_open == (_NAMESPACE_LABEL,):
        whose = f"the need of the PredictiveAutoscalers {key.name} of all namespaces"
    elif left_open == (_NAME_LABEL,):
        whose = f"the need of every PredictiveAutoscaler of namespace {key.namespace}"
    own = {_NAME_LABEL: key.name, _NAMESPACE_LABEL: key.namespace}
    missing = ", ".join(f"{label}: {own[label]}" for label in left_open)
    return Finding(
        type="NoConflict",
        status="False",
        reason="NeedOfSeveralRead",
        message=f"HPA {hpa.name} reads {whose}, and an HPA adds up what it reads; add to the "
        f"metric.selector.matchLabels of its metric {METRIC_NAME}: {missing}",
    )


def _wrong_target(hpa: HpaSeen, metric: MetricSpec) -> Finding:
    if metric.average_value_milli is None:
        was = "no averageValue"
    else:
        was = f"averageValue {metric.average_value_milli / _ONE_MILLI:g}"
    return Finding(
        type="AbleToScale",
        status="False",
        reason="WrongTarget",
        message=f"HPA {hpa.name}, metric {METRIC_NAME}: was {was}, must be target type AverageValue with averageValue "
        "1: the metric counts replicas",
    )


def _within_tolerance(hpa: HpaSeen, need: int, status_replicas: int, tolerances: Tolerances) -> Finding:
    low, high = dead_band(status_replicas, tolerances)
    direction, tolerance, lost = "scaleUp", tolerances.scale_up, f"{need - status_replicas} too few"
    if need < status_replicas:
        direction, tolerance, lost = "scaleDown", tolerances.scale_down, f"{status_replicas - need} too many"
    return Finding(
        type="ScalingLimited",
        status="True",
        reason="WithinHPATolerance",
        message=f"{need} replicas are needed at {status_replicas}, but HPA {hpa.name} takes {low} to {high} for "
        f"{status_replicas} (tolerance {tolerance:g}): {lost}; set its behavior.{direction}.tolerance to 0 "
        "(Kubernetes 1.35 on, or the gate HPAConfigurableTolerance)",
    )
