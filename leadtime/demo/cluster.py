"""The demo's cluster: pods and scale of the simulated fleet, metrics from the adapter over HTTPS."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from autoscaler.cluster import Key
from autoscaler.metrics_client import MetricsClient
from policies.decision import Decision
from policies.snapshot import MetricQuery, Snapshot
from simulations.exporter import NAMESPACE
from simulations.fleet import Fleet

TARGET = Key(NAMESPACE, "vllm")


@dataclass(frozen=True, slots=True)
class FleetSeen:
    snapshot: Snapshot


class SimulatedCluster:
    """Implements `autoscaler.cluster.Cluster` and `autoscaler.clock.Clock` on a fleet in virtual time."""

    def __init__(self, fleet: Fleet, metrics: MetricsClient, on_decision: Callable[[Decision], None]) -> None:
        self._fleet = fleet
        self._metrics = metrics
        self._on_decision = on_decision

    def now_ns(self) -> int:
        return self._fleet.now_ns

    async def observe(self, key: Key, queries: Iterable[MetricQuery], now_ns: int) -> FleetSeen:
        assert now_ns == self._fleet.now_ns
        asked = tuple(queries)
        answers = await asyncio.gather(*(self._metrics.observe(key.namespace, query) for query in asked))
        pods = self._fleet.pod_list()
        snapshot = Snapshot(
            replicas=self._fleet.replicas,
            status_replicas=sum(not pod.deleting for pod in pods),
            pods=pods,
            observations=dict(zip(asked, answers, strict=True)),
        )
        return FleetSeen(snapshot)

    async def act(self, key: Key, seen: FleetSeen, decision: Decision, now_ns: int) -> None:  # noqa: ARG002 - as Cluster
        assert key == TARGET
        if decision.desired_replicas != seen.snapshot.replicas:
            self._fleet.scale(decision.desired_replicas)

    async def report(self, key: Key, seen: FleetSeen, decision: Decision, done: None) -> None:  # noqa: ARG002 - as Cluster
        assert key == TARGET
        self._on_decision(decision)
