"""What a pod object says about its way to serving. Facts of several versions of it join in any order."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from autoscaler.lead_times.event_facts import lacks_nodes
from autoscaler.lead_times.kube_time import earlier, instant_ns
from policies.snapshot import NS_PER_SECOND

Json = Mapping[str, Any]

_REVISION_LABELS = (
    "rollouts-pod-template-hash",
    "pod-template-hash",
    "leaderworkerset.sigs.k8s.io/template-revision-hash",
    "controller-revision-hash",
)
_ORDINAL_LABELS = ("leaderworkerset.sigs.k8s.io/group-index", "apps.kubernetes.io/pod-index")
_ORDINAL = re.compile(r"-(\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class BecameReady:
    """The Ready condition's transition to True. restarts: of its containers by then. started_ns: the serving
    container's start, the last one's where several serve; None where the status has none."""

    at_ns: int
    restarts: int
    started_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFacts:
    """Of one pod. ready: the earliest that was seen. was_watched: a version was seen in which it was not Ready yet.

    is_gated: by a scheduling gate. is_nominated: the scheduler made room for it by preemption. ended_ns: when its
    deletion was asked for, or it failed.
    """

    uid: str
    namespace: str
    name: str
    created_ns: int
    revision: str = ""
    ordinal: int | None = None
    node: str = ""
    scheduled_ns: int | None = None
    is_unschedulable: bool = False
    lacks_nodes: bool = False
    is_gated: bool = False
    is_nominated: bool = False
    was_watched: bool = False
    ready: BecameReady | None = None
    ended_ns: int | None = None

    def joined(self, other: "PodFacts") -> "PodFacts":
        """What both versions of the same pod know."""
        return PodFacts(
            uid=self.uid,
            namespace=self.namespace,
            name=self.name,
            created_ns=self.created_ns,
            revision=self.revision or other.revision,
            ordinal=self.ordinal if self.ordinal is not None else other.ordinal,
            node=self.node or other.node,
            scheduled_ns=earlier(self.scheduled_ns, other.scheduled_ns),
            is_unschedulable=self.is_unschedulable or other.is_unschedulable,
            lacks_nodes=self.lacks_nodes or other.lacks_nodes,
            is_gated=self.is_gated or other.is_gated,
            is_nominated=self.is_nominated or other.is_nominated,
            was_watched=self.was_watched or other.was_watched,
            ready=min((each for each in (self.ready, other.ready) if each is not None), key=_order, default=None),
            ended_ns=earlier(self.ended_ns, other.ended_ns),
        )


def pod_facts(pod: Json) -> PodFacts:
    """Of one version of a pod, v1 JSON. Raises KeyError, ValueError where it is none."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    created_ns = instant_ns(metadata["creationTimestamp"])
    if created_ns is None:
        raise ValueError("metadata.creationTimestamp: was empty, must be a time")
    conditions = {condition.get("type"): condition for condition in status.get("conditions") or ()}
    scheduled, ready = conditions.get("PodScheduled") or {}, conditions.get("Ready") or {}
    reason = scheduled.get("reason") if scheduled.get("status") == "False" else None
    is_unschedulable = reason == "Unschedulable"
    became_ready = _became_ready(spec, status, ready)
    return PodFacts(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        created_ns=created_ns,
        revision=next(_labels(metadata, _REVISION_LABELS), ""),
        ordinal=_ordinal(metadata),
        node=spec.get("nodeName") or "",
        scheduled_ns=instant_ns(scheduled.get("lastTransitionTime")) if scheduled.get("status") == "True" else None,
        is_unschedulable=is_unschedulable,
        lacks_nodes=is_unschedulable and lacks_nodes(scheduled.get("message") or ""),
        is_gated=reason == "SchedulingGated",
        is_nominated=bool(status.get("nominatedNodeName")),
        was_watched=became_ready is None,
        ready=became_ready,
        ended_ns=_ended_ns(metadata, status),
    )


def _became_ready(spec: Json, status: Json, ready: Json) -> BecameReady | None:
    if ready.get("status") != "True" or (at_ns := instant_ns(ready.get("lastTransitionTime"))) is None:
        return None
    serving = _serving(spec)
    statuses = [each for each in status.get("containerStatuses") or () if each.get("name") in serving]
    started = [instant_ns(((each.get("state") or {}).get("running") or {}).get("startedAt")) for each in statuses]
    known = [at for at in started if at is not None]
    return BecameReady(
        at_ns=at_ns,
        restarts=max((int(each.get("restartCount") or 0) for each in statuses), default=0),
        started_ns=max(known) if known and len(known) == len(started) else None,
    )


def _serving(spec: Json) -> set[str]:
    """The containers that ask for an extended resource (`nvidia.com/gpu`); all where none does."""
    containers = spec.get("containers") or ()
    with_device = {each["name"] for each in containers if any(map(_is_extended, _asked(each)))}
    return with_device or {each["name"] for each in containers}


def _asked(container: Json) -> Iterator[str]:
    resources = container.get("resources") or {}
    yield from resources.get("requests") or ()
    yield from resources.get("limits") or ()


def _is_extended(resource: str) -> bool:
    """kubernetes.io/docs, "Extended resources": fully qualified, and not of kubernetes.io."""
    domain, slash, _ = resource.partition("/")
    return bool(slash) and not domain.endswith("kubernetes.io")


def _ordinal(metadata: Json) -> int | None:
    for text in _labels(metadata, _ORDINAL_LABELS):
        if text.isdecimal():
            return int(text)
    owners = metadata.get("ownerReferences") or ()
    if any(owner.get("controller") and owner.get("kind") == "StatefulSet" for owner in owners):
        found = _ORDINAL.search(metadata["name"])  # before Kubernetes 1.28 there was no label
        return None if found is None else int(found[1])
    return None


def _labels(metadata: Json, names: tuple[str, ...]) -> Iterator[str]:
    labels = metadata.get("labels") or {}
    return (labels[name] for name in names if labels.get(name))


def _ended_ns(metadata: Json, status: Json) -> int | None:
    """deletionTimestamp is when the grace period will be over, not when the deletion was asked for."""
    if (deleted_ns := instant_ns(metadata.get("deletionTimestamp"))) is not None:
        return deleted_ns - int(metadata.get("deletionGracePeriodSeconds") or 0) * NS_PER_SECOND
    if status.get("phase") not in ("Failed", "Succeeded"):
        return None
    times = [
        instant_ns(((each.get("state") or {}).get("terminated") or {}).get("finishedAt"))
        for each in status.get("containerStatuses") or ()
    ]
    known = [at for at in times if at is not None]
    return max(known) if known else instant_ns(metadata["creationTimestamp"])


def _order(ready: BecameReady) -> tuple[int, int, int]:
    return ready.at_ns, ready.restarts, -1 if ready.started_ns is None else ready.started_ns
