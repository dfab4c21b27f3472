"""KEDA's ScaledObject: an executor between 0 and 1, an HPA above, prometheus and cron triggers for both.

Sources, kedacore/keda (2026): pkg/scaling/executor, pkg/fallback, pkg/scalers/{prometheus,cron}_scaler.go,
controllers/keda/hpa.go, apis/keda/v1alpha1/scaledobject_types.go; the HPA is `policies.hpa`, bit for bit.

The executor polls every pollingInterval, the HPA syncs every 15 s; where the executor has just changed the scale,
the HPA acts at its next sync. A polling interval that is no multiple of 15 s is rounded up to the next sync.

Kept on purpose: an empty query result is 0, so a lost exporter drains the fleet, where an HPA would hold; a query
with several series is an error; activity jumps to one replica (or minReplicaCount) only, whatever the demand;
failures are counted when the HPA asks, so never at zero; with an error beside an active trigger, or with a
fallback of 0, the cooldown goes on. An unset `behavior` means the HPA's classic limits.
Left out: scalingModifiers (and the fallback behavior of that name), metricType Value and Utilization, cached
metrics, transfer of HPA ownership. Unverified: that paused-scale-in and -out disable the HPA's direction by
selectPolicy; the numbers agree with the executor's own tests.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal
from zoneinfo import ZoneInfo

from policies import cron
from policies.baselines.keda_executor import ExecutorSpec, request_scale
from policies.baselines.keda_hpa import behavior_of_windows, generated_hpa
from policies.baselines.keda_triggers import (
    Fallback,
    PrometheusTrigger,
    TriggerValue,
    cron_value,
    prometheus_value,
    query,
    with_fallback,
)
from policies.baselines.schedule import Window
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.hpa import Behavior, HPASpec, HPAState, MetricSpec, validate
from policies.hpa import decide as hpa_decide
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, MetricQuery, Observation, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaSpec:
    """`spec` of a ScaledObject and its annotations; the defaults are KEDA's where it has one."""

    threshold: float = parameter("the query's unit, per replica", "threshold, an AverageValue", 16.0)
    query: str = parameter(
        "name", "a series that holds the total, or sum(NAME) of several", "leadtime:num_requests_outstanding"
    )
    activation_threshold: float = parameter("the query's unit", "activationThreshold: active strictly above", 0.0)
    more_triggers: tuple[PrometheusTrigger, ...] = parameter("NAME = THRESHOLD", "further prometheus triggers", ())
    ignore_null_values: bool = parameter("true/false", "ignoreNullValues: an empty result is 0", True)
    cron_triggers: tuple[Window, ...] = parameter("cron -> cron = replicas", "calendar floors", ())
    time_zone: str = parameter("IANA name", "timezone of the cron triggers", "UTC")
    min_replicas: int = parameter("replicas", "minReplicaCount", 0)
    max_replicas: int = parameter("replicas", "maxReplicaCount", 100)
    idle_replicas: int | None = parameter("replicas", "idleReplicaCount, below minReplicaCount; only 0 works", None)
    polling_interval_seconds: int = parameter("s", "pollingInterval, of the executor", 30)
    cooldown_seconds: int = parameter("s", "cooldownPeriod, before the way to zero", 300)
    initial_cooldown_seconds: int = parameter("s", "initialCooldownPeriod, while nothing was active yet", 0)
    fallback_failure_threshold: int | None = parameter("failures", "fallback.failureThreshold; none: no fallback", None)
    fallback_replicas: int = parameter("replicas", "fallback.replicas", 0)
    fallback_behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower"] = (
        parameter("name", "fallback.behavior", "static")
    )
    scale_up_window_seconds: int | None = parameter("s", "behavior.scaleUp.stabilizationWindowSeconds", None)
    scale_down_window_seconds: int | None = parameter("s", "behavior.scaleDown.stabilizationWindowSeconds", None)
    paused: bool = parameter("true/false", "annotation paused", False)
    paused_replicas: int | None = parameter("replicas", "annotation paused-replicas", None)
    paused_scale_in: bool = parameter("true/false", "annotation paused-scale-in", False)
    paused_scale_out: bool = parameter("true/false", "annotation paused-scale-out", False)
    force_activation: bool = parameter("true/false", "annotation force-activation", False)
    behavior: Behavior | None = None
    """The whole horizontalPodAutoscalerConfig.behavior of a manifest; it goes before the two windows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KedaState:
    """created_ns: of the ScaledObject, the first call. failures: metric -> failed queries in a row."""

    created_ns: int | None = None
    polled_ns: int | None = None
    last_active_ns: int | None = None
    failures: Mapping[str, int] = field(default_factory=dict)
    hpa: HPAState = field(default_factory=HPAState)


def keda_policy(spec: KedaSpec, name: str = "keda-scaledobject") -> Policy[KedaSpec, KedaState]:
    """The ScaledObject, checked as the API server, the webhooks and the generated HPA would; raises BadInput."""
    for label, low, value in (
        ("minReplicas", 0, spec.min_replicas),
        ("pollingIntervalSeconds", 1, spec.polling_interval_seconds),
        ("cooldownSeconds", 0, spec.cooldown_seconds),
        ("initialCooldownSeconds", 0, spec.initial_cooldown_seconds),
        ("fallbackFailureThreshold", 0, spec.fallback_failure_threshold or 0),
        ("fallbackReplicas", 0, spec.fallback_replicas),
        ("pausedReplicas", 0, spec.paused_replicas or 0),
    ):
        if value < low:
            raise BadInput(f"{label}: was {value}, must be >= {low}")
    if spec.idle_replicas is not None and not 0 <= spec.idle_replicas < spec.min_replicas:
        raise BadInput(
            f"idleReplicas: was {spec.idle_replicas}, must be in [0, {spec.min_replicas}), below minReplicas; "
            "raise minReplicas or leave it out"
        )
    for trigger in _prometheus_triggers(spec):
        if not (trigger.query and trigger.threshold >= 0.001):
            raise BadInput(f"trigger: was {str(trigger)!r}, must name a query and a threshold >= 0.001")
    cron.time_zone(spec.time_zone)
    for window in spec.cron_triggers:
        cron.parse(window.start)
        cron.parse(window.end)
        if window.start == window.end:
            raise BadInput(f"cronTriggers: was {str(window)!r}, must have a start that differs from its end")
    validate(_hpa_spec(spec, [trigger.metric for trigger in _prometheus_triggers(spec)]))
    queries: tuple[MetricQuery, ...] = tuple(dict.fromkeys(query(trigger) for trigger in _prometheus_triggers(spec)))
    return Policy(name=name, decide=decide, spec=spec, initial_state=KedaState(), queries=queries)


def decide(spec: KedaSpec, state: KedaState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, KedaState]:
    """One HPA sync, and before it a poll of the executor where one is due."""
    created_ns = now_ns if state.created_ns is None else state.created_ns
    state = replace(state, created_ns=created_ns)
    if spec.paused or spec.paused_replicas is not None:
        kept = snapshot.replicas if spec.paused_replicas is None else spec.paused_replicas
        return _decision(snapshot.replicas, kept, "Paused", "the ScaledObject is paused"), state
    values = _values(spec, snapshot, now_ns)
    due_ns = None if state.polled_ns is None else state.polled_ns + spec.polling_interval_seconds * NS_PER_SECOND
    if due_ns is None or now_ns >= due_ns:
        step = request_scale(
            _executor_spec(spec),
            replicas=snapshot.replicas,
            is_active=any(value.active for value in values),
            is_error=any(value.error for value in values),
            last_active_ns=state.last_active_ns,
            created_ns=created_ns,
            now_ns=now_ns,
        )
        state = replace(state, polled_ns=now_ns, last_active_ns=step.last_active_ns)
        if step.replicas is not None and step.replicas != snapshot.replicas:
            return _decision(snapshot.replicas, step.replicas, step.reason, f"{_seen(values)}: {step.why}"), state
    return _sync(spec, state, snapshot, values, now_ns)


def _sync(
    spec: KedaSpec, state: KedaState, snapshot: Snapshot, values: list[TriggerValue], now_ns: int
) -> tuple[Decision, KedaState]:
    """The generated HPA; at zero it is disabled and asks for nothing."""
    fallback = _fallback(spec)
    observations: dict[MetricQuery, Observation] = {}
    failures: dict[str, int] = {}
    falling_back: list[str] = []
    if snapshot.replicas > 0:
        for value in values:
            answer, failed, is_fallback = with_fallback(fallback, state.failures, value, snapshot.replicas)
            observations[value.metric.query] = answer
            failures |= {value.metric.name: failed} if failed else {}
            falling_back += [value.metric.name] if is_fallback else []
    hpa = _hpa_spec(spec, [value.metric for value in values])
    decision, hpa_state = hpa_decide(hpa, state.hpa, replace(snapshot, observations=observations), now_ns)
    if falling_back:
        told = f"{decision.message} (fallback {spec.fallback_behavior}: {', '.join(falling_back)} failed)"
        decision = replace(decision, message=told, reason="FallbackActive")
    kept_failures = failures if snapshot.replicas > 0 else state.failures
    return decision, replace(state, hpa=hpa_state, failures=kept_failures)


def _values(spec: KedaSpec, snapshot: Snapshot, now_ns: int) -> list[TriggerValue]:
    zone = ZoneInfo(spec.time_zone)
    return [
        *(
            prometheus_value(trigger, snapshot, ignore_null_values=spec.ignore_null_values)
            for trigger in _prometheus_triggers(spec)
        ),
        *(cron_value(window, index, zone, now_ns) for index, window in enumerate(spec.cron_triggers)),
    ]


def _prometheus_triggers(spec: KedaSpec) -> tuple[PrometheusTrigger, ...]:
    first = PrometheusTrigger(
        query=spec.query, threshold=spec.threshold, activation_threshold=spec.activation_threshold
    )
    return (first, *spec.more_triggers)


def _hpa_spec(spec: KedaSpec, metrics: Iterable[MetricSpec]) -> HPASpec:
    return generated_hpa(
        metrics,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        behavior=spec.behavior or behavior_of_windows(spec.scale_up_window_seconds, spec.scale_down_window_seconds),
        paused_scale_in=spec.paused_scale_in,
        paused_scale_out=spec.paused_scale_out,
    )


def _fallback(spec: KedaSpec) -> Fallback | None:
    if spec.fallback_failure_threshold is None:
        return None
    return Fallback(
        failure_threshold=spec.fallback_failure_threshold,
        replicas=spec.fallback_replicas,
        behavior=spec.fallback_behavior,
    )


def _executor_spec(spec: KedaSpec) -> ExecutorSpec:
    return ExecutorSpec(
        min_replicas=spec.min_replicas,
        idle_replicas=spec.idle_replicas,
        cooldown_ns=spec.cooldown_seconds * NS_PER_SECOND,
        initial_cooldown_ns=spec.initial_cooldown_seconds * NS_PER_SECOND,
        fallback_replicas=None if spec.fallback_failure_threshold is None else spec.fallback_replicas,
        paused_scale_in=spec.paused_scale_in,
        paused_scale_out=spec.paused_scale_out,
        force_activation=spec.force_activation,
    )


def _seen(values: list[TriggerValue]) -> str:
    return ", ".join(
        f"{value.metric.name} {'failed' if value.value_milli is None else f'is {value.value_milli / 1000:g}'}"
        for value in values
    )


def _decision(replicas: int, desired: int, reason: str, why: str) -> Decision:
    change = f"{desired} replicas kept" if desired == replicas else f"{replicas} -> {desired} replicas"
    numbers = {"replicas": float(replicas), "desired_replicas": float(desired)}
    return Decision(desired_replicas=desired, reason=reason, message=f"{change}: {why}", numbers=numbers)


ENTRY = PolicyEntry(
    name="keda-scaledobject",
    summary="KEDA on all outstanding requests: an HPA above one replica, the executor between zero and one",
    source="kedacore/keda pkg/scaling/executor, pkg/fallback, pkg/scalers, 2026; HPA of Kubernetes 1.36.3",
    spec=KedaSpec,
    knob="threshold",
    build=keda_policy,
)
