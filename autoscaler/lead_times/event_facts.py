"""What the events of a pod say about its way to serving. Facts join in any order: watches promise none.

Sources of the texts: kubernetes 1.36 pkg/scheduler/framework/types.go (FitError.Error) and pkg/kubelet/images/
image_manager.go; cluster-autoscaler FAQ, "What events are emitted by CA?"; karpenter pkg/controllers/provisioning/
scheduling/events.go.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autoscaler.lead_times.kube_time import earlier, instant_ns
from policies.snapshot import NS_PER_SECOND

Json = Mapping[str, Any]

_LACKS_NODES = re.compile(
    r"\bInsufficient \S"
    r"|Too many pods"
    r"|didn't (?:match|satisfy) [^,.]*(?:node affinity|selector|anti-affinity|topology spread)"
    r"|untolerated taint|had taints? "
    r"|no nodes available to schedule pods"
)
_PULL_SECONDS = re.compile(
    r"Successfully pulled image .* in (?P<pull>\S+?)(?: \((?P<with_waiting>\S+) including waiting\)|$)"
)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s|us|\u00b5s|\u03bcs|ns)")
_UNIT_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Of one container's image. seconds: None where the event has none (kubelets before 1.20)."""

    at_ns: int
    was_present: bool
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFacts:
    """Of one pod. lacks_nodes: it was unschedulable for want of room or of fitting nodes; is_unschedulable: for any
    reason. scale_up_ns: a node autoscaler took it up. pulling_ns, pulls: the first of each container."""

    is_unschedulable: bool = False
    lacks_nodes: bool = False
    scale_up_ns: int | None = None
    scheduled_ns: int | None = None
    pulling_ns: Mapping[str, int] = field(default_factory=dict)
    pulls: Mapping[str, Pull] = field(default_factory=dict)

    def joined(self, other: "EventFacts") -> "EventFacts":
        """What both know."""
        pulls = dict(self.pulls)
        for container, pull in other.pulls.items():
            pulls[container] = min(pull, pulls.get(container, pull), key=_order)
        pulling_ns = dict(self.pulling_ns)
        for container, at_ns in other.pulling_ns.items():
            pulling_ns[container] = min(at_ns, pulling_ns.get(container, at_ns))
        return EventFacts(
            is_unschedulable=self.is_unschedulable or other.is_unschedulable,
            lacks_nodes=self.lacks_nodes or other.lacks_nodes,
            scale_up_ns=earlier(self.scale_up_ns, other.scale_up_ns),
            scheduled_ns=earlier(self.scheduled_ns, other.scheduled_ns),
            pulling_ns=pulling_ns,
            pulls=pulls,
        )

    def pull_seconds(self, until_ns: int) -> tuple[bool | None, float]:
        """(whether an image was pulled, None where no event says; seconds of all pulls) up to until_ns."""
        pulls = {container: pull for container, pull in self.pulls.items() if pull.at_ns <= until_ns}
        seconds = sum(self._seconds(container, pull) for container, pull in pulls.items() if not pull.was_present)
        return any(not pull.was_present for pull in pulls.values()) if pulls else None, seconds

    def _seconds(self, container: str, pull: Pull) -> float:
        if pull.seconds is not None:
            return pull.seconds
        return max(0.0, (pull.at_ns - self.pulling_ns.get(container, pull.at_ns)) / NS_PER_SECOND)


def event_facts(event: Json) -> tuple[str, EventFacts] | None:
    """(the pod's uid, what the event says); None for one that says nothing about a pod's lead time.

    event: core/v1 (involvedObject) or events.k8s.io/v1 (regarding). Raises ValueError for a time that is none.
    """
    about = event.get("involvedObject") or event.get("regarding") or {}
    uid, reason = about.get("uid"), event.get("reason")
    if about.get("kind") != "Pod" or not uid:
        return None
    at_ns = _first_ns(event)
    if at_ns is None:
        return None
    text = event.get("message") or event.get("note") or ""
    container = about.get("fieldPath") or ""
    match reason:
        case "FailedScheduling":
            return uid, EventFacts(is_unschedulable=True, lacks_nodes=lacks_nodes(text))
        case "TriggeredScaleUp" | "Nominated":
            return uid, EventFacts(scale_up_ns=at_ns)
        case "Scheduled":
            return uid, EventFacts(scheduled_ns=at_ns)
        case "Pulling":
            return uid, EventFacts(pulling_ns={container: at_ns})
        case "Pulled":
            was_present = "already present on machine" in text
            seconds = 0.0 if was_present else pull_seconds(text)
            return uid, EventFacts(pulls={container: Pull(at_ns=at_ns, was_present=was_present, seconds=seconds)})
        case _:
            return None


def lacks_nodes(message: str) -> bool:
    """Whether more nodes would have helped: of a FailedScheduling event or a PodScheduled condition.

    Not so: volumes and their claims, cordoned nodes, host ports. What preemption says of the same nodes is left out.
    """
    return _LACKS_NODES.search(message.split(" preemption:")[0]) is not None


def pull_seconds(message: str) -> float | None:
    """Of `Successfully pulled image "x" in 4.5s (1m4.5s including waiting). Image size: 5 bytes.`: 64.5.

    With the waiting, for pulls on one node are serial by default. None where there is no duration.
    """
    found = _PULL_SECONDS.search(message)
    return None if found is None else duration_seconds(found["with_waiting"] or found["pull"])


def duration_seconds(text: str) -> float | None:
    """Of a Go time.Duration as it prints itself: 1m4.546s, 890ms; None for what is none."""
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def _first_ns(event: Json) -> int | None:
    """When it happened first; eventTime is finer where it is set, and a series repeats under one event."""
    metadata = event.get("metadata") or {}
    for text in (
        event.get("eventTime"),
        event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp"),
        metadata.get("creationTimestamp"),
    ):
        if (at_ns := instant_ns(text)) is not None:
            return at_ns
    return None


def _order(pull: Pull) -> tuple[int, bool, float]:
    return pull.at_ns, pull.was_present, -1.0 if pull.seconds is None else pull.seconds
