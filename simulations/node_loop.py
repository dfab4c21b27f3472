"""The node loop: what the workloads of a pool need together moves the pool's floor, in virtual time.

policies/nodepools/decide.py decides; this reads the simulated cluster for it, as a controller reads the API server:
nodes with their ages and free GPUs, pods that have a node, and each policy's last answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from policies.nodepools.decide import Headroom, NodeDecision, PoolState, decide
from policies.nodepools.pool_seen import NodeSeen, PoolSeen, WorkloadNeed
from policies.nodepools.spec import PoolSpec
from policies.snapshot import NS_PER_SECOND
from simulations.cluster import Cluster
from simulations.cluster.usage import node_seconds
from simulations.fleet import Fleet
from simulations.results import Recorder

_UNKNOWN = "FailedGetPodsMetric"
_NEEDED = "needed_replicas"


@dataclass(slots=True)
class NodeLoop:
    """Runs beside the workloads that share `spec.name`. One loop belongs to one run.

    moves: whether the floor is moved; False only watches, so that runs without a floor give the same figures.
    decisions: (second, decision), oldest first. node_hours: asked for until removed, up to the last step.
    """

    spec: PoolSpec
    headroom: Headroom = field(default_factory=Headroom)
    period_seconds: int = 30
    moves: bool = True
    decisions: list[tuple[int, NodeDecision]] = field(default_factory=list)
    _state: PoolState = field(default_factory=PoolState)
    _due: int = 0
    _cluster: Cluster | None = None

    def act(self, second: int, recorders: Sequence[Recorder]) -> None:
        """Decide, when it is time and every workload on the pool has decided once; the fleets are at this second."""
        mine = [each for each in recorders if self.spec.name in [pool.name for pool in each.scenario.pools]]
        if second < self._due or not mine or not all(each.moments for each in mine):
            return
        self._due = second + self.period_seconds
        fleet = mine[0].fleet
        self._cluster = fleet.cluster
        seen = PoolSeen(
            nodes=_nodes(fleet.cluster, self.spec.name, fleet.trace.start_ns),
            workloads=tuple(_need_of(each) for each in mine),
        )
        decision, self._state = decide(self.spec, self.headroom, self._state, seen, fleet.now_ns)
        self.decisions.append((second, decision))
        if self.moves:
            fleet.cluster.set_floor(self.spec.name, decision.floor_nodes, fleet.now_seconds)

    def node_hours(self, horizon_seconds: float) -> float:
        """Of the pool, provisioning and idle nodes included."""
        return 0.0 if self._cluster is None else node_seconds(self._cluster, horizon_seconds, self.spec.name) / 3_600.0

    def waits(self) -> list[tuple[float, float]]:
        """(asked at, placed at) in seconds of every pod of the pool that got a node after the start; oldest first."""
        pods = () if self._cluster is None else self._cluster.pods.values()
        return [
            (pod.asked_at, pod.placement.placed_at)
            for pod in pods
            if pod.pool.name == self.spec.name and pod.placement is not None and pod.start is not None
        ]


def max_replicas_of(spec: object) -> int | None:
    """maxReplicas of a policy's spec, or of its predictive part; None where there is none, or 0 as in Knative."""
    most: int | None = getattr(getattr(spec, "predictive", spec), "max_replicas", None)
    return most or None


def _nodes(cluster: Cluster, pool: str, start_ns: int) -> tuple[NodeSeen, ...]:
    """Those that can hold pods, now or soon: neither refused asks nor nodes that are being taken back or emptied."""
    return tuple(
        NodeSeen(
            name=node.name,
            asked_ns=start_ns + round(node.asked_at * NS_PER_SECOND),
            ready_ns=start_ns + round(node.ready_at * NS_PER_SECOND) if node.is_ready else None,
            free_gpus=node.free_gpus,
        )
        for node in cluster.live_nodes(pool)
        if node.was_created and node.leaving_since is None
    )


def _need_of(recorder: Recorder) -> WorkloadNeed:
    """What the policy said last; one that names no need of its own needs what it asks for."""
    decision = recorder.moments[-1].decision
    unknown = decision.reason == _UNKNOWN
    fleet = recorder.fleet
    needed = round(decision.numbers.get(_NEEDED, decision.desired_replicas))
    return WorkloadNeed(
        name=recorder.scenario.name,
        gpus_per_replica=fleet.profile.gpus_per_replica,
        replicas=fleet.replicas,
        placed_replicas=_placed(fleet),
        needed_replicas=None if unknown else needed,
        max_replicas=recorder.max_replicas,
    )


def _placed(fleet: Fleet) -> int:
    """Pods that are wanted and have a node."""
    pods = [pod for pod in fleet.existing() if pod.deleted is None]
    return sum(fleet.cluster.pods[pod.uid].placement is not None for pod in pods)
