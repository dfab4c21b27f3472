"""Mode Direct: one write, of exactly what the decision was made for, or none."""

import pytest
from fake_object_server import FakeObjectServer
from made_objects import SCALE_PATH, decision, hpa, scale

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act import direct
from autoscaler.act.writer import Writer


def served(replicas: int = 4) -> FakeObjectServer:
    server = FakeObjectServer()
    server.put(
        SCALE_PATH, {"metadata": {"name": "vllm"}, "spec": {"replicas": replicas}, "status": {"replicas": replicas}}
    )
    return server


def replicas_of(server: FakeObjectServer) -> int:
    count: int = server.objects[SCALE_PATH]["spec"]["replicas"]
    return count


async def test_a_change_is_written_at_the_version_that_was_seen():
    server = served()
    result = await direct.act(scale(4), decision(7), (), writer=Writer(server))
    assert replicas_of(server) == 7
    assert (result.acted.to, result.acted.before, result.acted.after) == ("deployments.apps/vllm", 4, 7)
    assert server.writes == [
        ("PATCH", SCALE_PATH, {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 7}}),
    ]


async def test_no_change_is_no_request():
    server = served()
    result = await direct.act(scale(4), decision(4), (), writer=Writer(server))
    assert (server.writes, server.reads, result.acted.withheld) == ([], [], "")


async def test_a_conflict_over_something_else_is_tried_once_more():
    server = served()
    server.put(SCALE_PATH, {**server.objects[SCALE_PATH], "status": {"replicas": 5}})  # a pod came; version 2
    result = await direct.act(scale(4), decision(7), (), writer=Writer(server))
    assert replicas_of(server) == 7
    assert result.acted.after == 7
    assert [body["metadata"]["resourceVersion"] for _, _, body in server.writes] == ["1", "2"]


async def test_somebody_elses_count_is_not_overwritten():
    server = served()
    server.put(SCALE_PATH, {**server.objects[SCALE_PATH], "spec": {"replicas": 9}})
    result = await direct.act(scale(4), decision(7), (), writer=Writer(server))
    assert replicas_of(server) == 9
    assert "changed meanwhile from 4 to 9" in result.acted.withheld
    assert result.acted.after is None


async def test_a_second_conflict_waits_for_the_next_step():
    server = served()
    conflict = ApiError(409, "Conflict", "modified")
    server.failures = [conflict, conflict]
    result = await direct.act(scale(4), decision(7), (), writer=Writer(server))
    assert "Conflict" in result.acted.error
    assert (replicas_of(server), len(server.writes)) == (4, 2)


@pytest.mark.parametrize("error", [ApiError(403, "Forbidden", "may not"), ApiError(0, "Unreachable", "gone")])
async def test_a_refusal_is_an_error_of_the_step(error):
    server = served()
    server.failures = [error]
    result = await direct.act(scale(4), decision(7), (), writer=Writer(server))
    assert error.reason in result.acted.error
    assert len(server.writes) == 1


async def test_only_the_leader_writes():
    server = served()
    server.is_leader = False
    result = await direct.act(scale(4), decision(7), (), writer=Writer(server))
    assert "not the leader" in result.acted.withheld
    assert (server.writes, replicas_of(server)) == ([], 4)


async def test_leadership_lost_between_conflict_and_retry_writes_nothing():
    server = served()
    server.put(SCALE_PATH, {**server.objects[SCALE_PATH]})
    server.before_write = lambda: setattr(server, "before_write", lambda: setattr(server, "is_leader", False))
    result = await direct.act(scale(4), decision(7), (), writer=Writer(server))
    assert "not the leader" in result.acted.withheld
    assert replicas_of(server) == 4


@pytest.mark.parametrize(
    ("hpas", "says"),
    [
        pytest.param((hpa(),), ("HPA vllm scales", "delete it", "Metric or Floor"), id="an-hpa"),
        pytest.param(
            (hpa(labels={"scaledobject.keda.sh/name": "so"}),),
            ("ScaledObject/so", "autoscaling.keda.sh/paused=true"),
            id="kedas-hpa",
        ),
    ],
)
async def test_an_hpa_on_the_workload_is_said_and_nothing_written(hpas, says):
    server = served()
    result = await direct.act(scale(4), decision(7), hpas, writer=Writer(server))
    (finding,) = result.findings
    assert (finding.type, finding.status, finding.reason) == ("NoConflict", "False", "HPAOnTarget")
    assert all(words in finding.message for words in says)
    assert (server.writes, result.acted.withheld) == ([], finding.message)


async def test_a_workload_at_zero_is_switched_off():
    server = served(0)
    result = await direct.act(scale(0), decision(3), (), writer=Writer(server))
    assert [each.reason for each in result.findings] == ["ScalingDisabled"]
    assert server.writes == []
