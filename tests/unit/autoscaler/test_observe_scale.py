"""The scale subresource of any kind, and why it cannot be had."""

import asyncio
from typing import Any

import pytest
from fake_cluster_api import FakeClusterApi
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.kubernetes.api import ApiError
from adapter.sources.kubernetes.label_selector import BadSelector, parse_selector
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.observe.resources import ABSENT_SECONDS, KEPT_SECONDS, Resources
from autoscaler.observe.scale import ScaleReader
from autoscaler.observe.selector_text import parse_selector_text
from autoscaler.observe.target_error import TargetError

DEPLOYMENT = ScaleTargetRef(api_version="apps/v1", kind="Deployment", name="vllm")
DEPLOYMENT_PATH = "/apis/apps/v1/namespaces/llm/deployments/vllm/scale"
GROUP = ScaleTargetRef(api_version="leaderworkerset.x-k8s.io/v1", kind="LeaderWorkerSet", name="vllm")
GROUP_PATH = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/llm/leaderworkersets/vllm/scale"
SCALE = {
    "metadata": {"resourceVersion": "42"},
    "spec": {"replicas": 3},
    "status": {"replicas": 4, "selector": "app=vllm"},
}


def resources(*kinds: tuple[str, str], scalable: bool = True) -> dict[str, Any]:
    listed: list[dict[str, Any]] = []
    for kind, plural in kinds:
        listed.append({"name": plural, "kind": kind, "namespaced": True, "verbs": ["get"]})
        listed.append({"name": f"{plural}/status", "kind": kind, "namespaced": True, "verbs": ["get"]})
        if scalable:
            scale = {"name": f"{plural}/scale", "kind": "Scale", "group": "autoscaling", "verbs": ["get", "update"]}
            listed.append(scale)
    return {"kind": "APIResourceList", "resources": listed}


def cluster() -> FakeClusterApi:
    api = FakeClusterApi()
    api.answers["/apis/apps/v1"] = resources(("Deployment", "deployments"), ("StatefulSet", "statefulsets"))
    api.answers[DEPLOYMENT_PATH] = SCALE
    return api


class Time:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_deployments_scale() -> None:
    scale = await ScaleReader(cluster()).read("llm", DEPLOYMENT)
    assert (scale.replicas, scale.status_replicas, scale.resource_version) == (3, 4, "42")
    assert (scale.path, scale.resource) == (DEPLOYMENT_PATH, "deployments.apps")
    assert scale.selector == parse_selector({"matchLabels": {"app": "vllm"}})
    assert scale.selector_text == "app=vllm"


async def test_zero_replicas_are_left_out_by_the_api_and_are_zero() -> None:
    api = cluster()
    api.answers[DEPLOYMENT_PATH] = {"metadata": {}, "spec": {}, "status": {"replicas": 0, "selector": "app=vllm"}}
    scale = await ScaleReader(api).read("llm", DEPLOYMENT)
    assert (scale.replicas, scale.status_replicas) == (0, 0)


async def test_a_kind_of_the_core_group() -> None:
    api = cluster()
    api.answers["/api/v1"] = resources(("ReplicationController", "replicationcontrollers"))
    api.answers["/api/v1/namespaces/llm/replicationcontrollers/old/scale"] = SCALE
    ref = ScaleTargetRef(api_version="v1", kind="ReplicationController", name="old")
    assert (await ScaleReader(api).read("llm", ref)).resource == "replicationcontrollers"


async def test_a_thousand_workloads_cost_one_discovery() -> None:
    api = cluster()
    reader = ScaleReader(api)
    await asyncio.gather(*(reader.read("llm", DEPLOYMENT) for _ in range(1000)))
    paths = [path for path, _ in api.calls]
    assert (paths.count("/apis/apps/v1"), paths.count(DEPLOYMENT_PATH)) == (1, 1000)


async def test_a_kind_whose_crd_comes_later_is_found_then() -> None:
    api, time = cluster(), Time()
    reader = ScaleReader(api, Resources(api, monotonic=time))
    api.answers[GROUP_PATH] = SCALE
    with pytest.raises(TargetError, match="LeaderWorkerSet is not served by this cluster"):
        await reader.read("llm", GROUP)
    api.answers["/apis/leaderworkerset.x-k8s.io/v1"] = resources(("LeaderWorkerSet", "leaderworkersets"))
    time.seconds += ABSENT_SECONDS
    with pytest.raises(TargetError):
        await reader.read("llm", GROUP)
    time.seconds += 1.0
    assert (await reader.read("llm", GROUP)).resource == "leaderworkersets.leaderworkerset.x-k8s.io"


async def test_what_was_found_stays_known_while_discovery_fails() -> None:
    api, time = cluster(), Time()
    reader = ScaleReader(api, Resources(api, monotonic=time))
    await reader.read("llm", DEPLOYMENT)
    time.seconds += KEPT_SECONDS + 1
    api.failures["/apis/apps/v1"] = ApiError(503, "ServiceUnavailable", "shutting down")
    assert (await reader.read("llm", DEPLOYMENT)).replicas == 3


