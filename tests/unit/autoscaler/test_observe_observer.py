"""One look at one workload."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from fake_cluster_api import (
    AUTOSCALERS,
    PODS,
    FakeClusterApi,
    forever,
    predictive_autoscaler,
    running_pod,
    settle,
)

from adapter.sources.kubernetes.api import ApiError
from adapter.sources.pods import Pods
from adapter.sources.rule import Rule
from adapter.sources.series import PodKey, Series
from adapter.sources.source import Reading
from autoscaler.cluster import Key
from autoscaler.metrics_client import MetricsClient
from autoscaler.observe.demand import Demand, DemandSource
from autoscaler.observe.demand_rules import SERVER_RULES
from autoscaler.observe.demand_targets import DemandTargets
from autoscaler.observe.observer import Observer
from autoscaler.observe.scale import ScaleReader
from autoscaler.observe.target_error import TargetError
from autoscaler.observe.world import World
from policies.serving_counters import QUERIES, RUNNING
from policies.snapshot import NS_PER_SECOND, MetricError, MetricQuery, PodMetrics

NOW_NS = 1_795_260_000 * NS_PER_SECOND
SCALE_PATH = "/apis/apps/v1/namespaces/llm/deployments/{name}/scale"
CPU = MetricQuery(type="Resource", name="cpu")
KV = MetricQuery(type="Pods", name="vllm:kv_cache_usage_perc")
KV_PATH = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/pods/*/vllm%3Akv_cache_usage_perc"


class EveryPodIsServing:
    """A source that knows a running request of every pod that it is asked about."""

    name = "scrape"

    async def collect(self, rules: Sequence[Rule], pods: Pods, now_ns: int) -> Reading:
        series = [Series({}, 1.0, now_ns, pod) for pod in pods]
        return Reading(series={rule.name: series for rule in rules if rule in SERVER_RULES[0].values()})

    async def close(self) -> None: ...


class Controller:
    """The parts that observe, over an API server in memory with two Deployments whose selectors overlap."""

    def __init__(self) -> None:
        self.api = FakeClusterApi()
        kinds = [{"name": "deployments", "kind": "Deployment", "namespaced": True}]
        self.api.answers["/apis/apps/v1"] = {"resources": [*kinds, {"name": "deployments/scale", "kind": "Scale"}]}
        for name in ("vllm", "canary"):
            self.api.put(AUTOSCALERS, predictive_autoscaler(name))
            self.api.answers[SCALE_PATH.format(name=name)] = {
                "metadata": {"resourceVersion": "1"},
                "spec": {"replicas": 3},
                "status": {"replicas": 2, "selector": "app=vllm"},
            }
        pods: dict[str, dict[str, Any]] = {
            "vllm-5d4f-a": {},
            "vllm-5d4f-b": {"ready": False},
            "vllm-5d4f-c": {"deleting": True},
            "canary-77-a": {
                "labels": {"app": "vllm", "pod-template-hash": "77"},
                "owner": ("apps/v1", "ReplicaSet", "canary-77"),
            },
        }
        for name, changes in pods.items():
            self.api.put(PODS, running_pod(name, **changes))
        self.world = World(self.api, watch_options={"sleep": forever})
        targets = DemandTargets(self.world)
        self.demand = Demand([DemandSource(source=EveryPodIsServing(), interval_seconds=15)], targets)
        self.observer = Observer(
            self.world, ScaleReader(self.api), self.demand, targets, MetricsClient(self.api, timeout_seconds=2.0)
        )

    async def observe(self, name: str, *queries: MetricQuery) -> Any:
        return await self.observer.observe(self.world.autoscalers[Key("llm", name)], queries, NOW_NS)


@pytest.fixture
async def controller() -> Any:
    made = Controller()
    task = asyncio.create_task(made.world.run())
    await settle()
    yield made
    task.cancel()
    await asyncio.wait([task])


async def test_a_snapshot_is_of_the_workloads_own_pods(controller: Controller) -> None:
    """Its pods are as they are: one that loads or ends is there and is no capacity."""
    seen = await controller.observe("vllm", *QUERIES)
    assert (seen.snapshot.replicas, seen.snapshot.status_replicas, seen.snapshot.ready_replicas) == (3, 2, 1)
    assert [pod.name for pod in seen.snapshot.pods] == ["vllm-5d4f-a", "vllm-5d4f-b", "vllm-5d4f-c"]
    assert [each.key.name for each in seen.pods] == [pod.name for pod in seen.snapshot.pods]
    assert seen.scale.path == SCALE_PATH.format(name="vllm")


async def test_demand_is_known_from_the_collection_after_the_first_look(controller: Controller) -> None:
    seen = await controller.observe("vllm", RUNNING)
    assert isinstance(seen.snapshot.observations[RUNNING], MetricError)
    await controller.demand.collect(0, NOW_NS)
    seen = await controller.observe("vllm", RUNNING)
    assert set(seen.snapshot.observations[RUNNING].samples) == {"vllm-5d4f-a", "vllm-5d4f-b"}


async def test_plain_hpa_metrics_are_asked_of_the_metrics_apis_by_the_targets_selector(controller: Controller) -> None:
    """Pods of another workload that the selector gives are left out."""
    items = [
        {"describedObject": {"name": name}, "timestamp": "2026-11-21T11:20:00Z", "value": "500m"}
        for name in ("vllm-5d4f-a", "canary-77-a")
    ]
    controller.api.answers[KV_PATH] = {"items": items}
    seen = await controller.observe("vllm", KV, CPU)
    answer = seen.snapshot.observations[KV]
    assert isinstance(answer, PodMetrics)
    assert set(answer.samples) == {"vllm-5d4f-a"}
    assert (KV_PATH, {"labelSelector": "app=vllm"}) in controller.api.calls
    assert "404" in seen.snapshot.observations[CPU].message
    controller.api.answers[KV_PATH] = {"items": items[1:]}
    seen = await controller.observe("vllm", KV)
    assert seen.snapshot.observations[KV] == MetricError("no metrics returned for this workload's own pods")


async def test_a_workload_that_cannot_be_had_costs_no_other_anything(controller: Controller) -> None:
    controller.api.hanging.add(SCALE_PATH.format(name="canary"))
    answers: tuple[Any, Any] = await asyncio.gather(
        controller.observe("canary", *QUERIES), controller.observe("vllm", *QUERIES), return_exceptions=True
    )
    assert isinstance(answers[0], TargetError)
    assert (answers[0].reason, answers[0].retry_helps) == ("Unreachable", True)
    assert "no answer in 5 s" in answers[0].message
    assert answers[1].snapshot.replicas == 3


async def test_a_metrics_api_that_hangs_is_a_metric_error(controller: Controller) -> None:
    controller.api.hanging.add(KV_PATH)
    seen = await controller.observe("vllm", KV)
    assert seen.snapshot.observations[KV] == MetricError(str(ApiError(0, "Timeout", f"{KV_PATH}: no answer in 2 s")))


async def test_a_pod_that_begins_to_end_leaves_demand_at_once(controller: Controller) -> None:
    await controller.observe("vllm", RUNNING)
    await controller.demand.collect(0, NOW_NS)
    controller.api.put(PODS, running_pod("vllm-5d4f-b", deleting=True))
    await settle()
    seen = await controller.observe("vllm", RUNNING)
    assert set(seen.snapshot.observations[RUNNING].samples) == {"vllm-5d4f-a"}
    assert controller.world.page_record(PodKey("llm", "vllm-5d4f-b")) is None
