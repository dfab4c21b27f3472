"""Small parts at the controller's edges: log lines, traces, HTTP, whose a pod is, the next lead time, the past."""

import io
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import aiohttp
import numpy as np
import pytest
from made_objects import KEY, autoscaler, scale

from adapter.sources.kubernetes.api import ApiError
from adapter.sources.series import PodKey
from adapter.sources.source import SourceUnavailable
from autoscaler.cluster import Key
from autoscaler.http import HttpServer, application
from autoscaler.json_log import JsonLines
from autoscaler.lead_times.step import UNKNOWN_ROOM, Room, Step
from autoscaler.next_lead_time import NextLeadTime
from autoscaler.node_pools.seen import NodeNow
from autoscaler.observe.observer import Seen
from autoscaler.past_demand import PastDemand
from autoscaler.pod_owners import PodOwners
from autoscaler.pool_steps import PoolSteps
from autoscaler.settings import ServerSettings
from autoscaler.tracing import Tracing, configured_tracing
from policies.decision import Decision
from policies.errors import BadInput
from policies.predictive.backfill import Samples
from policies.snapshot import NS_PER_SECOND, Snapshot

NOW_NS = 1_800_000_000 * NS_PER_SECOND
HOUR_NS = 3600 * NS_PER_SECOND


class Clock:
    def now_ns(self) -> int:
        return NOW_NS


# log lines


def test_a_log_line_is_one_json_object_with_its_fields_and_its_exception() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    logger = logging.Logger("autoscaler.test")
    logger.addHandler(handler)
    try:
        int("two\nlines", base=10)
    except ValueError:
        logger.exception("step failed: %s", "llm/vllm", extra={"fields": {"replicas": 3}})
    (text,) = stream.getvalue().splitlines()
    line = json.loads(text)
    assert line["severity"] == "ERROR"
    assert line["message"] == "step failed: llm/vllm"
    assert line["replicas"] == 3
    assert line["exception"].startswith("Traceback")
    assert "\n" in line["exception"]
    assert line["time"].endswith("Z")


# traces


class FakeTracer:
    def __init__(self) -> None:
        self.spans: list[tuple[str, Mapping[str, Any]]] = []

    @contextmanager
    def start_as_current_span(self, name: str, *, attributes: Mapping[str, Any]) -> Any:
        self.spans.append((name, attributes))
        yield


def test_spans_go_to_the_tracer_and_nowhere_without_one() -> None:
    tracer = FakeTracer()
    with Tracing(tracer).span("reconcile", {"namespace": "llm"}), Tracing().span("reconcile", {}):
        pass
    assert tracer.spans == [("reconcile", {"namespace": "llm"})]


@pytest.mark.parametrize(
    ("environ", "traces"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, True),
    ],
)
def test_traces_are_made_where_the_environment_asks_for_them(environ: dict[str, str], *, traces: bool) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    tracing = configured_tracing("test", environ)
    try:
        assert (tracing._tracer is not None) == traces
    finally:
        tracing.stop()


# HTTP


@asynccontextmanager
async def served(not_ready: Sequence[str] = ()) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    server = HttpServer(application(metrics=lambda: b"up 1\n", not_ready=lambda: not_ready))
    port = await server.start(ServerSettings(host="127.0.0.1", port=0))
    try:
        async with aiohttp.ClientSession() as session:
            yield session, f"http://127.0.0.1:{port}"
    finally:
        await server.close()


async def test_a_process_lives_before_it_is_ready_and_says_what_it_waits_for() -> None:
    async with served(["pods are not known yet", "403: add to the ClusterRole"]) as (session, url):
        async with session.get(f"{url}/livez") as response:
            assert response.status == 200
        async with session.get(f"{url}/readyz") as response:
            assert response.status == 503
            assert await response.text() == "pods are not known yet\n403: add to the ClusterRole\n"


async def test_metrics_are_prometheus_text_and_nothing_can_be_written() -> None:
    async with served() as (session, url):
        async with session.get(f"{url}/metrics") as response:
            assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert await response.text() == "up 1\n"
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            async with session.request(method, f"{url}/metrics", data=b"{}") as response:
                assert response.status == 405


async def test_a_port_that_is_taken_is_named_with_the_remedy() -> None:
    async with served() as (_, url):
        other = HttpServer(application(metrics=lambda: b"", not_ready=tuple))
        with pytest.raises(BadInput, match=r"server.port: were '127.0.0.1'.*set another, or port 0"):
            await other.start(ServerSettings(host="127.0.0.1", port=int(url.rpartition(":")[2])))


# whose a pod is


def pods(**owners: tuple[tuple[str, str], ...]) -> dict[PodKey, Any]:
    return {PodKey("llm", name): SimpleNamespace(owners=its, labels={}) for name, its in owners.items()}


