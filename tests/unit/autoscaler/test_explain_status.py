"""Status: in the CRD's shape, with true transition times, and written only when somebody would look."""

import json
from dataclasses import replace
from typing import Any

import pytest
from fake_object_server import FakeObjectServer, merged
from hypothesis import given
from hypothesis import strategies as st
from made_objects import KEY, at, autoscaler, decision, forecast, outcome

from autoscaler.act.writer import NotLeader, Writer
from autoscaler.crd.spec import Cost
from autoscaler.crd.status import PredictiveAutoscalerStatus
from autoscaler.explain.conditions import TYPES, conditions, is_well
from autoscaler.explain.status import rfc3339, status_of
from autoscaler.explain.status_writes import StatusWrites, due, merge_patch, status_path
from autoscaler.outcome import Acted, Finding, Outcome, PoolOutcome, Replicas

NUMBERS = {
    "demand_requests_per_second": 31.23456,
    "backlog_requests": 2.0,
    "prompt_tokens": 512.0,
    "output_tokens": 128.0,
    "lead_time_seconds": 240.0,
    "load_replicas": 3.2,
    "ahead_replicas": 3.9,
    "margin": 1.05,
    "learned_days": 2.5,
    "capacity_requests_per_second": 8.0,
}
POOL = PoolOutcome(
    name="h100",
    provider="GKE",
    floor_nodes=3,
    ready_nodes=2,
    nodes=3,
    condition="StockedOut",
    state="StockedOut",
    message="no H100 left in us-central1-a",
)


def by_type(step: Any) -> dict[str, Finding]:
    return {each.type: each for each in conditions(step)}


def test_a_step_is_told_in_the_shape_of_the_crd():
    step = outcome(
        decided=decision(4, **NUMBERS), pools=(POOL,), acted=Acted(to="deployments.apps/vllm", before=3, after=4)
    )
    status = status_of(step, {}, Cost(gpus_per_replica=2, price_per_gpu_hour=3.0))
    PredictiveAutoscalerStatus.model_validate(
        json.loads(json.dumps(status))
    )  # strict: nothing unknown, nothing coerced
    assert status["demand"] == {
        "requestsPerSecond": 31.23,
        "backlogRequests": 2.0,
        "promptTokens": 512.0,
        "outputTokens": 128.0,
    }
    assert status["forecast"] == {
        "leadTimeSeconds": 240.0,
        "nowReplicas": 3.2,
        "aheadReplicas": 3.9,
        "aheadRequestsPerSecond": 31.2,
        "margin": 1.05,
        "learnedDays": 2.5,
    }
    assert status["capacity"] == {"requestsPerSecondPerReplica": 8.0}
    assert (status["hourlyCost"], status["lastScaleTime"]) == (24.0, rfc3339(at(0)))
    assert status["nodePools"][0]["floorNodes"] == 3


def test_the_band_stands_beside_what_it_takes():
    band = {
        "lowerRequestsPerSecond": 24.0,
        "medianRequestsPerSecond": 30.0,
        "upperRequestsPerSecond": 36.0,
        "coveredShare": 0.8125,
    }
    without = status_of(outcome(decided=decision(4, **NUMBERS)), {})
    status = status_of(outcome(decided=decision(4, **NUMBERS), forecast=forecast()), {})
    PredictiveAutoscalerStatus.model_validate(status)
    assert status["forecast"] == without["forecast"] | band
    soon = status_of(outcome(decided=decision(4, **NUMBERS), forecast=forecast(covered_share=None)), {})
    assert soon["forecast"] == without["forecast"] | {name: band[name] for name in band if name != "coveredShare"}


def test_what_is_not_known_is_left_out():
    status = status_of(outcome(desired=None), {})
    PredictiveAutoscalerStatus.model_validate(status)
    assert {"desiredReplicas", "demand", "currentReplicas", "hourlyCost", "lastScaleTime"}.isdisjoint(status)


def test_a_step_that_decided_nothing_keeps_the_last_decision_and_its_time():
    before = status_of(outcome(decided=decision(4, **NUMBERS)), {})
    after = status_of(outcome(60, desired=None), before)
    assert after["desiredReplicas"] == 4
    assert after["lastDecisionTime"] == rfc3339(at(0))
    assert after["demand"] == before["demand"]


