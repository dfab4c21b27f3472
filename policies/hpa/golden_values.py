"""Golden vectors' JSON <-> this package's values.

Milliseconds become nanoseconds, camelCase fields become snake_case; nothing is computed here.
"""

from collections.abc import Mapping
from typing import Any

from policies.hpa.conditions import Condition, Conditions
from policies.hpa.defaults import default_behavior, scale_down_rules, scale_up_rules
from policies.hpa.pod_groups import PodTiming
from policies.hpa.quantity import parse_quantity
from policies.hpa.replica_calculator import ReplicaCount
from policies.hpa.spec import Behavior, ControllerOptions, HPASpec, MetricSpec, ScalingPolicy, ScalingRules
from policies.hpa.state import Recommendation, ScaleEvent
from policies.hpa.tolerance import Tolerances
from policies.snapshot import (
    NS_PER_SECOND,
    Container,
    ExternalMetric,
    MetricError,
    ObjectMetric,
    Observation,
    Pod,
    PodMetrics,
    PodSample,
)

NS_PER_MS = 1_000_000
Json = Mapping[str, Any]


def pods_of(given: Json, template: Json | None = None) -> tuple[Pod, ...]:
    """`pods`, with the containers of `podTemplate` for every pod that lists none."""
    shared = _containers((template or {}).get("containers"))
    return tuple(_pod(pod, shared) for pod in given.get("pods") or ())


def observation_of(given: Json) -> Observation:
    """One answer of the metrics API, told apart by its key."""
    if "error" in given:
        return MetricError(given["error"])
    if "podMetrics" in given:
        return PodMetrics({name: _sample(sample) for name, sample in given["podMetrics"].items()})
    if "valuesMilli" in given:
        return ExternalMetric(tuple(given["valuesMilli"] or ()))
    return ObjectMetric(given["valueMilli"])


def timing_of(given: Json) -> PodTiming:
    """`nowMs` and the two spans for young pods."""
    return PodTiming(
        now_ns=given["nowMs"] * NS_PER_MS,
        cpu_initialization_period_ns=given["cpuInitializationPeriodSeconds"] * NS_PER_SECOND,
        initial_readiness_delay_ns=given["initialReadinessDelaySeconds"] * NS_PER_SECOND,
    )


def tolerances_of(given: Json) -> Tolerances:
    """`tolerances`: the floats that the replica calculator receives."""
    return Tolerances(
        scale_down=float(given["tolerances"]["scaleDown"]), scale_up=float(given["tolerances"]["scaleUp"])
    )


def spec_of(given: Json) -> HPASpec:
    """`hpa` and `controller`."""
    hpa, options = given["hpa"], given["controller"]
    gates = options["featureGates"]
    return HPASpec(
        min_replicas=1 if hpa["minReplicas"] is None else hpa["minReplicas"],
        max_replicas=hpa["maxReplicas"],
        metrics=tuple(_metric(metric) for metric in hpa["metrics"]),
        behavior=behavior_of(hpa["behavior"]),
        controller=ControllerOptions(
            tolerance=float(options["tolerance"]),
            downscale_stabilization_seconds=options["downscaleStabilizationSeconds"],
            cpu_initialization_period_seconds=options["cpuInitializationPeriodSeconds"],
            initial_readiness_delay_seconds=options["initialReadinessDelaySeconds"],
            hpa_scale_to_zero=gates["HPAScaleToZero"],
            hpa_configurable_tolerance=gates["HPAConfigurableTolerance"],
        ),
    )


def behavior_of(given: Json | None) -> Behavior | None:
    """`behavior` with the API server's defaults for what is null; None where there is none."""
    return None if given is None else given_behavior_of(given)


def given_behavior_of(given: Json) -> Behavior:
    """`behavior` of a vector that always has one."""
    up, down = given.get("scaleUp"), given.get("scaleDown")
    return default_behavior(
        scale_up=None if up is None else scale_up_rules(**_rules(up)),
        scale_down=None if down is None else scale_down_rules(**_rules(down)),
    )


def behavior_to_json(behavior: Behavior | None) -> dict[str, Any] | None:
    """The inverse of `behavior_of`, with tolerances in the API server's spelling."""
    if behavior is None:
        return None
    return {"scaleUp": _rules_to_json(behavior.scale_up), "scaleDown": _rules_to_json(behavior.scale_down)}


def recommendations_of(given: list[Json] | None) -> tuple[Recommendation, ...]:
    """The recommendations, slot for slot."""
    return tuple(
        Recommendation(replicas=each["recommendation"], at_ns=each["timestampMs"] * NS_PER_MS) for each in given or ()
    )


