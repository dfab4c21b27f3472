"""The last step: bounds, stabilization windows and scaling policies, exactly as in the HPA's `behavior`."""

from dataclasses import replace

from policies.hpa import Behavior, ControllerOptions, HPASpec, HPAState, Recommendation
from policies.hpa.normalization import normalize
from policies.hpa.scale_events import store_scale_event

_UPSTREAM = ControllerOptions()


def apply_behavior(
    state: HPAState,
    *,
    behavior: Behavior,
    min_replicas: int,
    max_replicas: int,
    current_replicas: int,
    wanted_replicas: int,
    now_ns: int,
    controller: ControllerOptions = _UPSTREAM,
) -> tuple[int, str, HPAState]:
    """(replicas to ask for, the HPA's reason, state), the write of the scale taken to succeed.

    controller: gives the window of scale-down where the behavior leaves it out.

    Wanting the present count is a vote for it: for one window nothing smaller is asked for. As in the HPA, the
    first call counts the present scale as a recommendation, and a scale outside the bounds is put right at once.
    """
    if not state.recommendations:
        state = replace(state, recommendations=(Recommendation(replicas=current_replicas, at_ns=now_ns),))
    if not min_replicas <= current_replicas <= max_replicas:
        desired = min(max(current_replicas, min_replicas), max_replicas)
        reason = "TooManyReplicas" if desired < current_replicas else "TooFewReplicas"
    else:
        bounds = HPASpec(
            min_replicas=min_replicas, max_replicas=max_replicas, metrics=(), behavior=behavior, controller=controller
        )
        normalized, state = normalize(
            bounds, state, current_replicas=current_replicas, desired_replicas=wanted_replicas, now_ns=now_ns
        )
        desired = normalized.replicas
        reason = normalized.limited_reason if normalized.is_limited else normalized.stabilized_reason
    if desired != current_replicas:
        up_events, down_events = store_scale_event(
            behavior,
            state.scale_up_events,
            state.scale_down_events,
            previous_replicas=current_replicas,
            new_replicas=desired,
            now_ns=now_ns,
        )
        state = replace(state, scale_up_events=up_events, scale_down_events=down_events)
    return desired, reason, state
