"""llm-d KEDA + EPP with the overshoot guard: demand in replicas, less the pods that are already starting.

    demand = max( queue / 1, running / 16 )
    metric = demand                                  while demand <= replicas
             max( demand - pending, replicas )       above; target 1, so the metric is the replica count

Scale-up acts at once, scale-down waits 300 s. Source: llm-d/llm-d guides/workload-autoscaling/keda-epp/
optimized-baseline/overlays/k8s/queue-guard/scaledobject.yaml (commit b06ec635, 2026); the fallback is
kedacore/keda pkg/fallback/fallback.go (commit 1a835eba): a query that failed more than `failure_threshold` times
in a row counts as failed for good, until then the HPA stands still.

Kept as they are: one queued request asks for one replica, so any real burst asks for the maximum, less the pods
under way; while `queue`, `running` or `replicas` stays unreadable the fallback asks for 1 replica whatever the
load, so losing the metrics SHRINKS the pool. A `pending` that stays unreadable counts as 0 (`pending ?? 0`).
Failures are counted once a sync; KEDA also polls between, which this leaves out.
"""

from dataclasses import dataclass, field

from policies.baselines.llmd_triggers import (
    COMPOSITE,
    PERCENT_100,
    QUEUE,
    RUNNING,
    Read,
    behavior,
    composite_hpa,
    in_range,
    read,
    served,
    with_answers,
)
from policies.decision import Decision
from policies.entry import PolicyEntry, parameter
from policies.hpa import HPASpec, HPAState, validate
from policies.hpa import decide as decide_hpa
from policies.policy import Policy
from policies.snapshot import MetricError, MetricQuery, Observation, Snapshot

PENDING = MetricQuery(type="External", name="kube_deployment_status_replicas_unavailable")
REPLICAS = MetricQuery(type="External", name="kube_deployment_status_replicas")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueGuardSpec:
    """The overlay's numbers."""

    min_replicas: int = parameter("replicas", "minReplicaCount", 1)
    max_replicas: int = parameter("replicas", "maxReplicaCount", 8)
    queued_requests: float = parameter("requests per replica", "queue_per_replica in the formula", 1.0)
    running_requests: float = parameter("requests per replica", "running_per_replica in the formula", 16.0)
    scale_down_window_seconds: int = parameter("s", "behavior.scaleDown.stabilizationWindowSeconds", 300)
    failure_threshold: int = parameter("failures in a row", "fallback.failureThreshold", 3)
    fallback_replicas: int = parameter("replicas", "fallback.replicas, behavior static", 1)

    @property
    def hpa(self) -> HPASpec:
        """The HPA that KEDA generates."""
        how = behavior(
            up_window_seconds=0,
            up=(PERCENT_100,),
            down_window_seconds=self.scale_down_window_seconds,
            down=(PERCENT_100,),
        )
        return composite_hpa(self.min_replicas, self.max_replicas, how)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueGuardState:
    """failures: of any trigger that the formula cannot do without, in a row. pending_failures: of `pending`."""

    hpa: HPAState = field(default_factory=HPAState)
    failures: int = 0
    pending_failures: int = 0


def queue_guard_policy(spec: QueueGuardSpec, name: str = "llmd-queue-guard") -> Policy[QueueGuardSpec, QueueGuardState]:
    """The rule with its spec checked; raises BadInput."""
    in_range("queuedRequests", spec.queued_requests, 0.001, 1e9)
    in_range("runningRequests", spec.running_requests, 0.001, 1e9)
    in_range("failureThreshold", spec.failure_threshold, 0, 1_000)
    in_range("fallbackReplicas", spec.fallback_replicas, 0, 100_000)
    validate(spec.hpa)
    return Policy(
        name=name,
        decide=decide,
        spec=spec,
        initial_state=QueueGuardState(),
        queries=(QUEUE, RUNNING, PENDING, REPLICAS),
    )


def decide(
    spec: QueueGuardSpec, state: QueueGuardState, snapshot: Snapshot, now_ns: int
) -> tuple[Decision, QueueGuardState]:
    """One sync: the formula or its fallback, then the HPA."""
    queue, running, pending, replicas = (read(snapshot, query) for query in (QUEUE, RUNNING, PENDING, REPLICAS))
    error = queue.error or running.error or replicas.error
    failures = 0 if error is None else state.failures + 1
    pending_failures = 0 if pending.error is None else state.pending_failures + 1
    answer: Observation
    if error is not None and failures > spec.failure_threshold:
        answer = served(spec.fallback_replicas)
        why = f"fallback to {spec.fallback_replicas} after {failures} failures ({error})"
    elif error is not None:
        answer = MetricError(error)
        why = f"failure {failures} of {spec.failure_threshold} before the fallback"
    elif pending.error is not None and pending_failures <= spec.failure_threshold:
        answer = MetricError(pending.error)
        why = f"failure {pending_failures} of {spec.failure_threshold} before pending counts as 0"
    else:
        demand = max(queue.value / spec.queued_requests, running.value / spec.running_requests)
        answer = served(guarded(demand, pending, replicas.value))
        why = (
            f"demand {demand:.2f} replicas from {queue.value:g} queued and {running.value:g} running, "
            f"{pending.value:g} of {replicas.value:g} pods starting"
        )
    decision, hpa = decide_hpa(spec.hpa, state.hpa, with_answers(snapshot, {COMPOSITE: answer}), now_ns)
    numbers = {
        **decision.numbers,
        "queued_requests": queue.value,
        "running_requests": running.value,
        "pending_replicas": pending.value,
        "failures": float(failures),
    }
    explained = Decision(
        desired_replicas=decision.desired_replicas,
        reason=decision.reason,
        message=f"{decision.message} ({why})",
        numbers=numbers,
    )
    return explained, QueueGuardState(hpa=hpa, failures=failures, pending_failures=pending_failures)


def guarded(demand: float, pending: Read, replicas: float) -> float:
    """The overlay's formula, in replicas."""
    return demand if demand <= replicas else max(demand - pending.value, replicas)


ENTRY = PolicyEntry(
    name="llmd-queue-guard",
    summary="llm-d KEDA + EPP, queue signal, immediate scale-up less the pods that are starting",
    source="llm-d/llm-d guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s/queue-guard/"
    "scaledobject.yaml, commit b06ec635",
    spec=QueueGuardSpec,
    knob="running_requests",
    build=queue_guard_policy,
)
