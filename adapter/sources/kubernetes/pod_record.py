"""What is kept of a pod: its place in the inventory, and what it takes to find its metrics page."""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from adapter.sources.kubernetes.api import Json
from adapter.sources.pods import PodInfo
from adapter.sources.series import NO_LABELS, PodKey

ANNOTATION_PREFIX = "prometheus.io/"
_CRON_JOB = re.compile(r"(.+)-\d{8,}")  # a CronJob names its Jobs NAME-MINUTES, minutes since the epoch


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """A declared TCP port."""

    name: str
    number: int
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PodRecord:
    """A pod that exists and is not ending.

    info: without its services, which are not the pod's own.
    ip: "" while it has none. images: container name -> image, without tag and digest.
    running: the containers that run now. requests_gpu: some container asks for an nvidia.com resource.
    annotations: those of prometheus.io.
    """

    key: PodKey
    info: PodInfo
    ip: str = ""
    ports: tuple[ContainerPort, ...] = ()
    images: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    running: frozenset[str] = frozenset()
    requests_gpu: bool = False
    annotations: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)


def prune_pod(pod: Json) -> PodRecord | None:
    """What is kept of a pod; None for one that is ending (deletionTimestamp) or has ended (Succeeded, Failed)."""
    metadata, spec, status = pod["metadata"], pod.get("spec") or {}, pod.get("status") or {}
    if metadata.get("deletionTimestamp") or status.get("phase") in ("Succeeded", "Failed"):
        return None
    labels = _interned(metadata.get("labels") or {})
    containers = list(_containers(spec))
    annotations = metadata.get("annotations") or {}
    return PodRecord(
        key=PodKey(metadata["namespace"], metadata["name"]),
        info=PodInfo(
            labels=labels,
            ready=_ready(status),
            node=spec.get("nodeName") or "",
            owners=_owners(metadata, labels),
        ),
        ip=status.get("podIP") or "",
        ports=tuple(_ports(containers)),
        images=_interned({container["name"]: _repository(container.get("image") or "") for container in containers}),
        running=frozenset(_running(status)),
        requests_gpu=any(_requests_gpu(container) for container in containers),
        annotations={key: value for key, value in annotations.items() if key.startswith(ANNOTATION_PREFIX)},
    )


def _containers(spec: Json) -> Iterator[Json]:
    """Its containers, and the sidecars among the init containers (restartPolicy Always)."""
    yield from spec.get("containers") or ()
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            yield container


def _ports(containers: list[Json]) -> Iterator[ContainerPort]:
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("protocol", "TCP") == "TCP":
                yield ContainerPort(port.get("name") or "", int(port["containerPort"]), container["name"])


def _running(status: Json) -> Iterator[str]:
    for field_name in ("containerStatuses", "initContainerStatuses"):
        for container in status.get(field_name) or ():
            if (container.get("state") or {}).get("running") is not None:
                yield container["name"]


def _ready(status: Json) -> bool:
    conditions = status.get("conditions") or ()
    return any(condition.get("type") == "Ready" and condition.get("status") == "True" for condition in conditions)


def _requests_gpu(container: Json) -> bool:
    """nvidia.com/gpu, its shared and MIG forms: NVIDIA k8s-device-plugin, README, "Configuration"."""
    resources = container.get("resources") or {}
    asked = {**(resources.get("requests") or {}), **(resources.get("limits") or {})}
    return any(name.startswith(("nvidia.com/gpu", "nvidia.com/mig-")) for name in asked)


def _repository(image: str) -> str:
    """nvcr.io:443/nim/llama:1.0@sha256:... -> nvcr.io:443/nim/llama"""
    path, _, last = image.partition("@")[0].rpartition("/")
    return f"{path}/{last.partition(':')[0]}" if path else last.partition(":")[0]


def _owners(metadata: Json, labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The workloads above the pod, nearest first, as (resource, name).

    The controller is the pod's own word. What stands above it is read from the names and labels that the
    workload controllers set: a Deployment's ReplicaSet is DEPLOYMENT-HASH with the hash in pod-template-hash
    (kubernetes pkg/controller/deployment/sync.go), an Argo Rollout's likewise in rollouts-pod-template-hash; a
    LeaderWorkerSet labels its pods (lws api/leaderworkerset/v1, SetNameLabelKey).
    """
    owners: list[tuple[str, str]] = []
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller"):
            kind, name = reference["kind"], reference["name"]
            owners.append((_resource(kind, reference["apiVersion"]), name))
            if kind == "ReplicaSet":
                owners += _above_replica_set(name, labels)
            elif kind == "Job" and (cron_job := _CRON_JOB.fullmatch(name)):
                owners.append(("cronjobs.batch", cron_job[1]))
    if leader_worker_set := labels.get("leaderworkerset.sigs.k8s.io/name"):
        owners.append(("leaderworkersets.leaderworkerset.x-k8s.io", leader_worker_set))
    return tuple((sys.intern(resource), sys.intern(name)) for resource, name in owners)


def _above_replica_set(name: str, labels: Mapping[str, str]) -> list[tuple[str, str]]:
    for label, resource in (
        ("rollouts-pod-template-hash", "rollouts.argoproj.io"),
        ("pod-template-hash", "deployments.apps"),
    ):
        suffix = f"-{labels.get(label, '')}"
        if len(suffix) > 1 and name.endswith(suffix) and len(name) > len(suffix):
            return [(resource, name.removesuffix(suffix))]
    return []


def _resource(kind: str, api_version: str) -> str:
    """apps/v1 StatefulSet -> statefulsets.apps, by apimachinery's UnsafeGuessKindToResource."""
    singular = kind.lower()
    if singular.endswith("s"):
        plural = singular + "es"
    elif singular.endswith("y"):
        plural = singular[:-1] + "ies"
    else:
        plural = singular + "s"
    group = api_version.rpartition("/")[0]
    return f"{plural}.{group}" if group else plural


def _interned(texts: Mapping[str, Any]) -> Mapping[str, str]:
    """The same map with one copy of each text in memory: a thousand pods of one workload repeat them."""
    return {sys.intern(str(key)): sys.intern(str(value)) for key, value in texts.items()}
