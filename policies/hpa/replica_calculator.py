"""From one metric to a replica count.

Source: pkg/controller/podautoscaler, replica_calculator.go and metrics/utilization.go, v1.36.3.
All values are int64 milli-units; replicas are int32. Every function raises NoReplicaCount when the metric
cannot tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.hpa.errors import NoReplicaCount
from policies.hpa.go_numbers import (
    MAX_INT32,
    MAX_INT64,
    ceil_int32,
    ceil_int64,
    divide,
    quotient,
    wrap_int32,
    wrap_int64,
)
from policies.hpa.pod_groups import PodGroups, PodTiming, count_ready_pods, group_pods
from policies.hpa.requests import calculate_requests
from policies.hpa.tolerance import Tolerances
from policies.snapshot import Pod, PodSample

_NO_PODS = "no pods returned by selector while calculating replica count"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCount:
    """A metric's proposal and the usage it was computed from.

    usage_milli: per pod, except for a Value target, where it is the whole.
    utilization: percent of the requests; only for a utilization target.
    """

    replicas: int
    usage_milli: int
    utilization: int | None = None


def resource_replicas(
    pods: Sequence[Pod],
    samples: Mapping[str, PodSample],
    *,
    current_replicas: int,
    target_utilization: int,
    resource: str,
    container: str,
    tolerances: Tolerances,
    timing: PodTiming,
) -> ReplicaCount:
    """Utilization target, percent of the pods' requests (GetResourceReplicas)."""
    groups, counted = _counted_pods(pods, samples, resource, timing)
    requests = calculate_requests(pods, container, resource)
    known = [name for name in counted if name in requests]  # the API may name pods that are gone
    usage = sum(samples[name].value_milli for name in known)
    requested = sum(requests[name] for name in known)
    ratio, utilization = _utilization_ratio(usage, requested, target_utilization)
    average_milli = quotient(wrap_int64(usage), len(known))

    def proposal(replicas: int) -> ReplicaCount:
        return ReplicaCount(replicas=replicas, usage_milli=average_milli, utilization=utilization)

    scale_up_with_unready = bool(groups.unready) and ratio > 1.0
    if not scale_up_with_unready and not groups.missing:
        if tolerances.is_within(ratio):
            return proposal(current_replicas)
        return proposal(ceil_int32(ratio * float(groups.ready_pod_count)))
    pod_count = len(counted)
    if ratio != 1.0:
        # Down: a missing pod uses its whole request, or the target where that is above it. Up: nothing.
        fallback = max(100, target_utilization) if ratio < 1.0 else 0
        usage += sum(quotient(wrap_int64(requests[name] * fallback), 100) for name in groups.missing)
        requested += sum(requests[name] for name in groups.missing)
        pod_count += len(groups.missing)
    if scale_up_with_unready:
        requested += sum(requests[name] for name in groups.unready)
        pod_count += len(groups.unready)
    new_ratio, _ = _utilization_ratio(usage, requested, target_utilization)
    return proposal(_with_doubtful_pods(current_replicas, ratio, new_ratio, pod_count, tolerances))


def plain_metric_replicas(
    pods: Sequence[Pod],
    samples: Mapping[str, PodSample],
    *,
    current_replicas: int,
    target_milli: int,
    resource: str,
    tolerances: Tolerances,
    timing: PodTiming,
) -> ReplicaCount:
    """Average value per pod (GetMetricReplicas; GetRawResourceReplicas where `resource` is not "")."""
    groups, counted = _counted_pods(pods, samples, resource, timing)
    if len(counted) == len(samples):
        usage = sum([sample.value_milli for sample in samples.values()])
    else:
        usage = sum([samples[name].value_milli for name in counted])
    pod_count = len(counted)
    average_milli = quotient(wrap_int64(usage), pod_count)
    ratio = divide(float(average_milli), float(target_milli))

    def proposal(replicas: int) -> ReplicaCount:
        return ReplicaCount(replicas=replicas, usage_milli=average_milli)

    scale_up_with_unready = bool(groups.unready) and ratio > 1.0
    if not scale_up_with_unready and not groups.missing:
        if tolerances.is_within(ratio):
            return proposal(current_replicas)
        return proposal(ceil_int32(ratio * float(groups.ready_pod_count)))
    if ratio != 1.0:
        # Down: a missing pod sits exactly at the target. Up: it uses nothing.
        usage += target_milli * len(groups.missing) if ratio < 1.0 else 0
        pod_count += len(groups.missing)
    if scale_up_with_unready:
        pod_count += len(groups.unready)
    new_ratio = divide(float(quotient(wrap_int64(usage), pod_count)), float(target_milli))
    return proposal(_with_doubtful_pods(current_replicas, ratio, new_ratio, pod_count, tolerances))


def object_replicas(
    pods: Sequence[Pod], value_milli: int, *, current_replicas: int, target_milli: int, tolerances: Tolerances
) -> ReplicaCount:
    """One object's value against a whole target (GetObjectMetricReplicas)."""
    ratio = divide(float(value_milli), float(target_milli))
    replicas = _usage_ratio_replicas(pods, current_replicas, ratio, tolerances)
    return ReplicaCount(replicas=replicas, usage_milli=value_milli)