def test_a_transition_time_moves_with_the_status_alone():
    lost = outcome(30, decided=decision(4, known=0.0, unknown_seconds=30.0))
    first = status_of(outcome(0), {})
    other_reason = status_of(outcome(15, acted=Acted(to="deployments.apps/vllm", before=3, after=4)), first)
    status = status_of(lost, other_reason)
    times = {each["type"]: each["lastTransitionTime"] for each in status["conditions"]}
    assert times["AbleToScale"] == rfc3339(at(0))  # True throughout, its reason changed twice
    assert times["DemandKnown"] == rfc3339(at(30))
    again = status_of(replace(lost, at_ns=at(45)), status)
    assert {each["lastTransitionTime"] for each in again["conditions"]} == set(times.values())


@pytest.mark.parametrize(
    ("parts", "kind", "status", "reason"),
    [
        pytest.param({}, "Ready", "True", "Deciding", id="all-well"),
        pytest.param({"acted": Acted(error="403 Forbidden")}, "AbleToScale", "False", "FailedUpdateScale", id="error"),
        pytest.param({"acted": Acted(error="403 Forbidden")}, "Ready", "False", "FailedUpdateScale", id="not-ready"),
        pytest.param({"acted": Acted(withheld="changed")}, "AbleToScale", "False", "Withheld", id="withheld"),
        pytest.param(
            {"acted": Acted(withheld="advice"), "mode": "Recommend"},
            "AbleToScale",
            "True",
            "ReadyForNewScale",
            id="advice-is-no-fault",
        ),
        pytest.param({"paused": True}, "ScalingActive", "False", "Paused", id="paused"),
        pytest.param({"paused": True}, "Ready", "True", "Deciding", id="paused-on-purpose"),
        pytest.param({"desired": None}, "Ready", "Unknown", "NotObserved", id="not-observed"),
        pytest.param({"pools": (POOL,)}, "NodePoolsReady", "False", "StockedOut", id="pool"),
        *(
            pytest.param(
                {"pools": (replace(POOL, condition="Ready", state=state),)}, "NodePoolsReady", "False", state, id=state
            )
            for state in ("Refused", "StockedOut", "QuotaExceeded", "Unreachable")
        ),
        *(
            pytest.param(
                {"pools": (replace(POOL, condition="Ready", state=state),)}, "NodePoolsReady", "True", "Ready", id=state
            )
            for state in ("Idle", "Resizing", "Recommended")
        ),
        pytest.param(
            {"decided": decision(4, known=0.0, unknown_seconds=40.0, held_replicas=4.0)},
            "DemandKnown",
            "False",
            "HeldDemand",
            id="demand-held",
        ),
        pytest.param(
            {"decided": replace(decision(4), reason="TooManyReplicas")},
            "ScalingLimited",
            "True",
            "TooManyReplicas",
            id="bounds",
        ),
    ],
)
def test_conditions(parts, kind, status, reason):
    finding = by_type(outcome(**parts))[kind]
    assert (finding.status, finding.reason) == (status, reason)


def test_each_pool_that_is_not_ready_is_told_of():
    refused = replace(POOL, name="b", condition="Ready", state="Refused", message="403: give container.clusters.update")
    found = by_type(outcome(pools=(replace(POOL, name="a", message="no L4 in zone b"), refused)))["NodePoolsReady"]
    assert (found.reason, found.message) == (
        "StockedOut",
        "a: no L4 in zone b; b: 403: give container.clusters.update",
    )


def test_a_limit_does_not_make_an_object_unready():
    limited = Finding(type="ScalingLimited", status="True", reason="WithinHPATolerance", message="21 at 20")
    assert by_type(outcome(findings=(limited,)))["Ready"].status == "True"


def test_several_findings_of_a_type_are_one_condition_that_tells_all_of_them():
    first = Finding(type="NoConflict", status="False", reason="OwnedByKEDA", message="one")
    second = Finding(type="NoConflict", status="False", reason="FloorTakenBack", message="two")
    well = Finding(type="NoConflict", status="True", reason="Fine", message="three")
    merged_finding = by_type(outcome(findings=(well, first, second)))["NoConflict"]
    assert (merged_finding.reason, merged_finding.message) == ("OwnedByKEDA", "one; two")


@given(
    findings=st.lists(
        st.builds(
            Finding,
            type=st.sampled_from(TYPES),
            status=st.sampled_from(["True", "False", "Unknown"]),
            reason=st.just("Some"),
            message=st.text(max_size=5),
        )
    )
)
def test_each_type_is_there_once_and_ready_only_when_the_others_are_well(findings):
    told = conditions(outcome(findings=tuple(findings)))
    types = [each.type for each in told]
    assert len(types) == len(set(types))
    if not any(each.type == "Ready" for each in findings):
        well = all(is_well(each) for each in told if each.type not in ("Ready", "ScalingLimited"))
        assert is_well(told[0]) == well


