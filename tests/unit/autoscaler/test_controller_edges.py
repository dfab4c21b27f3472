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
from autoscaler.lead_times.backfill import merged
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


def samples(minutes_ago: range, rate: float = 1.0) -> Samples:
    at_ns = NOW_NS - np.array(minutes_ago, dtype=np.int64) * 60 * NS_PER_SECOND
    values = np.full(len(at_ns), rate)
    return Samples(at_ns=at_ns, requests_per_second=values, prompt_tokens=values, output_tokens=values)


TWO_WEEKS = 14 * 24 * 60
DAY = 24 * 60


class Kept:
    """A store whose samples have the rate 1, and a Prometheus with all of rate 2 that can be told to fail.

    minutes_ago: of the store's samples. is_down: of Prometheus. asked: (first, last) minute ago of each query.
    """

    def __init__(self, *minutes_ago: range, is_down: bool = False) -> None:
        self._minutes_ago = minutes_ago
        self._is_down = is_down
        self.asked: list[tuple[int, int]] = []

    async def load(self, key: Key) -> Samples:
        assert key == KEY
        kept = samples(range(0))
        for span in self._minutes_ago:
            kept = merged(kept, samples(span))
        return kept

    async def read(self, asked: Any, *, since_ns: int, until_ns: int) -> Samples:
        assert (asked.namespace, asked.names) == ("llm", "vllm-[a-z0-9]+-[a-z0-9]{5}")
        first, last = ((NOW_NS - at_ns) // (60 * NS_PER_SECOND) for at_ns in (since_ns, until_ns))
        self.asked.append((first, last))
        if self._is_down:
            raise SourceUnavailable("connection", "refused")
        return samples(range(first, last - 1, -1), 2.0)


@pytest.mark.parametrize(
    ("own", "asked", "own_samples", "all_samples"),
    [
        pytest.param([range(TWO_WEEKS, -1, -1)], [], TWO_WEEKS + 1, TWO_WEEKS + 1, id="a-whole-file-is-enough"),
        pytest.param(
            [range(TWO_WEEKS, 10, -1)], [], TWO_WEEKS - 10, TWO_WEEKS - 10, id="what-a-restart-loses-is-little"
        ),
        pytest.param([], [(TWO_WEEKS, 0)], 0, TWO_WEEKS + 1, id="no-file"),
        pytest.param([range(DAY, -1, -1)], [(TWO_WEEKS, DAY)], DAY + 1, TWO_WEEKS + 1, id="a-young-file"),
        pytest.param(
            [range(TWO_WEEKS, 2 * DAY, -1), range(DAY, -1, -1)],
            [(2 * DAY + 1, DAY)],
            TWO_WEEKS - DAY + 1,
            TWO_WEEKS + 1,
            id="a-day-without-a-controller",
        ),
    ],
)
async def test_the_past_is_the_files_with_its_gaps_filled_by_prometheus(
    own: list[range], asked: list[tuple[int, int]], own_samples: int, all_samples: int
) -> None:
    kept = Kept(*own)
    past = PastDemand({KEY: autoscaler()}, kept, kept, Clock())  # type: ignore[arg-type]
    found = await past.read(KEY)
    assert kept.asked == asked
    assert len(found.at_ns) == all_samples
    assert np.all(np.diff(found.at_ns) > 0)
    assert np.count_nonzero(found.requests_per_second == 1.0) == own_samples


async def test_a_prometheus_that_fails_costs_nothing_and_is_left_alone_for_a_while() -> None:
    kept = Kept(range(DAY, -1, -1), is_down=True)
    past = PastDemand({KEY: autoscaler()}, kept, kept, Clock())  # type: ignore[arg-type]
    for _ in range(2):
        assert len((await past.read(KEY)).at_ns) == DAY + 1
    assert len(kept.asked) == 1


# node pools
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