def object_per_pod_replicas(
    value_milli: int, *, status_replicas: int, target_average_milli: int, tolerances: Tolerances
) -> ReplicaCount:
    """One object's value shared by the pods that exist (GetObjectPerPodMetricReplicas).

    The per-pod usage over 0 pods is out of an int64's range, so its value is the platform's.
    """
    ratio = divide(float(value_milli), float(target_average_milli) * float(status_replicas))
    replicas = status_replicas
    if not tolerances.is_within(ratio):
        replicas = ceil_int32(divide(float(value_milli), float(target_average_milli)))
    per_pod_milli = ceil_int64(divide(float(value_milli), float(status_replicas)))
    return ReplicaCount(replicas=replicas, usage_milli=per_pod_milli)


def external_replicas(
    pods: Sequence[Pod],
    values_milli: Sequence[int],
    *,
    current_replicas: int,
    target_milli: int,
    tolerances: Tolerances,
) -> ReplicaCount:
    """The sum over an external metric's series against a whole target (GetExternalMetricReplicas)."""
    usage = 0
    for value in values_milli:
        if value > 0 and usage > MAX_INT64 - value:
            usage = MAX_INT64
            break
        usage = wrap_int64(usage + value)
    ratio = divide(float(usage), float(target_milli))
    replicas = _usage_ratio_replicas(pods, current_replicas, ratio, tolerances)
    return ReplicaCount(replicas=replicas, usage_milli=usage)


def external_per_pod_replicas(
    values_milli: Sequence[int], *, status_replicas: int, target_average_milli: int, tolerances: Tolerances
) -> ReplicaCount:
    """The sum over the series shared by the pods that exist (GetExternalPerPodMetricReplicas).

    A sum below 0 is taken for an overflow and becomes the largest int64, as upstream does.
    """
    usage = 0
    for value in values_milli:
        usage = wrap_int64(usage + value)
        if usage < 0:
            usage = MAX_INT64
            break
    ratio = divide(float(usage), float(target_average_milli) * float(status_replicas))
    replicas = status_replicas
    if not tolerances.is_within(ratio):
        replicas = _capped_ceil(divide(float(usage), float(target_average_milli)))
    per_pod_milli = MAX_INT64
    if float(usage) < float(MAX_INT64):
        per_pod_milli = ceil_int64(divide(float(usage), float(status_replicas)))
    return ReplicaCount(replicas=replicas, usage_milli=per_pod_milli)


def _counted_pods(
    pods: Sequence[Pod], samples: Mapping[str, PodSample], resource: str, timing: PodTiming
) -> tuple[PodGroups, Sequence[str]]:
    """The groups, and the names whose samples count: all that the API gave but ignored and unready pods."""
    if not pods:
        raise NoReplicaCount(_NO_PODS)
    groups = group_pods(pods, samples, resource, timing)
    left_out = groups.ignored | groups.unready
    counted = [name for name in samples if name not in left_out] if left_out else list(samples)
    if not counted:
        raise NoReplicaCount("did not receive metrics for targeted pods (pods might be unready)")
    return groups, counted


def _utilization_ratio(usage: int, requested: int, target_utilization: int) -> tuple[float, int]:
    """(usage / target, utilization in percent) (GetResourceUtilizationRatio)."""
    requested = wrap_int64(requested)
    if requested == 0:
        raise NoReplicaCount("no metrics returned matched known pods")
    utilization = wrap_int32(quotient(wrap_int64(usage * 100), requested))
    return divide(float(utilization), float(target_utilization)), utilization


def _with_doubtful_pods(
    current_replicas: int, ratio: float, new_ratio: float, pod_count: int, tolerances: Tolerances
) -> int:
    """Replicas once missing and unready pods count pessimistically; they may damp, never turn, a change."""
    turned = (ratio < 1.0 < new_ratio) or (new_ratio < 1.0 < ratio)
    if tolerances.is_within(new_ratio) or turned:
        return current_replicas
    replicas = ceil_int32(new_ratio * float(pod_count))
    if (new_ratio < 1.0 and replicas > current_replicas) or (new_ratio > 1.0 and replicas < current_replicas):
        return current_replicas
    return replicas


def _usage_ratio_replicas(pods: Sequence[Pod], current_replicas: int, ratio: float, tolerances: Tolerances) -> int:
    """Replicas for a whole target: over ready pods, or from zero over one (getUsageRatioReplicaCount)."""
    if current_replicas == 0:
        return ceil_int32(ratio)
    if tolerances.is_within(ratio):
        return current_replicas
    if not pods:
        raise NoReplicaCount(f"unable to calculate ready pods: {_NO_PODS}")
    return _capped_ceil(ratio * float(count_ready_pods(pods)))


def _capped_ceil(replicas: float) -> int:
    """The ceiling, at most the largest int32 (not every path upstream has this guard)."""
    return MAX_INT32 if replicas > MAX_INT32 else ceil_int32(replicas)