@pytest.mark.parametrize(
    ("fault", "reason", "retry_helps", "message"),
    [
        pytest.param(
            ApiError(404, "NotFound", 'deployments.apps "vllm" not found'),
            "NotFound",
            False,
            "Deployment llm/vllm does not exist; create it, or correct spec.scaleTargetRef",
            id="no-such-workload",
        ),
        pytest.param(
            ApiError(403, "Forbidden", "deployments.apps is forbidden"),
            "Forbidden",
            False,
            "Deployment llm/vllm: deployments.apps is forbidden; add to the controller's ClusterRole: "
            '{apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["get"]}',
            id="not-allowed",
        ),
        pytest.param(
            ApiError(503, "ServiceUnavailable", "overloaded"),
            "Unreachable",
            True,
            "Deployment llm/vllm: 503 ServiceUnavailable: overloaded",
            id="server-away",
        ),
        pytest.param(
            ApiError(0, "Timeout", "no answer in time"),
            "Unreachable",
            True,
            "Deployment llm/vllm: no answer Timeout: no answer in time",
            id="no-answer",
        ),
    ],
)
async def test_why_a_scale_cannot_be_had(fault: ApiError, reason: str, retry_helps: bool, message: str) -> None:
    api = cluster()
    api.failures[DEPLOYMENT_PATH] = fault
    with pytest.raises(TargetError) as caught:
        await ScaleReader(api).read("llm", DEPLOYMENT)
    assert (caught.value.reason, caught.value.retry_helps, str(caught.value)) == (reason, retry_helps, message)


@pytest.mark.parametrize(
    ("status", "reason", "part"),
    [
        pytest.param({"replicas": 1}, "InvalidSelector", "status.selector of its scale is empty", id="no-selector"),
        pytest.param({"selector": "a in ("}, "InvalidSelector", "selector: was 'a in ('", id="bad-selector"),
    ],
)
async def test_a_scale_that_selects_no_pods(status: dict[str, Any], reason: str, part: str) -> None:
    api = cluster()
    api.answers[DEPLOYMENT_PATH] = {"spec": {"replicas": 1}, "status": status}
    with pytest.raises(TargetError) as caught:
        await ScaleReader(api).read("llm", DEPLOYMENT)
    assert caught.value.reason == reason
    assert part in str(caught.value)


async def test_a_kind_without_a_scale_subresource() -> None:
    api = cluster()
    api.answers["/apis/example.com/v1"] = resources(("Serving", "servings"), scalable=False)
    with pytest.raises(
        TargetError, match=r"Serving llm/x has no scale subresource; .* of servings.example.com"
    ) as caught:
        await ScaleReader(api).read("llm", ScaleTargetRef(api_version="example.com/v1", kind="Serving", name="x"))
    assert caught.value.reason == "NoScaleSubresource"


@pytest.mark.parametrize(
    ("text", "selector"),
    [
        ("app=vllm", {"matchLabels": {"app": "vllm"}}),
        ("app==vllm , tier = gpu", {"matchLabels": {"app": "vllm", "tier": "gpu"}}),
        ("app.kubernetes.io/name=a-b_c.d", {"matchLabels": {"app.kubernetes.io/name": "a-b_c.d"}}),
        ("app!=x", {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}),
        ("app in (a, b)", {"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "b"]}]}),
        ("app notin (a)", {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]}),
        ("app", {"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
        ("! app,in=x", {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}], "matchLabels": {"in": "x"}}),
        ("app=", {"matchLabels": {"app": ""}}),
        ("", {}),
    ],
)
def test_selectors_as_text(text: str, selector: dict[str, Any]) -> None:
    assert set(parse_selector_text(text).requirements) == set(parse_selector(selector).requirements)


@pytest.mark.parametrize("text", ["a=b,", ",a=b", "a=b c=d", "a in ()x", "a in (b", "=x", "a=b=c", "a>1", "a b"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(BadSelector, match=r"correct status\.selector"):
        parse_selector_text(text)


KEYS = st.from_regex(r"([a-z]{1,4}/)?[a-z]([a-z.-]{0,4}[a-z])?", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,4}[A-Za-z0-9])?", fullmatch=True)


@given(st.dictionaries(KEYS, st.frozensets(VALUES, min_size=1, max_size=3), max_size=4), st.booleans())
def test_a_selector_is_read_back_as_it_was_written(sets: dict[str, frozenset[str]], is_in: bool) -> None:
    """As metav1.FormatLabelSelector writes sets: sorted, joined by commas."""
    operator, word = ("In", "in") if is_in else ("NotIn", "notin")
    text = ",".join(f"{key} {word} ({','.join(sorted(values))})" for key, values in sets.items())
    assert parse_selector_text(text).requirements == tuple((key, operator, values) for key, values in sets.items())
