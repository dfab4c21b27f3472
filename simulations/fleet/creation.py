"""How a fleet's pods come to be: their names, their draws, their volumes, and their places in the cluster."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulations.cluster import Cluster
from simulations.cluster.node_pool import NodePool
from simulations.fleet.pod import SimulatedPod
from simulations.fleet.revisions import OLD, Revisions
from simulations.fleet.stateful_set import VolumeClaim
from simulations.start.staged_pod import StagedPod

if TYPE_CHECKING:
    from simulations.scenario import Scenario


@dataclass(slots=True)
class Creation:
    """Of one fleet. pools: where its pods may run, first choice first. Raises BadInput for pods that never could."""

    scenario: "Scenario"
    cluster: Cluster
    revisions: Revisions
    pools: Sequence[NodePool]
    _pods: int = 0
    _prefill_pods: int = 0
    _claims: dict[int, VolumeClaim] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        scenario = self.scenario
        slowest = max((pool.provision for pool in self.pools), key=lambda stage: stage.median_seconds)
        self.cluster.check_pod(
            gpus=scenario.profile.gpus_per_replica,
            pool=self.pools[0].name,
            lead_time=scenario.lead_time if scenario.start is None else scenario.start.as_lead_time(slowest),
            gpu=scenario.profile.gpu,
            resources=scenario.resources,
            fallback_pools=self._fallback_pools,
            policy=scenario.budgeted_policy,
        )

    def new_pod(
        self, now_seconds: float, *, is_prefill: bool = False, revision: str = OLD, ordinal: int | None = None
    ) -> SimulatedPod:
        """A pod that exists from now on, and has no place yet."""
        name = self._name(is_prefill, ordinal)
        before = self._names.get(name, 0)
        self._names[name] = before + 1
        number = self._pods + self._prefill_pods
        claim = self._claim(ordinal)
        start = self.revisions.start(revision, number, None if claim is None else claim.disk)
        if is_prefill:
            self._prefill_pods += 1
        else:
            self._pods += 1
        return SimulatedPod(
            number=number,
            name=name,
            uid=f"{name}/{before}" if before else name,
            created=now_seconds,
            unready_since=now_seconds,
            start=start,
            load_seconds=math.inf,
            ordinal=ordinal,
            revision=revision,
        )

    def place(self, pod: SimulatedPod) -> None:
        """Ask the cluster for a place: near its volume, where it has one that is bound."""
        pod.load_seconds = pod.start.load_seconds
        claim = self._claim(pod.ordinal)
        self.cluster.place(
            pod.uid,
            gpus=self.scenario.profile.gpus_per_replica,
            pool=self.pools[0].name,
            start=pod.start,
            now_seconds=pod.created,
            resources=self.scenario.resources,
            zone=(claim.zone or None) if claim is not None else None,
            fallback_pools=self._fallback_pools,
            policy=self.scenario.budgeted_policy,
        )
        self.find_node(pod)

    def running_pod(self, *, is_prefill: bool = False, ordinal: int | None = None) -> SimulatedPod:
        """A pod that serves when the simulation begins. It uses up its draw, so that the n-th pod's stays its own."""
        pod = self.new_pod(0.0, is_prefill=is_prefill, ordinal=ordinal)
        self.cluster.place_running(
            pod.uid,
            gpus=self.scenario.profile.gpus_per_replica,
            pool=self.pools[0].name,
            resources=self.scenario.resources,
            policy=self.scenario.budgeted_policy,
        )
        if isinstance(pod.start, StagedPod):
            node = self.cluster.pods[pod.uid].node
            assert node is not None, "it was placed"
            pod.start.run_already(node.cached, 0.0)
        self.find_node(pod)
        pod.load_seconds = 0.0
        return pod

    def find_node(self, pod: SimulatedPod) -> None:
        """Take over where the cluster has put it, if it has."""
        placement = self.cluster.pods[pod.uid].placement
        if placement is None:
            return
        pod.placed_at = placement.placed_at
        pod.starts = pod.first_starts = placement.starts_at
        pod.load_seconds = pod.start.load_seconds
        claim = self._claim(pod.ordinal)
        if claim is not None:
            claim.zone = placement.zone

    def scaled_down(self, ordinal: int) -> None:
        """The ordinal's pod is gone and not wanted again: so is its volume, unless it is retained."""
        if not self.scenario.workload.retains_volumes:
            self._claims.pop(ordinal, None)

    @property
    def _fallback_pools(self) -> tuple[str, ...]:
        return tuple(pool.name for pool in self.pools[1:])

    def _claim(self, ordinal: int | None) -> VolumeClaim | None:
        """The volume of an ordinal, the one that it had before if it was kept."""
        if ordinal is None or not self.scenario.workload.has_volumes:
            return None
        return self._claims.setdefault(ordinal, VolumeClaim())

    def _name(self, is_prefill: bool, ordinal: int | None) -> str:
        if is_prefill:
            return f"{self.scenario.name}-prefill-{self._prefill_pods:04d}"
        return f"{self.scenario.name}-{self._pods:04d}" if ordinal is None else f"{self.scenario.name}-{ordinal}"
