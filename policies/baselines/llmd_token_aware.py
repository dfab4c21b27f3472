"""llm-d token-aware autoscaling (experimental upstream): seconds of prefill backlog, and pods' worth of KV cache.

    max( ceil( in-flight uncached prefill tokens / V_P / 1.5 s ), ceil( sum of kv usage / 0.8 ) )

V_P is the calibrated peak prefill throughput of one replica; 1.5 s is about the TTFT target less the time that the
prompt takes itself. Scale-up acts at once but by 1 pod per 180 s, scale-down by 1 pod per 300 s after 300 s.
Source: llm-d/llm-d guides/workload-autoscaling/keda-epp-token-aware/optimized-baseline/base/scaledobject.yaml
(commit 04c0115b, 2026) and its README.

Kept as they are: both queries end in `or vector(0)`, so a series that is missing reads 0 and the pool drains while
nothing is known (only a failed query would stop it; a MetricError is taken for the missing series here); at one
pod per 3 minutes a doubling of 8 pods takes 24 minutes; a V_P of another machine silently changes every decision.
Left out: EPP images up to v0.10.0 never drop the series of a removed pod, so their sum never falls
(llm-d/llm-d-router#2529).
"""

from dataclasses import dataclass, replace

from policies.baselines.llmd_triggers import average_value, behavior, in_range, read, served, with_answers
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.hpa import HPASpec, HPAState, ScalingPolicy, validate
from policies.hpa import decide as decide_hpa
from policies.policy import Policy
from policies.snapshot import MetricQuery, Snapshot

PREFILL_TOKENS = MetricQuery(type="External", name="inference_pool_inflight_prefill_tokens")
KV_USAGE = MetricQuery(type="External", name="inference_pool_kv_cache_utilization_sum")

_BACKLOG = "prefill-backlog-seconds"
_KV = "decode-kv-utilization"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAwareSpec:
    """The ScaledObject's numbers."""

    min_replicas: int = parameter("replicas", "minReplicaCount", 1)
    max_replicas: int = parameter("replicas", "maxReplicaCount", 10)
    peak_prefill_tokens_per_second: float = parameter(
        "tokens/s per replica", "V_P = chunk / median idle TTFT; 15928 is Qwen3-32B on H100, TP 2", 15_928.0
    )
    prefill_backlog_seconds: float = parameter("s per replica", "target of the prefill backlog", 1.5)
    kv_cache_usage: float = parameter("fraction per replica", "target of the KV cache's use", 0.8)

    @property
    def hpa(self) -> HPASpec:
        """The HPA that KEDA generates."""
        return HPASpec(
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            metrics=(
                average_value(_BACKLOG, self.prefill_backlog_seconds, "prefillBacklogSeconds"),
                average_value(_KV, self.kv_cache_usage, "kvCacheUsage"),
            ),
            behavior=behavior(
                up_window_seconds=0,
                up=(ScalingPolicy(type="Pods", value=1, period_seconds=180),),
                down_window_seconds=300,
                down=(ScalingPolicy(type="Pods", value=1, period_seconds=300),),
            ),
        )


def token_aware_policy(spec: TokenAwareSpec, name: str = "llmd-token-aware") -> Policy[TokenAwareSpec, HPAState]:
    """The rule with its spec checked; raises BadInput."""
    in_range("peakPrefillTokensPerSecond", spec.peak_prefill_tokens_per_second, 1.0, 1e9)
    validate(spec.hpa)
    return Policy(name=name, decide=decide, spec=spec, initial_state=HPAState(), queries=(PREFILL_TOKENS, KV_USAGE))


def decide(spec: TokenAwareSpec, state: HPAState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, HPAState]:
    """One sync: both triggers, missing ones as 0, then the HPA."""
    tokens, usage = read(snapshot, PREFILL_TOKENS), read(snapshot, KV_USAGE)
    backlog_seconds = tokens.value / spec.peak_prefill_tokens_per_second
    answers = {_BACKLOG: served(backlog_seconds), _KV: served(usage.value)}
    decision, state = decide_hpa(spec.hpa, state, with_answers(snapshot, answers), now_ns)
    missing = [name for name, each in (("prefill", tokens), ("KV", usage)) if each.error is not None]
    why = f"{tokens.value:g} prompt tokens are {backlog_seconds:.2f} s of prefill, {usage.value:.2f} pods' KV in use"
    if missing:
        why += f"; no {' or '.join(missing)} series, read as 0"
    explained = replace(
        decision,
        message=f"{decision.message} ({why})",
        numbers={
            **decision.numbers,
            "inflight_prefill_tokens": tokens.value,
            "prefill_backlog_seconds": backlog_seconds,
            "kv_cache_usage_sum": usage.value,
        },
    )
    return explained, state


ENTRY = PolicyEntry(
    name="llmd-token-aware",
    summary="llm-d KEDA + EPP, seconds of prefill backlog and KV cache in use, 1 pod per 3 minutes",
    source="llm-d/llm-d guides/workload-autoscaling/keda-epp-token-aware/optimized-baseline/base/scaledobject.yaml, "
    "commit 04c0115b",
    spec=TokenAwareSpec,
    knob="kv_cache_usage",
    build=token_aware_policy,
)
