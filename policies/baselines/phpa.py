"""The predictive HPA of jthomperoo: an HPA's own recommendations, forecast, and the larger of the two.

Sources, jthomperoo/predictive-horizontal-pod-autoscaler (last commit 2023-07):
internal/controllers/controller.go (commit f3c216e8: defaults, processModels), internal/scalebehavior/scalebehavior.go
(commit 46a8d4a5), models as in phpa_models. It syncs every 15 s.

What it forecasts is replica counts, not load: whole numbers, and held by the tolerance while demand moves less.
Kept on purpose: Holt-Winters looks one sync ahead, so it has no lead time; only the line has lookAhead; rates are per
60 s where an HPA has 15 s; the first sync may drop at once, since nothing seeds the history; without a metric
nothing happens at all; a model that fails forgets the count of that sync.
Deviations: the history stays in time's order (see phpa_models); the metric is the total demand as External
AverageValue, per asked-for replica, where k8shorizmetrics takes spec.replicas; one model, not a list.
Left out: hooks that fetch alpha, beta and gamma at run time, initialization methods other than "estimated", the
calculation timeout.
"""

import math
from dataclasses import dataclass, field, replace

from policies.baselines.phpa_history import Forecast, ModelState, process_model
from policies.baselines.phpa_models import statsmodels_class
from policies.baselines.phpa_spec import HoltWintersSpec, LinearSpec, PhpaSpec
from policies.decision import Decision
from policies.entry import PolicyEntry
from policies.errors import BadInput
from policies.hpa import (
    Behavior,
    HPASpec,
    HPAState,
    ScalingPolicy,
    default_behavior,
    scale_down_rules,
    scale_up_rules,
)
from policies.hpa.normalization import normalize
from policies.hpa.replica_calculator import ReplicaCount, external_per_pod_replicas
from policies.hpa.scale_events import store_scale_event
from policies.hpa.tolerance import Tolerances
from policies.hpa.validation import check_behavior
from policies.policy import Policy
from policies.snapshot import ExternalMetric, MetricQuery, Snapshot

DEMAND = MetricQuery(type="External", name="leadtime:num_requests_outstanding")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhpaState:
    """model: what it remembers, kept in a ConfigMap upstream. scaling: the status' histories."""

    model: ModelState = field(default_factory=ModelState)
    scaling: HPAState = field(default_factory=HPAState)


def linear_policy(spec: LinearSpec, name: str = "phpa-linear") -> Policy[PhpaSpec, PhpaState]:
    """The predictive HPA with a line; raises BadInput."""
    _in_range("lookAheadMilliseconds", 0, spec.look_ahead_milliseconds, math.inf)
    _in_range("historySize", 1, spec.history_size, math.inf)
    return _policy(spec, name)


def holt_winters_policy(spec: HoltWintersSpec, name: str = "phpa-holt-winters") -> Policy[PhpaSpec, PhpaState]:
    """The predictive HPA with Holt-Winters; raises BadInput, also where statsmodels is not installed."""
    for field_name, value in (("alpha", spec.alpha), ("beta", spec.beta), ("gamma", spec.gamma)):
        _in_range(field_name, 0, value, 1)
    _in_range("seasonalPeriods", 2, spec.seasonal_periods, math.inf)
    _in_range("storedSeasons", 1, spec.stored_seasons, math.inf)
    statsmodels_class()
    return _policy(spec, name)


def decide(spec: PhpaSpec, state: PhpaState, snapshot: Snapshot, now_ns: int) -> tuple[Decision, PhpaState]:
    """One sync: the HPA's formula, the model, the choice between them, then stabilization, rates and bounds."""
    answer = snapshot.observations.get(DEMAND)
    current = snapshot.replicas
    if not isinstance(answer, ExternalMetric):
        numbers = {"replicas": float(current), "desired_replicas": float(current)}
        message = f"{current} replicas kept: {DEMAND.name} is not known, nothing is computed or remembered"
        return Decision(
            desired_replicas=current, reason="FailedGetExternalMetric", message=message, numbers=numbers
        ), state
    target_milli = math.ceil(round(spec.target_requests * 1000, 6))
    calculated = external_per_pod_replicas(
        answer.values_milli,
        status_replicas=current,
        target_average_milli=target_milli,
        tolerances=Tolerances(scale_down=spec.tolerance, scale_up=spec.tolerance),
    )
    forecast, model = process_model(spec, state.model, calculated.replicas, now_ns)
    target = choose(spec.decision_type, calculated.replicas, forecast.replicas)
    desired, reason, scaling = _behave(spec, state.scaling, current, target, now_ns)
    decision = _explain(spec, calculated, forecast, sum(answer.values_milli) / 1000, target, current, desired, reason)
    return decision, PhpaState(model=model, scaling=scaling)


def choose(decision_type: str, calculated: int, forecast: int | None) -> int:
    """One count from the HPA's and the model's; the mean rounds halves up, the median is cut."""
    counts = [calculated] if forecast is None else sorted([calculated, forecast])
    if decision_type == "maximum":
        return counts[-1]
    if decision_type == "minimum":
        return counts[0]
    if decision_type == "mean":
        return max(0, math.floor(sum(counts) / len(counts) + 0.5))
    return counts[0] if len(counts) == 1 else int(sum(counts) / 2)