def test_a_pod_is_its_topmost_known_workloads() -> None:
    known = pods(
        mine=(("replicasets.apps", "vllm-5d4f"), ("deployments.apps", "vllm")),
        other=(("replicasets.apps", "chat-5d4f"), ("deployments.apps", "chat")),
        alone=(),
    )
    owners = PodOwners(known)
    assert owners.observed(autoscaler(), scale(1))
    assert not owners.observed(autoscaler(), scale(1)), "it is not new any more"
    found = {name: owners.of({"metadata": {"namespace": "llm", "name": name}}) for name in ("mine", "other", "alone")}
    assert found == {"mine": KEY, "other": None, "alone": None}
    owners.forget(KEY)
    assert owners.of({"metadata": {"namespace": "llm", "name": "mine"}}) is None


def test_of_two_objects_on_a_workload_the_other_inherits() -> None:
    owners = PodOwners(pods(mine=(("deployments.apps", "vllm"),)))
    second = Key("llm", "second")
    owners.observed(autoscaler(), scale(1))
    owners.observed(autoscaler(second), scale(1))
    owners.forget(KEY)
    assert owners.of({"metadata": {"namespace": "llm", "name": "mine"}}) == second


def test_a_groups_worker_is_no_replica() -> None:
    known = pods(worker=(("deployments.apps", "vllm"),))
    known[PodKey("llm", "worker")].labels["leaderworkerset.sigs.k8s.io/worker-index"] = "1"
    owners = PodOwners(known)
    owners.observed(autoscaler(), scale(1))
    assert owners.of({"metadata": {"namespace": "llm", "name": "worker"}}) is None


# the next lead time


class FakeRecorder:
    """Knows lead times, and notes for which step they were asked."""

    def __init__(self, *, knows: bool = True) -> None:
        self.knows = knows
        self.asked: list[tuple[Step, Room]] = []

    def lead_times(self, key: Key) -> list[int]:
        assert key == KEY
        return [1] if self.knows else []

    def lead_time_seconds(self, _key: Key, assumed_seconds: float, step: Step, room: Room) -> float:
        self.asked.append((step, room))
        return assumed_seconds


class FakeNodes:
    nodes: Mapping[str, NodeNow] = {
        "a": NodeNow(
            name="a",
            labels={"topology.kubernetes.io/zone": "z1", "pool": "gpu"},
            allocatable={"nvidia.com/gpu": 4},
            ready="True",
        ),
        "starting": NodeNow(name="starting", labels={"pool": "gpu"}, allocatable={}, ready="False"),
    }

    def pods_on(self, node: str) -> tuple[Any, ...]:  # noqa: ARG002 - as World
        return ()


