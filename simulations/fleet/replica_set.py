"""A ReplicaSet's pods are alike: which of them go first."""

from collections.abc import Iterable

from simulations.fleet.pod import SimulatedPod


def deletion_order(pods: Iterable[SimulatedPod], now_seconds: float) -> list[SimulatedPod]:
    """Not started, then not ready, then the youngest ready ones.

    Source: kubernetes pkg/controller/controller_utils.go, ActivePodsWithRanks.
    """
    return sorted(
        pods,
        key=lambda pod: (pod.first_starts > now_seconds, pod.row is None, pod.ready_at, pod.number),
        reverse=True,
    )
