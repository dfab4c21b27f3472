"""One pod's way from being asked for to serving, and whether it is evidence of a scale-up's lead time."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

from autoscaler.lead_times.event_facts import EventFacts
from autoscaler.lead_times.lead_time import ImageKind, LeadTime, NodeKind, Path, Steps
from autoscaler.lead_times.node_facts import NodeFacts
from autoscaler.lead_times.pod_facts import PodFacts
from policies.snapshot import NS_PER_SECOND

NoEvidence = Literal[
    "ReadyAtOnce",
    "Restarted",
    "SchedulingGated",
    "UnschedulableOtherwise",
    "WaitedForRoom",
    "Rollout",
    "ClockSkew",
    "TooLong",
    "Incomplete",
]
"""Why a Ready pod is none.

ReadyAtOnce: within a second; nobody waited. Restarted: it crashed before it was Ready. UnschedulableOtherwise: not for
want of nodes (a volume, a cordon). WaitedForRoom: another pod left a node to it. Rollout: another revision's pods were
there when it was created: it replaced one, in its own time. ClockSkew: a step ended before it began.
"""

_SHORTEST_SECONDS = 1.0
_AT_ONCE_SECONDS = 10.0
"""Of waiting for a node that was there: the scheduler's own time, with its back-off of 1 s and more after a miss."""
_PREEMPTION_SECONDS = 60.0
"""For placeholders to leave a node: terminationGracePeriodSeconds is 30 by default, and then the pod is tried again."""
_SKEW_SECONDS = 2.0
"""The API writes whole seconds, and each of two clocks may be off by one."""
_LONGEST_SECONDS = 7200.0
"""As the longest lead time that can be assumed (leadTime.assumedSeconds)."""
_LONGEST_UNWATCHED_LOAD_SECONDS = 1800.0
"""Of a pod that was Ready when it was first seen: beyond, it is likelier that a probe failed and passed again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All that is known of one pod; `pod` and `events` grow by `joined`, in any order."""

    pod: PodFacts
    events: EventFacts = field(default_factory=EventFacts)


def lead_time_of(
    timeline: Timeline,
    *,
    node: NodeFacts | None,
    others: Iterable[PodFacts] = (),
    asked_ns: int | None = None,
    is_returning: bool = False,
) -> LeadTime | NoEvidence | None:
    """What a pod that became Ready is evidence of; None while it is not Ready.

    node: the one it runs on, None where it is gone. others: the workload's pods, also those that ended lately.
    asked_ns: when the scale was written that led to it. is_returning: its ordinal has served before.
    """
    pod, events = timeline.pod, timeline.events
    ready = pod.ready
    if ready is None:
        return None
    if ready.at_ns - pod.created_ns < _SHORTEST_SECONDS * NS_PER_SECOND:
        return "ReadyAtOnce"
    if ready.restarts:
        return "Restarted"
    if pod.is_gated:
        return "SchedulingGated"
    if is_rollout(pod, others):
        return "Rollout"
    scheduled_ns = pod.scheduled_ns if pod.scheduled_ns is not None else events.scheduled_ns
    if scheduled_ns is None or ready.started_ns is None:
        return "Incomplete"
    instants = (pod.created_ns, scheduled_ns, ready.started_ns, ready.at_ns)
    waits = [(after - before) / NS_PER_SECOND for before, after in pairwise(instants)]
    if min(waits) < -_SKEW_SECONDS:
        return "ClockSkew"
    node_seconds, setup_seconds, load_seconds = (max(0.0, seconds) for seconds in waits)
    if node_seconds + setup_seconds + load_seconds > _LONGEST_SECONDS or (
        not pod.was_watched and load_seconds > _LONGEST_UNWATCHED_LOAD_SECONDS
    ):
        return "TooLong"
    kind = _node_kind(timeline, node, scheduled_ns, node_seconds)
    if kind == "UnschedulableOtherwise" or kind == "WaitedForRoom":
        return kind
    image, pull_seconds = _image(events, ready.started_ns, setup_seconds)
    return LeadTime(
        pod_uid=pod.uid,
        pod=pod.name,
        created_ns=pod.created_ns,
        steps=Steps(
            ask_seconds=0.0 if asked_ns is None else max(0.0, (pod.created_ns - asked_ns) / NS_PER_SECOND),
            node_seconds=node_seconds,
            pull_seconds=pull_seconds,
            start_seconds=setup_seconds - pull_seconds,
            load_seconds=load_seconds,
        ),
        path=Path(node=kind, image=image, spot=node is not None and node.is_spot, returning=is_returning),
        zone="" if node is None else node.zone,
        ordinal=pod.ordinal,
        revision=pod.revision,
    )


def is_rollout(pod: PodFacts, others: Iterable[PodFacts]) -> bool:
    """Whether pods of another revision, older than it, were there when it was created: surge and replacements of a
    rolling update add no capacity, and their image is new on every node."""
    return any(
        other.revision != pod.revision
        and other.created_ns < pod.created_ns
        and (other.ended_ns is None or other.ended_ns > pod.created_ns)
        for other in others
        if other.uid != pod.uid
    )


def joined(timeline: Timeline, *, pod: PodFacts | None = None, events: EventFacts | None = None) -> Timeline:
    """With what another version of the pod, or another event, adds."""
    if pod is not None:
        timeline = replace(timeline, pod=timeline.pod.joined(pod))
    if events is not None:
        timeline = replace(timeline, events=timeline.events.joined(events))
    return timeline


def _node_kind(
    timeline: Timeline, node: NodeFacts | None, scheduled_ns: int, node_seconds: float
) -> NodeKind | Literal["UnschedulableOtherwise", "WaitedForRoom"]:
    pod, events = timeline.pod, timeline.events
    is_taken_up = events.scale_up_ns is not None
    lacks_nodes = is_taken_up or pod.lacks_nodes or events.lacks_nodes
    is_unschedulable = pod.is_unschedulable or events.is_unschedulable
    if node_seconds > _AT_ONCE_SECONDS and is_unschedulable and not lacks_nodes:
        return "UnschedulableOtherwise"
    if node is not None:
        if node.came_after(pod.created_ns, scheduled_ns):
            return "NewNode"
    elif is_taken_up and node_seconds > _AT_ONCE_SECONDS:
        return "NewNode"  # as the autoscaler said; the node itself is gone by now
    patience = _PREEMPTION_SECONDS if pod.is_nominated else _AT_ONCE_SECONDS
    return "WarmNode" if node_seconds <= patience else "WaitedForRoom"


def _image(events: EventFacts, started_ns: int, setup_seconds: float) -> tuple[ImageKind, float]:
    """(how the images came, seconds of pulls), of what happened before the server's start."""
    was_pulled, seconds = events.pull_seconds(until_ns=started_ns + round(_SKEW_SECONDS * NS_PER_SECOND))
    if was_pulled is None:
        return "Unknown", 0.0
    return ("Pulled" if was_pulled else "Cached"), min(seconds, setup_seconds)
