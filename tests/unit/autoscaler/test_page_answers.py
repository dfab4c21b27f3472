"""The page's answers over HTTP: shape, search, increments, headers, refusals."""

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from made_objects import forecast

from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.lead_times.lead_time import Path as PathTaken
from autoscaler.lead_times.lead_time import Steps
from autoscaler.lead_times.summary import PathSummary, Summary
from autoscaler.outcome import Acted, Finding, Outcome, PoolOutcome, Replicas
from autoscaler.page.as_json import autoscaler_json, list_json
from autoscaler.page.history import History
from autoscaler.page.routes import routes
from autoscaler.page.shown import ControllerShown, Shown
from policies.decision import Decision
from policies.snapshot import NS_PER_SECOND

KEY = Key("serving", "chat")
AT = 1_790_000_000
SPEC = PredictiveAutoscalerSpec.model_validate(
    {
        "mode": "Direct",
        "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
        "maxReplicas": 9,
        "profile": "llama-3.1-8b-l4",
        "slo": {"tpotSeconds": 0.075},
    }
)


def object_named(key: Key = KEY, *, fault: str = "") -> Autoscaler:
    spec = None if fault else SPEC
    return Autoscaler(key=key, uid="u", generation=1, resource_version="1", spec=spec, fault=fault)


def step(second: int = 0, key: Key = KEY, **changed: Any) -> Outcome:
    outcome = Outcome(
        key=key,
        uid="u",
        at_ns=(AT + second) * NS_PER_SECOND,
        generation=1,
        mode="Direct",
        paused=False,
        decision=Decision(
            desired_replicas=6,
            reason="ReadyForNewScale",
            message="4 -> 6 replicas",
            numbers={
                "level_requests_per_second": 8.123456,
                "lead_time_seconds": 240.0,
                "odd": float("nan"),
                "known": 1.0,
            },
        ),
        replicas=Replicas(asked=4, ready=3, starting=1),
        acted=Acted(to="deployments.apps/vllm", before=4, after=6),
        findings=(Finding(type="Ready", status="True", reason="Scaling", message="all is well"),),
        pools=(
            PoolOutcome(
                name="l4",
                provider="GKE",
                floor_nodes=3,
                ready_nodes=2,
                nodes=3,
                condition="Ready",
                state="Resizing",
                message="min size 2 -> 3",
                numbers={"needed_nodes": 3.0},
            ),
        ),
    )
    return replace(outcome, **changed)


def shown(*steps: Outcome, objects: tuple[Autoscaler, ...] = (object_named(),)) -> Shown:
    history = History()
    for each in steps:
        history.record(each)
    taken = Steps(node_seconds=95.0, pull_seconds=11.0, start_seconds=0.0, load_seconds=134.0)
    path = PathSummary(path=PathTaken(node="NewNode"), pods=3, median_seconds=240.0, p90_seconds=300.0, steps=taken)
    return Shown(
        history=history,
        autoscalers={each.key: each for each in objects},
        controller=lambda: ControllerShown(identity="a", leader="b", is_leader=False, faults=("events: Forbidden",)),
        lead_times=lambda _: Summary(sentence="240 s", paths=(path,)),
        now_ns=lambda: (AT + 20) * NS_PER_SECOND,
    )


def test_one_autoscaler_tells_everything_of_its_last_step() -> None:
    answer = autoscaler_json(shown(step(0), step(15)), KEY)
    assert answer is not None
    assert answer["now"] == AT + 20
    assert answer["controller"]["leader"] == "b"
    assert answer["target"] == "Deployment/vllm"
    assert answer["demandRequestsPerSecond"] == 8.1235
    assert answer["decision"]["desiredReplicas"] == 6
    assert answer["decision"]["numbers"]["lead_time_seconds"] == 240.0
    assert answer["decision"]["numbers"]["odd"] is None
    assert answer["acted"] == {"to": "deployments.apps/vllm", "before": 4, "after": 6, "withheld": "", "error": ""}
    assert answer["nodePools"][0]["floorNodes"] == 3
    assert answer["nodePools"][0]["numbers"] == {"needed_nodes": 3.0}
    assert answer["leadTimes"]["paths"][0]["path"] == "new node"
    assert answer["leadTimes"]["paths"][0]["p90Seconds"] == 300.0
    assert answer["leadTimes"]["paths"][0]["steps"]["loadSeconds"] == 134.0
    assert [told["at"] for told in answer["decisions"]] == [AT + 15, AT]
    assert answer["history"]["at"] == [AT, AT + 15]
    assert {each["type"]: each["status"] for each in answer["conditions"]}["DemandKnown"] == "True"
    assert answer["history"]["readyReplicas"] == [3.0, 3.0]
    assert answer["history"]["aheadReplicas"] == [None, None]
    assert answer["spec"]["slo"]["tpotSeconds"] == 0.075
    json.dumps(answer, allow_nan=False)


