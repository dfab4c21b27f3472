"""Events: one for each change, none for none, few in a storm."""

import re

import pytest
from fake_object_server import FakeObjectServer
from made_objects import at, autoscaler, decision, outcome

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.writer import Writer
from autoscaler.explain.events import BUDGET_EVENTS, Events, changes, micro_time
from autoscaler.outcome import Acted, Finding

CONFLICT = Finding(type="NoConflict", status="False", reason="HPAOnTarget", message="HPA vllm scales it too; delete it")
SCALED = Acted(to="deployments.apps/vllm", before=4, after=7)


def told(before, after):
    return [(each.type, each.reason) for each in changes(before, after)]


@pytest.mark.parametrize(
    ("before", "after", "events"),
    [
        pytest.param(None, outcome(), [], id="a-first-step-where-all-is-well"),
        pytest.param(
            None, outcome(findings=(CONFLICT,)), [("Warning", "HPAOnTarget")], id="a-first-step-with-a-trouble"
        ),
        pytest.param(outcome(), outcome(15), [], id="nothing"),
        pytest.param(outcome(), outcome(15, desired=7, acted=SCALED), [("Normal", "SuccessfulRescale")], id="scaled"),
        pytest.param(
            outcome(mode="Recommend"),
            outcome(15, desired=7, mode="Recommend", acted=Acted(withheld="advice")),
            [("Normal", "DesiredReplicasChanged")],
            id="advice",
        ),
        pytest.param(
            outcome(),
            outcome(15, acted=Acted(error="403")),
            [("Warning", "FailedRescale"), ("Warning", "FailedUpdateScale")],
            id="failed",
        ),
        pytest.param(outcome(acted=Acted(error="403")), outcome(15, acted=Acted(error="403")), [], id="failed-again"),
        pytest.param(outcome(), outcome(15, findings=(CONFLICT,)), [("Warning", "HPAOnTarget")], id="a-conflict"),
        pytest.param(
            outcome(findings=(CONFLICT,)), outcome(15), [("Normal", "NoOtherController")], id="and-it-is-mended"
        ),
        pytest.param(outcome(), outcome(15, paused=True), [("Normal", "Paused")], id="paused"),
        pytest.param(
            outcome(),
            outcome(15, decided=decision(4, known=0.0, unknown_seconds=15.0)),
            [("Warning", "FailedGetPodsMetric")],
            id="demand-lost",
        ),
    ],
)
def test_what_is_told(before, after, events):
    assert told(before, after) == events


def events_on(server: FakeObjectServer) -> Events:
    return Events(Writer(server), component="leadtime.dev/controller", instance="leadtime-controller-0")


async def test_an_event_is_what_the_api_server_asks_for():
    server = FakeObjectServer()
    events = events_on(server)
    await events.report(autoscaler(), outcome(0))
    long = decision(7)
    made = outcome(
        15, decided=type(long)(desired_replicas=7, reason="X", message="é" * 900, numbers=long.numbers), acted=SCALED
    )
    await events.report(autoscaler(), made)
    ((verb, path, body),) = server.writes
    assert verb == "POST"
    assert re.fullmatch(r"/apis/events\.k8s\.io/v1/namespaces/llm/events/vllm\.[0-9a-f]+\.\d+", path)
    assert (body["apiVersion"], body["kind"]) == ("events.k8s.io/v1", "Event")
    assert body["eventTime"] == "2027-01-15T08:00:15.000000Z"
    assert (body["type"], body["reason"], body["action"]) == ("Normal", "SuccessfulRescale", "Rescale")
    assert len(body["note"].encode()) <= 1024
    assert body["note"].startswith("deployments.apps/vllm: 4 -> 7: éé")
    assert body["regarding"]["uid"] == "uid of vllm"


async def test_the_same_words_again_join_the_event_that_is_there():
    server = FakeObjectServer()
    events = events_on(server)
    for step in range(5):
        findings = (CONFLICT,) if step % 2 == 0 else ()
        await events.report(autoscaler(), outcome(15 * step, findings=findings))
    created = [body for verb, _, body in server.writes if verb == "POST"]
    joined = [body for verb, _, body in server.writes if verb == "PATCH"]
    assert [each["reason"] for each in created] == ["HPAOnTarget", "NoOtherController"]
    assert [each["series"]["count"] for each in joined] == [2, 2, 3]
    assert joined[-1]["series"]["lastObservedTime"] == micro_time(at(60))


async def test_an_event_that_the_server_forgot_is_made_again():
    server = FakeObjectServer()
    events = events_on(server)
    await events.report(autoscaler(), outcome(0, findings=(CONFLICT,)))
    await events.report(autoscaler(), outcome(15))
    server.objects.clear()
    await events.report(autoscaler(), outcome(30, findings=(CONFLICT,)))
    assert [body["reason"] for verb, _, body in server.writes if verb == "POST"][-1] == "HPAOnTarget"


async def test_a_storm_is_cut_to_the_budget_and_its_size_is_told():
    server = FakeObjectServer()
    events = events_on(server)
    for step in range(100):  # every 5 s another count
        acted = Acted(to="deployments.apps/vllm", before=step, after=step + 1)
        await events.report(autoscaler(), outcome(5 * step, desired=step + 1, acted=acted))
    assert len(server.writes) == BUDGET_EVENTS
    acted = Acted(to="deployments.apps/vllm", before=100, after=101)
    await events.report(autoscaler(), outcome(620, desired=101, acted=acted))
    assert server.writes[-1][2]["note"].endswith("(90 more events were left out)")


async def test_advice_that_turns_at_every_step_is_one_event_in_ten_minutes():
    server = FakeObjectServer()
    events = events_on(server)
    for step in range(121):  # half an hour
        await events.report(autoscaler(), outcome(15 * step, desired=4 + step))
    assert [body["reason"] for _, _, body in server.writes] == ["DesiredReplicasChanged"] * 3
    assert server.writes[1][2]["note"].endswith("(39 more events were left out)")


async def test_a_failed_event_is_not_told_twice_and_the_next_one_is():
    server = FakeObjectServer()
    events = events_on(server)
    server.failures = [ApiError(0, "Unreachable", "gone")]
    with pytest.raises(ApiError):
        await events.report(autoscaler(), outcome(0, findings=(CONFLICT,)))
    assert await events.report(autoscaler(), outcome(15, findings=(CONFLICT,))) == 0
    assert await events.report(autoscaler(), outcome(30)) == 1


async def test_a_new_leader_tells_only_what_changes_from_then_on():
    server = FakeObjectServer()
    events = events_on(server)
    events.follow(outcome(0, findings=(CONFLICT,)))
    await events.report(autoscaler(), outcome(15, findings=(CONFLICT,)))
    assert server.writes == []


async def test_an_object_made_anew_begins_anew():
    server = FakeObjectServer()
    events = events_on(server)
    await events.report(autoscaler(), outcome(0, findings=(CONFLICT,)))
    await events.report(autoscaler(uid="another"), outcome(15, findings=(CONFLICT,), uid="another"))
    assert len([verb for verb, _, _ in server.writes if verb == "POST"]) == 2
