"""What is seen of a pool: its nodes with their free GPUs, and what the workloads on it need.

GPUs on a node are free when no pod holds them: allocatable less what its pods request, other workloads' included.
Placeholders do not count, as any pod may take their place.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from autoscaler.crd.node_pool import NodePool
from autoscaler.node_pools.provider import Taint
from policies.nodepools.pool_seen import NodeSeen
from policies.snapshot import NS_PER_SECOND, ConditionStatus, Pod

PLACEHOLDER_LABEL = "autoscaling.leadtime.dev/placeholder-of"
"""On every placeholder pod: the pool's name."""

_LEAVING_TAINT = "ToBeDeletedByClusterAutoscaler"
_PASSING_TAINTS = (
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "DeletionCandidateOfClusterAutoscaler",
    _LEAVING_TAINT,
    "cloud.google.com/impending-node-termination",
    "karpenter.sh/",
)
"""Of a node that starts, fails or goes: a pod that tolerated them would sit on a node that it cannot use."""
_STARTING_SECONDS = 120.0
"""Not Ready, and since longer after its registration: the node was Ready once and is lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeNow:
    """A Node. allocatable: extended resources, whole. ready_since_ns: of the Ready condition's present status.

    leaving: cordoned, about to be deleted or being deleted: no new pod comes.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    created_ns: int = 0
    allocatable: Mapping[str, int] = field(default_factory=dict)
    ready: ConditionStatus = "Unknown"
    ready_since_ns: int = 0
    leaving: bool = False
    taints: tuple[Taint, ...] = ()


class HeldPod(Protocol):
    """A pod, as autoscaler.observe has it."""

    @property
    def pod(self) -> Pod: ...

    @property
    def labels(self) -> Mapping[str, str]: ...


PodsOn = Callable[[str], Iterable[HeldPod]]
"""The pods that have a node, by its name."""


def parse_node(node: Mapping[str, Any]) -> NodeNow:
    """From its JSON. Raises KeyError, ValueError, TypeError for what is no Node."""
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    ready: Mapping[str, Any] = next((each for each in status.get("conditions") or () if each["type"] == "Ready"), {})
    created_ns = _unix_ns(metadata["creationTimestamp"])
    taints = tuple(
        Taint(key=each["key"], value=each.get("value", ""), effect=each["effect"]) for each in spec.get("taints") or ()
    )
    return NodeNow(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        created_ns=created_ns,
        # Extended resources are whole numbers and have a domain; cpu, memory and pods have none.
        allocatable={name: int(text) for name, text in (status.get("allocatable") or {}).items() if "/" in name},
        ready=ready.get("status", "Unknown"),
        ready_since_ns=_unix_ns(ready["lastTransitionTime"]) if ready.get("lastTransitionTime") else created_ns,
        leaving="deletionTimestamp" in metadata
        or bool(spec.get("unschedulable"))
        or any(taint.key == _LEAVING_TAINT for taint in taints),
        taints=taints,
    )


def gpus_held(pod: Pod, resource: str) -> int:
    """What the scheduler counts for a pod: containers and sidecars together, or the largest init container beside the
    sidecars before it. Source: k8s.io/component-helpers resource/helpers.go (AggregateContainerRequests), v1.36.3."""
    together = sum(each.requests_milli.get(resource, 0) for each in pod.containers)
    sidecars = most_at_init = 0
    for each in pod.init_containers:
        request = each.requests_milli.get(resource, 0)
        if each.restart_policy_always:
            sidecars += request
            most_at_init = max(most_at_init, sidecars)
        else:
            most_at_init = max(most_at_init, sidecars + request)
    return max(together + sidecars, most_at_init) // 1000


def nodes_of(pool: NodePool, nodes: Iterable[NodeNow]) -> list[NodeNow]:
    """Those that the selector selects; of GKE without one, those of the node pool's own label; else all with GPUs."""
    selector = dict(pool.node_selector)
    if not selector and pool.gke is not None:
        selector = {"cloud.google.com/gke-nodepool": pool.gke.node_pool}
    return [
        node
        for node in nodes
        if (selector or pool.gpu_resource in node.allocatable) and selector.items() <= node.labels.items()
    ]


def gpus_used(pods: Iterable[HeldPod], resource: str) -> int:
    """By pods that have not ended, also those that are ending; placeholders do not count."""
    return sum(
        gpus_held(each.pod, resource)
        for each in pods
        if PLACEHOLDER_LABEL not in each.labels and each.pod.phase not in ("Succeeded", "Failed")
    )


def nodes_seen(pool: NodePool, nodes: Iterable[NodeNow], pods_on: PodsOn) -> list[NodeSeen]:
    """The pool's nodes, as the decision wants them. nodes: of this pool only.

    Ready without its GPUs allocatable is not ready: the device plugin is still to come. A node that is leaving or lost
    has no room; where it holds no pod either, it is left out.
    """
    seen = []
    for node in nodes:
        gpus = min(node.allocatable.get(pool.gpu_resource, 0), pool.gpus_per_node)
        used = gpus_used(pods_on(node.name), pool.gpu_resource)
        is_ready = node.ready == "True" and gpus > 0
        was_ready = node.ready_since_ns - node.created_ns > _STARTING_SECONDS * NS_PER_SECOND
        is_gone = node.leaving or (node.ready != "True" and was_ready)
        if is_gone and not used:
            continue
        seen.append(
            NodeSeen(
                name=node.name,
                asked_ns=node.created_ns,
                ready_ns=node.ready_since_ns if is_ready or is_gone else None,
                free_gpus=0 if is_gone else max(0, gpus - used) if is_ready else pool.gpus_per_node,
            )
        )
    return seen


def lasting_taints(nodes: Collection[NodeNow]) -> tuple[Taint, ...]:
    """Of the pool's nodes, those that a pod must tolerate to run there at all; each once, in order."""
    found = {
        taint: None
        for node in nodes
        for taint in node.taints
        if taint.effect in ("NoSchedule", "NoExecute") and not taint.key.startswith(_PASSING_TAINTS)
    }
    return tuple(sorted(found, key=lambda taint: (taint.key, taint.value, taint.effect)))


def _unix_ns(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp()) * NS_PER_SECOND
