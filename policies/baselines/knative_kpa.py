"""Knative's pod autoscaler (KPA): total concurrency over a stable and a panic window, and down to zero.

Sources, knative/serving (Aug 2026): pkg/autoscaler/scaling/autoscaler.go (Scale), .../config/config.go (defaults),
.../aggregation/max/timewindow.go, pkg/reconciler/autoscaling/kpa/{scaler,kpa}.go. A tick is 2 s.

Concurrency is what the pods hold (running + waiting: the mean of the ready pods that answered times the ready
pods, as the scraper extrapolates) plus what waits at the gateway, where Knative has its activator. The two arrive
separately: one that is missing adds nothing, as an activator that does not report; with neither, the window has a
gap. Without a ready pod there is nothing to scrape and the pods hold 0.

Kept on purpose: a gap counts as no load, no dead band, rates from ready pods, so pods that load keep it panicking.
Left out: reachability (this revision always is), initial-scale, requests per second, random sampling of pods, and
the fast path to zero when the activator was in the path before (the last pod lives at most one grace longer).
Unverified: max-scale-limit and the activator's own poke from zero, which here waits for the next tick.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

from policies.baselines.knative_load import (
    BUCKET_SECONDS,
    GATEWAY_QUEUE,
    RUNNING,
    WAITING,
    Buckets,
    bucket_index,
    concurrency,
    is_empty,
    record,
    weighted_average,
    window_average,
)
from policies.baselines.knative_zero import Activation, ZeroSpec, observe_activity, scale_to_zero
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class KnativeSpec:
    """config-autoscaler and the revision's annotations; the defaults are Knative's."""

    target_concurrency: float = parameter("requests per replica", "container-concurrency-target-default", 100.0)
    target_utilization: float = parameter("share", "container-concurrency-target-percentage / 100", 0.7)
    min_replicas: int = parameter("replicas", "min-scale; 0 lets it go to zero", 0)
    max_replicas: int = parameter("replicas", "max-scale; 0 is unlimited", 0)
    stable_window_seconds: int = parameter("s", "stable-window", 60)
    panic_window_percentage: float = parameter("percent", "panic-window-percentage, of the stable window", 10.0)
    panic_threshold_percentage: float = parameter("percent", "panic-threshold-percentage, of ready pods", 200.0)
    max_scale_up_rate: float = parameter("factor", "max-scale-up-rate, of ready pods per tick", 1000.0)
    max_scale_down_rate: float = parameter("factor", "max-scale-down-rate, of ready pods per tick", 2.0)
    scale_down_delay_seconds: int = parameter("s", "scale-down-delay", 0)
    activation_scale: int = parameter("replicas", "activation-scale: at least so many when there is load", 1)
    enable_scale_to_zero: bool = parameter("true/false", "enable-scale-to-zero", True)
    scale_to_zero_grace_period_seconds: int = parameter("s", "scale-to-zero-grace-period", 30)
    scale_to_zero_pod_retention_period_seconds: int = parameter("s", "scale-to-zero-pod-retention-period", 0)
    progress_deadline_seconds: int = parameter("s", "progress-deadline: an activation that takes longer failed", 600)
    aggregation: Literal["linear", "weighted-exponential"] = parameter("name", "metric-aggregation-algorithm", "linear")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnativeState:
    """buckets: total concurrency. panic_since_ns: None in stable mode. delayed: (tick, replicas), oldest first."""

    buckets: Buckets = ()
    started: bool = False
    panic_since_ns: int | None = None
    max_panic_pods: int = 0
    delayed: tuple[tuple[int, int], ...] = ()
    activation: Activation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Total concurrency over the two windows, and the ready pods."""

    stable: float
    panic: float
    ready_replicas: int


