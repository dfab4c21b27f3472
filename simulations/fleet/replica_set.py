"""A ReplicaSet's pods are alike: which of them go first."""

from collections import Counter
from collections.abc import Callable, Iterable

from simulations.fleet.pod import SimulatedPod


def deletion_order(
    pods: Iterable[SimulatedPod],
    now_seconds: float,
    *,
    node_of: Callable[[SimulatedPod], str],
    related: Iterable[SimulatedPod],
) -> list[SimulatedPod]:
    """As the ReplicaSet controller has it, the first to go first: without a node, not started, not ready, then by the
    lower deletion cost, by more of the workload's pods on its node, then the latest ready one; of those that are not
    ready the one that restarted more often, then the youngest.

    node_of: its node's name, "" while it has none. related: the workload's pods that are wanted, of every revision;
    they count as being on a node.
    Source: kubernetes v1.36.3 pkg/controller/controller_utils.go, ActivePodsWithRanks.Less, and
    replicaset/replica_set.go, getPodsRankedByRelatedPodsOnSameNode.

    Left out: LogarithmicScaleDown (on since 1.22, always since 1.31), which compares ages by the integer part of their
    base-2 logarithm and takes any of those that are equally old by it, by UID: here it is the youngest, so that a run
    draws nothing more; the phase Unknown; containers beside the server's, whose restarts would count.
    """
    together = Counter(node_of(pod) for pod in related)
    return sorted(
        pods,
        key=lambda pod: (
            pod.placed_at <= now_seconds,
            pod.first_starts <= now_seconds,
            pod.row is not None,
            pod.deletion_cost,
            -together[node_of(pod)],
            0.0 if pod.row is None else -pod.ready_at,
            -pod.restarts,
            -pod.created,
            -pod.number,
        ),
    )
