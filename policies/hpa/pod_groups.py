"""Which pods count: ready, unready, missing their metric, or ignored.

Source: pkg/controller/podautoscaler/replica_calculator.go (groupPods, getReadyPodsCount), v1.36.3.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from policies.snapshot import NS_PER_SECOND, Pod, PodSample

CPU = "cpu"
# Go's zero time.Time (1 January of year 1): what an absent lastTransitionTime reads as.
_ZERO_TIME_NS = -62_135_596_800 * NS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTiming:
    """Now, and the two spans that decide when a young pod's CPU sample counts. All in nanoseconds."""

    now_ns: int
    cpu_initialization_period_ns: int
    initial_readiness_delay_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PodGroups:
    """Names of the pods that do not plainly count, and how many do.

    unready: Pending, or (CPU only) too young for its sample. missing: running without a sample.
    ignored: being deleted, or failed.
    """

    ready_pod_count: int
    unready: AbstractSet[str]
    missing: AbstractSet[str]
    ignored: AbstractSet[str]


def group_pods(pods: Sequence[Pod], samples: Mapping[str, PodSample], resource: str, timing: PodTiming) -> PodGroups:
    """Sort pods into groups. `resource` is "" for a Pods metric; only "cpu" looks at readiness."""
    ready_pod_count = 0
    unready: set[str] = set()
    missing: set[str] = set()
    ignored: set[str] = set()
    is_cpu = resource == CPU
    for pod in pods:
        phase = pod.phase
        if pod.deleting or phase == "Failed":
            ignored.add(pod.name)
            continue
        if phase == "Pending":
            unready.add(pod.name)
            continue
        sample = samples.get(pod.name)
        if sample is None:
            missing.add(pod.name)
        elif is_cpu and _is_too_young(pod, sample, timing):
            unready.add(pod.name)
        else:
            ready_pod_count += 1
    return PodGroups(ready_pod_count=ready_pod_count, unready=unready, missing=missing, ignored=ignored)


def count_ready_pods(pods: Sequence[Pod]) -> int:
    """Pods that are Running and Ready, those on their way out included."""
    return sum(pod.phase == "Running" and pod.ready == "True" for pod in pods)


def _is_too_young(pod: Pod, sample: PodSample, timing: PodTiming) -> bool:
    """Whether a CPU sample says more about start-up than about load."""
    if pod.ready is None or pod.start_ns is None:
        return True
    transition_ns = _ZERO_TIME_NS if pod.ready_transition_ns is None else pod.ready_transition_ns
    if pod.start_ns + timing.cpu_initialization_period_ns > timing.now_ns:
        # Still initializing: unready, or not one whole window measured since it changed readiness.
        return pod.ready == "False" or sample.at_ns < transition_ns + sample.window_ns
    # Past initialization: unready now, and its readiness last changed so early that it never was ready.
    return pod.ready == "False" and pod.start_ns + timing.initial_readiness_delay_ns > transition_ns
