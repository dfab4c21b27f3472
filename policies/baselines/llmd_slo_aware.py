"""llm-d SLO-aware autoscaling: the P90 latency over its target, with a dead band and a credit for starting pods.

    s_raw = max( P90 TTFT / 3 s, P90 TPOT / 0.1 s ), nothing measured = 0
    s     = mean over 45 s of min(s_raw, 2)
    n pods asked for, r of them ready, credit c = r / n where 0 < r < n, else 1
    s > 0.55:  n + ceil( n * (s * c / 0.55 - 1) )
    s < 0.40:  n - floor( n * (1 - s / 0.40) )
    between:   n

Source: llm-d/llm-d guides/workload-autoscaling/README.slo-aware.md (commit d38c9f0c, 2026), "the control law" and
"HPA layer"; the ScaledObject and the recording rules themselves were not at hand, so the queries' exact wording is
not checked. The latencies are the measured ones, the guide's own fallback where no latency predictor runs, and the
signal therefore rises only once requests have waited; the rules are evaluated once a sync (15 s).

Kept as they are: an empty latency series is taken for an idle pool, s = 0, and the pool drains to its minimum;
n = 7, r = 3, s = 1 gives 7 + ceil(7 * (1 * 3/7 / 0.55 - 1)) = 6, a scale-up branch that asks for less (the
scale-down window of 180 s hides it for a while). A replica count that cannot be read stops the HPA.
"""

import math
from dataclasses import dataclass, field, replace

from policies.baselines.llmd_triggers import COMPOSITE, behavior, composite_hpa, in_range, read, served, with_answers
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.hpa import HPASpec, HPAState, ScalingPolicy, validate
from policies.hpa import decide as decide_hpa
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, MetricError, MetricQuery, Observation, Snapshot

TTFT = MetricQuery(type="External", name="leadtime:ttft_p90_seconds:1m")
TPOT = MetricQuery(type="External", name="leadtime:tpot_p90_seconds:1m")
REPLICAS = MetricQuery(type="External", name="kube_deployment_spec_replicas")
READY = MetricQuery(type="External", name="kube_deployment_status_replicas_ready")


@dataclass(frozen=True, slots=True, kw_only=True)
class SLOAwareSpec:
    """The guide's benchmarked values."""

    min_replicas: int = parameter("replicas", "minReplicaCount", 3)
    max_replicas: int = parameter("replicas", "maxReplicaCount", 8)
    ttft_seconds: float = parameter("s", "target of the P90 TTFT", 3.0)
    tpot_seconds: float = parameter("s", "target of the P90 TPOT", 0.1)
    clamp: float = parameter("share of the target", "most that one sample may say", 2.0)
    smoothing_seconds: int = parameter("s", "samples are averaged over this long", 45)
    scale_up_threshold: float = parameter("share of the target", "scale up above", 0.55)
    scale_down_threshold: float = parameter("share of the target", "scale down below", 0.40)

    @property
    def hpa(self) -> HPASpec:
        """The HPA that KEDA generates."""
        how = behavior(
            up_window_seconds=30,
            up=(
                ScalingPolicy(type="Percent", value=100, period_seconds=60),
                ScalingPolicy(type="Pods", value=4, period_seconds=60),
            ),
            down_window_seconds=180,
            down=(ScalingPolicy(type="Pods", value=1, period_seconds=120),),
        )
        return composite_hpa(self.min_replicas, self.max_replicas, how)


@dataclass(frozen=True, slots=True, kw_only=True)
class SLOAwareState:
    """samples: (instant, clamped saturation) of the last smoothing window, oldest first."""

    hpa: HPAState = field(default_factory=HPAState)
    samples: tuple[tuple[int, float], ...] = ()


def slo_aware_policy(spec: SLOAwareSpec, name: str = "llmd-slo-aware") -> Policy[SLOAwareSpec, SLOAwareState]:
    """The rule with its spec checked; raises BadInput."""
    in_range("ttftSeconds", spec.ttft_seconds, 1e-3, 3_600.0)
    in_range("tpotSeconds", spec.tpot_seconds, 1e-4, 3_600.0)
    in_range("smoothingSeconds", spec.smoothing_seconds, 1, 3_600)
    in_range("scaleDownThreshold", spec.scale_down_threshold, 0.01, 10.0)
    if not spec.scale_down_threshold < spec.scale_up_threshold < spec.clamp:
        raise BadInput(
            f"scaleUpThreshold: was {spec.scale_up_threshold}, must be above scaleDownThreshold "
            f"({spec.scale_down_threshold}) and below clamp ({spec.clamp}); move one of the three"
        )
    validate(spec.hpa)
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=SLOAwareState(),
        queries=(TTFT, TPOT, REPLICAS, READY),
    )


def decide(spec: SLOAwareSpec, state: SLOAwareState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, SLOAwareState]:
    """One sync: a new sample of the signal, the control law, then the HPA."""
    ttft, tpot = read(snapshot, TTFT), read(snapshot, TPOT)
    raw = max(ttft.value / spec.ttft_seconds, tpot.value / spec.tpot_seconds)
    cutoff_ns = now_ns - spec.smoothing_seconds * NS_PER_SECOND
    kept = tuple(sample for sample in state.samples if cutoff_ns < sample[0] < now_ns)
    samples = (*kept, (now_ns, min(raw, spec.clamp)))
    saturation = sum(value for _, value in samples) / len(samples)
    replicas, ready = read(snapshot, REPLICAS), read(snapshot, READY)
    error = replicas.error or ready.error
    answer: Observation
    if error is None:
        wanted = control_law(spec, saturation, round(replicas.value), round(ready.value))
        answer = served(wanted)
        why = f"P90 latency is {saturation:.2f} of its target, {ready.value:g} of {replicas.value:g} pods ready"
        if ttft.error is not None and tpot.error is not None:
            why += "; no latency series now, read as 0"
    else:
        answer = MetricError(error)
        why = f"P90 latency is {saturation:.2f} of its target"
    decision, hpa = decide_hpa(spec.hpa, state.hpa, with_answers(snapshot, {COMPOSITE: answer}), now_ns)
    explained = replace(
        decision,
        message=f"{decision.message} ({why})",
        numbers={
            **decision.numbers,
            "ttft_p90_seconds": ttft.value,
            "tpot_p90_seconds": tpot.value,
            "saturation": saturation,
        },
    )
    return explained, SLOAwareState(hpa=hpa, samples=samples)


def control_law(spec: SLOAwareSpec, saturation: float, replicas: int, ready: int) -> int:
    """The replica count that the formula asks for: 0 or more, and not bounded above."""
    if saturation > spec.scale_up_threshold:
        credit = ready / replicas if 0 < ready < replicas else 1.0
        return replicas + math.ceil(replicas * (saturation * credit / spec.scale_up_threshold - 1.0))
    if saturation < spec.scale_down_threshold:
        return replicas - math.floor(replicas * (1.0 - saturation / spec.scale_down_threshold))
    return replicas


ENTRY = PolicyEntry(
    name="llmd-slo-aware",
    summary="llm-d KEDA + EPP, P90 TTFT and TPOT over their targets, with a credit for starting pods",
    source="llm-d/llm-d guides/workload-autoscaling/README.slo-aware.md, commit d38c9f0c",
    spec=SLOAwareSpec,
    knob="scale_up_threshold",
    build=slo_aware_policy,
)
