"""From watches to a number for the policy, in whatever order they bring things."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pod_story import NO_GPU, PRESENT, PULLED, Clock, event, node, ns, pod

from adapter.sources.series import PodKey
from autoscaler.cluster import Key
from autoscaler.lead_times.recorder import LeadTimeRecorder
from autoscaler.lead_times.step import Room, Step
from autoscaler.lead_times.store import Store

VLLM = Key("inference", "vllm")
Json = dict[str, Any]


class Workloads:
    """Whose pods are whose: all of namespace `inference` with the label app=vllm, once it is known."""

    def __init__(self) -> None:
        self.known = True

    def of(self, pod: Mapping[str, Any]) -> Key | None:
        metadata = pod["metadata"]
        mine = metadata["namespace"] == "inference" and metadata["labels"].get("app") == "vllm"
        return VLLM if self.known and mine else None


def recorder_at(clock: Clock, path: Path | None = None, workloads: Workloads | None = None) -> LeadTimeRecorder:
    known = workloads or Workloads()
    return LeadTimeRecorder(workload_of=known.of, store=Store(path, clock=clock), clock=clock)


def scale_up(name: str, created: float, seconds: float, new_node: bool = False) -> list[tuple[str, Json]]:
    """All that watches bring of a pod that serves so many seconds after its creation."""
    wait = seconds / 2 if new_node else 1.0
    on = f"node-of-{name}" if new_node else "gpu-1"
    placed: Json = {"created": created, "scheduled": created + wait, "node": on}
    story: list[tuple[str, Json]] = [
        ("pod", pod(name, created=created, unschedulable=NO_GPU if new_node else "")),
        ("pod", pod(name, **placed)),
        ("event", event("Pulled", created + wait + 1, PRESENT, name=name, container="vllm")),
        ("pod", pod(name, **placed, started=created + wait + 2)),
        ("pod", pod(name, **placed, started=created + wait + 2, ready=created + seconds)),
    ]
    if new_node:
        story.append(("event", event("TriggeredScaleUp", created + 2, name=name)))
        story.append(("node", node(on, created=created + wait / 2, ready=created + wait - 1)))
    return story


def tell(recorder: LeadTimeRecorder, story: list[tuple[str, Json]]) -> None:
    hooks = {"pod": recorder.on_pod, "event": recorder.on_event, "node": recorder.on_node}
    for kind, value in story:
        hooks[kind](value)


def seen_pods(recorder: LeadTimeRecorder) -> dict[str, tuple[float, str]]:
    return {each.pod: (each.steps.total_seconds, str(each.path)) for each in recorder.lead_times(VLLM)}


WARM_NODE = ("node", node(created=-9000, ready=-8900))


def test_a_scale_up_gives_a_number_and_says_where_it_is_from() -> None:
    clock = Clock()
    recorder = recorder_at(clock)
    assert recorder.lead_time_seconds(VLLM, 240.0) is None
    assert recorder.words(VLLM, 240.0).startswith("assumed 240 s")
    tell(recorder, [WARM_NODE, *scale_up("a", 0, 60), *scale_up("b", 0, 300, new_node=True)])
    clock.seconds = 335
    recorder.settle()
    assert seen_pods(recorder) == {"a": (60.0, "warm node, image cached"), "b": (300.0, "new node, image cached")}
    assert recorder.lead_time_seconds(VLLM, 240.0, room=Room(replicas=2)) == (3 * 240 + 60) / 4
    assert recorder.lead_time_seconds(VLLM, 240.0, Step(replicas=3), Room(replicas=2)) == (3 * 240 + 300) / 4
    assert recorder.words(VLLM, 240.0).endswith("new node 1 of 2")
    assert [row.pods for row in recorder.summary(VLLM, 240.0).paths] == [1, 1]


def test_a_pod_counts_half_a_minute_after_it_is_ready_so_that_its_events_are_in() -> None:
    clock = Clock(60)
    recorder = recorder_at(clock)
    story = scale_up("a", 0, 60)
    tell(recorder, [WARM_NODE, *(each for each in story if each[0] == "pod")])
    clock.seconds = 85
    recorder.settle()
    assert recorder.pending == 1
    tell(recorder, [("event", event("Pulled", 2, PULLED, name="a", container="vllm"))])
    clock.seconds = 90
    recorder.settle()
    assert recorder.pending == 0
    assert seen_pods(recorder) == {"a": (60.0, "warm node, image pulled")}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32))
def test_the_order_of_pods_events_and_nodes_does_not_matter(seed: int) -> None:
    story = [WARM_NODE]
    for number in range(4):
        story += scale_up(f"p{number}", 400 * number, 60 + 60 * number, new_node=number % 2 == 1)
    shuffled = random.Random(seed).sample(story, len(story))  # noqa: S311 - a shuffle with a seed
    clock = Clock(5000)
    one, other = recorder_at(clock), recorder_at(clock)
    tell(one, story)
    tell(other, shuffled)
    clock.seconds = 5031
    one.settle()
    other.settle()
    assert len(seen_pods(one)) == 4
    assert one.lead_times(VLLM) == other.lead_times(VLLM)


def test_pods_that_were_ready_before_the_controller_came_count_by_their_own_conditions() -> None:
    clock = Clock(9000)
    recorder = recorder_at(clock)
    tell(recorder, [WARM_NODE, scale_up("a", 0, 60)[-2], scale_up("b", 100, 90)[-1]])
    clock.seconds = 9030
    recorder.settle()
    assert set(seen_pods(recorder)) == {"b"}


def test_pods_of_a_workload_that_is_named_later_count_then() -> None:
    clock, workloads = Clock(60), Workloads()
    workloads.known = False
    recorder = recorder_at(clock, workloads=workloads)
    tell(recorder, [WARM_NODE, *scale_up("a", 0, 60)])
    clock.seconds = 120
    recorder.settle()
    assert recorder.pending == 0
    workloads.known = True
    recorder.workloads_changed()
    recorder.settle()
    assert set(seen_pods(recorder)) == {"a"}


def test_a_rolling_update_teaches_nothing() -> None:
    clock = Clock()
    recorder = recorder_at(clock)
    tell(recorder, [WARM_NODE, *scale_up("old", -5000, 60)])
    tell(recorder, [("pod", pod("new", revision="other", scheduled=1, started=2, ready=90))])
    tell(recorder, [("pod", pod("old", created=-5000, scheduled=-4999, started=-4998, ready=-4940, deleted=91))])
    tell(recorder, [("pod", pod("next", revision="other", created=500, scheduled=501, started=502, ready=590))])
    clock.seconds = 700
    recorder.settle()
    assert set(seen_pods(recorder)) == {"old", "next"}
    assert recorder.left_out == {"Rollout": 1}


def test_a_pod_that_was_force_deleted_is_no_other_revision_any_more() -> None:
    clock = Clock()
    recorder = recorder_at(clock)
    tell(recorder, [WARM_NODE, *scale_up("old", -5000, 60)])
    recorder.on_pod_gone(PodKey("inference", "old"))
    tell(recorder, [("pod", pod("new", revision="other", created=5, scheduled=6, started=7, ready=90))])
    clock.seconds = 700
    recorder.settle()
    assert set(seen_pods(recorder)) == {"old", "new"}


def test_the_time_from_the_ask_to_the_pod_counts() -> None:
    clock = Clock(-600)
    recorder = recorder_at(clock)
    for asked in (-300, -20, 3):
        recorder.asked(VLLM, ns(asked))
    tell(recorder, [WARM_NODE, *scale_up("a", 0, 60)])
    clock.seconds = 100
    recorder.settle()
    (found,) = recorder.lead_times(VLLM)
    assert found.steps.ask_seconds == 20.0


def test_an_ordinal_that_comes_back_is_known_to_have_its_volume() -> None:
    clock = Clock(8000)
    recorder = recorder_at(clock)
    first: Json = {"owner": "StatefulSet", "uid": "first", "scheduled": 1, "started": 2, "ready": 300}
    again: Json = {"owner": "StatefulSet", "uid": "again", "created": 4000, "scheduled": 4001, "started": 4002}
    tell(recorder, [WARM_NODE, ("pod", pod("vllm-0", **first)), ("pod", pod("vllm-0", **first, deleted=3000))])
    tell(recorder, [("pod", pod("vllm-0", **again, ready=4060))])
    clock.seconds = 8031
    recorder.settle()
    assert [each.path.returning for each in recorder.lead_times(VLLM).latest()] == [False, True]


async def test_after_a_restart_the_file_and_the_cluster_are_one(tmp_path: Path) -> None:
    path, clock = tmp_path / "leadtime.sqlite", Clock()
    before = recorder_at(clock, path)
    tell(before, [WARM_NODE, *scale_up("a", 0, 60), *scale_up("b", 10, 70)])
    clock.seconds = 200
    await before.flush()
    await before._store.close()
    after = recorder_at(clock, path)
    await after.load()
    assert after.lead_times(VLLM) == before.lead_times(VLLM)
    tell(after, [WARM_NODE, scale_up("b", 10, 70)[-1]])
    clock.seconds = 300
    await after.flush()
    assert after.lead_times(VLLM) == before.lead_times(VLLM)
    await after._store.close()


async def test_a_damaged_file_is_written_anew_from_memory(tmp_path: Path) -> None:
    path, clock = tmp_path / "leadtime.sqlite", Clock()
    recorder = recorder_at(clock, path)
    tell(recorder, [WARM_NODE, *scale_up("a", 0, 60)])
    clock.seconds = 200
    await recorder.flush()
    database = recorder._store._database
    assert database is not None
    database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.write(b"\xa5" * 5 * 16_384)
    database.connection.execute("PRAGMA shrink_memory")  # what it has read would hide the damage from it for a while
    tell(recorder, scale_up("b", 100, 60))
    clock.seconds = 231
    await recorder.flush()
    assert "was kept as leadtime.sqlite.corrupt-" in recorder.faults[0]
    await recorder.flush()
    await recorder._store.close()
    again = recorder_at(clock, path)
    await again.load()
    assert set(seen_pods(again)) == {"a", "b"}
    await again._store.close()


@pytest.mark.parametrize(
    "wrong",
    [{}, {"metadata": None}, {"metadata": {"uid": "x"}}, {"reason": "Pulled", "involvedObject": 5}, [], None],
)
def test_what_is_no_object_is_left_out(wrong: Any) -> None:
    recorder = recorder_at(Clock())
    recorder.on_pod(wrong)
    recorder.on_node(wrong)
    recorder.on_event(wrong)
    recorder.settle()
    assert recorder.left_out["Malformed"] >= 2
    assert recorder.pending == 0


def test_ended_pods_and_forgotten_workloads_leave_nothing_behind() -> None:
    clock = Clock()
    recorder = recorder_at(clock)
    tell(recorder, [WARM_NODE, *scale_up("a", 0, 60)])
    clock.seconds = 100
    recorder.settle()
    tell(recorder, [("pod", pod("a", scheduled=1, started=3, ready=60, deleted=500))])
    clock.seconds = 500 + 7201
    recorder.settle()
    assert recorder._pods == {}
    assert recorder._uids == {}
    assert recorder._members == {VLLM: set()}
    recorder.forget(VLLM)
    assert recorder._members == {}
    assert recorder.lead_time_seconds(VLLM, 240.0) is None
