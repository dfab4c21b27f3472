"""What one PredictiveAutoscaler's workload needs of its pools at this step."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from autoscaler.autoscaler import PAUSED_ANNOTATION, Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.node_pool import NodePool
from policies.decision import Decision
from policies.nodepools.pool_seen import WorkloadNeed
from policies.snapshot import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class PodPlace:
    """A pod of the workload that is not ending. node: "" while it has none."""

    node: str
    revision: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadNow:
    """replicas: asked for. needed_replicas: what its policy says before behavior, within maxReplicas: nobody may ask
    for the pods above. None while unknown. max_replicas: None where nobody knows of one.

    paused: nothing is written for it. recommends: it is in mode Recommend, and nothing was to be written.
    """

    key: Key
    uid: str
    pools: tuple[NodePool, ...]
    gpus_per_replica: int
    replicas: int
    needed_replicas: int | None
    pods: tuple[PodPlace, ...]
    max_replicas: int | None = None
    paused: bool = False
    recommends: bool = False

    @property
    def is_rolling_out(self) -> bool:
        """Pods of more than one revision: for a while it needs room for some of them twice."""
        return len({pod.revision for pod in self.pods}) > 1

    def on(self, nodes: Collection[str]) -> int:
        """Pods that have one of these nodes."""
        return sum(pod.node in nodes for pod in self.pods)


class SeenPod(Protocol):
    """A pod of the workload, as autoscaler.observe has it."""

    @property
    def pod(self) -> Pod: ...

    @property
    def node(self) -> str: ...

    @property
    def revision(self) -> str: ...


def pod_places(pods: Iterable[SeenPod]) -> tuple[PodPlace, ...]:
    """Of those that are neither ending nor over."""
    return tuple(
        PodPlace(node=each.node, revision=each.revision)
        for each in pods
        if not each.pod.deleting and each.pod.phase not in ("Succeeded", "Failed")
    )


def workload_now(
    autoscaler: Autoscaler, *, replicas: int, decision: Decision | None, pods: Iterable[SeenPod]
) -> WorkloadNow | None:
    """None for one without a usable spec or without pools.

    replicas: spec.replicas of the scale. decision: of the last step; None where the workload could not be observed.
    In mode Recommend only the pods that it really has count: nobody acts on what its policy would have.
    """
    spec = autoscaler.spec
    if spec is None or not spec.node_pools:
        return None
    paused = spec.paused or autoscaler.annotations.get(PAUSED_ANNOTATION) == "true"
    needed: int | None
    if spec.mode == "Recommend":
        needed = replicas
    elif decision is None or decision.numbers.get("known", 1.0) == 0.0:
        needed = None
    else:
        wanted = round(decision.numbers.get("wanted_replicas", decision.desired_replicas))
        needed = min(wanted, spec.max_replicas)
    return WorkloadNow(
        key=autoscaler.key,
        uid=autoscaler.uid,
        pools=spec.node_pools,
        gpus_per_replica=spec.cost.gpus_per_replica,
        replicas=replicas,
        needed_replicas=needed,
        pods=pod_places(pods),
        max_replicas=spec.max_replicas,
        paused=paused,
        recommends=spec.mode == "Recommend",
    )


def need_on_first(workload: WorkloadNow, nodes: Collection[str], elsewhere: int) -> WorkloadNeed:
    """On the first of its pools: everything that is not placed on another one. elsewhere: pods on the other pools."""
    needed = workload.needed_replicas
    return WorkloadNeed(
        name=f"{workload.key.namespace}/{workload.key.name}",
        gpus_per_replica=workload.gpus_per_replica,
        replicas=max(0, workload.replicas - elsewhere),
        placed_replicas=workload.on(nodes),
        needed_replicas=None if needed is None else max(0, needed - elsewhere),
        max_replicas=None if workload.max_replicas is None else max(0, workload.max_replicas - elsewhere),
        elsewhere_replicas=elsewhere,
    )


def need_on_later(workload: WorkloadNow, nodes: Collection[str], overflow: int) -> WorkloadNeed:
    """On a later pool: what stands there, and what the pool before it could not hold."""
    placed = workload.on(nodes)
    return WorkloadNeed(
        name=f"{workload.key.namespace}/{workload.key.name}",
        gpus_per_replica=workload.gpus_per_replica,
        replicas=placed + overflow,
        placed_replicas=placed,
        needed_replicas=None if workload.needed_replicas is None else placed + overflow,
        max_replicas=workload.max_replicas,
    )
