"""One look at one workload: its scale, its pods and the answers to its policy's queries, as a Snapshot."""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from adapter.sources.kubernetes.label_selector import LabelSelector
from autoscaler.autoscaler import Autoscaler
from autoscaler.metrics_client import MetricsClient
from autoscaler.observe.demand import Demand
from autoscaler.observe.demand_rules import is_demand
from autoscaler.observe.demand_targets import DemandTarget, DemandTargets, own_pods
from autoscaler.observe.pod_seen import PodSeen
from autoscaler.observe.scale import Scale, ScaleReader
from policies.snapshot import MetricError, MetricQuery, Observation, PodMetrics, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """pods: the workload's own, in the snapshot's order, with what acting and explaining need beyond a policy."""

    scale: Scale
    snapshot: Snapshot
    pods: tuple[PodSeen, ...]


class SelectsPods(Protocol):
    """What is needed of the World."""

    def pods_of(self, namespace: str, selector: LabelSelector) -> tuple[PodSeen, ...]: ...


class Observer:
    """Everything but the scale and plain HPA metrics is answered from memory. A slow answer is cut off by its own
    timeout, and costs this workload's step and no other's."""

    def __init__(
        self,
        world: SelectsPods,
        scales: ScaleReader,
        demand: Demand,
        targets: DemandTargets,
        metrics: MetricsClient,
    ) -> None:
        self._world = world
        self._scales = scales
        self._demand = demand
        self._targets = targets
        self._metrics = metrics

    async def observe(self, autoscaler: Autoscaler, queries: Iterable[MetricQuery], now_ns: int) -> Seen:
        """autoscaler: with a spec. Raises TargetError where the scale cannot be had; a metric that cannot is a
        MetricError in the snapshot.

        Demand is known from the second collection after the first look on: until then it is a MetricError too.
        """
        spec = autoscaler.spec
        assert spec is not None, f"{autoscaler.key}: a spec that cannot be read is not observed"
        namespace, ref, asked = autoscaler.key.namespace, spec.scale_target_ref, tuple(queries)
        scale = await self._scales.read(namespace, ref)
        demand = tuple(query for query in asked if is_demand(query))
        self._targets.observed(autoscaler.key, DemandTarget(scale.resource, ref.name, scale.selector, demand))
        pods = own_pods(self._world.pods_of(namespace, scale.selector), scale.resource, ref.name)
        others = [query for query in asked if not is_demand(query)]
        answers = await asyncio.gather(
            *(self._metrics.observe(namespace, query, scale.selector_text) for query in others)
        )
        living = [each.key for each in pods if not each.pod.deleting and each.pod.phase not in ("Succeeded", "Failed")]
        observations = {query: self._demand.observe(query, living, now_ns) for query in demand}
        names = {each.key.name for each in pods}
        observations |= {query: _of(names, answer) for query, answer in zip(others, answers, strict=True)}
        snapshot = Snapshot(
            replicas=scale.replicas,
            status_replicas=scale.status_replicas,
            pods=tuple(each.pod for each in pods),
            observations=observations,
        )
        return Seen(scale=scale, snapshot=snapshot, pods=pods)


def _of(names: Collection[str], answer: Observation) -> Observation:
    """Without the pods that a selector of the metrics API gave and that are another workload's."""
    if not isinstance(answer, PodMetrics) or answer.samples.keys() <= set(names):
        return answer
    samples = {name: sample for name, sample in answer.samples.items() if name in names}
    return PodMetrics(samples) if samples else MetricError("no metrics returned for this workload's own pods")
