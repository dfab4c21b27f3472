"""leadtime's own rule: enough replicas for the demand that will be there when a pod asked for now is ready.

    demand now -> its distribution one lead time ahead -> replicas that hold a quantile of it within the SLO

The demand of now, with its backlog drained within a stated time, is the floor: a forecast only ever adds.
"""

import math
from dataclasses import dataclass, field

from policies.capacity.profile import Profile
from policies.capacity.sustained import sustained_requests_per_second
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.forecast.level_trend import Forecast, History, LevelTrendSpec, forecast, observe
from policies.hpa import Behavior, HPAState, default_behavior, scale_down_rules
from policies.hpa.validation import check_behavior
from policies.policy import Policy
from policies.predictive.behavior import apply_behavior
from policies.predictive.demand import Demand, DemandState, estimate
from policies.predictive.lead_time import LeadTimes, expected_seconds, learn
from policies.serving_counters import QUERIES
from policies.snapshot import NS_PER_SECOND, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveSpec:
    """What an admin states; `forecaster` and a whole `behavior` are set in code or by a manifest only."""

    profile: Profile = parameter(  # noqa: RUF009 - a field, not a shared value
        "name", "latency profile of model and GPU, which gives a replica's capacity"
    )
    tpot_seconds: float = parameter("s", "the SLO's time per output token")
    min_replicas: int = parameter("replicas", "never fewer", 1)
    max_replicas: int = parameter("replicas", "never more", 20)
    target_utilization: float = parameter("share", "of a replica's sustained rate that is planned with", 0.8)
    quantile: float = parameter("probability", "of the demand at the lead time that capacity must hold", 0.8)
    """0.8 is the newsvendor's answer where a missed request costs 4 times the spare capacity that had served it."""
    lead_time_seconds: float = parameter("s", "assumed until pods were seen to become ready", 240.0)
    drain_seconds: float = parameter("s", "a backlog is to be gone within this time", 60.0)
    scale_down_window_seconds: int = parameter("s", "behavior.scaleDown.stabilizationWindowSeconds", 300)
    behavior: Behavior | None = None
    """As in an HPA; it goes before the window. None: the HPA's defaults with that window."""
    forecaster: LevelTrendSpec = field(default_factory=LevelTrendSpec)

    @property
    def rules(self) -> Behavior:
        """The behavior in force."""
        window_seconds = self.scale_down_window_seconds
        return self.behavior or default_behavior(
            scale_down=scale_down_rules(stabilization_window_seconds=window_seconds)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveState:
    """Everything the rule remembers between two calls."""

    demand: DemandState = field(default_factory=DemandState)
    last: Demand | None = None
    history: History = ()
    lead_times: LeadTimes = field(default_factory=LeadTimes)
    scaling: HPAState = field(default_factory=HPAState)


def predictive_policy(spec: PredictiveSpec, name: str = "leadtime") -> Policy[PredictiveSpec, PredictiveState]:
    """The rule with its spec checked; raises BadInput."""
    for field_name, low, value, high in (
        ("minReplicas", 1, spec.min_replicas, spec.max_replicas),
        ("targetUtilization", 0.05, spec.target_utilization, 1.0),
        ("quantile", 0.5, spec.quantile, 0.999),
        ("leadTimeSeconds", 1.0, spec.lead_time_seconds, 7_200.0),
        ("drainSeconds", 1.0, spec.drain_seconds, 3_600.0),
    ):
        if not low <= value <= high:
            raise BadInput(f"{field_name}: was {value}, must be in [{low}, {high}]")
    check_behavior(spec.rules)
    if spec.tpot_seconds <= spec.profile.base_seconds:
        raise BadInput(
            f"tpotSeconds: was {spec.tpot_seconds}, must be above {spec.profile.base_seconds}, the step time of "
            f"{spec.profile.name} with an empty batch; relax the target or choose a faster GPU"
        )
    return Policy(name=name, decide=decide, spec=spec, initial_state=PredictiveState(), queries=QUERIES)


def decide(
    spec: PredictiveSpec, state: PredictiveState, snapshot: Snapshot, now_ns: int
) -> tuple[Decision, PredictiveState]:
    """Recommend a replica count; while demand is unknown, vote for the present one: it is never scaled away."""
    sample, demand_state = estimate(state.demand, snapshot)
    history, last = state.history, state.last
    if sample is not None:
        history = observe(spec.forecaster, history, sample.at_ns, sample.requests_per_second)
        last = sample
    lead_times = learn(state.lead_times, snapshot)
    need = _need(spec, history, last, lead_times, now_ns)
    desired, reason, scaling = apply_behavior(
        state.scaling,
        behavior=spec.rules,
        min_replicas=spec.min_replicas,
        max_replicas=spec.max_replicas,
        current_replicas=snapshot.replicas,
        wanted_replicas=snapshot.replicas if need is None else need.replicas,
        now_ns=now_ns,
    )
    decision = Decision(
        desired_replicas=desired,
        reason="FailedGetPodsMetric" if need is None and desired == snapshot.replicas else reason,
        message=_sentence(need, snapshot.replicas, desired),
        numbers={} if need is None else need.numbers,
    )
    return decision, PredictiveState(
        demand=demand_state,
        last=last,
        history=history,
        lead_times=lead_times,
        scaling=scaling,
    )


_STALE_SECONDS = 60.0
"""A demand sample older than this is no longer the present: four scrapes at the usual 15 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Need:
    replicas: int
    forecast: Forecast
    numbers: dict[str, float]


def _need(
    spec: PredictiveSpec, history: History, last: Demand | None, lead_times: LeadTimes, now_ns: int
) -> _Need | None:
    """Replicas for the demand of now and of one lead time ahead; None while either is unknown."""
    if last is None or last.prompt_tokens is None or last.output_tokens is None:
        return None
    if now_ns - last.at_ns > _STALE_SECONDS * NS_PER_SECOND:
        return None
    capacity = spec.target_utilization * sustained_requests_per_second(
        spec.profile,
        prompt_tokens=last.prompt_tokens,
        output_tokens=last.output_tokens,
        tpot_seconds=spec.tpot_seconds,
    )
    lead_time_seconds = expected_seconds(lead_times, spec.lead_time_seconds)
    ahead = forecast(spec.forecaster, history, lead_time_seconds)
    upper = ahead.quantile(spec.quantile)
    present = history[-1].level + last.backlog / spec.drain_seconds
    replicas = math.ceil(max(present, upper) / capacity) if capacity > 0 else spec.max_replicas
    return _Need(
        replicas=replicas,
        forecast=ahead,
        numbers={
            "demand_requests_per_second": last.requests_per_second,
            "level_requests_per_second": history[-1].level,
            "backlog_requests": last.backlog,
            "forecast_median_requests_per_second": ahead.median,
            "forecast_upper_requests_per_second": upper,
            "capacity_requests_per_second": capacity,
            "lead_time_seconds": lead_time_seconds,
            "prompt_tokens": last.prompt_tokens,
            "output_tokens": last.output_tokens,
            "needed_replicas": float(replicas),
        },
    )


def _sentence(need: _Need | None, replicas: int, desired: int) -> str:
    change = f"{desired} replicas kept" if desired == replicas else f"{replicas} -> {desired} replicas"
    if need is None:
        return f"{change}: demand is not known (no complete and recent scrape of the ready pods)"
    n = need.numbers
    why = (
        f"{n['level_requests_per_second']:.1f} req/s now, at most {n['forecast_upper_requests_per_second']:.1f} "
        f"expected in {n['lead_time_seconds']:.0f} s ({need.forecast.expert}), "
        f"{n['capacity_requests_per_second']:.2f} req/s a replica: {need.replicas} needed"
    )
    if n["backlog_requests"] >= 1:
        why += f", {n['backlog_requests']:.0f} waiting"
    return f"{change}: {why}"


ENTRY = PolicyEntry(
    name="leadtime",
    summary="replicas for the demand that will be there when a pod asked for now is ready",
    source="this project, policies/predictive/decide.py",
    spec=PredictiveSpec,
    knob="quantile",
    build=predictive_policy,
)