def test_the_forecast_is_told_now_and_as_it_was() -> None:
    answer = autoscaler_json(shown(step(0), step(15, forecast=forecast(8.0, covered_share=None))), KEY)
    assert answer is not None
    assert answer["forecast"] == {
        "lowerRequestsPerSecond": 6.4,
        "medianRequestsPerSecond": 8.0,
        "upperRequestsPerSecond": 9.6,
        "leadTimeSeconds": 240.0,
        "coveredShare": None,
    }
    assert answer["history"]["forecastUpperRequestsPerSecond"] == [None, 9.6]
    assert answer["history"]["forecastLowerRequestsPerSecond"] == [None, 6.4]


def test_a_later_question_is_answered_with_what_is_new() -> None:
    answer = autoscaler_json(shown(step(0), step(15)), KEY, after_seconds=AT)
    assert answer is not None
    assert answer["history"]["at"] == [AT + 15]


def test_an_object_without_a_step_is_told_without_numbers() -> None:
    """Unknown is null, never 0; so is what belonged to an object of the same name that was deleted."""
    for what in (shown(), shown(step(0, uid="of-the-one-before"))):
        answer = autoscaler_json(what, KEY)
        assert answer is not None
        assert (answer["at"], answer["replicas"], answer["decision"], answer["acted"]) == (None, None, None, None)
        assert answer["history"]["at"] == []


def test_what_is_wrong_comes_first_with_its_remedy() -> None:
    """A spec that cannot be used, a condition that is not as it should be, a write that failed."""
    a, b, c, d = (Key("n", name) for name in "abcd")
    bad = Finding(type="DemandKnown", status="False", reason="NoScrape", message="look at port 8000")
    limited = Finding(type="ScalingLimited", status="True", reason="TooManyReplicas", message="raise maxReplicas")
    passing = Finding(type="ScalingLimited", status="True", reason="ScaleUpLimit", message="4 pods in 15 s at most")
    paused = Finding(type="ScalingActive", status="False", reason="Paused", message="paused by spec.paused")
    answer = list_json(
        shown(
            step(key=a, findings=(passing, paused)),
            step(key=b, findings=(bad, limited)),
            step(key=c, acted=Acted(error="409 Conflict")),
            objects=(object_named(a), object_named(b), object_named(c), object_named(d, fault="profile: was x")),
        )
    )
    assert [(row["name"], row["troubles"]) for row in answer["items"]] == [
        ("b", ["look at port 8000", "raise maxReplicas"]),
        ("c", ["409 Conflict"]),
        ("d", ["profile: was x"]),
        ("a", []),
    ]


@pytest.mark.parametrize(
    ("search", "found"),
    [
        pytest.param("", ["chat", "code"], id="everything"),
        pytest.param("CHAT", ["chat"], id="any-letter-case"),
        pytest.param("serving code", ["code"], id="every-word"),
        pytest.param("serving/chat", ["chat"], id="as-it-is-written"),
        pytest.param("readyfornew", ["chat"], id="by-reason"),
        pytest.param("nothing", [], id="none"),
    ],
)
def test_search(search: str, found: list[str]) -> None:
    objects = (object_named(), object_named(Key("serving", "code")))
    answer = list_json(shown(step(), objects=objects), search)
    assert [row["name"] for row in answer["items"]] == found
    assert (answer["found"], answer["total"]) == (len(found), 2)


async def test_over_http_everything_is_read_only_and_nothing_comes_from_elsewhere() -> None:
    app = web.Application()
    app.add_routes(routes(shown(step())))
    async with TestClient(TestServer(app)) as client:
        page = await client.get("/")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "unsafe" not in page.headers["Content-Security-Policy"]
        again = await client.get("/", headers={"If-None-Match": page.headers["ETag"]})
        assert again.status == 304
        script = await client.get("/page.js")
        assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
        listed = await client.get("/api/v1/autoscalers", params={"search": "chat"})
        assert (await listed.json())["found"] == 1
        assert listed.headers["Cache-Control"] == "no-store"
        one = await client.get("/api/v1/autoscalers/serving/chat", params={"after": str(AT)})
        assert (await one.json())["history"]["at"] == []
        absent = await client.get("/api/v1/autoscalers/serving/none")
        assert (absent.status, (await absent.json())["reason"]) == (404, "NotFound")
        wrong = await client.get("/api/v1/autoscalers/serving/chat", params={"after": "-1"})
        assert wrong.status == 400
        assert await wrong.text() == "after: was '-1', must be a whole number in [0, 4294967295]; correct it"
        for method in ("post", "put", "patch", "delete"):
            assert (await client.request(method, "/api/v1/autoscalers/serving/chat")).status == 405


def test_the_pages_files_name_no_other_address() -> None:
    """Every address is relative; the one absolute text is SVG's name."""
    for asset in files("autoscaler.page").joinpath("assets").iterdir():
        text = asset.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|//[a-z]+\.[a-z]|innerHTML|eval\(|style=|\son[a-z]+=\"", text), asset
        assert not re.search(r"(?:href|src)=\"/", text), asset
        assert Path(asset.name).suffix in (".html", ".css", ".js", ".svg")
