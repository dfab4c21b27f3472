"""The cluster in memory, followed by watches."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fake_cluster_api import (
    AUTOSCALERS,
    EVENTS,
    HPAS,
    NODES,
    PODS,
    SCALED_OBJECTS,
    FakeClusterApi,
    forever,
    predictive_autoscaler,
    running_pod,
    settle,
)

from adapter.sources.kubernetes.api import ApiError
from adapter.sources.kubernetes.label_selector import parse_selector
from adapter.sources.series import PodKey
from autoscaler.cluster import Key
from autoscaler.crd.parse import parse_spec
from autoscaler.crd.spec import PredictiveAutoscalerSpec, ScaleTargetRef
from autoscaler.observe.world import World

VLLM = ScaleTargetRef(kind="Deployment", name="vllm")
KEY = Key("llm", "vllm")
FORBIDDEN = ApiError(403, "Forbidden", "cannot list resource")


@asynccontextmanager
async def followed(api: FakeClusterApi, **options: Any) -> AsyncIterator[World]:
    world = World(api, watch_options={"sleep": forever, "now_ns": lambda: 0}, **options)
    task = asyncio.create_task(world.run())
    try:
        await settle()
        yield world
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_cluster_without_keda_is_known_whole() -> None:
    api = FakeClusterApi()
    api.served.remove(SCALED_OBJECTS)
    api.put(AUTOSCALERS, predictive_autoscaler())
    api.put(PODS, running_pod())
    async with followed(api) as world:
        assert (world.synced, world.faults) == (True, ())
        spec = world.autoscalers[KEY].spec
        assert spec is not None
        assert (spec.max_replicas, spec.scale_target_ref) == (8, VLLM)
        (seen,) = world.pods_of("llm", parse_selector({"matchLabels": {"app": "vllm"}}))
        assert seen.key == PodKey("llm", "vllm-5d4f-x")
        assert world.page_record(seen.key) is not None


async def test_only_a_changed_spec_or_annotation_is_told() -> None:
    """A status that is written comes back as an event, and must not begin another step; every event is kept."""
    api, told = FakeClusterApi(), list[Key]()
    async with followed(api) as world:
        world.on_autoscaler_changed = told.append
        item = predictive_autoscaler()
        api.put(AUTOSCALERS, item)
        await settle()
        assert told == [KEY]
        api.put(AUTOSCALERS, {**item, "status": {"desiredReplicas": 3}})
        await settle()
        assert (told, world.autoscalers[KEY].status) == ([KEY], {"desiredReplicas": 3})
        item["metadata"]["annotations"] = {"autoscaling.leadtime.dev/paused": "true"}
        api.put(AUTOSCALERS, item)
        await settle()
        assert len(told) == 2
        api.put(AUTOSCALERS, predictive_autoscaler(generation=2, maxReplicas=9))
        await settle()
        assert len(told) == 3
        api.delete(AUTOSCALERS, "llm", "vllm")
        await settle()
        assert (len(told), dict(world.autoscalers)) == (4, {})


async def test_a_spec_is_read_once_a_generation() -> None:
    api, read = FakeClusterApi(), list[int]()

    def parse(spec: Any) -> PredictiveAutoscalerSpec:
        read.append(spec["maxReplicas"])
        return parse_spec(spec)

    async with followed(api, parse=parse) as world:
        for status in ({}, {"a": 1}, {"a": 2}):
            api.put(AUTOSCALERS, {**predictive_autoscaler(), "status": status})
        api.put(AUTOSCALERS, predictive_autoscaler(generation=2, maxReplicas=9))
        await settle()
        assert world.autoscalers[KEY].generation == 2
    assert read == [8, 9]


async def test_a_spec_that_cannot_be_used_is_a_fault_of_its_own() -> None:
    api = FakeClusterApi()
    api.put(AUTOSCALERS, predictive_autoscaler("bad", maxReplicas=0))
    api.put(AUTOSCALERS, predictive_autoscaler("good"))
    async with followed(api) as world:
        bad, good = world.autoscalers[Key("llm", "bad")], world.autoscalers[Key("llm", "good")]
        assert bad.spec is None
        assert bad.fault.startswith("spec.maxReplicas: was 0")
        assert (good.spec is not None, good.fault) == (True, "")


async def test_listeners_get_what_came_as_it_came() -> None:
    api, pods, gone, nodes, events = FakeClusterApi(), list[Any](), list[PodKey](), list[Any](), list[Any]()
    api.put(PODS, running_pod())
    world = World(api, watch_options={"sleep": forever})
    world.on_pod, world.on_pod_gone = pods.append, gone.append
    world.on_node, world.on_event = nodes.append, events.append
    task = asyncio.create_task(world.run())
    await settle()
    assert pods[0]["status"]["startTime"] == "2026-11-21T10:00:05Z"
    api.put(EVENTS, {"metadata": {"namespace": "llm", "name": "e"}, "reason": "TriggeredScaleUp"})
    api.put(NODES, node("gpu-1"))
    api.delete(PODS, "llm", "vllm-5d4f-x")
    await settle()
    assert [event["reason"] for event in events] == ["TriggeredScaleUp"]
    assert [each["metadata"]["name"] for each in nodes] == ["gpu-1"]
    assert gone == [PodKey("llm", "vllm-5d4f-x")]
    asked = next(params for path, params in api.calls if path == EVENTS)
    assert asked["fieldSelector"] == "involvedObject.kind=Pod"
    task.cancel()
    await asyncio.wait([task])


async def test_a_listener_that_fails_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    def fails(_: Any) -> None:
        raise KeyError("metadata")

    api = FakeClusterApi()
    async with followed(api) as world:
        world.on_pod = world.on_autoscaler_changed = fails
        with caplog.at_level(logging.ERROR):
            api.put(PODS, running_pod())
            api.put(AUTOSCALERS, predictive_autoscaler())
            await settle()
        assert (len(world.pods), list(world.autoscalers)) == (1, [KEY])
    assert "a listener of the watches failed on vllm-5d4f-x" in caplog.text


def node(name: str, zone: str = "z1") -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "creationTimestamp": "2026-11-21T09:00:00Z",
            "labels": {"topology.kubernetes.io/zone": zone},
        },
        "status": {"allocatable": {"nvidia.com/gpu": "8"}, "conditions": [{"type": "Ready", "status": "True"}]},
    }


async def test_pods_are_in_their_nodes_zone() -> None:
    api = FakeClusterApi()
    api.put(PODS, running_pod())
    async with followed(api) as world:
        api.put(NODES, node("gpu-1"))
        await settle()
        assert [seen.zone for seen in world.pods_on("gpu-1")] == ["z1"]
        assert world.nodes["gpu-1"].allocatable == {"nvidia.com/gpu": 8}
        api.delete(NODES, "", "gpu-1")
        await settle()
        assert ([seen.zone for seen in world.pods_on("gpu-1")], dict(world.nodes)) == ([""], {})


def hpa(name: str, api_version: str = "apps/v1", target: str = "vllm") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "llm", "name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": api_version, "kind": "Deployment", "name": target},
            "maxReplicas": 3,
        },
    }


async def test_hpas_and_scaled_objects_are_found_by_whom_they_scale() -> None:
    """Of any version of the target's API; one that is pointed elsewhere leaves."""
    api = FakeClusterApi()
    for each in (hpa("b"), hpa("a", "apps/v1beta1"), hpa("c", "example.com/v1"), hpa("d", target="other")):
        api.put(HPAS, each)
    scaled_object = {"metadata": {"namespace": "llm", "name": "so"}, "spec": {"scaleTargetRef": {"name": "vllm"}}}
    api.put(SCALED_OBJECTS, scaled_object)
    async with followed(api) as world:
        assert [each.name for each in world.hpas_on("llm", VLLM)] == ["a", "b"]
        assert [each.key.name for each in world.scaled_objects_on("llm", VLLM)] == ["so"]
        assert world.hpas_on("other", VLLM) == ()
        api.put(HPAS, hpa("a", target="other"))
        api.delete(HPAS, "llm", "b")
        await settle()
        assert world.hpas_on("llm", VLLM) == ()
        other = ScaleTargetRef(kind="Deployment", name="other")
        assert [each.name for each in world.hpas_on("llm", other)] == ["a", "d"]


