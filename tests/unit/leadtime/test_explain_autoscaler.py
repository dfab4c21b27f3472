"""`leadtime explain pa/NAME`: what is read from where, and what it says."""

from copy import deepcopy
from typing import Any

import pytest
from fake_kube_reader import FakeKubeReader

from adapter.sources.kubernetes.api import ApiError
from leadtime.explain_autoscaler import PROXY, from_leader, object_name, read_object
from leadtime.explain_text import as_text
from policies.errors import BadInput

NOW = 1_790_000_012.0
OBJECT: dict[str, Any] = {
    "metadata": {"name": "chat", "namespace": "serving", "generation": 3},
    "spec": {
        "mode": "Direct",
        "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
        "minReplicas": 2,
        "maxReplicas": 40,
        "slo": {"ttftSeconds": 2.0, "tpotSeconds": 0.075, "attainment": 0.95},
    },
    "status": {
        "observedGeneration": 3,
        "desiredReplicas": 15,
        "currentReplicas": 14,
        "readyReplicas": 12,
        "startingReplicas": 2,
        "pendingReplicas": 1,
        "reason": "ReadyForNewScale",
        "message": "14 -> 15 replicas: demand",
        "lastDecisionTime": "2026-09-21T14:13:20Z",
        "lastScaleTime": "2026-09-21T13:53:20Z",
        "demand": {"requestsPerSecond": 28.46, "backlogRequests": 3.0, "promptTokens": 512.0, "outputTokens": 210.0},
        "capacity": {"requestsPerSecondPerReplica": 2.4},
        "forecast": {
            "leadTimeSeconds": 240.0,
            "nowReplicas": 11.86,
            "aheadReplicas": 14.52,
            "aheadRequestsPerSecond": 34.84,
            "margin": 1.02,
            "learnedDays": 6.2,
        },
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Deciding", "message": "well"},
            {"type": "ScalingLimited", "status": "False", "reason": "DesiredWithinRange", "message": "well"},
        ],
    },
}
PAGE: dict[str, Any] = {
    "controller": {"identity": "pod-a", "leader": "pod-a", "isLeader": True},
    "decision": {"numbers": {"schedule_replicas": 10.0, "metrics_replicas": 12.0, "wanted_replicas": 15.0}},
    "acted": {"to": "deployments.apps/vllm", "before": 14, "after": 15, "withheld": "", "error": ""},
    "decisions": [
        {"at": NOW - 12, "message": "14 -> 15 replicas: demand", "wrote": "deployments.apps/vllm", "withheld": ""},
        {"at": NOW - 4000, "message": "14 replicas kept", "wrote": "", "withheld": "paused by spec.paused"},
    ],
    "leadTimes": {
        "sentence": "median 240 s over 12 pods",
        "paths": [{"path": "new node", "pods": 8, "medianSeconds": 262.0, "p90Seconds": 318.0}],
    },
    "nodePools": [],
}


