"""NVIDIA Dynamo's planner with its SLA target: scale every 180 s to what the forecast load needs.

    every 180 s:  n, isl, osl = one-step forecast of request count, prompt and output length
                  rps1 = largest rate of one engine within both targets
                  replicas = max( ceil( n / 180 / rps1 ), 1 ), at most the GPU budget

Source: ai-dynamo/dynamo components/src/dynamo/planner/core/{throughput_scaling,state_machine}.py (commits 0c9050c9,
0272cbdd), config/defaults.py (1ca60155), in mode `agg`; forecast and capacity are in `dynamo_forecast` and
`dynamo_capacity`. The Kubernetes connector ignores a new target while the deployment is not ready
(connectors/kubernetes.py, set_component_replicas): here, while asked-for and ready replicas differ.

Request count is what came in (upstream counts requests started at the frontend, monitoring/traffic_metrics.py,
commit 2fed97ce); mean lengths are those of the interval, carried over an idle one. Upstream predicts prefix-cache
hits as well; the simulator has none. Later versions bound a single change to 8 replicas and can count pods that
start; both are left out.

Kept as they are: the horizon is one interval, however long a pod takes to start; between two ticks nothing is
done, and a tick that meets a starting pod is lost, so a burst during a cold start waits for the next tick after
it. Targets that no batch meets are sized for a batch of one.
"""

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from policies.baselines.dynamo_capacity import best_requests_per_second, engine
from policies.baselines.dynamo_forecast import Series, add, check_available, predict_next
from policies.baselines.traffic import QUERIES, Traffic, observe
from policies.capacity.profile import Profile
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.policy import Policy
from policies.snapshot import NS_PER_SECOND, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputSpec:
    """The planner's defaults; its GPU budget of 8 is max_replicas of one GPU each."""

    profile: Profile = parameter(  # noqa: RUF009 - a field, not a shared value
        "name", "latency profile of model and GPU: step time and limits of one replica"
    )
    ttft_seconds: float = parameter("s", "target of the TTFT", 0.5)
    itl_seconds: float = parameter("s", "target of the inter-token latency", 0.05)
    min_replicas: int = parameter("replicas", "min_endpoint", 1)
    max_replicas: int = parameter("replicas", "max_gpu_budget over GPUs per replica", 8)
    throughput_interval_seconds: int = parameter("s", "throughput_adjustment_interval", 180)
    predictor: Literal["arima", "constant"] = parameter("name", "load_predictor; constant is the last value", "arima")


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughputState:
    """The three predictors, what came in, and when the loop ran last (at first: when it was started)."""

    traffic: Traffic = field(default_factory=Traffic)
    requests: Series = field(default_factory=Series)
    prompt_tokens: Series = field(default_factory=Series)
    output_tokens: Series = field(default_factory=Series)
    ticked_ns: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One tick of the loop: the replicas it computed, before the budget, None where it could not; and why."""

    replicas: int | None
    reason: str
    text: str
    numbers: dict[str, float] = field(default_factory=dict)


def throughput_policy(spec: ThroughputSpec, name: str = "dynamo-throughput") -> Policy[ThroughputSpec, ThroughputState]:
    """The rule with its spec checked; raises BadInput."""
    check(spec)
    check_available(spec.predictor)
    return Policy(name=name, decide=decide, spec=spec, initial_state=ThroughputState(), queries=QUERIES)


def check(spec: ThroughputSpec) -> None:
    """Raise BadInput for what the planner could not run with."""
    for field_name, low, value, high in (
        ("ttftSeconds", 1e-3, spec.ttft_seconds, 3_600.0),
        ("itlSeconds", 1e-4, spec.itl_seconds, 60.0),
        ("minReplicas", 1, spec.min_replicas, spec.max_replicas),
        ("maxReplicas", 1, spec.max_replicas, 100_000),
        ("throughputIntervalSeconds", 1, spec.throughput_interval_seconds, 3_600),
    ):
        if not low <= value <= high:
            raise BadInput(f"{field_name}: was {value}, must be in [{low}, {high}]")


def decide(
    spec: ThroughputSpec, state: ThroughputState, snapshot: Snapshot, now_ns: int
) -> tuple[Decision, ThroughputState]:
    """Watch the traffic; where a tick is due and no pod starts, ask for what the forecast needs."""
    need, state = advance_throughput(spec, state, snapshot, now_ns)
    ready = snapshot.ready_replicas
    desired = snapshot.replicas
    if need is None:
        reason, text = "BetweenTicks", "the planner looks again at its next tick"
    elif need.replicas is None:
        reason, text = need.reason, need.text
    elif ready != snapshot.replicas:
        reason, text = "ScalingInProgress", f"{ready} of {snapshot.replicas} pods ready, so a target is ignored"
    else:
        desired, reason, text = within_budget(spec, need.replicas), need.reason, need.text
    change = (
        f"{desired} replicas kept" if desired == snapshot.replicas else f"{snapshot.replicas} -> {desired} replicas"
    )
    numbers = {} if need is None else need.numbers
    decision = Decision(desired_replicas=desired, reason=reason, message=f"{change}: {text}", numbers=numbers)
    return decision, state


def within_budget(spec: ThroughputSpec, replicas: int) -> int:
    """Between min_endpoint and the GPU budget."""
    return min(max(replicas, spec.min_replicas), spec.max_replicas)


def advance_throughput(
    spec: ThroughputSpec, state: ThroughputState, snapshot: Snapshot, now_ns: int
) -> tuple[Need | None, ThroughputState]:
    """Observe; at a tick, feed the predictors and size the fleet. None between two ticks."""
    state = replace(state, traffic=observe(state.traffic, snapshot, spec.throughput_interval_seconds))
    if state.ticked_ns is None:
        return None, replace(state, ticked_ns=now_ns)
    if now_ns - state.ticked_ns < spec.throughput_interval_seconds * NS_PER_SECOND:
        return None, state
    state = replace(state, ticked_ns=now_ns)
    oldest_ns = now_ns - spec.throughput_interval_seconds * NS_PER_SECOND
    if not state.traffic.increments or state.traffic.increments[-1].at_ns <= oldest_ns:
        return Need(replicas=None, reason="NoTrafficData", text="no traffic was observed in the interval"), state
    state = _feed(state)
    requests, requests_series = predict_next(spec.predictor, state.requests)
    prompt, prompt_series = predict_next(spec.predictor, state.prompt_tokens)
    output, output_series = predict_next(spec.predictor, state.output_tokens)
    state = replace(state, requests=requests_series, prompt_tokens=prompt_series, output_tokens=output_series)
    if prompt <= 0 or output <= 0:
        return Need(replicas=None, reason="ModelNotReady", text="the mean request is not known yet"), state
    return _size(spec, requests, prompt, output), state


def _feed(state: ThroughputState) -> ThroughputState:
    """The interval's request count and mean lengths; an idle interval repeats the lengths of the one before."""
    traffic = state.traffic
    prompt = traffic.prompt_tokens or (state.prompt_tokens.values[-1] if state.prompt_tokens.values else 0.0)
    output = traffic.output_tokens or (state.output_tokens.values[-1] if state.output_tokens.values else 0.0)
    return replace(
        state,
        requests=add(state.requests, traffic.arrived),
        prompt_tokens=add(state.prompt_tokens, prompt),
        output_tokens=add(state.output_tokens, output),
    )


