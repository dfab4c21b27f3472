"""KEDA's scale executor: what it does itself, from zero to one and back; the rest is the generated HPA's.

Source: kedacore/keda pkg/scaling/executor/scale_scaledobjects.go (RequestScale, scaleToZeroOrIdle,
scaleFromZeroOrIdle), 2026.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorSpec:
    """The ScaledObject's fields that the executor reads, and its annotations."""

    min_replicas: int
    idle_replicas: int | None
    cooldown_ns: int
    initial_cooldown_ns: int
    fallback_replicas: int | None
    paused_scale_in: bool
    paused_scale_out: bool
    force_activation: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """replicas: to write, None to leave the scale to the HPA. last_active_ns: as it is afterwards."""

    replicas: int | None
    last_active_ns: int | None
    reason: str = ""
    why: str = ""


def request_scale(
    spec: ExecutorSpec,
    *,
    replicas: int,
    is_active: bool,
    is_error: bool,
    last_active_ns: int | None,
    created_ns: int,
    now_ns: int,
) -> Step:
    """One poll. is_active: any trigger is. is_error: any trigger failed, also beside one that is active."""
    unchanged = Step(replicas=None, last_active_ns=last_active_ns)
    if is_active or spec.force_activation:
        if replicas == 0 or (spec.idle_replicas is not None and replicas < spec.min_replicas):
            if spec.paused_scale_out:
                return unchanged
            activated = max(1, spec.min_replicas)
            return Step(
                replicas=activated,
                last_active_ns=now_ns,
                reason="KEDAScaleTargetActivated",
                why="a trigger is active" if is_active else "activation is forced",
            )
        return unchanged if is_error else Step(replicas=None, last_active_ns=now_ns)
    if is_error and (spec.fallback_replicas is None or spec.fallback_replicas != 0):
        return unchanged  # without a fallback nothing is known; with one the HPA will land on it
    above_idle = spec.idle_replicas is not None and replicas > spec.idle_replicas
    if above_idle or (replicas > 0 and spec.min_replicas == 0):
        since_ns, wait_ns = (
            (created_ns, spec.initial_cooldown_ns) if last_active_ns is None else (last_active_ns, spec.cooldown_ns)
        )
        if spec.paused_scale_in or since_ns + wait_ns >= now_ns:
            return unchanged
        idle = spec.min_replicas if spec.idle_replicas is None else spec.idle_replicas
        return Step(
            replicas=idle,
            last_active_ns=last_active_ns,
            reason="KEDAScaleTargetDeactivated",
            why="no trigger was active for the whole cooldown",
        )
    if replicas < spec.min_replicas and spec.idle_replicas is None:
        return Step(
            replicas=spec.min_replicas,
            last_active_ns=last_active_ns,
            reason="TooFewReplicas",
            why="the scale is below minReplicaCount",
        )
    return unchanged
