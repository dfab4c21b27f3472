"""One sync of one HPA in the controller's own steps: read the scale, propose, then write it or fail to.

Source: pkg/controller/podautoscaler/horizontal.go (reconcileAutoscaler, recordInitialRecommendation,
shouldComputeMetricsForZeroReplicas, setStatus), v1.36.3.

`decide` is `propose` followed by `rescaled`: it trusts the write. A caller whose write may fail calls
`propose`, then `rescaled` or `rescale_failed`; one that cannot read the scale calls `scale_unreadable`.
"""

from dataclasses import dataclass, replace

from policies.hpa.conditions import Conditions, set_condition
from policies.hpa.metrics import MetricsResult, compute_replicas_for_metrics
from policies.hpa.normalization import Normalized, normalize
from policies.hpa.scale_events import store_scale_event
from policies.hpa.spec import HPASpec
from policies.hpa.state import HPAState, Recommendation
from policies.snapshot import ConditionStatus, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What one sync asks for, before the scale is written.

    outcome: `Computed` from metrics; `Failed` where no metric could tell; `ScalingDisabled` at a 0 that is
        somebody else's; `TooManyReplicas` or `TooFewReplicas` where the scale lies outside the bounds, which
        is put right at once without a look at metrics.
    metrics, normalized: None where that step was not reached.
    """

    outcome: str
    current_replicas: int
    desired_replicas: int
    metrics: MetricsResult | None = None
    normalized: Normalized | None = None

    @property
    def rescale(self) -> bool:
        """Whether the scale has to be written."""
        return self.desired_replicas != self.current_replicas

    @property
    def error(self) -> str | None:
        """What the controller reports; it may come beside a change of scale."""
        return self.metrics.error if self.metrics is not None else None


def propose(spec: HPASpec, state: HPAState, snapshot: Snapshot, now_ns: int) -> tuple[Proposal, HPAState]:
    """Everything up to the write; where there is nothing to write, the state after the sync."""
    current = snapshot.replicas
    state = _scale_was_read(state, current, now_ns)
    if current == 0 and not _may_leave_zero(spec, state.conditions):
        message = "scaling is disabled since the replica count of the target is zero"
        state = _with_scaling_active(state, "False", "ScalingDisabled", message, now_ns)
        if not spec.controller.hpa_scale_to_zero:
            state = replace(state, conditions=replace(state.conditions, scaled_to_zero=None))
        proposal = Proposal(outcome="ScalingDisabled", current_replicas=0, desired_replicas=0)
    elif current > spec.max_replicas:
        proposal = Proposal(outcome="TooManyReplicas", current_replicas=current, desired_replicas=spec.max_replicas)
    elif 0 < current < spec.min_replicas:
        proposal = Proposal(outcome="TooFewReplicas", current_replicas=current, desired_replicas=spec.min_replicas)
    else:
        proposal, state = _propose_from_metrics(spec, state, snapshot, now_ns)
    if not proposal.rescale and proposal.outcome != "Failed":
        state = replace(state, desired_replicas=current)
    return proposal, state


def rescaled(spec: HPASpec, state: HPAState, proposal: Proposal, now_ns: int) -> HPAState:
    """The state once the scale was written."""
    previous, new = proposal.current_replicas, proposal.desired_replicas
    up_events, down_events = store_scale_event(
        spec.behavior,
        state.scale_up_events,
        state.scale_down_events,
        previous_replicas=previous,
        new_replicas=new,
        now_ns=now_ns,
    )
    conditions = state.conditions
    message = f"the HPA controller was able to update the target scale to {new}"
    able = set_condition(conditions.able_to_scale, "True", "SucceededRescale", message, now_ns)
    to_zero = None
    if spec.controller.hpa_scale_to_zero:
        to_zero = conditions.scaled_to_zero
        if previous > 0 and new == 0 and spec.min_replicas == 0 and _has_object_or_external_metric(spec):
            message = "the HPA controller scaled the workload to zero"
            to_zero = set_condition(to_zero, "True", "ScaledToZero", message, now_ns)
        else:
            message = "the HPA controller did not scale the workload to zero"
            to_zero = set_condition(to_zero, "False", "NotScaledToZero", message, now_ns)
    return replace(
        state,
        scale_up_events=up_events,
        scale_down_events=down_events,
        conditions=replace(conditions, able_to_scale=able, scaled_to_zero=to_zero),
        desired_replicas=new,
        last_scale_ns=now_ns,
    )


def rescale_failed(state: HPAState, error: str, now_ns: int) -> HPAState:
    """The state once the scale could not be written: the recommendation stays, no event is stored."""
    message = f"the HPA controller was unable to update the target scale: {error}"
    return _with_able_to_scale(state, "False", "FailedUpdateScale", message, now_ns)


def scale_unreadable(state: HPAState, error: str, now_ns: int) -> HPAState:
    """The state after a sync that could not read the scale: nothing is decided."""
    message = f"the HPA controller was unable to get the target's current scale: {error}"
    return _with_able_to_scale(state, "False", "FailedGetScale", message, now_ns)


def _scale_was_read(state: HPAState, current_replicas: int, now_ns: int) -> HPAState:
    """At the first meeting the present scale counts as a recommendation, so nothing drops at once."""
    message = "the HPA controller was able to get the target's current scale"
    state = _with_able_to_scale(state, "True", "SucceededGetScale", message, now_ns)
    if not state.recommendations:
        first = Recommendation(replicas=current_replicas, at_ns=now_ns)
        state = replace(state, recommendations=(first,))
    return state


def _propose_from_metrics(spec: HPASpec, state: HPAState, snapshot: Snapshot, now_ns: int) -> tuple[Proposal, HPAState]:
    current = snapshot.replicas
    metrics = compute_replicas_for_metrics(
        spec,
        [snapshot.observations.get(metric.query) for metric in spec.metrics],
        snapshot.pods,
        replicas=current,
        status_replicas=current if snapshot.status_replicas is None else snapshot.status_replicas,
        now_ns=now_ns,
    )
    if metrics.replicas is None:
        message = f"the HPA was unable to compute the replica count: {metrics.failed_message}"
        state = _with_scaling_active(state, "False", metrics.failed_reason, message, now_ns)
        failed = Proposal(outcome="Failed", current_replicas=current, desired_replicas=current, metrics=metrics)
        return failed, state
    message = f"the HPA was able to successfully calculate a replica count from {metrics.metric}"
    state = _with_scaling_active(state, "True", "ValidMetricFound", message, now_ns)
    normalized, state = normalize(
        spec, state, current_replicas=current, desired_replicas=max(metrics.replicas, 0), now_ns=now_ns
    )
    desired = normalized.replicas
    if current == 0:
        # The HPA took it to 0 and minReplicas was raised since: the way back goes at least to the minimum.
        desired = max(desired, spec.min_replicas)
    proposal = Proposal(
        outcome="Computed",
        current_replicas=current,
        desired_replicas=desired,
        metrics=metrics,
        normalized=normalized,
    )
    return proposal, state


def _may_leave_zero(spec: HPASpec, conditions: Conditions) -> bool:
    """At 0 only this controller's own 0 is left: one that a person set means "off"."""
    was_ours = conditions.scaled_to_zero is not None and conditions.scaled_to_zero.status == "True"
    if not (spec.controller.hpa_scale_to_zero and was_ours):
        return False
    return spec.min_replicas != 0 or _has_object_or_external_metric(spec)


def _has_object_or_external_metric(spec: HPASpec) -> bool:
    """Pods at 0 have no metrics of their own, so only these can tell when to come back."""
    return any(metric.type in {"Object", "External"} for metric in spec.metrics)


def _with_able_to_scale(state: HPAState, status: ConditionStatus, reason: str, message: str, now_ns: int) -> HPAState:
    conditions = state.conditions
    condition = set_condition(conditions.able_to_scale, status, reason, message, now_ns)
    return replace(state, conditions=replace(conditions, able_to_scale=condition))


def _with_scaling_active(state: HPAState, status: ConditionStatus, reason: str, message: str, now_ns: int) -> HPAState:
    conditions = state.conditions
    condition = set_condition(conditions.scaling_active, status, reason, message, now_ns)
    return replace(state, conditions=replace(conditions, scaling_active=condition))