def step_at(seconds: float, demand: float = 30.0, words: str = "as before", **parts: Any) -> Outcome:
    made = replace(decision(4, demand_requests_per_second=demand), message=words)
    return outcome(seconds, decided=made, **parts)


@pytest.mark.parametrize(
    ("step", "is_due"),
    [
        pytest.param(step_at(15), False, id="nothing"),
        pytest.param(step_at(3600), False, id="nothing-for-an-hour"),
        pytest.param(step_at(15, words="other words"), False, id="words"),
        pytest.param(step_at(299, words="other words"), False, id="words-soon"),
        pytest.param(step_at(300, words="other words"), True, id="words-5-minutes-on"),
        pytest.param(step_at(60, demand=31.4), False, id="a-number-by-4-percent"),
        pytest.param(step_at(59, demand=31.7), False, id="a-number-by-5-percent-soon"),
        pytest.param(step_at(60, demand=31.7), True, id="a-number-by-5-percent"),
        pytest.param(step_at(299, forecast=forecast()), False, id="a-band-that-jitters-is-no-news"),
        pytest.param(step_at(300, forecast=forecast()), True, id="a-band-5-minutes-on"),
        pytest.param(step_at(15, replicas=Replicas(asked=4, ready=3, starting=1)), True, id="a-count"),
        pytest.param(step_at(15, paused=True), True, id="a-pause"),
        pytest.param(step_at(15, mode="Floor"), True, id="the-mode"),
        pytest.param(step_at(15, acted=Acted(error="403")), True, id="a-condition"),
        pytest.param(step_at(15, pools=(POOL,)), True, id="a-pool"),
        pytest.param(outcome(15, desired=None), True, id="not-observed"),
    ],
)
def test_a_status_is_written_when_people_would_want_to_see_it(step, is_due):
    before = status_of(step_at(0), {})
    assert due(before, status_of(step, before), step.at_ns) == is_due


@pytest.mark.parametrize(
    ("after", "is_due"),
    [
        pytest.param(forecast(40.0), False, id="another-band"),
        pytest.param(forecast(30.0, covered_share=0.5), False, id="another-share"),
        pytest.param(None, False, id="no-band-any-more"),
    ],
)
def test_a_band_goes_along_with_other_news_and_makes_none(after, is_due):
    before = status_of(step_at(0, forecast=forecast()), {})
    step = step_at(200, forecast=after)
    assert due(before, status_of(step, before), step.at_ns) == is_due


_JSON = st.recursive(
    st.none() | st.integers(0, 3) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=3),
    max_leaves=8,
)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return value


@given(st.dictionaries(st.text("abc", max_size=1), _JSON), st.dictionaries(st.text("abc", max_size=1), _JSON))
def test_the_merge_patch_makes_one_status_of_the_other(before, after):
    before, after = _without_nulls(before), _without_nulls(after)
    assert merged(before, merge_patch(before, after)) == after


async def test_writes_are_few_and_carry_only_what_changed():
    server = FakeObjectServer()
    server.put(status_path(KEY), {"spec": {}})
    writes = StatusWrites(Writer(server))
    stale = autoscaler()  # the watch does not tell our own writes yet
    assert await writes.report(stale, outcome(0))
    assert not await writes.report(stale, outcome(15))
    assert await writes.report(stale, outcome(30, asked=5))
    _, path, body = server.writes[-1]
    assert path == "/apis/autoscaling.leadtime.dev/v1alpha1/namespaces/llm/predictiveautoscalers/vllm/status"
    assert body == {"status": {"currentReplicas": 5, "readyReplicas": 5, "lastDecisionTime": rfc3339(at(30))}}


async def test_a_write_that_fails_is_made_again_from_what_the_server_says():
    server = FakeObjectServer()
    server.put(status_path(KEY), {"spec": {}})
    writes = StatusWrites(Writer(server))
    server.is_leader = False
    with pytest.raises(NotLeader):
        await writes.report(autoscaler(), outcome(0))
    server.is_leader = True
    assert await writes.report(autoscaler(), outcome(15))
    assert server.objects[status_path(KEY)]["status"]["desiredReplicas"] == 4
