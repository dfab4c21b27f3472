"""Our answer to golden vectors of kind `sequence`: 30-60 syncs of one HPA by one controller."""

from dataclasses import replace
from typing import Any

from policies.hpa import golden_values as values
from policies.hpa.golden_values import NS_PER_MS, Json
from policies.hpa.spec import HPASpec
from policies.hpa.state import HPAState
from policies.hpa.sync import Proposal, propose, rescale_failed, rescaled, scale_unreadable
from policies.snapshot import Snapshot

Answer = dict[str, Any]


def sequence(given: Json) -> Answer:
    """Every step's scale and status, then the controller's memory slot for slot."""
    spec = _told_apart(values.spec_of(given))
    state = HPAState(conditions=values.conditions_of(given.get("initialConditions")))
    steps = []
    for step in given["steps"]:
        events = step.get("events") or ()
        if "controller restart" in events:
            state = state.after_controller_restart()
        if "hpa changed" in events:
            minimum = 1 if step["minReplicas"] is None else step["minReplicas"]
            spec = replace(spec, min_replicas=minimum, max_replicas=step["maxReplicas"])
        answer, state = _sync(spec, state, step, given.get("podTemplate"))
        steps.append(answer)
    return {
        "steps": steps,
        "finalState": {
            "recommendations": values.recommendations_to_json(state.recommendations),
            "scaleUpEvents": values.events_to_json(state.scale_up_events),
            "scaleDownEvents": values.events_to_json(state.scale_down_events),
        },
    }


def _told_apart(spec: HPASpec) -> HPASpec:
    """Metrics that ask the same get a selector of their own: a vector answers each, a Snapshot each query."""
    queries = [metric.query for metric in spec.metrics]
    metrics = tuple(
        replace(metric, selector=(("metric", str(index)),)) if metric.query in queries[:index] else metric
        for index, metric in enumerate(spec.metrics)
    )
    return replace(spec, metrics=metrics)


def _sync(spec: HPASpec, state: HPAState, step: Json, template: Json | None) -> tuple[Answer, HPAState]:
    now_ns = step["timeMs"] * NS_PER_MS
    if step.get("scaleGetError"):
        state = scale_unreadable(state, step["scaleGetError"], now_ns)
        return _step_answer(state, step["specReplicas"], error=step["scaleGetError"]), state
    observations = [values.observation_of(each) for each in step["observations"]]
    snapshot = Snapshot(
        replicas=step["specReplicas"],
        status_replicas=step["statusReplicas"],
        pods=values.pods_of(step, template),
        observations=dict(zip((metric.query for metric in spec.metrics), observations, strict=True)),
    )
    proposal, state = propose(spec, state, snapshot, now_ns)
    if not proposal.rescale:
        return _step_answer(state, proposal.current_replicas, proposal, error=proposal.error), state
    if step.get("scaleUpdateError"):
        state = rescale_failed(state, step["scaleUpdateError"], now_ns)
        return _step_answer(state, proposal.current_replicas, proposal, error=step["scaleUpdateError"]), state
    state = rescaled(spec, state, proposal, now_ns)
    answer = _step_answer(state, proposal.desired_replicas, proposal, error=proposal.error)
    return {**answer, "rescaled": True}, state


def _step_answer(state: HPAState, replicas: int, proposal: Proposal | None = None, *, error: str | None) -> Answer:
    normalized = proposal.normalized if proposal is not None else None
    return {
        "replicas": replicas,
        "rescaled": False,
        "unstabilizedReplicas": None if normalized is None else normalized.unstabilized_replicas,
        "statusDesiredReplicas": state.desired_replicas,
        "conditions": values.conditions_to_json(state.conditions),
        "error": error,
    }