def changed(base: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A copy; `status__paused=True` sets one field inside."""
    copy = deepcopy(base)
    for path, value in changes.items():
        *outer, last = path.split("__")
        inner = copy
        for each in outer:
            inner = inner[each]
        inner[last] = value
    return copy


def test_the_steps_follow_from_demand_to_what_was_written() -> None:
    text = as_text(OBJECT, PAGE, now_seconds=NOW)
    assert text.splitlines()[:17] == [
        "PredictiveAutoscaler chat in namespace serving",
        "  target    Deployment/vllm, mode Direct",
        "",
        "  demand    28.46 requests/s arrive, 3 wait; one has 512 prompt and 210 output tokens",
        "  capacity  2.4 requests/s a replica, 95 % within TTFT 2 s and TPOT 0.075 s: 11.86 replicas now",
        (
            "  ahead     14.52 replicas for the next 240 s (34.84 requests/s), learned from 6.2 days of its own load, "
            "margin 1.02"
        ),
        "  metrics   spec.metrics ask for 12",
        "  floor     a schedule asks for at least 10",
        "  wanted    15, the largest of these",
        "  behavior  15 after windows, policies and bounds (2 to 40)",
        "  decided   15 replicas, ReadyForNewScale, 12 s ago",
        "  why       14 -> 15 replicas: demand",
        "  replicas  14 asked for, 12 ready, 2 starting, 1 of them without a node",
        "  written   deployments.apps/vllm: 14 -> 15",
        "",
        "all conditions are as they should be",
        "",
    ]
    assert "  67 min ago  14 replicas kept [not written: paused by spec.paused]" in text
    assert "  new node: 8 pods, median 262 s, 90 % within 318 s" in text


@pytest.mark.parametrize(
    ("covered", "words"),
    [
        pytest.param({}, "", id="not-known-yet"),
        pytest.param({"coveredShare": 0.8125}, "; 81% of the last day came as told", id="known"),
    ],
)
def test_the_forecast_stands_between_capacity_and_what_it_takes(covered: dict[str, float], words: str) -> None:
    band = {"lowerRequestsPerSecond": 24.1, "medianRequestsPerSecond": 29.0, "upperRequestsPerSecond": 33.5, **covered}
    found = changed(OBJECT, status__forecast={**OBJECT["status"]["forecast"], **band})
    lines = as_text(found, PAGE, now_seconds=NOW).splitlines()
    said = f"  forecast  24.1 to 33.5 requests/s in four of five cases, 29 in the middle, 240 s ahead{words}"
    assert lines[5] == said
    assert lines[6].startswith("  ahead     14.52 replicas")


@pytest.mark.parametrize(
    ("found", "page", "said"),
    [
        pytest.param(changed(OBJECT, status={}), None, "nothing was decided yet", id="no-status"),
        pytest.param(changed(OBJECT, metadata__generation=4), PAGE, "the spec was changed since", id="spec-changed"),
        pytest.param(changed(OBJECT, status__paused=True), PAGE, "nothing is written", id="paused"),
        pytest.param(changed(OBJECT, status__lastDecisionTime="2026-09-21T14:08:20Z"), PAGE, "is 5 min old", id="old"),
        pytest.param(OBJECT, None, "  written   last written 20 min ago", id="without-the-page"),
        pytest.param(
            changed(OBJECT, spec__mode="Recommend"), None, "nothing: mode Recommend only says", id="recommend"
        ),
        pytest.param(
            OBJECT, changed(PAGE, acted__withheld="paused"), "withheld: paused; last written 20 min ago", id="withheld"
        ),
        pytest.param(OBJECT, changed(PAGE, acted__error="409"), "failed and is tried again: 409", id="failed"),
        pytest.param(
            OBJECT,
            changed(PAGE, controller__isLeader=False, controller__identity="pod-b"),
            "as pod-b tells, which follows pod-a and writes nothing",
            id="a-follower-answered",
        ),
    ],
)
def test_what_is_said(found: dict[str, Any], page: dict[str, Any] | None, said: str) -> None:
    assert said in as_text(found, page, now_seconds=NOW)


def test_a_followers_withheld_write_is_not_the_leaders() -> None:
    page = changed(PAGE, controller__isLeader=False, acted__withheld="not the leader")
    assert "not the leader" not in as_text(OBJECT, page, now_seconds=NOW)


def test_conditions_that_are_not_as_they_should_be_come_with_where_to_look() -> None:
    """Ready repeats the first of the others, so it is told once."""
    unknown = {"type": "DemandKnown", "status": "False", "reason": "HeldDemand", "message": "not known since 2 min"}
    ready = {**unknown, "type": "Ready", "lastTransitionTime": "t"}
    limited = {"type": "ScalingLimited", "status": "True", "reason": "TooManyReplicas", "message": "at maxReplicas"}
    text = as_text(changed(OBJECT, status__conditions=[ready, unknown, limited]), None, now_seconds=NOW)
    assert text.split("not as it should be:\n")[1].splitlines() == [
        "  DemandKnown False, HeldDemand, since ?",
        "      not known since 2 min",
        "      next: `leadtime doctor` asks for the metrics, and names the pods that give none",
        "  ScalingLimited True, TooManyReplicas, since ?",
        "      at maxReplicas",
        "      next: raise the bound or the policy, or leave it as the limit that you chose",
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("pa/chat", "chat"),
        ("chat", "chat"),
        ("predictiveautoscaler/chat", "chat"),
        ("predictiveautoscalers.autoscaling.leadtime.dev/chat.v2", "chat.v2"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert object_name(text) == name


@pytest.mark.parametrize("text", ["hpa/chat", "pa/", "", "pa/../../secrets", "Chat", "a/b/c"])
def test_other_names_are_refused(text: str) -> None:
    with pytest.raises(BadInput, match=r"must be pa/NAME of a PredictiveAutoscaler"):
        object_name(text)


async def test_the_leaders_answer_is_looked_for() -> None:
    follower = {"controller": {"isLeader": False}}
    client = FakeKubeReader({f"{PROXY}/api/v1/autoscalers/serving/chat": [follower, follower, PAGE]})
    assert await from_leader(client, "serving", "chat") == (PAGE, "")
    assert len(client.asked) == 3


async def test_without_the_page_it_is_said_why() -> None:
    refusal = ApiError(403, "Forbidden", "services/proxy is forbidden")
    client = FakeKubeReader({f"{PROXY}/api/v1/autoscalers/serving/chat": refusal})
    page, note = await from_leader(client, "serving", "chat")
    assert page is None
    assert "403 Forbidden" in note
    assert "--controller" in note


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        pytest.param(': predictiveautoscalers.autoscaling.leadtime.dev "chat" not found', "leadtime init", id="object"),
        pytest.param(": 404 page not found", "the CRD is not installed", id="crd"),
    ],
)
async def test_an_absent_object_is_told_with_the_remedy(message: str, remedy: str) -> None:
    path = "/apis/autoscaling.leadtime.dev/v1alpha1/namespaces/serving/predictiveautoscalers/chat"
    client = FakeKubeReader({path: ApiError(404, "NotFound", path + message)})
    with pytest.raises(BadInput, match=remedy):
        await read_object(client, "serving", "chat")
