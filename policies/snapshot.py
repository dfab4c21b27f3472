"""What a policy may know at one instant: replicas, pods, and what the metrics APIs answered.

Nothing here is privileged. A cluster gives it from the scale subresource, a pod list and the metrics APIs;
the simulator must produce the same through its own delayed metric pipeline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

NS_PER_SECOND = 1_000_000_000

PodPhase = Literal["Pending", "Running", "Succeeded", "Failed", "Unknown"]
ConditionStatus = Literal["True", "False", "Unknown"]
MetricType = Literal["Resource", "ContainerResource", "Pods", "Object", "External"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container's name and its resource requests in milli-units (1000 = one core, one byte, one GPU).

    restart_policy_always: of an init container, that it is a sidecar and runs beside the others.
    """

    name: str
    requests_milli: Mapping[str, int] = field(default_factory=dict)
    restart_policy_always: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod of the scale target, as the API server shows it. Instants are Unix ns; None where unset.

    ready: status of the Ready condition, None when the pod has none yet.
    init_containers: in their order. pod_requests_milli: pod-level requests, None where the pod has none.
    """

    name: str
    phase: PodPhase
    ready: ConditionStatus | None
    created_ns: int | None = None
    start_ns: int | None = None
    ready_transition_ns: int | None = None
    deleting: bool = False
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    pod_requests_milli: Mapping[str, int] | None = None

    @property
    def is_ready(self) -> bool:
        """Serving: Running, Ready and not on its way out."""
        return self.phase == "Running" and self.ready == "True" and not self.deleting


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricQuery:
    """What to ask the metrics APIs: one `metrics` entry of an HPA without its target.

    selector: sorted (label, value) pairs that must be equal; empty selects everything.
    object_name: `Kind/name` of the described object, for type Object only.
    """

    type: MetricType
    name: str
    container: str = ""
    object_name: str = ""
    selector: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSample:
    """One pod's value in milli-units, as the wire carries it, when it was sampled and over which window."""

    value_milli: int
    at_ns: int
    window_ns: int = 60 * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class PodMetrics:
    """Answer for types Resource, ContainerResource and Pods: pod name -> sample. A pod may be absent."""

    samples: Mapping[str, PodSample]


@dataclass(frozen=True, slots=True)
class ObjectMetric:
    """Answer for type Object: the one object's value in milli-units."""

    value_milli: int


@dataclass(frozen=True, slots=True)
class ExternalMetric:
    """Answer for type External: one value in milli-units per matching series."""

    values_milli: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class MetricError:
    """The metrics API had no answer; the text says why. Missing is never zero."""

    message: str


Observation = PodMetrics | ObjectMetric | ExternalMetric | MetricError


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The scale target and its metrics at one instant.

    replicas: spec.replicas of the scale subresource (asked for).
    status_replicas: status.replicas (pods that exist); None means the same as `replicas`.
    observations: one answer per query that the policy listed; a query that is absent was not asked.
    lead_time_seconds: what was learned of this workload's lead time outside of the policy, for the step that it would
        take now; None: the policy learns from the pods itself.
    """

    replicas: int
    status_replicas: int | None = None
    pods: tuple[Pod, ...] = ()
    observations: Mapping[MetricQuery, Observation] = field(default_factory=dict)
    lead_time_seconds: float | None = None

    @property
    def ready_replicas(self) -> int:
        """Pods that are serving."""
        return sum(pod.is_ready for pod in self.pods)
