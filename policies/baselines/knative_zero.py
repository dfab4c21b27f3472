"""Knative's way down to zero: active, then inactive with its last pod, then gone; and an activation that failed.

Source: knative/serving pkg/reconciler/autoscaling/kpa/scaler.go (handleScaleToZero), kpa.go (computeActiveCondition)
and pkg/apis/autoscaling/v1alpha1/podautoscaler_lifecycle.go (CanFailActivation, ActiveFor, InactiveFor).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple


class Activation(NamedTuple):
    """The PodAutoscaler's condition Active, and since when: True, Unknown or False upstream."""

    status: Literal["active", "activating", "inactive"]
    since_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroSpec:
    """last_pod_ns: the longer of grace period and pod retention. activation_timeout_ns: progress deadline + 30 s."""

    enabled: bool
    stable_window_ns: int
    last_pod_ns: int
    activation_timeout_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroStep:
    """replicas: to write, where `apply`. wanted: what the condition is computed from, -1 for unknown.

    why: words for a step that waits for zero or goes there, "" for any other.
    """

    replicas: int
    wanted: int
    apply: bool
    why: str = ""


def scale_to_zero(spec: ZeroSpec, activation: Activation, wanted: int, now_ns: int) -> ZeroStep:
    """What becomes of `wanted` replicas, 0 in particular; any other count is applied as it is."""
    if wanted != 0:
        return ZeroStep(replicas=wanted, wanted=wanted, apply=True)
    if not spec.enabled:
        return ZeroStep(replicas=1, wanted=1, apply=True, why="scale to zero is off")
    lasted_ns = now_ns - activation.since_ns
    if activation.status == "activating":
        if lasted_ns > spec.activation_timeout_ns:
            return ZeroStep(replicas=0, wanted=0, apply=True, why="no pod became ready in time")
        return ZeroStep(replicas=0, wanted=-1, apply=False, why="pods still start")
    if activation.status == "active":
        if lasted_ns < spec.stable_window_ns:
            return ZeroStep(replicas=1, wanted=1, apply=True, why="one pod stays until it was active for a window")
        return ZeroStep(replicas=0, wanted=0, apply=False, why="inactive from now on, the last pod stays for its grace")
    if lasted_ns < spec.last_pod_ns:
        return ZeroStep(replicas=0, wanted=0, apply=False, why="the last pod stays for its grace")
    return ZeroStep(replicas=0, wanted=0, apply=True, why="inactive for the whole grace")


def observe_activity(
    activation: Activation, wanted: int, ready_replicas: int, min_ready: int, now_ns: int
) -> Activation:
    """The condition after a tick; its time moves only when the status changes."""
    status = activation.status
    if wanted == 0:
        status = "inactive"
    elif wanted > 0 or status != "inactive":
        status = "activating" if ready_replicas < min_ready else "active"
    return activation if status == activation.status else Activation(status, now_ns)