def knative_policy(spec: KnativeSpec, name: str = "knative-kpa") -> Policy[KnativeSpec, KnativeState]:
    """The rule with its spec checked as Knative checks its ConfigMap; raises BadInput."""
    highest = spec.max_replicas or math.inf
    for field, low, value, high in (
        ("targetConcurrency x targetUtilization", 0.01, spec.target_concurrency * spec.target_utilization, math.inf),
        ("targetUtilization", 0.01, spec.target_utilization, 1),
        ("maxReplicas", 0, spec.max_replicas, math.inf),
        ("minReplicas", 0, spec.min_replicas, highest),
        ("stableWindowSeconds", 6, spec.stable_window_seconds, 3600),
        ("panicWindowPercentage", 1, spec.panic_window_percentage, 100),
        ("panicThresholdPercentage", 110, spec.panic_threshold_percentage, 1000),
        ("maxScaleUpRate", 1.001, spec.max_scale_up_rate, math.inf),
        ("maxScaleDownRate", 1.001, spec.max_scale_down_rate, math.inf),
        ("scaleDownDelaySeconds", 0, spec.scale_down_delay_seconds, 3600),
        ("activationScale", 1, spec.activation_scale, highest),
        ("scaleToZeroGracePeriodSeconds", 1, spec.scale_to_zero_grace_period_seconds, math.inf),
        ("scaleToZeroPodRetentionPeriodSeconds", 0, spec.scale_to_zero_pod_retention_period_seconds, math.inf),
        ("progressDeadlineSeconds", 1, spec.progress_deadline_seconds, math.inf),
    ):
        if not low <= value <= high:
            raise BadInput(f"{field}: was {value:g}, must be in [{low:g}, {high:g}]")
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=KnativeState(),
        queries=(RUNNING, WAITING, GATEWAY_QUEUE),
        period_seconds=BUCKET_SECONDS,
        scrape_seconds=BUCKET_SECONDS,
    )


def decide(spec: KnativeSpec, state: KnativeState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, KnativeState]:
    """One tick: average the load, ask for replicas, bound them, and go to zero only after the grace."""
    state = _started(state, snapshot, now_ns)
    tick, stable_seconds = bucket_index(now_ns), spec.stable_window_seconds
    held = concurrency(snapshot)
    if held is not None:
        state = replace(state, buckets=record(state.buckets, tick, held, stable_seconds))
    if is_empty(state.buckets, tick, stable_seconds):
        numbers = {"replicas": float(snapshot.replicas), "desired_replicas": float(snapshot.replicas)}
        message = f"{snapshot.replicas} replicas kept: no concurrency was seen for {stable_seconds} s"
        decision = Decision(
            desired_replicas=snapshot.replicas, reason="FailedGetPodsMetric", message=message, numbers=numbers
        )
        return decision, state
    average = window_average if spec.aggregation == "linear" else weighted_average
    load = Load(
        stable=average(state.buckets, tick, stable_seconds),
        panic=average(state.buckets, tick, panic_window_seconds(spec)),
        ready_replicas=snapshot.ready_replicas,
    )
    wanted, state = scale(spec, state, load, now_ns)
    bounded = min(max(wanted, spec.min_replicas), spec.max_replicas or max(wanted, spec.min_replicas))
    zero_spec = ZeroSpec(
        enabled=spec.enable_scale_to_zero,
        stable_window_ns=stable_seconds * NS_PER_SECOND,
        last_pod_ns=NS_PER_SECOND
        * max(spec.scale_to_zero_grace_period_seconds, spec.scale_to_zero_pod_retention_period_seconds),
        activation_timeout_ns=(spec.progress_deadline_seconds + 30) * NS_PER_SECOND,
    )
    assert state.activation is not None, "set when the rule starts"
    step = scale_to_zero(zero_spec, state.activation, bounded, now_ns)
    desired = step.replicas if step.apply else snapshot.replicas
    activation = observe_activity(state.activation, step.wanted, load.ready_replicas, max(1, spec.min_replicas), now_ns)
    decision = _explain(spec, state, load, snapshot.replicas, wanted, bounded, desired, step.why)
    return decision, replace(state, activation=activation)