def behavior_of(spec: PhpaSpec) -> Behavior:
    """Upstream's defaults: +100 % or +4 pods, and -100 %, all per 60 s."""
    return default_behavior(
        scale_up=scale_up_rules(
            stabilization_window_seconds=spec.scale_up_window_seconds,
            policies=(
                ScalingPolicy(type="Percent", value=100, period_seconds=60),
                ScalingPolicy(type="Pods", value=4, period_seconds=60),
            ),
        ),
        scale_down=scale_down_rules(
            stabilization_window_seconds=spec.scale_down_window_seconds,
            policies=(ScalingPolicy(type="Percent", value=100, period_seconds=60),),
        ),
    )


def _behave(spec: PhpaSpec, scaling: HPAState, current: int, target: int, now_ns: int) -> tuple[int, str, HPAState]:
    """The HPA's stabilization and rates, then the bounds; the write of the scale is taken to succeed."""
    behavior = behavior_of(spec)
    bounds = HPASpec(min_replicas=spec.min_replicas, max_replicas=spec.max_replicas, metrics=(), behavior=behavior)
    normalized, scaling = normalize(bounds, scaling, current_replicas=current, desired_replicas=target, now_ns=now_ns)
    desired = min(max(normalized.replicas, spec.min_replicas), spec.max_replicas)
    reason = normalized.limited_reason if normalized.is_limited else normalized.stabilized_reason
    if desired != normalized.replicas:
        reason = "TooFewReplicas" if desired > normalized.replicas else "TooManyReplicas"
    if desired != current:
        up_events, down_events = store_scale_event(
            behavior,
            scaling.scale_up_events,
            scaling.scale_down_events,
            previous_replicas=current,
            new_replicas=desired,
            now_ns=now_ns,
        )
        scaling = replace(scaling, scale_up_events=up_events, scale_down_events=down_events)
    return desired, reason, scaling


def _explain(
    spec: PhpaSpec,
    calculated: ReplicaCount,
    forecast: Forecast,
    demand: float,
    target: int,
    current: int,
    desired: int,
    reason: str,
) -> Decision:
    change = f"{desired} replicas kept" if desired == current else f"{current} -> {desired} replicas"
    model = "the line" if isinstance(spec, LinearSpec) else "Holt-Winters"
    said = forecast.note if forecast.replicas is None else f"{model} forecasts {forecast.replicas}"
    if forecast.replicas is not None and forecast.note:
        said += f" ({forecast.note})"
    why = (
        f"{demand:g} requests, {spec.target_requests:g} a replica: {calculated.replicas} now, {said}, "
        f"{spec.decision_type} is {target}"
    )
    numbers = {
        "replicas": float(current),
        "desired_replicas": float(desired),
        "demand_requests": demand,
        "calculated_replicas": float(calculated.replicas),
        "target_replicas": float(target),
    }
    if forecast.replicas is not None:
        numbers["forecast_replicas"] = float(forecast.replicas)
    return Decision(desired_replicas=desired, reason=reason, message=f"{change}: {why}", numbers=numbers)


def _policy(spec: PhpaSpec, name: str) -> Policy[PhpaSpec, PhpaState]:
    _in_range("targetRequests", 0.001, spec.target_requests, 1e15)
    _in_range("minReplicas", 1, spec.min_replicas, spec.max_replicas)
    _in_range("tolerance", 0, spec.tolerance, math.inf)
    _in_range("perSyncPeriod", 1, spec.per_sync_period, math.inf)
    _in_range(
        "startIntervalSeconds", 1, 1 if spec.start_interval_seconds is None else spec.start_interval_seconds, math.inf
    )
    _in_range("resetDurationSeconds", 0, spec.reset_duration_seconds or 0, math.inf)
    check_behavior(behavior_of(spec))
    return Policy(name=name, decide=decide, spec=spec, initial_state=PhpaState(), queries=(DEMAND,))


def _in_range(field_name: str, low: float, value: float, high: float) -> None:
    if not low <= value <= high:
        raise BadInput(f"{field_name}: was {value:g}, must be in [{low:g}, {high:g}]")


_SOURCE = "jthomperoo/predictive-horizontal-pod-autoscaler, commits f3c216e8 and 46a8d4a5 (2023)"

ENTRIES = (
    PolicyEntry(
        name="phpa-linear",
        summary="predictive HPA: a line through the last replica counts, a few seconds ahead",
        source=_SOURCE,
        spec=LinearSpec,
        knob="target_requests",
        build=linear_policy,
    ),
    PolicyEntry(
        name="phpa-holt-winters",
        summary="predictive HPA: Holt-Winters over the replica counts, one sync ahead",
        source=_SOURCE,
        spec=HoltWintersSpec,
        knob="target_requests",
        build=holt_winters_policy,
    ),
)
