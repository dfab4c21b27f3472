"""Kubernetes objects of one pod's way to serving, as an API server writes them. Times are seconds after T0."""

from datetime import UTC, datetime, timedelta
from typing import Any

from policies.snapshot import NS_PER_SECOND

T0 = datetime(2026, 9, 4, 20, 14, 1, tzinfo=UTC)
T0_NS = int(T0.timestamp()) * NS_PER_SECOND

NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod."  # noqa: E501 - as kubectl shows it
PULLED = 'Successfully pulled image "vllm/vllm-openai:v0.27.1" in 4m4.956s (4m8.602s including waiting). Image size: 9612695005 bytes.'  # noqa: E501
PRESENT = 'Container image "vllm/vllm-openai:v0.27.1" already present on machine'


def at(seconds: float) -> str:
    return (T0 + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ns(seconds: float) -> int:
    return T0_NS + round(seconds * NS_PER_SECOND)


class Clock:
    """Seconds after T0."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def now_ns(self) -> int:
        return ns(self.seconds)


def pod(
    name: str = "vllm-86d74d98f8-8d8mj",
    *,
    created: float = 0,
    scheduled: float | None = None,
    started: float | None = None,
    ready: float | None = None,
    restarts: int = 0,
    node: str = "gpu-1",
    revision: str = "86d74d98f8",
    unschedulable: str = "",
    gated: bool = False,
    nominated: str = "",
    deleted: float | None = None,
    owner: str = "ReplicaSet",
    uid: str = "",
) -> dict[str, Any]:
    """A pod with one GPU container and a proxy beside it, as far as it has come."""
    conditions: list[dict[str, Any]] = []
    status: dict[str, Any] = {"phase": "Pending" if started is None else "Running", "conditions": conditions}
    spec: dict[str, Any] = {
        "containers": [
            {"name": "vllm", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
            {"name": "proxy", "resources": {"requests": {"cpu": "1"}}},
        ]
    }
    if scheduled is not None:
        spec["nodeName"] = node
        conditions.append({"type": "PodScheduled", "status": "True", "lastTransitionTime": at(scheduled)})
    elif gated:
        conditions.append({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"})
    elif unschedulable:
        conditions.append(
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": unschedulable}
        )
    if nominated:
        status["nominatedNodeName"] = nominated
    if started is not None:
        status["containerStatuses"] = [
            {"name": "vllm", "restartCount": restarts, "state": {"running": {"startedAt": at(started)}}},
            {"name": "proxy", "restartCount": 0, "state": {"running": {"startedAt": at(started + 1)}}},
        ]
    is_ready = "False" if ready is None else "True"
    conditions.append(
        {"type": "Ready", "status": is_ready, "lastTransitionTime": at(created if ready is None else ready)}
    )
    metadata: dict[str, Any] = {
        "namespace": "inference",
        "name": name,
        "uid": uid or f"uid-{name}",
        "creationTimestamp": at(created),
        "labels": {"app": "vllm", "pod-template-hash": revision},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": owner, "name": "vllm", "controller": True}],
    }
    if owner == "StatefulSet":
        metadata["labels"] = {"app": "vllm", "controller-revision-hash": revision}
    if deleted is not None:
        metadata |= {"deletionTimestamp": at(deleted + 30), "deletionGracePeriodSeconds": 30}
    return {"metadata": metadata, "spec": spec, "status": status}


def event(
    reason: str, seconds: float, message: str = "", *, name: str = "vllm-86d74d98f8-8d8mj", container: str = ""
) -> dict[str, Any]:
    """A core/v1 Event about a pod."""
    about = {"kind": "Pod", "namespace": "inference", "name": name, "uid": f"uid-{name}"}
    if container:
        about["fieldPath"] = f"spec.containers{{{container}}}"
    return {
        "reason": reason,
        "message": message,
        "involvedObject": about,
        "firstTimestamp": at(seconds),
        "metadata": {},
    }


def node(
    name: str = "gpu-1", *, created: float, ready: float | None = None, zone: str = "us-central1-a", spot: bool = False
) -> dict[str, Any]:
    labels = {"topology.kubernetes.io/zone": zone} | ({"cloud.google.com/gke-spot": "true"} if spot else {})
    conditions = [] if ready is None else [{"type": "Ready", "status": "True", "lastTransitionTime": at(ready)}]
    return {
        "metadata": {"name": name, "creationTimestamp": at(created), "labels": labels},
        "status": {"conditions": conditions},
    }
