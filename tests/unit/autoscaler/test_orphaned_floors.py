"""Floors of objects that were deleted while no controller ran: found by the next leader, and then from time to time."""

from typing import Any

from fake_object_server import FakeObjectServer
from made_objects import HPA_PATH, KEY, at, hpa_json

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.hpa_object import BEFORE_ANNOTATION, FLOOR_OF_ANNOTATION
from autoscaler.act.writer import Writer
from autoscaler.cluster import Key
from autoscaler.leader.leadership import Leadership, Timing
from autoscaler.orphaned_floors import OrphanedFloors

AUTOSCALERS = "/apis/autoscaling.leadtime.dev/v1alpha1/namespaces/llm/predictiveautoscalers"
LISTED = "/apis/autoscaling/v2/horizontalpodautoscalers"


class Cluster:
    """An HPA with a floor of 12 on a minReplicas of 3, whose object is gone; a controller that may lead."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.synced = True
        self.autoscalers: set[Key] = set()
        self.server = FakeObjectServer()
        self.floor_is_set()
        timing = Timing(lease_duration=12, renew_deadline=8.0, retry_period=2.0)
        self.leadership = Leadership("pod", timing, lambda: self.seconds)
        self.orphans = OrphanedFloors(Writer(self.server), self, self.leadership, self)

    def now_ns(self) -> int:
        return at(self.seconds)

    def floor_is_set(self) -> None:
        annotations = {FLOOR_OF_ANNOTATION: KEY.name, BEFORE_ANNOTATION: "3"}
        owners = [
            {"manager": "leadtime-controller", "operation": "Apply", "fieldsV1": {"f:spec": {"f:minReplicas": {}}}}
        ]
        self.server.put(HPA_PATH, hpa_json(minimum=12, annotations=annotations, managedFields=owners))

    async def turn(self, seconds: float, *, leads: bool = True) -> int:
        """At this second: the floor, after it."""
        self.seconds = seconds
        if leads:
            self.leadership.renewed(seconds)
        else:
            self.leadership.lost()
        await self.orphans.turn()
        floor: int = self.server.objects[HPA_PATH]["spec"]["minReplicas"]
        return floor

    @property
    def looks(self) -> int:
        return sum(path == LISTED for path in self.server.reads)


async def test_a_new_leader_gives_back_what_was_left_while_no_controller_ran() -> None:
    cluster = Cluster()
    assert await cluster.turn(0) == 3
    kept: dict[str, Any] = cluster.server.objects[HPA_PATH]["metadata"]["annotations"]
    assert kept == {}


async def test_it_waits_for_the_lead_the_cluster_and_the_end_of_a_pause() -> None:
    cluster = Cluster()
    assert await cluster.turn(0, leads=False) == 12
    cluster.synced = False
    assert await cluster.turn(2) == 12
    cluster.synced, cluster.leadership.paused = True, True
    assert await cluster.turn(4) == 12
    assert cluster.looks == 0
    cluster.leadership.paused = False
    assert await cluster.turn(6) == 3


async def test_it_looks_again_every_ten_minutes_and_whenever_it_takes_the_lead() -> None:
    cluster = Cluster()
    await cluster.turn(0)
    cluster.floor_is_set()
    assert await cluster.turn(599) == 12
    assert await cluster.turn(600) == 3
    cluster.floor_is_set()
    assert await cluster.turn(602, leads=False) == 12
    assert await cluster.turn(604) == 3


async def test_an_object_that_no_watch_told_of_yet_keeps_its_floor() -> None:
    """A new leader's watch may lag behind what the one before it acted upon."""
    cluster = Cluster()
    cluster.server.objects[AUTOSCALERS] = {"items": [{"metadata": {"name": KEY.name}}], "metadata": {}}
    assert await cluster.turn(0) == 12
    cluster.server.objects[AUTOSCALERS] = {"items": [], "metadata": {}}
    assert await cluster.turn(600) == 3


async def test_an_object_that_is_there_is_not_asked_for() -> None:
    cluster = Cluster()
    cluster.autoscalers = {KEY}
    assert await cluster.turn(0) == 12
    assert cluster.server.reads == [LISTED]


async def test_what_fails_is_tried_again_in_a_minute() -> None:
    cluster = Cluster()
    cluster.server.failures = [ApiError(409, "Conflict", "changed meanwhile")]
    assert await cluster.turn(0) == 12
    assert await cluster.turn(58) == 12
    assert await cluster.turn(60) == 3


async def test_a_lead_that_is_lost_meanwhile_writes_nothing() -> None:
    cluster = Cluster()
    cluster.server.is_leader = False
    assert await cluster.turn(0) == 12
    cluster.server.is_leader = True
    assert await cluster.turn(2) == 3
