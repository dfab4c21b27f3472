"""AIBrix' own autoscalers: APA (usage over target, with a dead band) and KPA (two windows, Knative's formula).

Sources, vllm-project/aibrix pkg/controller/podautoscaler: algorithm/{apa,kpa}.go, types/metrics.go (TimeWindow),
context/context.go (defaults), autoscaler.go (pending guard) and podautoscaler_controller.go (cooldown and bounds,
commit 015a2e5f). A resync is 10 s; pods are scraped at each, here once as well.

Kept on purpose: "cooldown" takes the highest recent count on the way up and the LOWEST of the last 300 s on the way
down, the inverse of an HPA's stabilization; KPA divides the mean per pod by the target, so it asks for few pods
whatever the load (`multiply_by_pods` is the later form); its panic never latches; a pod that drains counts.
Left out: several metrics (the maximum would win), the predictive mode, which upstream only reports, the GPU
optimizer, and scheduledBounds. Their example metric is vllm:kv_cache_usage_perc; the default here is the batch.
Unverified: KPA's dead band and the multiplication by pods are restated from notes on later code, not from a file
with its tests; whether the pod list leaves terminating pods out.
"""

import math
from dataclasses import dataclass, replace

from policies.baselines.aibrix_algorithms import AibrixKpaSpec, AibrixSpec, guarded, recommend
from policies.decision import Decision
from policies.entry import PolicyEntry
from policies.errors import BadInput
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, MetricQuery, PodMetrics, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class AibrixState:
    """window: (second, mean over pods). recommendations: (at_ns, replicas). Both oldest first."""

    window: tuple[tuple[int, float], ...] = ()
    recommendations: tuple[tuple[int, int], ...] = ()


def apa_policy(spec: AibrixSpec, name: str = "aibrix-apa") -> Policy[AibrixSpec, AibrixState]:
    """Strategy APA; raises BadInput."""
    return _policy(spec, name)


def kpa_policy(spec: AibrixKpaSpec, name: str = "aibrix-kpa") -> Policy[AibrixSpec, AibrixState]:
    """Strategy KPA; raises BadInput."""
    return _policy(spec, name)


def decide(spec: AibrixSpec, state: AibrixState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, AibrixState]:
    """One resync: window, algorithm, guard, cooldown, bounds. Without a sample only the bounds are put right."""
    current = snapshot.replicas
    if current == 0:
        return _decision(0, 0, "ScalingDisabled", "the scale is at zero, which is someone else's"), state
    observed = _mean(spec, snapshot)
    if observed is None:
        bounded = min(max(current, spec.min_replicas), spec.max_replicas)
        reason = "FailedGetPodsMetric" if bounded == current else _bound_reason(current, bounded)
        return _decision(current, bounded, reason, f"no pod answered with {spec.metric}"), state
    state = replace(state, window=_recorded(state.window, observed, spec.stable_window_seconds, now_ns))
    proposed = recommend(
        spec,
        current,
        stable=_average(state.window, spec.stable_window_seconds, now_ns),
        panic=_average(state.window, spec.panic_window_seconds, now_ns),
    )
    within = replace(proposed, replicas=min(max(proposed.replicas, spec.min_replicas), spec.max_replicas))
    ready = min(snapshot.ready_replicas, current)
    damped = guarded(spec, within, current, ready) if spec.pending_guard else within.replicas
    cooled, recommendations = _cooled(spec, state.recommendations, damped, current, now_ns)
    desired = min(max(cooled, spec.min_replicas), spec.max_replicas)
    why = f"{spec.metric} is {proposed.value:.4g} a pod on average (target {spec.target_value:g}), {proposed.mode}"
    why += f": wants {proposed.replicas}"
    reason = "WithinTolerance" if proposed.replicas == current else "ReadyForNewScale"
    if within.replicas != proposed.replicas:
        reason, why = _bound_reason(proposed.replicas, within.replicas), f"{why}, bounded to {within.replicas}"
    if damped != within.replicas:
        reason, why = "PendingReplicas", f"{why}, {current - ready} pods not ready: {damped}"
    if cooled != damped:
        reason, why = "Cooldown", f"{why}, {cooled} was asked for within the cooldown window"
    numbers = {
        "metric_per_pod": proposed.value,
        "target_per_pod": spec.target_value,
        "ready_replicas": float(ready),
        "wanted_replicas": float(proposed.replicas),
    }
    decision = _decision(current, desired, reason, why, numbers)
    return decision, replace(state, recommendations=recommendations)


