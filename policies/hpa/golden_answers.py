"""Our answer to each kind of golden vector, in the vector's own JSON.

One function per kind; whole runs of syncs are in `golden_sequence`. Raises NoReplicaCount where
upstream returns an error.
"""

from collections.abc import Callable, Mapping
from typing import Any

from policies.hpa import golden_values as values
from policies.hpa.errors import NoReplicaCount
from policies.hpa.golden_sequence import sequence
from policies.hpa.golden_values import NS_PER_MS, Json
from policies.hpa.metrics import compute_replicas_for_metrics
from policies.hpa.normalization import normalize
from policies.hpa.pod_groups import group_pods
from policies.hpa.replica_calculator import (
    ReplicaCount,
    external_per_pod_replicas,
    external_replicas,
    object_per_pod_replicas,
    object_replicas,
    plain_metric_replicas,
    resource_replicas,
)
from policies.hpa.scale_events import store_scale_event
from policies.hpa.scaling_rules import Limited, limit_with_behavior, limit_with_defaults
from policies.hpa.spec import ControllerOptions, HPASpec
from policies.hpa.stabilization import stabilize, stabilize_with_behavior
from policies.hpa.state import HPAState
from policies.snapshot import ExternalMetric, MetricError, ObjectMetric, PodMetrics, PodSample

Answer = dict[str, Any]


def _resource_replicas(given: Json) -> Answer:
    count = resource_replicas(
        values.pods_of(given),
        _samples(given),
        current_replicas=given["currentReplicas"],
        target_utilization=given["targetUtilization"],
        resource=given["resource"],
        container=given["container"],
        tolerances=values.tolerances_of(given),
        timing=values.timing_of(given),
    )
    return {
        "replicas": count.replicas,
        "utilization": count.utilization,
        "rawUtilizationMilli": count.usage_milli,
    }


def _plain_replicas(given: Json) -> Answer:
    """GetRawResourceReplicas with a resource, GetMetricReplicas without."""
    count = plain_metric_replicas(
        values.pods_of(given),
        _samples(given),
        current_replicas=given["currentReplicas"],
        target_milli=given["targetUsageMilli"],
        resource=given.get("resource", ""),
        tolerances=values.tolerances_of(given),
        timing=values.timing_of(given),
    )
    return _replicas_and_usage(count)


def _object_replicas(given: Json) -> Answer:
    count = object_replicas(
        values.pods_of(given),
        _object_value(given),
        current_replicas=given["currentReplicas"],
        target_milli=given["targetUsageMilli"],
        tolerances=values.tolerances_of(given),
    )
    return _replicas_and_usage(count)


def _object_per_pod_replicas(given: Json) -> Answer:
    count = object_per_pod_replicas(
        _object_value(given),
        status_replicas=given["statusReplicas"],
        target_average_milli=given["targetAverageUsageMilli"],
        tolerances=values.tolerances_of(given),
    )
    return _replicas_and_usage(count)


def _external_replicas(given: Json) -> Answer:
    count = external_replicas(
        values.pods_of(given),
        _external_values(given),
        current_replicas=given["currentReplicas"],
        target_milli=given["targetUsageMilli"],
        tolerances=values.tolerances_of(given),
    )
    return _replicas_and_usage(count)


def _external_per_pod_replicas(given: Json) -> Answer:
    count = external_per_pod_replicas(
        _external_values(given),
        status_replicas=given["statusReplicas"],
        target_average_milli=given["targetUsagePerPodMilli"],
        tolerances=values.tolerances_of(given),
    )
    return _replicas_and_usage(count)


def _group_pods(given: Json) -> Answer:
    groups = group_pods(values.pods_of(given), _samples(given), given["resource"], values.timing_of(given))
    return {
        "readyPodCount": groups.ready_pod_count,
        "unreadyPods": sorted(groups.unready),
        "missingPods": sorted(groups.missing),
        "ignoredPods": sorted(groups.ignored),
    }


def _stabilize(given: Json) -> Answer:
    replicas, recommendations = stabilize(
        values.recommendations_of(given["recommendations"]),
        given["desiredReplicas"],
        given["downscaleStabilizationSeconds"],
        given["nowMs"] * NS_PER_MS,
    )
    return {"replicas": replicas, "recommendations": values.recommendations_to_json(recommendations)}


def _stabilize_with_behavior(given: Json) -> Answer:
    behavior = given["behavior"]
    replicas, reason, recommendations = stabilize_with_behavior(
        values.recommendations_of(given["recommendations"]),
        current_replicas=given["currentReplicas"],
        desired_replicas=given["desiredReplicas"],
        scale_up_window_seconds=behavior["scaleUp"]["stabilizationWindowSeconds"],
        scale_down_window_seconds=behavior["scaleDown"]["stabilizationWindowSeconds"],
        now_ns=given["nowMs"] * NS_PER_MS,
    )
    return {
        "replicas": replicas,
        "reason": reason,
        "recommendations": values.recommendations_to_json(recommendations),
    }


def _limit_with_behavior(given: Json) -> Answer:
    return _replicas_and_reason(
        limit_with_behavior(
            values.given_behavior_of(given["behavior"]),
            values.events_of(given["scaleUpEvents"]),
            values.events_of(given["scaleDownEvents"]),
            current_replicas=given["currentReplicas"],
            desired_replicas=given["desiredReplicas"],
            min_replicas=given["minReplicas"],
            max_replicas=given["maxReplicas"],
            now_ns=given["nowMs"] * NS_PER_MS,
        )
    )


