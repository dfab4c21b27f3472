"""llm-d's Workload Variant Autoscaler, saturation analyzer V2: KV tokens wanted against KV tokens that are there.

    demand = sum over servers ( KV tokens in use + waiting * (I + O) ) + gateway queue * (I + O)
    cap    = median over servers of min(k1, k2)        k1 = KV tokens * 0.80
    k2     = KV tokens in use, while the server's queue is 5 or more (remembered: mean of the last 10 per output class)
             else min(B * O / (I + O), max_num_seqs) * (I + O / 2)    B = max_num_batched_tokens
    need   = max(0, demand / 0.85 - (serving + starting) * cap)       add ceil(need / cap)
    spare  = max(0, serving * cap - demand / 0.70)                    else remove floor(spare / cap), down to 1

I, O: mean prompt and output tokens over 5 minutes; use and queue are maxima over 1 minute. The result is published
every 60 s as `wva_desired_replicas`, and an HPA (External, AverageValue 1, 15 s) brings it about.

Sources: llm-d-incubation/workload-variant-autoscaler internal/engines/analyzers/saturation_v2/{analyzer,constants}.go
and internal/engines/pipeline/cost_aware_optimizer.go (commit 256df39c), internal/engines/saturation/engine_v2.go
(commit 5ba8d09f), internal/config/saturation_scaling.go (defaults); the HPA is llm-d/llm-d guides/
workload-autoscaling/optimized-baseline-autoscaling/hpa.yaml (commit 739e6a61), with the docs' maxReplicas of 10.
The project is deprecated; 0.9.0 is its last version.

Left out: several variants, prefill/decode roles, GPU limits, the rate-anchored k2 (off upstream), scale to zero.
The mean request is taken over all servers, upstream per server. The queue's bytes / 4 are taken to be queue * I.
In its favour: the HPA sees the published number at once, not a scrape later.

Kept as they are: it looks only once a minute and its HPA holds back 120 s more; peaks of use and queue of
different moments are added; one overloaded minute lowers cap for good (k2), however full the cache was; and above
10 replicas the HPA's tolerance swallows a change by one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from policies.baselines.llmd_triggers import PERCENT_100, average_value, behavior, in_range, with_answers
from policies.baselines.traffic import KV_USAGE, QUERIES, Traffic, observe
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.hpa import HPASpec, HPAState, validate
from policies.hpa import decide as decide_hpa
from policies.policy import Policy
from policies.serving_counters import WAITING
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricError, PodMetrics, Snapshot

_OUTPUT = "wva_desired_replicas"
_TRAFFIC_SECONDS = 300
_PEAK_SECONDS = 60
_ROLLING_AVERAGE_WINDOW_SIZE = 10
_SHORT_OUTPUT, _MEDIUM_OUTPUT = 100, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class WVASpec:
    """The defaults of the config, and the engine's own limits (here vLLM's for Llama 3.1 8B fp8 on one L4)."""

    min_replicas: int = parameter("replicas", "minReplicas of the HPA", 1)
    max_replicas: int = parameter("replicas", "maxReplicas of the HPA", 10)
    kv_tokens_per_replica: int = parameter("tokens", "num_gpu_blocks * block_size, from vllm:cache_config_info", 80_000)
    max_num_batched_tokens: int = parameter("tokens", "B, the engine's token budget per step", 2_048)
    max_num_seqs: int = parameter("requests", "the engine's largest batch", 256)
    kv_cache_threshold: float = parameter("fraction", "kvCacheThreshold: share of the KV cache that may fill", 0.80)
    queue_length_threshold: int = parameter("requests", "queueLengthThreshold: a server with more is full", 5)
    scale_up_threshold: float = parameter("fraction", "scaleUpThreshold: utilization to scale up above", 0.85)
    scale_down_boundary: float = parameter("fraction", "scaleDownBoundary: utilization to scale down below", 0.70)
    interval_seconds: int = parameter("s", "GLOBAL_OPT_INTERVAL", 60)
    scale_up_window_seconds: int = parameter("s", "of the HPA", 120)
    scale_down_window_seconds: int = parameter("s", "of the HPA", 120)

    @property
    def hpa(self) -> HPASpec:
        """The HPA that brings the published number about."""
        return HPASpec(
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            metrics=(average_value(_OUTPUT, 1.0, "target"),),
            behavior=behavior(
                up_window_seconds=self.scale_up_window_seconds,
                up=(PERCENT_100,),
                down_window_seconds=self.scale_down_window_seconds,
                down=(PERCENT_100,),
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """One server at one scrape: share of the KV cache in use, and requests waiting."""

    at_ns: int
    kv_usage: float
    waiting: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What the last optimization found. desired_replicas is what is published until the next."""

    at_ns: int
    demand_tokens: float
    capacity_tokens: float
    serving: int
    starting: int
    desired_replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WVAState:
    """peaks: the last minute, by pod. observed: the last k2 that were seen, by output class."""

    hpa: HPAState = field(default_factory=HPAState)
    traffic: Traffic = field(default_factory=Traffic)
    peaks: Mapping[str, tuple[Peak, ...]] = field(default_factory=dict)
    observed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    analysis: Analysis | None = None


