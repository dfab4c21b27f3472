"""Which mode acts, what pauses it, and who gives way to whom."""

from dataclasses import replace
from typing import Any

import pytest
from fake_object_server import FakeObjectServer
from made_objects import HPA_PATH, KEY, SCALE_PATH, at, autoscaler, decision, hpa_json, scale

from autoscaler.act.act import Actor
from autoscaler.act.conflicts import older_rivals
from autoscaler.act.published import METRIC_NAME, PublishedNeeds
from autoscaler.act.result import ActResult
from autoscaler.act.writer import Writer
from autoscaler.autoscaler import PAUSED_ANNOTATION
from autoscaler.cluster import Key
from autoscaler.observe.hpa_seen import hpa_seen
from policies.hpa import default_behavior, scale_down_rules

READING = {
    "metrics": [
        {
            "type": "External",
            "external": {
                "metric": {"name": METRIC_NAME, "selector": {"matchLabels": {"predictiveautoscaler": "vllm"}}},
                "target": {"type": "AverageValue", "averageValue": "1"},
            },
        }
    ]
}


class Scene:
    """A workload of 4 replicas, and an HPA where hpa_spec is given."""

    def __init__(self, hpa_spec: dict[str, Any] | None = None) -> None:
        self.server = FakeObjectServer()
        self.server.put(SCALE_PATH, {"spec": {"replicas": 4}})
        if hpa_spec is not None:
            self.server.put(HPA_PATH, hpa_json(spec=hpa_spec))
        self.published = PublishedNeeds(lambda: True)
        self.actor = Actor(Writer(self.server), self.published)

    async def step(
        self, desired: int = 7, *, cluster_paused: bool = False, older: Key | None = None, **spec: Any
    ) -> ActResult:
        hpas = [hpa_seen(body) for path, body in self.server.objects.items() if path == HPA_PATH]
        annotations = spec.pop("annotations", None)
        version = self.server.objects[SCALE_PATH]["metadata"]["resourceVersion"]
        return await self.actor.act(
            autoscaler(annotations=annotations, **spec),
            scale(self.server.objects[SCALE_PATH]["spec"]["replicas"], version=version),
            decision(desired),
            hpas,
            behavior=default_behavior(scale_down=scale_down_rules(stabilization_window_seconds=300)),
            now_ns=at(0),
            cluster_paused=cluster_paused,
            older=older,
        )

    @property
    def shown(self) -> list[int]:
        return [value.replicas for _, value in self.published.shown(at(0))]


async def test_recommend_writes_nothing_and_says_what_it_would():
    there = Scene()
    result = await there.step(mode="Recommend")
    assert there.server.writes == []
    assert "4 -> 7" in result.acted.withheld
    assert (await there.step(4, mode="Recommend")).acted.withheld == ""


@pytest.mark.parametrize("mode", ["Metric", "Floor", "Direct"])
@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"spec": {"paused": True}}, "spec.paused"),
        ({"spec": {"annotations": {PAUSED_ANNOTATION: "true"}}}, PAUSED_ANNOTATION),
        ({"cluster_paused": True}, "whole cluster"),
    ],
)
async def test_paused_nothing_is_written_or_published(mode, given, says):
    there = Scene(None if mode == "Direct" else READING)
    spec = {"mode": mode, **given.get("spec", {})}
    result = await there.step(cluster_paused=given.get("cluster_paused", False), **spec)
    assert there.server.writes == []
    assert there.shown == []
    assert says in result.acted.withheld


async def test_a_pause_withdraws_what_was_published():
    there = Scene(READING)
    await there.step(mode="Metric")
    assert there.shown == [7]
    await there.step(mode="Metric", cluster_paused=True)
    assert there.shown == []


@pytest.mark.parametrize("mode", ["Recommend", "Floor", "Direct"])
async def test_an_hpa_that_waits_for_a_value_that_no_longer_comes_is_told(mode):
    there = Scene(READING)
    await there.step(mode="Metric")
    result = await there.step(mode=mode)
    assert there.shown == []
    assert "HPAWithoutItsMetric" in [each.reason for each in result.findings]


async def test_the_younger_of_two_writes_nothing_and_gives_its_floor_back():
    there = Scene({})
    await there.step(mode="Floor")
    assert there.server.objects[HPA_PATH]["spec"]["minReplicas"] == 7
    result = await there.step(mode="Floor", older=Key("llm", "first"))
    assert there.server.objects[HPA_PATH]["spec"]["minReplicas"] == 2
    assert [(each.reason, "first" in each.message) for each in result.findings] == [("WorkloadTaken", True)]


@pytest.mark.parametrize("mode", ["Metric", "Floor", "Direct"])
async def test_modes_can_be_switched_in_any_order(mode):
    """After each switch exactly what the new mode does is in force."""
    there = Scene(READING if mode == "Metric" else {})
    for step in ("Floor", "Metric", "Recommend", "Floor", mode):
        await there.step(mode=step)
    minimum = there.server.objects[HPA_PATH]["spec"]["minReplicas"]
    assert minimum == (7 if mode == "Floor" else 2)
    assert there.shown == ([7] if mode == "Metric" else [])
    assert there.server.objects[SCALE_PATH]["spec"]["replicas"] == 4  # Direct refuses beside an HPA


async def test_what_is_gone_is_forgotten():
    there = Scene(READING)
    await there.step(mode="Metric")
    there.actor.forget(KEY)
    assert there.shown == []


def test_of_several_on_one_workload_the_oldest_acts():
    first = replace(autoscaler(Key("llm", "b"), mode="Direct", uid="2"), created_ns=1)
    twin = replace(autoscaler(Key("llm", "a"), mode="Metric", uid="3"), created_ns=1)
    later = replace(autoscaler(Key("llm", "c"), mode="Floor", uid="1"), created_ns=2)
    advice = replace(autoscaler(Key("llm", "d"), mode="Recommend", uid="0"), created_ns=0)
    elsewhere = replace(autoscaler(Key("other", "b"), mode="Direct", uid="4"), created_ns=5)
    broken = replace(autoscaler(Key("llm", "e"), uid="5"), spec=None, created_ns=0)
    assert older_rivals([later, twin, first, advice, elsewhere, broken]) == {
        twin.key: first.key,
        later.key: first.key,
    }


def test_another_version_of_an_api_names_the_same_workload():
    first = replace(autoscaler(Key("llm", "a"), mode="Direct"), created_ns=1)
    ref = {"apiVersion": "apps/v1beta1", "kind": "Deployment", "name": "vllm"}
    second = replace(autoscaler(Key("llm", "b"), mode="Direct", scaleTargetRef=ref), created_ns=2)
    assert older_rivals([first, second]) == {second.key: first.key}