def recommendations_to_json(recommendations: tuple[Recommendation, ...]) -> list[dict[str, int]]:
    """The inverse of `recommendations_of`."""
    return [{"recommendation": each.replicas, "timestampMs": each.at_ns // NS_PER_MS} for each in recommendations]


def events_of(given: list[Json] | None) -> tuple[ScaleEvent, ...]:
    """Scale events, slot for slot."""
    return tuple(
        ScaleEvent(
            replica_change=each["replicaChange"],
            at_ns=each["timestampMs"] * NS_PER_MS,
            outdated=each["outdated"],
        )
        for each in given or ()
    )


def events_to_json(events: tuple[ScaleEvent, ...]) -> list[dict[str, Any]]:
    """The inverse of `events_of`."""
    return [
        {
            "replicaChange": each.replica_change,
            "timestampMs": each.at_ns // NS_PER_MS,
            "outdated": each.outdated,
        }
        for each in events
    ]


def conditions_of(given: Json | None) -> Conditions:
    """`initialConditions`: type -> [status, reason]."""
    read = {name: Condition(status=pair[0], reason=pair[1]) for name, pair in (given or {}).items()}
    return Conditions(
        able_to_scale=read.get("AbleToScale"),
        scaling_active=read.get("ScalingActive"),
        scaling_limited=read.get("ScalingLimited"),
        scaled_to_zero=read.get("ScaledToZero"),
    )


def conditions_to_json(conditions: Conditions) -> dict[str, list[str]]:
    """The inverse of `conditions_of`."""
    return {name: [each.status, each.reason] for name, each in conditions.by_type().items()}


def status_to_json(metric: MetricSpec, count: ReplicaCount | None) -> dict[str, int] | None:
    """One entry of `status.currentMetrics`, None where the metric failed."""
    if count is None:
        return None
    if metric.used_target == "Value":
        return {"valueMilli": count.usage_milli}
    if count.utilization is None:
        return {"averageValueMilli": count.usage_milli}
    return {"averageUtilization": count.utilization, "averageValueMilli": count.usage_milli}


def _pod(given: Json, shared: tuple[Container, ...]) -> Pod:
    return Pod(
        name=given["name"],
        phase=given["phase"],
        ready=given["ready"],
        start_ns=_ns(given.get("startTimeMs")),
        ready_transition_ns=_ns(given.get("readyTransitionMs")),
        deleting=given.get("deleting", False),
        containers=_containers(given["containers"]) if "containers" in given else shared,
        init_containers=_containers(given.get("initContainers")),
        pod_requests_milli=given.get("podRequestsMilli"),
    )


def _ns(milliseconds: int | None) -> int | None:
    return None if milliseconds is None else milliseconds * NS_PER_MS


def _containers(given: list[Json] | None) -> tuple[Container, ...]:
    return tuple(
        Container(
            name=each["name"],
            requests_milli=each.get("requestsMilli") or {},
            restart_policy_always=each.get("restartPolicyAlways", False),
        )
        for each in given or ()
    )


def _sample(given: Json) -> PodSample:
    return PodSample(
        value_milli=given["valueMilli"],
        at_ns=given["timestampMs"] * NS_PER_MS,
        window_ns=given["windowMs"] * NS_PER_MS,
    )


def _metric(given: Json) -> MetricSpec:
    target = given["target"]
    return MetricSpec(
        type=given["type"],
        name=given["name"],
        container=given.get("container", ""),
        object_name="Service/srv" if given["type"] == "Object" else "",
        target_type=target["type"],
        average_utilization=target.get("averageUtilization"),
        average_value_milli=target.get("averageValueMilli"),
        value_milli=target.get("valueMilli"),
    )


def _rules(given: Json) -> dict[str, Any]:
    policies, tolerance = given["policies"], given["tolerance"]
    return {
        "stabilization_window_seconds": given["stabilizationWindowSeconds"],
        "select_policy": given["selectPolicy"],
        "policies": None if policies is None else tuple(_policy(each) for each in policies),
        "tolerance": None if tolerance is None else parse_quantity(tolerance),
    }


def _policy(given: Json) -> ScalingPolicy:
    return ScalingPolicy(type=given["type"], value=given["value"], period_seconds=given["periodSeconds"])


def _rules_to_json(rules: ScalingRules) -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": rules.stabilization_window_seconds,
        "selectPolicy": rules.select_policy,
        "policies": [
            {"type": each.type, "value": each.value, "periodSeconds": each.period_seconds} for each in rules.policies
        ],
        "tolerance": None if rules.tolerance is None else rules.tolerance.canonical(),
    }