def wva_policy(spec: WVASpec, name: str = "wva-saturation-v2") -> Policy[WVASpec, WVAState]:
    """The rule with its spec checked; raises BadInput."""
    in_range("kvTokensPerReplica", spec.kv_tokens_per_replica, 16, 1e9)
    in_range("maxNumBatchedTokens", spec.max_num_batched_tokens, 1, 1e9)
    in_range("maxNumSeqs", spec.max_num_seqs, 1, 1e6)
    in_range("kvCacheThreshold", spec.kv_cache_threshold, 0.01, 1.0)
    in_range("queueLengthThreshold", spec.queue_length_threshold, 1, 1e6)
    in_range("intervalSeconds", spec.interval_seconds, 1, 3_600)
    if not 0.0 < spec.scale_down_boundary < spec.scale_up_threshold <= 1.0:
        raise BadInput(
            f"scaleUpThreshold: was {spec.scale_up_threshold}, must be above scaleDownBoundary "
            f"({spec.scale_down_boundary}, itself above 0) and at most 1; move one of the two"
        )
    validate(spec.hpa)
    return Policy(name=name, decide=decide, spec=spec, initial_state=WVAState(), queries=(*QUERIES, KV_USAGE))


def decide(spec: WVASpec, state: WVAState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, WVAState]:
    """One sync of the HPA, after an optimization where one is due. Without metrics the last number stands."""
    traffic = observe(state.traffic, snapshot, _TRAFFIC_SECONDS)
    state = replace(state, traffic=traffic, peaks=_remember(state.peaks, snapshot, now_ns))
    interval_ns = spec.interval_seconds * NS_PER_SECOND
    due = state.analysis is None or now_ns - state.analysis.at_ns >= interval_ns
    if due and state.peaks:
        state = _optimize(spec, state, snapshot, now_ns)
    analysis = state.analysis
    answer = (
        MetricError(f"no metrics returned for {_OUTPUT}")
        if analysis is None
        else ExternalMetric((analysis.desired_replicas * 1000,))
    )
    decision, hpa = decide_hpa(spec.hpa, state.hpa, with_answers(snapshot, {_OUTPUT: answer}), now_ns)
    why, numbers = "no optimization yet", {}
    if analysis is not None:
        why = (
            f"{analysis.demand_tokens:.0f} KV tokens wanted, {analysis.capacity_tokens:.0f} a replica, "
            f"{analysis.serving} serving and {analysis.starting} starting: WVA publishes {analysis.desired_replicas}"
        )
        numbers = {
            "demand_tokens": analysis.demand_tokens,
            "capacity_tokens_per_replica": analysis.capacity_tokens,
            "wva_desired_replicas": float(analysis.desired_replicas),
        }
    explained = replace(decision, message=f"{decision.message} ({why})", numbers={**decision.numbers, **numbers})
    return explained, replace(state, hpa=hpa)