def scale(spec: KnativeSpec, state: KnativeState, load: Load, now_ns: int) -> tuple[int, KnativeState]:
    """Replicas before bounds, and the panic state after (autoscaler.go, Scale)."""
    target = spec.target_concurrency * spec.target_utilization
    ready = max(1, load.ready_replicas)
    raw_stable, raw_panic = math.ceil(load.stable / target), math.ceil(load.panic / target)
    highest, lowest = math.ceil(spec.max_scale_up_rate * ready), math.floor(ready / spec.max_scale_down_rate)
    stable, panic = (min(max(raw, lowest), highest) for raw in (raw_stable, raw_panic))
    if spec.activation_scale > 1:
        stable = max(stable, spec.activation_scale) if raw_stable > 0 else stable
        panic = max(panic, spec.activation_scale) if raw_panic > 0 else panic
    panic_since_ns, max_panic_pods = state.panic_since_ns, state.max_panic_pods
    if raw_panic / ready >= spec.panic_threshold_percentage / 100:
        panic_since_ns = now_ns
    elif panic_since_ns is not None and panic_since_ns + spec.stable_window_seconds * NS_PER_SECOND < now_ns:
        panic_since_ns, max_panic_pods = None, 0
    wanted = stable
    if panic_since_ns is not None:
        wanted = max_panic_pods = max(max_panic_pods, stable, panic)
    delayed = _with_delay(spec, state.delayed, wanted, bucket_index(now_ns))
    wanted = max((replicas for _, replicas in delayed), default=wanted)
    return wanted, replace(state, panic_since_ns=panic_since_ns, max_panic_pods=max_panic_pods, delayed=delayed)


def panic_window_seconds(spec: KnativeSpec) -> int:
    """Whole seconds, at least one bucket."""
    return max(BUCKET_SECONDS, math.floor(spec.stable_window_seconds * spec.panic_window_percentage / 100 + 1e-9))


def _with_delay(
    spec: KnativeSpec, delayed: tuple[tuple[int, int], ...], wanted: int, tick: int
) -> tuple[tuple[int, int], ...]:
    """The counts of the scale-down-delay window with this one; empty where there is no delay."""
    if spec.scale_down_delay_seconds == 0:
        return ()
    ticks = math.ceil(spec.scale_down_delay_seconds / BUCKET_SECONDS)
    return (*(each for each in delayed if tick - each[0] < ticks), (tick, wanted))


def _started(state: KnativeState, snapshot: Snapshot, now_ns: int) -> KnativeState:
    """A new autoscaler has no history: with more than one pod it starts in panic, so that it only grows at first."""
    if state.started:
        return state
    ready = snapshot.ready_replicas
    activity: Literal["active", "activating", "inactive"] = "activating" if snapshot.replicas else "inactive"
    return replace(
        state,
        started=True,
        panic_since_ns=now_ns if ready > 1 else None,
        max_panic_pods=ready,
        activation=Activation("active" if ready else activity, now_ns),
    )


def _explain(
    spec: KnativeSpec,
    state: KnativeState,
    load: Load,
    replicas: int,
    wanted: int,
    bounded: int,
    desired: int,
    why_zero: str,
) -> Decision:
    target = spec.target_concurrency * spec.target_utilization
    mode = "stable mode" if state.panic_since_ns is None else "panic mode"
    reason = "StableMode" if state.panic_since_ns is None else "PanicMode"
    why = (
        f"{load.stable:.1f} requests on average in {spec.stable_window_seconds} s and {load.panic:.1f} in "
        f"{panic_window_seconds(spec)} s, {target:g} a pod, {load.ready_replicas} ready: {wanted} wanted in {mode}"
    )
    if bounded != wanted:
        reason = "TooFewReplicas" if bounded > wanted else "TooManyReplicas"
        why += f", bounded to {bounded}"
    if why_zero:
        reason, why = "ScaleToZero", f"{why}, {why_zero}"
    change = f"{desired} replicas kept" if desired == replicas else f"{replicas} -> {desired} replicas"
    return Decision(
        desired_replicas=desired,
        reason=reason,
        message=f"{change}: {why}",
        numbers={
            "replicas": float(replicas),
            "desired_replicas": float(desired),
            "ready_replicas": float(load.ready_replicas),
            "stable_concurrency_requests": load.stable,
            "panic_concurrency_requests": load.panic,
            "target_concurrency_requests": target,
            "wanted_replicas": float(wanted),
            "panic_mode": float(state.panic_since_ns is not None),
        },
    )


ENTRY = PolicyEntry(
    name="knative-kpa",
    summary="Knative's KPA: total concurrency over 60 s, doubled attention over 6 s, down to zero",
    source="knative/serving pkg/autoscaler/scaling/autoscaler.go and pkg/reconciler/autoscaling/kpa, Aug 2026",
    spec=KnativeSpec,
    knob="target_concurrency",
    build=knative_policy,
)