def _limit_with_defaults(given: Json) -> Answer:
    return _replicas_and_reason(
        limit_with_defaults(
            current_replicas=given["currentReplicas"],
            desired_replicas=given["desiredReplicas"],
            min_replicas=given["minReplicas"],
            max_replicas=given["maxReplicas"],
        )
    )


def _normalize(given: Json) -> Answer:
    """normalizeDesiredReplicas, and normalizeDesiredReplicasWithBehaviors where a behavior is given."""
    spec = HPASpec(
        min_replicas=given["minReplicas"],
        max_replicas=given["maxReplicas"],
        metrics=(),
        behavior=values.behavior_of(given.get("behavior")),
        controller=ControllerOptions(downscale_stabilization_seconds=given["downscaleStabilizationSeconds"]),
    )
    state = HPAState(
        recommendations=values.recommendations_of(given["recommendations"]),
        scale_up_events=values.events_of(given.get("scaleUpEvents")),
        scale_down_events=values.events_of(given.get("scaleDownEvents")),
    )
    normalized, state = normalize(
        spec,
        state,
        current_replicas=given["currentReplicas"],
        desired_replicas=given["desiredReplicas"],
        now_ns=given["nowMs"] * NS_PER_MS,
    )
    return {
        "replicas": normalized.replicas,
        "conditions": values.conditions_to_json(state.conditions),
        "recommendations": values.recommendations_to_json(state.recommendations),
    }


def _store_scale_event(given: Json) -> Answer:
    up_events, down_events = store_scale_event(
        values.behavior_of(given["behavior"]),
        values.events_of(given["scaleUpEvents"]),
        values.events_of(given["scaleDownEvents"]),
        previous_replicas=given["prevReplicas"],
        new_replicas=given["newReplicas"],
        now_ns=given["nowMs"] * NS_PER_MS,
    )
    return {
        "scaleUpEvents": values.events_to_json(up_events),
        "scaleDownEvents": values.events_to_json(down_events),
    }


def _default_behavior(given: Json) -> Answer:
    return {"behavior": values.behavior_to_json(values.behavior_of(given["behavior"]))}


def _compute_replicas_for_metrics(given: Json) -> Answer:
    spec = values.spec_of(given)
    result = compute_replicas_for_metrics(
        spec,
        [values.observation_of(each) for each in given["observations"]],
        values.pods_of(given, given.get("podTemplate")),
        replicas=given["specReplicas"],
        status_replicas=given["statusReplicas"],
        now_ns=given["nowMs"] * NS_PER_MS,
    )
    active = ["True", "ValidMetricFound"] if result.replicas is not None else ["False", result.failed_reason]
    return {
        "replicas": -1 if result.replicas is None else result.replicas,
        "metric": result.metric,
        "statuses": [
            values.status_to_json(metric, count) for metric, count in zip(spec.metrics, result.counts, strict=True)
        ],
        "conditions": {"ScalingActive": active},
        "error": result.error,
    }


def _samples(given: Json) -> Mapping[str, PodSample]:
    observation = values.observation_of(given["observation"])
    if isinstance(observation, PodMetrics):
        return observation.samples
    raise _no_answer(observation)


def _object_value(given: Json) -> int:
    observation = values.observation_of(given["observation"])
    if isinstance(observation, ObjectMetric):
        return observation.value_milli
    raise _no_answer(observation)


def _external_values(given: Json) -> tuple[int, ...]:
    observation = values.observation_of(given["observation"])
    if isinstance(observation, ExternalMetric):
        return observation.values_milli
    raise _no_answer(observation)


def _no_answer(observation: object) -> Exception:
    if isinstance(observation, MetricError):
        return NoReplicaCount(observation.message)
    return TypeError(f"observation: {type(observation).__name__} does not fit this kind")


def _replicas_and_usage(count: ReplicaCount) -> Answer:
    return {"replicas": count.replicas, "usageMilli": count.usage_milli}


def _replicas_and_reason(limited: Limited) -> Answer:
    return {"replicas": limited.replicas, "reason": limited.reason}


ANSWERS: Mapping[str, Callable[[Json], Answer]] = {
    "GetResourceReplicas": _resource_replicas,
    "GetRawResourceReplicas": _plain_replicas,
    "GetMetricReplicas": _plain_replicas,
    "GetObjectMetricReplicas": _object_replicas,
    "GetObjectPerPodMetricReplicas": _object_per_pod_replicas,
    "GetExternalMetricReplicas": _external_replicas,
    "GetExternalPerPodMetricReplicas": _external_per_pod_replicas,
    "groupPods": _group_pods,
    "stabilizeRecommendation": _stabilize,
    "stabilizeRecommendationWithBehaviors": _stabilize_with_behavior,
    "convertDesiredReplicasWithBehaviorRate": _limit_with_behavior,
    "convertDesiredReplicasWithRules": _limit_with_defaults,
    "normalizeDesiredReplicas": _normalize,
    "normalizeDesiredReplicasWithBehaviors": _normalize,
    "storeScaleEvent": _store_scale_event,
    "defaultBehavior": _default_behavior,
    "computeReplicasForMetrics": _compute_replicas_for_metrics,
    "sequence": sequence,
}
