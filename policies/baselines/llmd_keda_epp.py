"""llm-d's recommended autoscaling: KEDA ScaledObjects over the endpoint picker's (EPP's) metrics.

    queue         max( ceil(flow-control queue / 1), ceil(running / 16) )
    saturation    max( ceil(pool saturation / 0.7), ceil(running / 16) )

Both with scale-up and scale-down windows of 300 s, which are the guide's answer to overshoot while pods start.
Source: llm-d/llm-d guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s/{queue,saturation}/
scaledobject.yaml (commits 057abb4a and 321a7e8c, 2026). The other three of the family are in files of their own:
`llmd_queue_guard`, `llmd_token_aware`, `llmd_slo_aware`.

Kept as they are: the saturation is a mean, so it says no more than "full" however many pods are missing, and 3
times saturated asks for ceil(3 / 0.7) = 5 pods in a pool of 2 and in a pool of 40; an upward window of 300 s means
that a burst waits five minutes before the first pod is asked for.
Upstream renamed the metrics to `llm_d_epp_...`; the series here carry the names of the releases before.
"""

from dataclasses import dataclass

from policies.baselines import llmd_queue_guard, llmd_slo_aware, llmd_token_aware
from policies.baselines.llmd_triggers import PERCENT_100, QUEUE, RUNNING, average_value, behavior
from policies.entry import PolicyEntry, parameter
from policies.hpa import HPASpec, HPAState, MetricSpec, hpa_policy
from policies.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSpec:
    """The guide's default."""

    min_replicas: int = parameter("replicas", "minReplicaCount", 1)
    max_replicas: int = parameter("replicas", "maxReplicaCount", 8)
    queued_requests: float = parameter("requests per replica", "target of the flow-control queue", 1.0)
    running_requests: float = parameter("requests per replica", "target of the running requests", 16.0)
    scale_up_window_seconds: int = parameter("s", "the guide: size it near the cold-start time", 300)
    scale_down_window_seconds: int = parameter("s", "behavior.scaleDown.stabilizationWindowSeconds", 300)


@dataclass(frozen=True, slots=True, kw_only=True)
class SaturationSpec:
    """The guide's alternative signal."""

    min_replicas: int = parameter("replicas", "minReplicaCount", 1)
    max_replicas: int = parameter("replicas", "maxReplicaCount", 10)
    pool_saturation: float = parameter("fraction", "target of the pool's saturation, as an AverageValue", 0.7)
    running_requests: float = parameter("requests per replica", "target of the running requests", 16.0)
    scale_up_window_seconds: int = parameter("s", "the guide: size it near the cold-start time", 300)
    scale_down_window_seconds: int = parameter("s", "behavior.scaleDown.stabilizationWindowSeconds", 300)


def queue_policy(spec: QueueSpec, name: str = "llmd-queue") -> Policy[HPASpec, HPAState]:
    """The rule with its spec checked; raises BadInput."""
    return _policy(spec, average_value(QUEUE.name, spec.queued_requests, "queuedRequests"), name)


def saturation_policy(spec: SaturationSpec, name: str = "llmd-saturation") -> Policy[HPASpec, HPAState]:
    """The rule with its spec checked; raises BadInput."""
    return _policy(spec, average_value("inference_pool_saturation", spec.pool_saturation, "poolSaturation"), name)


def _policy(spec: QueueSpec | SaturationSpec, signal: MetricSpec, name: str) -> Policy[HPASpec, HPAState]:
    """The HPA that KEDA generates: two External metrics, of which the larger recommendation holds."""
    return hpa_policy(
        HPASpec(
            min_replicas=spec.min_replicas,
            max_replicas=spec.max_replicas,
            metrics=(signal, average_value(RUNNING.name, spec.running_requests, "runningRequests")),
            behavior=behavior(
                up_window_seconds=spec.scale_up_window_seconds,
                up=(PERCENT_100,),
                down_window_seconds=spec.scale_down_window_seconds,
                down=(PERCENT_100,),
            ),
        ),
        name,
    )


_GUIDE = "llm-d/llm-d guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s"

ENTRIES = (
    PolicyEntry(
        name="llmd-queue",
        summary="llm-d KEDA + EPP, queue depth and running requests, 300 s windows both ways",
        source=f"{_GUIDE}/queue/scaledobject.yaml, commit 057abb4a",
        spec=QueueSpec,
        knob="running_requests",
        build=queue_policy,
    ),
    llmd_queue_guard.ENTRY,
    PolicyEntry(
        name="llmd-saturation",
        summary="llm-d KEDA + EPP, pool saturation and running requests, 300 s windows both ways",
        source=f"{_GUIDE}/saturation/scaledobject.yaml, commit 321a7e8c",
        spec=SaturationSpec,
        knob="running_requests",
        build=saturation_policy,
    ),
    llmd_token_aware.ENTRY,
    llmd_slo_aware.ENTRY,
)
