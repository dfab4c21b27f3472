"""What is kept of a pod: what policies know of it, where it is, whose it is, and where its metrics page is."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from adapter.sources.kubernetes.api import Json
from adapter.sources.kubernetes.pod_record import PodRecord, prune_pod
from adapter.sources.series import PodKey
from autoscaler.lead_times.kube_time import instant_ns
from policies.hpa.milli_value import milli
from policies.snapshot import Container, Pod

_REVISION_LABELS = (
    "rollouts-pod-template-hash",
    "pod-template-hash",
    "leaderworkerset.sigs.k8s.io/template-revision-hash",
    "controller-revision-hash",
)
"""Of Argo Rollouts, Deployments, LeaderWorkerSets, and StatefulSets (a LeaderWorkerSet's pods have both)."""
_ORDINAL_LABELS = ("leaderworkerset.sigs.k8s.io/group-index", "apps.kubernetes.io/pod-index")
_ORDINAL = re.compile(r".*-([0-9]{1,9})")

POD_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
"""By it a ReplicaSet's controller chooses the pods that go, the lower first; without it a pod counts as 0."""

_Requests: TypeAlias = tuple[tuple[str, str], ...]
_ContainerTexts: TypeAlias = tuple[str, _Requests, bool]


@dataclass(frozen=True, slots=True)
class DeletionCostSeen:
    """The annotation POD_DELETION_COST as it stands. managers: the field managers that own it, by name."""

    value: str
    managers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """One pod, also one that is ending or has ended.

    pod: what a policy may know of it. node, ip: "" while it has none. zone: its node's, "" where unknown.
    owners: the workloads above it, nearest first, as (resource, name): ("replicasets.apps", "vllm-5d4f"),
        ("deployments.apps", "vllm"). revision: of the template that it was made from, "" where no label says.
    ordinal: its index in a StatefulSet or LeaderWorkerSet. deletion_cost: None without the annotation.
    """

    key: PodKey
    uid: str
    pod: Pod
    node: str
    zone: str
    ip: str
    labels: Mapping[str, str]
    owners: tuple[tuple[str, str], ...]
    revision: str
    ordinal: int | None
    deletion_cost: DeletionCostSeen | None = None

    @property
    def owner(self) -> tuple[str, str] | None:
        """The topmost workload that is known; None for a pod of its own."""
        return self.owners[-1] if self.owners else None


@dataclass(frozen=True, slots=True)
class WatchedPod:
    """seen: its zone not yet looked up. record: to find its page by; None for one that is ending or has ended."""

    seen: PodSeen
    record: PodRecord | None


def watched_pod(pod: Json) -> WatchedPod:
    """From its JSON. Raises KeyError, ValueError, TypeError for what is no pod."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    is_living = not metadata.get("deletionTimestamp") and status.get("phase") not in ("Succeeded", "Failed")
    record = prune_pod(pod if is_living else _as_if_living(pod))
    assert record is not None, "a living pod has a record"
    ready: Json = next((each for each in status.get("conditions") or () if each.get("type") == "Ready"), {})
    at_pod_level = (spec.get("resources") or {}).get("requests")
    labels = record.info.labels
    return WatchedPod(
        PodSeen(
            key=record.key,
            uid=metadata.get("uid", ""),
            pod=Pod(
                name=record.key.name,
                phase=status.get("phase") or "Pending",
                ready=ready.get("status"),
                created_ns=instant_ns(metadata.get("creationTimestamp")),
                start_ns=instant_ns(status.get("startTime")),
                ready_transition_ns=instant_ns(ready.get("lastTransitionTime")),
                deleting=bool(metadata.get("deletionTimestamp")),
                containers=_containers(tuple(_texts(spec.get("containers") or ()))),
                init_containers=_containers(tuple(_texts(spec.get("initContainers") or ()))),
                pod_requests_milli=None if at_pod_level is None else _requests(_sorted(at_pod_level)),
            ),
            node=record.info.node,
            zone="",
            ip=record.ip,
            labels=labels,
            owners=record.info.owners,
            revision=next((labels[label] for label in _REVISION_LABELS if label in labels), ""),
            ordinal=_ordinal(record.key.name, labels, record.info.owners),
            deletion_cost=_deletion_cost(metadata),
        ),
        record if is_living else None,
    )


def _deletion_cost(metadata: Json) -> DeletionCostSeen | None:
    value = (metadata.get("annotations") or {}).get(POD_DELETION_COST)
    if value is None:
        return None
    field = f"f:{POD_DELETION_COST}"
    managers = {
        entry.get("manager", "")
        for entry in metadata.get("managedFields") or ()
        if field in (((entry.get("fieldsV1") or {}).get("f:metadata") or {}).get("f:annotations") or {})
    }
    return DeletionCostSeen(str(value), tuple(sorted(managers)))


def _as_if_living(pod: Json) -> Json:
    """An ending pod's labels, owners and node are read like any other's."""
    metadata = {key: value for key, value in pod["metadata"].items() if key != "deletionTimestamp"}
    return {**pod, "metadata": metadata, "status": {**(pod.get("status") or {}), "phase": "Running"}}


def _ordinal(name: str, labels: Mapping[str, str], owners: Iterable[tuple[str, str]]) -> int | None:
    """By its label, which StatefulSets set since Kubernetes 1.28, else by the name that they have always given."""
    text = next((labels[label] for label in _ORDINAL_LABELS if label in labels), "")
    if not text and any(resource == "statefulsets.apps" for resource, _ in owners):
        numbered = _ORDINAL.fullmatch(name)
        text = numbered[1] if numbered is not None else ""
    return int(text) if text.isascii() and text.isdigit() else None


def _texts(containers: Iterable[Json]) -> Iterator[_ContainerTexts]:
    for each in containers:
        requests = (each.get("resources") or {}).get("requests") or {}
        yield each["name"], _sorted(requests), each.get("restartPolicy") == "Always"


def _sorted(requests: Mapping[str, object]) -> _Requests:
    return tuple(sorted((name, str(value)) for name, value in requests.items()))


@lru_cache(maxsize=4096)
def _containers(listed: tuple[_ContainerTexts, ...]) -> tuple[Container, ...]:
    """One object for all pods of a template: a thousand pods repeat it."""
    return tuple(
        Container(name=name, requests_milli=_requests(requests), restart_policy_always=always)
        for name, requests, always in listed
    )


@lru_cache(maxsize=4096)
def _requests(texts: _Requests) -> Mapping[str, int]:
    return {name: milli(text) for name, text in texts}
