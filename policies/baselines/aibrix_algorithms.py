"""AIBrix' algorithms: from the averages of one metric to a replica count, before cooldown and bounds.

Sources, vllm-project/aibrix pkg/controller/podautoscaler: algorithm/apa.go (commit 6da8a5bd), algorithm/kpa.go,
context/context.go (defaults, commit 2576b186) and autoscaler.go (applyPendingReplicaGuard, commit 015a2e5f).
"""

import math
from dataclasses import dataclass

from policies.entry import parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class AibrixSpec:
    """A PodAutoscaler with one metric of type pod, and its annotations; the defaults are AIBrix'."""

    target_value: float = parameter("the metric's unit, per replica", "targetValue", 16.0)
    metric: str = parameter("name", "targetMetric, as the pods export it", "vllm:num_requests_running")
    min_replicas: int = parameter("replicas", "minReplicas; to zero is off by default", 1)
    max_replicas: int = parameter("replicas", "maxReplicas", 20)
    stable_window_seconds: int = parameter("s", "observeWindowSeconds", 180)
    panic_window_seconds: int = parameter("s", "panicWindowSeconds (KPA)", 60)
    up_tolerance: float = parameter("fraction", "up-fluctuation-tolerance", 0.1)
    down_tolerance: float = parameter("fraction", "down-fluctuation-tolerance", 0.1)
    max_scale_up_rate: float = parameter("factor", "max-scale-up-rate", 2.0)
    max_scale_down_rate: float = parameter("factor", "max-scale-down-rate", 2.0)
    scale_up_cooldown_seconds: int = parameter("s", "scale-up-cooldown-window", 0)
    scale_down_cooldown_seconds: int = parameter("s", "scale-down-cooldown-window", 300)
    pending_guard: bool = parameter("true/false", "pods that are not ready damp a change (2026)", True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AibrixKpaSpec(AibrixSpec):
    """The same for strategy KPA."""

    panic_threshold: float = parameter("factor", "panic-threshold: panic mean over stable mean, exceeded", 2.0)
    multiply_by_pods: bool = parameter("true/false", "the windows hold totals, not means per pod (late 2026)", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """value: the metric per pod that led to it. mode: the windows that were used, in words."""

    replicas: int
    value: float
    mode: str


def recommend(spec: AibrixSpec, current: int, *, stable: float, panic: float) -> Recommendation:
    """stable, panic: the metric per pod, averaged over the two windows; APA uses the first."""
    if not isinstance(spec, AibrixKpaSpec):
        mode = f"over {spec.stable_window_seconds} s"
        return Recommendation(replicas=apa_replicas(spec, current, stable), value=stable, mode=mode)
    panicking = stable <= 0 or panic / stable > spec.panic_threshold
    pods = current if spec.multiply_by_pods else 1
    return Recommendation(
        replicas=kpa_replicas(spec, current, stable * pods, panic * pods, panicking=panicking),
        value=panic if panicking else stable,
        mode=f"panic mode over {spec.panic_window_seconds} s" if panicking else f"over {spec.stable_window_seconds} s",
    )


def apa_replicas(spec: AibrixSpec, current: int, value: float) -> int:
    """The HPA's ratio with a tolerance for each direction and at most one factor per resync (apa.go)."""
    ratio = value / spec.target_value
    if ratio > 1 + spec.up_tolerance:
        return min(math.ceil(current * ratio), math.ceil(spec.max_scale_up_rate * current))
    if ratio < 1 - spec.down_tolerance:
        return max(math.ceil(current * ratio), math.floor(current / spec.max_scale_down_rate))
    return current


def kpa_replicas(spec: AibrixSpec, current: int, stable: float, panic: float, *, panicking: bool) -> int:
    """Knative's formula on both windows; in panic the larger of the two (kpa.go)."""
    highest = max(1, math.ceil(spec.max_scale_up_rate * current))
    lowest = math.floor(current / spec.max_scale_down_rate)

    def replicas(value: float) -> int:
        ratio = value / spec.target_value
        steady = 1 - spec.down_tolerance <= ratio <= 1 + spec.up_tolerance
        return min(max(current if steady else math.ceil(ratio), lowest), highest)

    return max(replicas(stable), replicas(panic)) if panicking else replicas(stable)


def guarded(spec: AibrixSpec, proposed: Recommendation, current: int, ready: int) -> int:
    """Pods that are not ready count as idle on the way up and as on target on the way down (autoscaler.go).

    Never beyond the present count in the other direction, never further than the proposal.
    """
    pending = current - ready
    if pending <= 0 or proposed.replicas == current:
        return proposed.replicas
    pods = 1 if isinstance(spec, AibrixKpaSpec) and not spec.multiply_by_pods else current
    if proposed.replicas > current:
        mean = proposed.value * ready / current
        return min(max(math.ceil(pods * mean / spec.target_value), current), proposed.replicas)
    total = proposed.value * ready + spec.target_value * pending
    return max(min(math.ceil(total / spec.target_value), current), proposed.replicas)
