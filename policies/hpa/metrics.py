"""From all metrics of an HPA to one recommendation: the largest, and no scale-down on partial data.

Source: pkg/controller/podautoscaler/horizontal.go (computeReplicasForMetrics, computeReplicasForMetric,
computeStatusFor...Metric), v1.36.3.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.hpa.errors import NoReplicaCount
from policies.hpa.metric_names import described, failure
from policies.hpa.pod_groups import PodTiming
from policies.hpa.replica_calculator import (
    ReplicaCount,
    external_per_pod_replicas,
    external_replicas,
    object_per_pod_replicas,
    object_replicas,
    plain_metric_replicas,
    resource_replicas,
)
from policies.hpa.spec import HPASpec, MetricSpec
from policies.hpa.tolerance import Tolerances, tolerances_for
from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    ObjectMetric,
    Observation,
    Pod,
    PodMetrics,
    PodSample,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsResult:
    """What the metrics say together.

    replicas: the largest proposal, or None when nothing can be done.
    metric: upstream's words for the metric that proposed it; "" with None.
    winner: its place in the spec, None with replicas None.
    counts: one per metric of the spec, None where it failed.
    error: None unless a metric failed; beside a number of replicas it means "scale, and report".
    failed_reason: condition reason of the first metric that failed, "" where none did.
    """

    replicas: int | None
    metric: str = ""
    winner: int | None = None
    counts: tuple[ReplicaCount | None, ...] = ()
    error: str | None = None
    failed_reason: str = ""
    failed_message: str = ""


def compute_replicas_for_metrics(
    spec: HPASpec,
    observations: Sequence[Observation | None],
    pods: Sequence[Pod],
    *,
    replicas: int,
    status_replicas: int,
    now_ns: int,
) -> MetricsResult:
    """The largest replica count that any metric proposes.

    observations: one per metric of the spec, in order; None was not asked and counts as failed.
    With every metric failed, or some failed and the rest asking for less than `replicas`, the answer is
    None: missing is never zero.
    """
    tolerances = tolerances_for(spec)
    options = spec.controller
    timing = PodTiming(
        now_ns=now_ns,
        cpu_initialization_period_ns=options.cpu_initialization_period_seconds * NS_PER_SECOND,
        initial_readiness_delay_ns=options.initial_readiness_delay_seconds * NS_PER_SECOND,
    )
    counts: list[ReplicaCount | None] = []
    largest, winner = 0, None
    failed = 0
    first_failed: MetricSpec | None = None
    first_error = ""
    for index, (metric, observation) in enumerate(zip(spec.metrics, observations, strict=True)):
        try:
            count = _replicas_for_metric(metric, observation, pods, replicas, status_replicas, tolerances, timing)
        except NoReplicaCount as error:
            counts.append(None)
            failed += 1
            if first_failed is None:
                first_failed, first_error = metric, str(error)
            continue
        counts.append(count)
        if largest == 0 or count.replicas > largest:
            largest, winner = count.replicas, index
    if first_failed is None:
        return MetricsResult(
            replicas=largest,
            metric=described(spec.metrics[winner]) if winner is not None else "",
            winner=winner,
            counts=tuple(counts),
        )
    blocked = failed == len(spec.metrics) or largest < replicas
    return MetricsResult(
        replicas=None if blocked else largest,
        metric="" if blocked or winner is None else described(spec.metrics[winner]),
        winner=None if blocked else winner,
        counts=tuple(counts),
        error=(
            f"invalid metrics ({failed} invalid out of {len(spec.metrics)}), "
            f"first error is: {failure(first_failed)}: {first_error}"
        ),
        failed_reason=f"FailedGet{first_failed.type}Metric",
        failed_message=first_error,
    )


def _replicas_for_metric(
    metric: MetricSpec,
    observation: Observation | None,
    pods: Sequence[Pod],
    replicas: int,
    status_replicas: int,
    tolerances: Tolerances,
    timing: PodTiming,
) -> ReplicaCount:
    if metric.type == "Object":
        return _object(metric, observation, pods, replicas, status_replicas, tolerances)
    if metric.type == "External":
        return _external(metric, observation, pods, replicas, status_replicas, tolerances)
    samples = _pod_samples(metric, observation)
    if metric.average_value_milli is not None:
        return plain_metric_replicas(
            pods,
            samples,
            current_replicas=replicas,
            target_milli=metric.average_value_milli,
            resource="" if metric.type == "Pods" else metric.name,
            tolerances=tolerances,
            timing=timing,
        )
    if metric.average_utilization is None or metric.type == "Pods":
        raise NoReplicaCount("neither an average utilization nor an average value target was set")
    return resource_replicas(
        pods,
        samples,
        current_replicas=replicas,
        target_utilization=metric.average_utilization,
        resource=metric.name,
        container=metric.container,
        tolerances=tolerances,
        timing=timing,
    )


def _object(
    metric: MetricSpec,
    observation: Observation | None,
    pods: Sequence[Pod],
    replicas: int,
    status_replicas: int,
    tolerances: Tolerances,
) -> ReplicaCount:
    if not isinstance(observation, ObjectMetric):
        raise NoReplicaCount(f"unable to get metric {metric.name}: {_why(observation)}")
    if metric.used_target == "Value" and metric.value_milli is not None:
        return object_replicas(
            pods,
            observation.value_milli,
            current_replicas=replicas,
            target_milli=metric.value_milli,
            tolerances=tolerances,
        )
    if metric.used_target == "AverageValue" and metric.average_value_milli is not None:
        return object_per_pod_replicas(
            observation.value_milli,
            status_replicas=status_replicas,
            target_average_milli=metric.average_value_milli,
            tolerances=tolerances,
        )
    raise NoReplicaCount("invalid object metric source: neither a value target nor an average value target was set")


def _external(
    metric: MetricSpec,
    observation: Observation | None,
    pods: Sequence[Pod],
    replicas: int,
    status_replicas: int,
    tolerances: Tolerances,
) -> ReplicaCount:
    if not isinstance(observation, ExternalMetric):
        raise NoReplicaCount(f"unable to get external metric {metric.name}: {_why(observation)}")
    if metric.average_value_milli is not None:
        return external_per_pod_replicas(
            observation.values_milli,
            status_replicas=status_replicas,
            target_average_milli=metric.average_value_milli,
            tolerances=tolerances,
        )
    if metric.value_milli is None:
        raise NoReplicaCount("neither a value target nor an average value target was set")
    return external_replicas(
        pods,
        observation.values_milli,
        current_replicas=replicas,
        target_milli=metric.value_milli,
        tolerances=tolerances,
    )


def _pod_samples(metric: MetricSpec, observation: Observation | None) -> Mapping[str, PodSample]:
    if not isinstance(observation, PodMetrics):
        what = "metric" if metric.type == "Pods" else "metrics for resource"
        raise NoReplicaCount(f"unable to get {what} {metric.name}: {_why(observation)}")
    return observation.samples


def _why(observation: Observation | None) -> str:
    if isinstance(observation, MetricError):
        return observation.message
    if observation is None:
        return "the snapshot holds no answer to its query"
    return f"the snapshot answers with {type(observation).__name__}"