def _size(spec: ThroughputSpec, requests: float, prompt: float, output: float) -> Need:
    """Replicas for a forecast, before the budget."""
    demand = requests / spec.throughput_interval_seconds
    per_engine, ttft, itl = best_requests_per_second(
        engine(spec.profile, prompt, output), spec.ttft_seconds, spec.itl_seconds
    )
    replicas = max(math.ceil(demand / per_engine), spec.min_replicas)
    text = (
        f"{demand:.2f} req/s of {prompt:.0f} + {output:.0f} tokens expected in the next "
        f"{spec.throughput_interval_seconds} s, {per_engine:.2f} req/s an engine: {replicas} needed"
    )
    if ttft > spec.ttft_seconds or itl > spec.itl_seconds:
        text += f" (targets missed even so: TTFT {ttft:.2f} s, ITL {itl * 1000:.0f} ms)"
    return Need(
        replicas=replicas,
        reason="ThroughputTarget",
        text=text,
        numbers={
            "forecast_requests_per_second": demand,
            "forecast_prompt_tokens": prompt,
            "forecast_output_tokens": output,
            "engine_requests_per_second": per_engine,
            "needed_replicas": float(replicas),
        },
    )


ENTRY = PolicyEntry(
    name="dynamo-throughput",
    summary="NVIDIA Dynamo planner, SLA target: ARIMA one step ahead, engine capacity, every 180 s",
    source="ai-dynamo/dynamo components/src/dynamo/planner/core/throughput_scaling.py, commit 0c9050c9",
    spec=ThroughputSpec,
    knob="itl_seconds",
    build=throughput_policy,
)
