"""The HPA as people set it up for LLM servers: one metric, one target. The target is the knob.

    total demand   External, per existing pod: pending pods count, so a cold start is not asked for twice
    queue, batch   Pods: the two that the GKE guide recommends, for throughput and for latency
    duty cycle     Pods: GPU utilization, which is high at any useful load
    cpu            Resource: what an HPA without metrics gets

Sources: cloud.google.com/kubernetes-engine/docs/best-practices/machine-learning/inference/autoscaling and
.../how-to/machine-learning/inference/autoscaling; llm-d guides/workload-autoscaling (total demand);
pkg/apis/autoscaling/v2/defaults.go. The rule is `policies.hpa`, bit for bit.
"""

import math
from dataclasses import dataclass
from typing import Literal

from policies.entry import PolicyEntry, parameter
from policies.errors import BadInput
from policies.hpa import (
    ControllerOptions,
    HPASpec,
    HPAState,
    MetricSpec,
    default_behavior,
    hpa_policy,
    scale_down_rules,
    scale_up_rules,
)
from policies.hpa.go_numbers import MAX_INT64
from policies.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What every preset shares with an HPA that has a `behavior`; the defaults are the API server's."""

    min_replicas: int = parameter("replicas", "minReplicas", 1)
    max_replicas: int = parameter("replicas", "maxReplicas", 20)
    scale_up_window_seconds: int = parameter("s", "behavior.scaleUp.stabilizationWindowSeconds", 0)
    scale_down_window_seconds: int = parameter("s", "behavior.scaleDown.stabilizationWindowSeconds", 300)
    tolerance: float = parameter("fraction", "the controller's: no change while usage is this near its target", 0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalDemandSpec(Bounds):
    """Requests in the whole system, queued at the gateway included."""

    target_requests: float = parameter("requests per replica", "averageValue: running + waiting + gateway queue", 16.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSpec(Bounds):
    """Queue size of the servers."""

    target_requests: float = parameter("requests per replica", "averageValue: waiting; the guide starts at 3 to 5", 5.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSizeSpec(Bounds):
    """Batch size of the servers."""

    target_requests: float = parameter("requests per replica", "averageValue: running; from a load test", 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyCycleSpec(Bounds):
    """GPU utilization as DCGM reports it; 60 is the target of the how-to's duty-cycle manifest."""

    target_percent: float = parameter("percent", "averageValue: share of time in which a kernel ran", 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CPUSpec(Bounds):
    """CPU use of the pods' requests."""

    target_percent: int = parameter("percent of requests", "averageUtilization", 70)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneMetricSpec(Bounds):
    """Any single metric; several of them, or a behavior in full, come in a manifest."""

    metric: str = parameter("name", "as the metrics API names it", "vllm:num_requests_waiting")
    metric_type: Literal["Pods", "External"] = parameter("type", "Pods: one value a pod; External: their sum", "Pods")
    target: float = parameter("the metric's unit, per replica", "averageValue", 5.0)


def total_demand_policy(spec: TotalDemandSpec, name: str = "hpa-total-demand") -> Policy[HPASpec, HPAState]:
    """AverageValue over the pods that exist, so pods that still start are already counted."""
    metric = _average("External", "leadtime:num_requests_outstanding", spec.target_requests, "targetRequests")
    return _policy(spec, metric, name)


def queue_policy(spec: QueueSpec, name: str = "hpa-queue") -> Policy[HPASpec, HPAState]:
    """Mean queue of the pods that report one."""
    return _policy(spec, _average("Pods", "vllm:num_requests_waiting", spec.target_requests, "targetRequests"), name)


def batch_size_policy(spec: BatchSizeSpec, name: str = "hpa-batch-size") -> Policy[HPASpec, HPAState]:
    """Mean batch of the pods that report one."""
    return _policy(spec, _average("Pods", "vllm:num_requests_running", spec.target_requests, "targetRequests"), name)


def duty_cycle_policy(spec: DutyCycleSpec, name: str = "hpa-duty-cycle") -> Policy[HPASpec, HPAState]:
    """Mean utilization of the pods' GPUs."""
    return _policy(spec, _average("Pods", "DCGM_FI_DEV_GPU_UTIL", spec.target_percent, "targetPercent"), name)


def cpu_policy(spec: CPUSpec, name: str = "hpa-cpu") -> Policy[HPASpec, HPAState]:
    """CPU use over CPU requests; needs pods that request CPU."""
    return _policy(spec, MetricSpec(type="Resource", name="cpu", average_utilization=spec.target_percent), name)


def one_metric_policy(spec: OneMetricSpec, name: str = "hpa") -> Policy[HPASpec, HPAState]:
    """Any metric of type Pods or External against an average value."""
    return _policy(spec, _average(spec.metric_type, spec.metric, spec.target, "target"), name)


def _policy(bounds: Bounds, metric: MetricSpec, name: str) -> Policy[HPASpec, HPAState]:
    """An HPA with one metric. Raises BadInput where the API server or the controller would refuse it."""
    return hpa_policy(
        HPASpec(
            min_replicas=bounds.min_replicas,
            max_replicas=bounds.max_replicas,
            metrics=(metric,),
            behavior=default_behavior(
                scale_up=scale_up_rules(stabilization_window_seconds=bounds.scale_up_window_seconds),
                scale_down=scale_down_rules(stabilization_window_seconds=bounds.scale_down_window_seconds),
            ),
            controller=ControllerOptions(tolerance=bounds.tolerance),
        ),
        name,
    )


def _average(kind: Literal["Pods", "External"], metric: str, target: float, field: str) -> MetricSpec:
    """The target in milli-units, rounded up as a Quantity is."""
    if not 0.001 <= target <= MAX_INT64 // 1000:
        raise BadInput(f"{field}: was {target}, must be in [0.001, {MAX_INT64 // 1000}]")
    return MetricSpec(type=kind, name=metric, average_value_milli=math.ceil(round(target * 1000, 6)))


_GUIDE = "GKE guide, Best practices for autoscaling LLM inference workloads with GPUs; rule of Kubernetes 1.36.3"


ENTRIES = (
    PolicyEntry(
        name="hpa",
        summary="HPA on one metric of your choice; a manifest runs as it stands, with all of its metrics",
        source="kubernetes/kubernetes pkg/controller/podautoscaler, v1.36.3",
        spec=OneMetricSpec,
        knob="target",
        build=one_metric_policy,
    ),
    PolicyEntry(
        name="hpa-total-demand",
        summary="HPA on all outstanding requests, per existing pod (External, AverageValue)",
        source="llm-d guides/workload-autoscaling, running/16; rule of Kubernetes 1.36.3",
        spec=TotalDemandSpec,
        knob="target_requests",
        build=total_demand_policy,
    ),
    PolicyEntry(
        name="hpa-queue",
        summary="HPA on the queue size per pod",
        source=_GUIDE,
        spec=QueueSpec,
        knob="target_requests",
        build=queue_policy,
    ),
    PolicyEntry(
        name="hpa-batch-size",
        summary="HPA on the batch size per pod",
        source=_GUIDE,
        spec=BatchSizeSpec,
        knob="target_requests",
        build=batch_size_policy,
    ),
    PolicyEntry(
        name="hpa-duty-cycle",
        summary="HPA on GPU utilization per pod",
        source=_GUIDE,
        spec=DutyCycleSpec,
        knob="target_percent",
        build=duty_cycle_policy,
    ),
    PolicyEntry(
        name="hpa-cpu",
        summary="HPA on CPU utilization",
        source="kubernetes.io, HorizontalPodAutoscaler walkthrough; rule of Kubernetes 1.36.3",
        spec=CPUSpec,
        knob="target_percent",
        build=cpu_policy,
    ),
)