def _optimize(spec: WVASpec, state: WVAState, snapshot: Snapshot, now_ns: int) -> WVAState:
    """Analyze, then add or remove replicas of the one variant."""
    prompt, output = state.traffic.prompt_tokens or 0.0, state.traffic.output_tokens or 0.0
    serving = sorted(pod.name for pod in snapshot.pods if pod.is_ready and pod.name in state.peaks)
    observed = dict(state.observed)
    capacities, demand = [], 0.0
    for name in serving:
        in_use = int(max(peak.kv_usage for peak in state.peaks[name]) * spec.kv_tokens_per_replica)
        waiting = int(max(peak.waiting for peak in state.peaks[name]))
        demand += in_use + int(waiting * (prompt + output))
        k1 = int(spec.kv_tokens_per_replica * spec.kv_cache_threshold)
        k2, observed = compute_bound_tokens(spec, observed, in_use, waiting, prompt, output)
        capacities.append(min(k1, k1 if k2 is None else k2))
    demand += state.traffic.gateway_queue * (prompt + output)
    capacity = float(_median(capacities)) if capacities else _capacity_without_servers(spec, state)
    there = snapshot.replicas if snapshot.status_replicas is None else snapshot.status_replicas
    starting = max(0, there - snapshot.ready_replicas)
    desired = snapshot.replicas
    need = max(0.0, demand / spec.scale_up_threshold - (len(serving) + starting) * capacity)
    spare = max(0.0, len(serving) * capacity - demand / spec.scale_down_boundary)
    if capacity > 0 and need > 0:
        # A count that somebody set above the maximum is the HPA's to put right.
        desired = max(desired, min(desired + math.ceil(need / capacity), spec.max_replicas))
    elif capacity > 0 and spare > 0:
        desired = min(desired, max(desired - math.floor(spare / capacity), spec.min_replicas, 1))
    analysis = Analysis(
        at_ns=now_ns,
        demand_tokens=demand,
        capacity_tokens=capacity,
        serving=len(serving),
        starting=starting,
        desired_replicas=desired,
    )
    return replace(state, observed=observed, analysis=analysis)


def compute_bound_tokens(
    spec: WVASpec, observed: Mapping[str, tuple[int, ...]], in_use: int, waiting: int, prompt: float, output: float
) -> tuple[int | None, dict[str, tuple[int, ...]]]:
    """(k2, what is remembered). k2: observed at a full queue, else remembered, else derived, else None."""
    bucket = "short" if output < _SHORT_OUTPUT else "medium" if output < _MEDIUM_OUTPUT else "long"
    remembered = observed.get(bucket, ())
    if waiting >= spec.queue_length_threshold and in_use > 0:
        return in_use, {**observed, bucket: (*remembered, in_use)[-_ROLLING_AVERAGE_WINDOW_SIZE:]}
    if remembered:
        return int(sum(remembered) / len(remembered)), dict(observed)
    if output > 0:
        batch = min(spec.max_num_batched_tokens * output / (prompt + output), float(spec.max_num_seqs))
        return int(batch * (prompt + output / 2)) or None, dict(observed)
    return None, dict(observed)


def _capacity_without_servers(spec: WVASpec, state: WVAState) -> float:
    """What the capacity store knows: the last live capacity, or the token budget as a safe lower bound."""
    known = state.analysis.capacity_tokens if state.analysis is not None else 0.0
    return known or float(spec.max_num_batched_tokens)


def _remember(peaks: Mapping[str, tuple[Peak, ...]], snapshot: Snapshot, now_ns: int) -> dict[str, tuple[Peak, ...]]:
    """The last minute of use and queue per pod, pods without a sample in it dropped."""
    usage, waiting = snapshot.observations.get(KV_USAGE), snapshot.observations.get(WAITING)
    new = {}
    if isinstance(usage, PodMetrics) and isinstance(waiting, PodMetrics):
        for name in usage.samples.keys() & waiting.samples.keys():
            sample, queue = usage.samples[name], waiting.samples[name]
            new[name] = Peak(at_ns=sample.at_ns, kv_usage=sample.value_milli / 1000, waiting=queue.value_milli / 1000)
    oldest_ns = now_ns - _PEAK_SECONDS * NS_PER_SECOND
    kept = {}
    for name in sorted(peaks.keys() | new.keys()):
        known = peaks.get(name, ())
        if name in new and (not known or known[-1].at_ns < new[name].at_ns):
            known = (*known, new[name])
        known = tuple(peak for peak in known if peak.at_ns > oldest_ns)
        if known:
            kept[name] = known
    return kept


def _median(values: list[int]) -> int:
    """The middle one, or the mean of the two middle ones cut off to an integer."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) // 2


ENTRY = PolicyEntry(
    name="wva-saturation-v2",
    summary="llm-d Workload Variant Autoscaler, KV tokens wanted against KV tokens per replica, behind an HPA",
    source="llm-d-incubation/workload-variant-autoscaler internal/engines/analyzers/saturation_v2/analyzer.go, "
    "commit 256df39c",
    spec=WVASpec,
    knob="kv_cache_threshold",
    build=wva_policy,
)
