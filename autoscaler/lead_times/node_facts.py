"""What is kept of a node: when it came, where it is, and whether it can be taken away."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoscaler.lead_times.kube_time import instant_ns

Json = Mapping[str, Any]

_SPOT_LABELS = (
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)
_ZONE_LABELS = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """ready_ns: the last transition to Ready, None while it is not. zone: "" where the node has no such label."""

    name: str
    created_ns: int
    ready_ns: int | None = None
    zone: str = ""
    is_spot: bool = False

    def came_after(self, asked_ns: int, scheduled_ns: int) -> bool:
        """Whether a pod that was created at asked_ns, and bound at scheduled_ns, waited for this node.

        The Ready condition may have flapped since: a transition after the binding says nothing.
        """
        if self.created_ns > asked_ns:
            return True
        return self.ready_ns is not None and asked_ns < self.ready_ns <= scheduled_ns


def node_facts(node: Json) -> NodeFacts:
    """Of a node, v1 JSON. Raises KeyError, ValueError where it is none."""
    metadata = node["metadata"]
    labels = metadata.get("labels") or {}
    created_ns = instant_ns(metadata["creationTimestamp"])
    if created_ns is None:
        raise ValueError("metadata.creationTimestamp: was empty, must be a time")
    conditions = (node.get("status") or {}).get("conditions") or ()
    since = [
        instant_ns(each.get("lastTransitionTime"))
        for each in conditions
        if each.get("type") == "Ready" and each.get("status") == "True"
    ]
    return NodeFacts(
        name=metadata["name"],
        created_ns=created_ns,
        ready_ns=since[0] if since else None,
        zone=next((labels[label] for label in _ZONE_LABELS if labels.get(label)), ""),
        is_spot=is_spot(labels),
    )


def is_spot(labels: Mapping[str, str]) -> bool:
    """Whether a node with these labels can be taken away."""
    return any(labels.get(label) == value for label, value in _SPOT_LABELS)
