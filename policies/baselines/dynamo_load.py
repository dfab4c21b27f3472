"""NVIDIA Dynamo's load loop with its SLA target: one replica more or less, every 5 s, from estimated latencies.

    per engine:  TTFT of a request that comes now, from the queued prompts;  ITL, from the KV cache in use
    + 1          every engine's TTFT, or every engine's ITL, above its target
    - 1          every engine with its load times N / (N - 1): queueing TTFT < 0.8 * (target - own prefill),
                 ITL < 0.8 * target, and the KV cache still fits
    gate         while asked-for and ready replicas differ, or an engine does not report, only observe

Source: ai-dynamo/dynamo components/src/dynamo/planner/core/load_scaling.py (commit 0c6da1ec: _advance_load_agg,
_agg_prefill_scaling, _agg_decode_scaling, _scale_decision), mode `agg`. With `throughput_floor` the throughput loop
(`dynamo_throughput`) runs as well and its result is a floor, as upstream with both loops enabled.

Upstream reads every forward pass; vLLM's own pages show a queue, a batch and the cache's use. So the queued prefill
is waiting * mean prompt, the KV tokens are use * size, queued decodes (preempted requests) are not seen, and the
usual prefill of a step is the balance batch * prompt / output. Means are over the last minute.

Kept as they are: one step per cold start, whatever the load, because the gate closes until the pod is ready; "every
engine" means that one idle engine, such as the pod that has just started, vetoes a scale-up; without a queue the
estimate says nothing of requests that wait at the gateway for a first pod.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from policies.baselines.dynamo_capacity import Engine, engine
from policies.baselines.dynamo_forecast import check_available
from policies.baselines.dynamo_throughput import (
    ThroughputSpec,
    ThroughputState,
    advance_throughput,
    check,
    within_budget,
)
from policies.baselines.traffic import KV_USAGE, QUERIES, Traffic, observe
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.policy import Policy
from policies.serving_counters import RUNNING, WAITING
from policies.snapshot import PodMetrics, Snapshot

_MEANS_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec(ThroughputSpec):
    """As the throughput loop, of which only the floor uses interval and predictor."""

    load_scaling_down_sensitivity: float = parameter("percent", "share of a target that a survivor may use", 80.0)
    throughput_floor: bool = parameter("yes or no", "run the throughput loop too, as a floor", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadState:
    """mix: the last known mean prompt and output. floor: what the throughput loop set."""

    traffic: Traffic = field(default_factory=Traffic)
    mix: tuple[float, float] | None = None
    throughput: ThroughputState = field(default_factory=ThroughputState)
    floor: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """One engine now: prompt tokens that wait for prefill, KV tokens in use, requests in the batch."""

    queued_prefill_tokens: float
    kv_tokens: float
    running: float


def load_policy(spec: LoadSpec, name: str = "dynamo-load") -> Policy[LoadSpec, LoadState]:
    """The rule with its spec checked; raises BadInput."""
    check(spec)
    if not 0.0 < spec.load_scaling_down_sensitivity <= 100.0:
        raise BadInput(f"loadScalingDownSensitivity: was {spec.load_scaling_down_sensitivity}, must be in (0, 100]")
    if spec.throughput_floor:
        check_available(spec.predictor)
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=LoadState(),
        queries=(*QUERIES, KV_USAGE),
        period_seconds=5,
        scrape_seconds=5,
    )


def decide(spec: LoadSpec, state: LoadState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, LoadState]:
    """One tick of the load loop."""
    traffic = observe(state.traffic, snapshot, _MEANS_SECONDS)
    prompt, output = traffic.prompt_tokens, traffic.output_tokens
    mix = state.mix if prompt is None or output is None else (prompt, output)
    state = replace(state, traffic=traffic, mix=mix)
    if spec.throughput_floor:
        need, throughput = advance_throughput(spec, state.throughput, snapshot, now_ns)
        floor = state.floor if need is None or need.replicas is None else need.replicas
        state = replace(state, throughput=throughput, floor=floor)
    workers = snapshot.ready_replicas
    loads = _loads(spec, mix, snapshot)
    if not loads:
        return _kept(snapshot, "NoEngineData", "no engine reports its load"), state
    if workers != snapshot.replicas:
        text = f"{workers} of {snapshot.replicas} pods ready, so the loop only observes"
        return _kept(snapshot, "ScalingInProgress", text), state
    if len(loads) != workers:
        return _kept(snapshot, "WorkerCountMismatch", f"{len(loads)} of {workers} ready pods report"), state
    if mix is None:
        return _kept(snapshot, "InsufficientData", "the mean request is not known yet"), state
    return _decided(spec, state, snapshot, engine(spec.profile, *mix), loads), state


def _decided(spec: LoadSpec, state: LoadState, snapshot: Snapshot, each: Engine, loads: Sequence[Load]) -> Decision:
    workers = snapshot.replicas
    ttft, prefill_vote = prefill_scaling(spec, each, loads)
    itl, decode_vote = decode_scaling(spec, each, loads)
    desired = combined(workers, prefill_vote, decode_vote)
    floor = state.floor if spec.throughput_floor else 1
    desired = within_budget(spec, max(desired, floor))
    reason = "LoadScaleUp" if desired > workers else "LoadScaleDown" if desired < workers else "LoadNoChange"
    change = f"{desired} replicas kept" if desired == workers else f"{workers} -> {desired} replicas"
    return Decision(
        desired_replicas=desired,
        reason=reason,
        message=(
            f"{change}: a request that comes now is estimated at TTFT {min(ttft):.2f} to {max(ttft):.2f} s "
            f"(target {spec.ttft_seconds:g}) and ITL {1000 * min(itl):.0f} to {1000 * max(itl):.0f} ms "
            f"(target {1000 * spec.itl_seconds:g}) over {workers} engines"
        ),
        numbers={
            "estimated_ttft_seconds": max(ttft),
            "estimated_itl_seconds": max(itl),
            "throughput_floor_replicas": float(floor),
        },
    )


def prefill_scaling(spec: LoadSpec, each: Engine, loads: Sequence[Load]) -> tuple[list[float], int | None]:
    """(TTFT of each engine, its vote): N + 1, N - 1, N where consolidation is refused, None for no change."""
    workers, sensitivity = len(loads), spec.load_scaling_down_sensitivity / 100.0
    estimates = [each.next_ttft_seconds(load.queued_prefill_tokens, load.kv_tokens) for load in loads]
    refused = False
    if workers > 1:
        consolidation = workers / (workers - 1)
        for load in loads:
            kv_tokens = int(load.kv_tokens * consolidation)
            own = each.next_ttft_seconds(0, kv_tokens)
            queueing = each.next_ttft_seconds(int(load.queued_prefill_tokens * consolidation), kv_tokens) - own
            budget = (spec.ttft_seconds - own) * sensitivity
            refused = refused or budget <= 0 or queueing >= budget
    return estimates, _vote(spec, estimates, spec.ttft_seconds, workers, refused=refused)


def decode_scaling(spec: LoadSpec, each: Engine, loads: Sequence[Load]) -> tuple[list[float], int | None]:
    """(ITL of each engine, its vote), as for prefill; waiting prompts count as KV tokens that will come."""
    workers, sensitivity = len(loads), spec.load_scaling_down_sensitivity / 100.0
    prefill = sum(
        min(load.running * each.prompt_tokens / each.output_tokens, each.max_num_batched_tokens) for load in loads
    )
    prefill /= workers
    estimates = [each.next_itl_seconds(load.kv_tokens, prefill) for load in loads]
    refused = False
    if workers > 1:
        consolidation = workers / (workers - 1)
        for load in loads:
            combined_kv = int((load.kv_tokens + load.queued_prefill_tokens) * consolidation)
            too_slow = each.next_itl_seconds(combined_kv, prefill) >= spec.itl_seconds * sensitivity
            refused = refused or combined_kv >= each.kv_tokens or too_slow
    return estimates, _vote(spec, estimates, spec.itl_seconds, workers, refused=refused)


def _vote(spec: LoadSpec, estimates: Sequence[float], target: float, workers: int, *, refused: bool) -> int | None:
    if all(estimate > target for estimate in estimates):
        return workers + 1
    if refused:
        return workers
    return max(workers - 1, spec.min_replicas) if workers > 1 else None


def combined(workers: int, prefill: int | None, decode: int | None) -> int:
    """Either vote may add; removing takes both, or the decode vote where prefill has none."""
    for vote in (prefill, decode):
        if vote is not None and vote > workers:
            return vote
    if decode is not None and decode < workers and (prefill is None or prefill < workers):
        return decode if prefill is None else max(prefill, decode)
    return workers


def _loads(spec: LoadSpec, mix: tuple[float, float] | None, snapshot: Snapshot) -> list[Load]:
    """One per ready pod that reports all three series, in the order of their names."""
    answers = [snapshot.observations.get(query) for query in (WAITING, KV_USAGE, RUNNING)]
    samples = [answer.samples for answer in answers if isinstance(answer, PodMetrics)]
    if len(samples) < len(answers):
        return []
    waiting, usage, running = samples
    prompt = mix[0] if mix is not None else 0.0
    return [
        Load(
            queued_prefill_tokens=waiting[name].value_milli / 1000 * prompt,
            kv_tokens=usage[name].value_milli / 1000 * spec.profile.kv_tokens,
            running=running[name].value_milli / 1000,
        )
        for name in sorted(pod.name for pod in snapshot.pods if pod.is_ready)
        if name in waiting and name in usage and name in running
    ]


def _kept(snapshot: Snapshot, reason: str, text: str) -> Decision:
    return Decision(
        desired_replicas=snapshot.replicas, reason=reason, message=f"{snapshot.replicas} replicas kept: {text}"
    )


ENTRY = PolicyEntry(
    name="dynamo-load",
    summary="NVIDIA Dynamo planner, SLA target: one replica more or less every 5 s, none while a pod starts",
    source="ai-dynamo/dynamo components/src/dynamo/planner/core/load_scaling.py, commit 0c6da1ec",
    spec=LoadSpec,
    knob="itl_seconds",
    build=load_policy,
)