def _cooled(
    spec: AibrixSpec, recommendations: tuple[tuple[int, int], ...], wanted: int, current: int, now_ns: int
) -> tuple[int, tuple[tuple[int, int], ...]]:
    """(count after the cooldown windows, what is remembered) (stabilizeRecommendation)."""
    up_ns, down_ns = (
        seconds * NS_PER_SECOND for seconds in (spec.scale_up_cooldown_seconds, spec.scale_down_cooldown_seconds)
    )
    kept = tuple(each for each in (*recommendations, (now_ns, wanted)) if each[0] > now_ns - max(up_ns, down_ns))
    if wanted == current:
        return current, kept
    select, window_ns = (max, up_ns) if wanted > current else (min, down_ns)
    return select([replicas for at_ns, replicas in kept if at_ns > now_ns - window_ns], default=wanted), kept


def _mean(spec: AibrixSpec, snapshot: Snapshot) -> float | None:
    """The mean over the pods that answered, ready or not; None when none did."""
    answer = snapshot.observations.get(_query(spec))
    if not isinstance(answer, PodMetrics):
        return None
    samples = [answer.samples[pod.name].value_milli for pod in snapshot.pods if pod.name in answer.samples]
    return sum(samples) / 1000 / len(samples) if samples else None


def _recorded(
    window: tuple[tuple[int, float], ...], value: float, seconds: int, now_ns: int
) -> tuple[tuple[int, float], ...]:
    """One bucket a second, the last value wins; a bucket exactly as old as the window still counts."""
    now = now_ns // NS_PER_SECOND
    return (*(each for each in window if now - seconds <= each[0] < now), (now, value))


def _average(window: tuple[tuple[int, float], ...], seconds: int, now_ns: int) -> float:
    values = [value for second, value in window if second >= now_ns // NS_PER_SECOND - seconds]
    return math.fsum(values) / len(values)


def _query(spec: AibrixSpec) -> MetricQuery:
    return MetricQuery(type="Pods", name=spec.metric)


def _bound_reason(wanted: int, bounded: int) -> str:
    return "TooManyReplicas" if bounded < wanted else "TooFewReplicas"


def _decision(current: int, desired: int, reason: str, why: str, numbers: dict[str, float] | None = None) -> Decision:
    change = f"{desired} replicas kept" if desired == current else f"{current} -> {desired} replicas"
    counts = {"replicas": float(current), "desired_replicas": float(desired)}
    return Decision(
        desired_replicas=desired, reason=reason, message=f"{change}: {why}", numbers=counts | (numbers or {})
    )


def _policy(spec: AibrixSpec, name: str) -> Policy[AibrixSpec, AibrixState]:
    for field, low, value, high in (
        ("targetValue", 0.001, spec.target_value, math.inf),
        ("minReplicas", 1, spec.min_replicas, spec.max_replicas),
        ("panicWindowSeconds", 1, spec.panic_window_seconds, spec.stable_window_seconds),
        ("observeWindowSeconds", 1, spec.stable_window_seconds, 3600),
        ("upTolerance", 0, spec.up_tolerance, math.inf),
        ("downTolerance", 0, spec.down_tolerance, 1),
        ("maxScaleUpRate", 1, spec.max_scale_up_rate, math.inf),
        ("maxScaleDownRate", 1, spec.max_scale_down_rate, math.inf),
        ("scaleUpCooldownSeconds", 0, spec.scale_up_cooldown_seconds, 3600),
        ("scaleDownCooldownSeconds", 0, spec.scale_down_cooldown_seconds, 3600),
    ):
        if not low <= value <= high:
            raise BadInput(f"{field}: was {value:g}, must be in [{low:g}, {high:g}]")
    if isinstance(spec, AibrixKpaSpec) and not spec.panic_threshold > 0:
        raise BadInput(f"panicThreshold: was {spec.panic_threshold:g}, must be > 0")
    if not spec.metric:
        raise BadInput("metric: was empty, must name a metric of the pods")
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=AibrixState(),
        queries=(_query(spec),),
        period_seconds=10,
        scrape_seconds=10,
    )


_SOURCE = "vllm-project/aibrix pkg/controller/podautoscaler, 2026 (controller at commit 015a2e5f)"

ENTRIES = (
    PolicyEntry(
        name="aibrix-apa",
        summary="AIBrix APA: usage over target with a dead band, at most doubled or halved every 10 s",
        source=_SOURCE,
        spec=AibrixSpec,
        knob="target_value",
        build=apa_policy,
    ),
    PolicyEntry(
        name="aibrix-kpa",
        summary="AIBrix KPA: the mean per pod over 180 s and 60 s, by Knative's formula",
        source=_SOURCE,
        spec=AibrixKpaSpec,
        knob="target_value",
        build=kpa_policy,
    ),
)
