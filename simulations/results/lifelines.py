"""Lifelines: what each pod and each node of a run did, from the ask for it to its end, as values.

    pod     pending | volume, image | container start | model load | ready | draining
    node    provisioning | there

The stages of a pod follow each other without a gap: together they last as long as the pod. Instants are seconds since
the start of the run; what has not ended has an end of inf.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING

from simulations.cluster.spot import SPOT_PREEMPTED, ZONE_LOST
from simulations.start.staged_pod import StagedPod

if TYPE_CHECKING:
    from simulations.cluster import Cluster
    from simulations.cluster.placement import Node, PodRecord
    from simulations.fleet import Fleet
    from simulations.fleet.pod import SimulatedPod


class PodStage(StrEnum):
    """What a pod does, in the order of its life.

    STARTING has the image in it where the lead time does not tell them apart (simulations/lead_time.py); PULLING is of
    staged starts only. A container that ended is STARTING during the kubelet's back-off, then LOADING again.
    """

    PENDING = "pending"
    PULLING = "volume, image"
    STARTING = "container start"
    LOADING = "model load"
    READY = "ready"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stage of one pod. end_seconds: inf while it lasts."""

    stage: PodStage
    begin_seconds: float
    end_seconds: float

    def within(self, horizon_seconds: float) -> float:
        """Seconds of it before the horizon."""
        return max(0.0, min(self.end_seconds, horizon_seconds) - self.begin_seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLine:
    """One pod. node: its name, empty while the pod is pending. path: the StartPath in words, empty likewise.

    pool: of its node; while it is pending, that it asked for first. gpus: of a replica. node_share: of its node that
    it holds, in (0, 1]. spans: those of no length are left out.
    ended_containers_at: crashes and kills by a probe, each followed by a new start.
    evicted: why it had to leave its node, at deleted_at; empty for a pod that was not wanted any more.
    """

    workload: str
    name: str
    pool: str
    gpus: int
    node_share: float
    node: str = ""
    path: str = ""
    asked_at: float
    deleted_at: float = math.inf
    ended_at: float = math.inf
    spans: tuple[Span, ...]
    ended_containers_at: tuple[float, ...] = ()
    evicted: str = ""

    def seconds(self, stage: PodStage, horizon_seconds: float) -> float:
        """In one stage, before the horizon."""
        return math.fsum(span.within(horizon_seconds) for span in self.spans if span.stage == stage)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLine:
    """One node: provisioning from asked_at to ready_at, there until removed_at. One that failed has a ready_at of inf.

    usd_per_hour: spot price of a spot node; None where GPUs are priced, not nodes. is_billed: False for an ask that
    the cloud refused: there was no machine.
    """

    name: str
    pool: str
    gpus: int
    usd_per_hour: float | None
    zone: str = ""
    spot: bool = False
    is_billed: bool = True
    asked_at: float
    ready_at: float
    removed_at: float = math.inf
    removed_reason: str = ""

    @property
    def was_taken(self) -> bool:
        """It went although it was needed."""
        return self.removed_reason in (SPOT_PREEMPTED, ZONE_LOST)

    @property
    def has_failed(self) -> bool:
        """It never came: refused, or given up."""
        return self.removed_at < math.inf and self.ready_at == math.inf

    def within(self, horizon_seconds: float) -> float:
        """Seconds from the ask to the removal, before the horizon: as simulations/cluster/usage.py bills it."""
        return max(0.0, min(self.removed_at, horizon_seconds) - self.asked_at) if self.is_billed else 0.0

    def provisioning_within(self, horizon_seconds: float) -> float:
        """Seconds of that before it was ready."""
        ready_at = min(self.ready_at, self.removed_at, horizon_seconds)
        return max(0.0, ready_at - self.asked_at) if self.is_billed else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifelines:
    """Of one run. nodes: of the whole cluster, empty where none are simulated. shares_nodes: with other workloads."""

    pods: tuple[PodLine, ...] = ()
    nodes: tuple[NodeLine, ...] = ()
    shares_nodes: bool = False


@dataclass(frozen=True, slots=True)
class Restart:
    """A pod's container ended at `at_seconds`; the next one started at starts_at, and answers at ready_at or inf."""

    at_seconds: float
    starts_at: float
    ready_at: float


@dataclass(slots=True)
class RestartWatch:
    """Notes restarts while a run goes on, for a pod itself knows when containers ended, not when later ones answered.

    Of several ends between two looks (a sync, about 15 s) the last is noted: the others' containers did not live long.
    """

    by_pod: dict[str, list[Restart]] = field(default_factory=dict)

    def look(self, pods: "Iterable[SimulatedPod]") -> None:
        """Note what happened since the last look."""
        for pod in pods:
            if pod.ends:
                known = self.by_pod.setdefault(pod.uid, [])
                if not known or known[-1].at_seconds < pod.ends[-1]:
                    known.append(Restart(pod.ends[-1], pod.starts, pod.ready_at))


def lifelines(fleet: "Fleet", restarts: Mapping[str, Sequence[Restart]]) -> Lifelines:
    """Of a fleet and, where nodes are simulated, of its cluster's nodes. restarts: by a pod's uid."""
    return Lifelines(
        pods=pod_lines(fleet, restarts),
        nodes=() if fleet.scenario.nodes is None else node_lines(fleet.cluster),
        shares_nodes=fleet.shares_cluster,
    )


def pod_lines(fleet: "Fleet", restarts: Mapping[str, Sequence[Restart]] | None = None) -> tuple[PodLine, ...]:
    """Every pod that ever was, in order of creation; those of a prefill pool first. restarts: by uid, as watched."""
    known = restarts or {}
    return tuple(
        _pod_line(fleet, pod, fleet.cluster.pods[pod.uid], known.get(pod.uid, ()))
        for pod in (*fleet.prefill_pods, *fleet.pods)
    )


def node_lines(cluster: "Cluster") -> tuple[NodeLine, ...]:
    """Every node that ever was asked for, oldest ask first."""
    return tuple(_node_line(node) for node in cluster.nodes)


def _pod_line(fleet: "Fleet", pod: "SimulatedPod", record: "PodRecord", restarts: Sequence[Restart]) -> PodLine:
    placement = record.placement
    return PodLine(
        workload=fleet.scenario.name,
        name=pod.uid,
        pool=record.pool.name,
        gpus=fleet.profile.gpus_per_replica,
        node_share=record.gpus / record.pool.advertised_gpus,
        node="" if placement is None else placement.node,
        path="" if placement is None else str(placement.path),
        asked_at=pod.created,
        deleted_at=math.inf if pod.deleted is None else pod.deleted,
        ended_at=math.inf if pod.ended is None else pod.ended,
        spans=_spans(pod, record, restarts),
        ended_containers_at=tuple(pod.ends),
        evicted=pod.leaving,
    )


def _spans(pod: "SimulatedPod", record: "PodRecord", restarts: Sequence[Restart]) -> tuple[Span, ...]:
    """From the instants at which the pod changed; what was to come after its deletion never came."""
    deleted = math.inf if pod.deleted is None else pod.deleted
    ended = math.inf if pod.ended is None else pod.ended
    starts = [_first_start(pod, record), *_later_starts(pod, restarts)]
    changes: list[tuple[float, PodStage]] = []
    for place, start in enumerate(starts):
        until = min(deleted, starts[place + 1][0][0] if place + 1 < len(starts) else math.inf)
        changes += [change for change in start if change[0] <= until]
    changes += [(deleted, PodStage.DRAINING), (ended, PodStage.DRAINING)]
    return tuple(
        Span(stage=stage, begin_seconds=begin, end_seconds=min(end, ended))
        for (begin, stage), (end, _) in pairwise(changes)
        if begin < min(end, ended)
    )


def _first_start(pod: "SimulatedPod", record: "PodRecord") -> list[tuple[float, PodStage]]:
    changes = [(pod.created, PodStage.PENDING)]
    placement = record.placement
    if placement is not None:
        pulled_at = placement.placed_at
        if isinstance(record.start, StagedPod):
            pulled_at = record.start.pulled_at
            changes.append((placement.placed_at, PodStage.PULLING))
        changes += [(pulled_at, PodStage.STARTING), (placement.starts_at, PodStage.LOADING)]
    if pod.first_ready_at is not None and (not pod.ends or pod.first_ready_at < pod.ends[0]):
        changes.append((pod.first_ready_at, PodStage.READY))
    return changes


def _later_starts(pod: "SimulatedPod", restarts: Sequence[Restart]) -> Iterator[list[tuple[float, PodStage]]]:
    watched = {each.at_seconds: each for each in restarts}
    for at in pod.ends:
        known = watched.get(at, Restart(at, at, math.inf))
        changes = [(at, PodStage.STARTING), (known.starts_at, PodStage.LOADING)]
        if known.ready_at < math.inf:
            changes.append((known.ready_at, PodStage.READY))
        yield changes


def _node_line(node: "Node") -> NodeLine:
    return NodeLine(
        name=node.name,
        pool=node.pool.name,
        gpus=node.pool.gpus_per_node,
        usd_per_hour=node.pool.price_per_node_hour,
        zone=node.zone,
        spot=node.spot,
        is_billed=node.was_created,
        asked_at=node.asked_at,
        ready_at=node.ready_at if node.is_ready else math.inf,
        removed_at=math.inf if node.removed_at is None else node.removed_at,
        removed_reason=node.removed_reason,
    )