class FakeApi:
    def __init__(self, answer: dict[str, Any] | ApiError) -> None:
        self.answer = answer
        self.paths: list[str] = []

    async def get(self, path: str, params: Any = None, *, timeout_seconds: float = 10.0) -> dict[str, Any]:  # noqa: ARG002
        self.paths.append(path)
        if isinstance(self.answer, ApiError):
            raise self.answer
        return self.answer

    def stream(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("nothing is watched here")


def seen(replicas: int, resource: str = "deployments.apps") -> Seen:
    return Seen(scale=replace(scale(replicas), resource=resource), snapshot=Snapshot(replicas=replicas), pods=())


async def test_nothing_learned_is_left_to_the_policy() -> None:
    api = FakeApi({})
    next_one = NextLeadTime(FakeRecorder(knows=False), FakeNodes(), api)  # type: ignore[arg-type]
    assert await next_one.seconds(autoscaler(), seen(2), NOW_NS) is None
    assert api.paths == []


async def test_the_step_is_as_large_as_the_last_decision_wants() -> None:
    recorder = FakeRecorder()
    next_one = NextLeadTime(recorder, FakeNodes(), FakeApi({}))  # type: ignore[arg-type]
    await next_one.seconds(autoscaler(), seen(2), NOW_NS)
    wanted = Decision(desired_replicas=4, reason="", message="", numbers={"wanted_replicas": 9.0})
    next_one.decided(KEY, wanted)
    await next_one.seconds(autoscaler(), seen(2), NOW_NS)
    assert recorder.asked == [(Step(replicas=1), UNKNOWN_ROOM), (Step(replicas=7), UNKNOWN_ROOM)]


@pytest.mark.parametrize(
    ("answer", "in_order"),
    [
        ({"spec": {}}, True),
        ({"spec": {"podManagementPolicy": "OrderedReady"}}, True),
        ({"spec": {"podManagementPolicy": "Parallel"}}, False),
        (ApiError(403, "Forbidden", "no"), True),
    ],
)
async def test_a_stateful_sets_pods_come_in_order_unless_it_says_parallel(answer: Any, *, in_order: bool) -> None:
    recorder, api = FakeRecorder(), FakeApi(answer)
    next_one = NextLeadTime(recorder, FakeNodes(), api)  # type: ignore[arg-type]
    for _ in range(3):
        await next_one.seconds(autoscaler(), seen(2, "statefulsets.apps"), NOW_NS)
    assert recorder.asked[0][0] == Step(replicas=1, in_order=in_order, ordinals=(2,))
    assert api.paths == ["/apis/apps/v1/namespaces/llm/deployments/vllm"], "it is asked once in ten minutes"


async def test_the_room_is_what_ready_nodes_of_its_pools_have_free() -> None:
    recorder = FakeRecorder()
    pool = {"name": "gpu", "nodeSelector": {"pool": "gpu"}, "gpusPerNode": 4, "maxNodes": 5}
    next_one = NextLeadTime(recorder, FakeNodes(), FakeApi({}))  # type: ignore[arg-type]
    with_pool = autoscaler(nodePools=[pool], cost={"gpusPerReplica": 2})
    await next_one.seconds(with_pool, seen(2), NOW_NS)
    assert recorder.asked[0][1] == Room(replicas=2, by_zone={"z1": 2})


# the past


def samples(hours: int) -> Samples:
    at_ns = NOW_NS - np.arange(hours * 60, 0, -1, dtype=np.int64) * 60 * NS_PER_SECOND
    ones = np.ones(len(at_ns))
    return Samples(at_ns=at_ns, requests_per_second=ones, prompt_tokens=ones, output_tokens=ones)


class Kept:
    """A store, and a Prometheus that can be told to fail."""

    def __init__(self, hours: int, prometheus_hours: int | None) -> None:
        self._hours = hours
        self.prometheus_hours = prometheus_hours
        self.asked: list[str] = []

    async def load(self, key: Key) -> Samples:
        assert key == KEY
        return samples(self._hours)

    async def read(self, asked: Any, *, since_ns: int, until_ns: int) -> Samples:
        assert until_ns - since_ns == 14 * 24 * HOUR_NS
        self.asked.append(asked.names)
        if self.prometheus_hours is None:
            raise SourceUnavailable("connection", "refused")
        return samples(self.prometheus_hours)


@pytest.mark.parametrize(
    ("own_hours", "prometheus_hours", "asked", "taken_hours"),
    [
        pytest.param(48, 300, 0, 48, id="its-own-file-is-enough"),
        pytest.param(2, 300, 1, 300, id="a-young-file-is-completed"),
        pytest.param(2, 1, 1, 2, id="a-younger-prometheus-is-not-taken"),
        pytest.param(2, None, 1, 2, id="a-prometheus-that-fails-costs-nothing"),
    ],
)
async def test_the_past_is_the_longer_of_the_file_and_prometheus(
    own_hours: int, prometheus_hours: int | None, asked: int, taken_hours: int
) -> None:
    kept = Kept(own_hours, prometheus_hours)
    past = PastDemand({KEY: autoscaler()}, kept, kept, Clock())  # type: ignore[arg-type]
    assert len((await past.read(KEY)).at_ns) == taken_hours * 60
    assert len(kept.asked) == asked
    await past.read(KEY)
    assert len(kept.asked) == asked * (1 if prometheus_hours is None else 2), (
        "one that failed is left alone for a while"
    )


# node pools


class FakeNodeLoop:
    """Notes for which workloads it was asked, and with which needs."""

    def __init__(self) -> None:
        self.steps: list[dict[str, int | None]] = []

    async def step(self, workloads: Any, *_: Any, unreadable_uids: Sequence[str]) -> None:
        assert list(unreadable_uids) in ([], ["uid of second"])
        self.steps.append({each.key.name: each.needed_replicas for each in workloads})


class Moving:
    def __init__(self) -> None:
        self.ns = NOW_NS

    def now_ns(self) -> int:
        return self.ns


async def test_pools_are_told_once_every_workload_was_looked_at_or_two_minutes_showed_that_one_cannot_be() -> None:
    pool = {"name": "gpu", "maxNodes": 5}
    second = Key("llm", "second")
    world = SimpleNamespace(
        autoscalers={
            KEY: autoscaler(nodePools=[pool], mode="Direct"),
            second: autoscaler(second, nodePools=[pool], mode="Direct"),
        },
        nodes={},
        pods_on=lambda _node: (),
    )
    loop, clock = FakeNodeLoop(), Moving()
    steps = PoolSteps(world, loop, clock)  # type: ignore[arg-type]
    wants = Decision(desired_replicas=3, reason="", message="", numbers={"wanted_replicas": 4.0})
    steps.decided(KEY, seen(2), wants, clock.ns)
    await steps.turn()
    assert loop.steps == []
    clock.ns += 121 * NS_PER_SECOND
    steps.decided(KEY, seen(2), wants, clock.ns)
    await steps.turn()
    assert loop.steps == [{"vllm": 4, "second": None}], "what was never seen has a need, which nobody knows"
    steps.decided(second, seen(1), wants, clock.ns - 121 * NS_PER_SECOND)
    await steps.turn()
    assert loop.steps[-1] == {"vllm": 4, "second": None}, "what was not seen for two minutes has no known need"