@pytest.mark.parametrize(
    ("path", "synced"),
    [
        pytest.param(HPAS, True, id="hpas-can-be-done-without"),
        pytest.param(EVENTS, True, id="and-events"),
        pytest.param(NODES, True, id="and-nodes"),
        pytest.param(PODS, False, id="pods-cannot"),
        pytest.param(AUTOSCALERS, False, id="nor-predictiveautoscalers"),
    ],
)
async def test_what_may_not_be_listed_is_said_with_the_rule_that_is_missing(path: str, synced: bool) -> None:
    api = FakeClusterApi()
    api.failures[path] = FORBIDDEN
    async with followed(api) as world:
        assert world.synced == synced
        (fault,) = world.faults
    group, resource = ("" if path.startswith("/api/") else path.split("/")[2]), path.rpartition("/")[2]
    rule = f'{{apiGroups: ["{group}"], resources: ["{resource}"], verbs: ["list", "watch"]}}'
    assert f"add to the controller's ClusterRole: {rule}" in fault


async def test_a_cluster_without_the_crd_says_what_to_install() -> None:
    api = FakeClusterApi()
    api.served.remove(AUTOSCALERS)
    async with followed(api) as world:
        assert not world.synced
        (fault,) = world.faults
    assert fault == (
        f"{AUTOSCALERS} is not served: install the CustomResourceDefinition "
        "predictiveautoscalers.autoscaling.leadtime.dev"
    )


async def test_some_namespaces_only() -> None:
    """Nodes have none: they are watched all the same."""
    api = FakeClusterApi()
    api.served |= {
        f"{group}/namespaces/llm/{resource}" for group, _, resource in (path.rpartition("/") for path in api.served)
    }
    async with followed(api, namespaces=["llm"]) as world:
        assert world.synced
    paths = {path for path, _ in api.calls}
    assert "/api/v1/namespaces/llm/pods" in paths
    assert {path for path in paths if "/namespaces/" not in path} == {NODES}
