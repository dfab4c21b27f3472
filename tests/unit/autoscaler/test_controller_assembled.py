"""The whole controller, as it is put together for production, against an API server and pods on the loopback."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fake_api_server import LEASE, FakeApiServer, until

from autoscaler.assembly import assemble
from autoscaler.autoscaler import PAUSED_ANNOTATION
from autoscaler.cluster import Key
from autoscaler.controller import Controller
from autoscaler.explain.replay import replay
from autoscaler.observe.world import World
from autoscaler.settings import ControllerSettings
from autoscaler.tracing import Tracing

AUTOSCALER_LIST = "/v1alpha1/predictiveautoscalers"
START_SECONDS = 1_800_000_000
KEY = Key("llm", "vllm")
OBJECT = "/apis/autoscaling.leadtime.dev/v1alpha1/namespaces/llm/predictiveautoscalers/vllm"
HPA = "/apis/autoscaling/v2/namespaces/llm/horizontalpodautoscalers/vllm"
DEPLOYMENT = "/apis/apps/v1/namespaces/llm/deployments/vllm"
NS_PER_SECOND = 1_000_000_000


class Time:
    """Moves when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ns(self) -> int:
        return int((START_SECONDS + self.seconds) * NS_PER_SECOND)

    def monotonic(self) -> float:
        return self.seconds


@dataclass
class Running:
    """A controller of which the test does the clockwork."""

    controller: Controller
    server: FakeApiServer
    time: Time

    async def period(self, *others: "Running", seconds: float = 15.0) -> None:
        """What happens in one period: the Lease is renewed, pods are scraped, each object has its step.

        others: controllers of the same cluster at the same time.
        """
        all_of_them = [each.controller._parts for each in (self, *others)]
        await until(lambda: all(self._sees_everything(parts.world) for parts in all_of_them))
        for _ in range(round(seconds / 3.0)):
            self.time.seconds += 3.0
            for parts in all_of_them:
                assert parts.election is not None
                await parts.election.attempt()
        self.server.serve_work(seconds)
        for parts in all_of_them:
            await parts.demand.collect(0, self.time.now_ns())
            for key in list(parts.world.autoscalers):
                await parts.steps.due(key)

    def _sees_everything(self, world: World) -> bool:
        """Whether its watches have come as far as the server."""
        return all(
            watch.absent or (watch.synced and int(watch._version or 0) >= self.server.last_change(watch.path))
            for watch in world._watches()
        )

    @property
    def leads(self) -> bool:
        election = self.controller._parts.election
        return election is not None and election.leadership.may_write()

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.server.objects[OBJECT].get("status", {})
        return status

    @property
    def scale_writes(self) -> list[int]:
        return [body["spec"]["replicas"] for _, path, body in self.server.writes if path.endswith("/scale")]


def settings(**changed: Any) -> ControllerSettings:
    """No limit of real time that a busy machine could reach."""
    patient = {
        "steps": {"timeoutSeconds": 300},
        "sources": [{"scrape": {"intervalSeconds": 60, "timeoutSeconds": 60, "collectionSeconds": 3600}}],
    }
    return ControllerSettings.model_validate(
        {"server": {"host": "127.0.0.1", "port": 0}, "store": {"path": ""}, **patient, **changed}
    )


def an_autoscaler(**spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "vllm", "namespace": "llm", "uid": "u-1", "generation": 1},
        "spec": {
            "mode": "Direct",
            "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
            "maxReplicas": 20,
            "profile": "llama-3.1-8b-h100",
            "slo": {"tpotSeconds": 0.05},
            **spec,
        },
    }


@asynccontextmanager
async def a_controller(
    server: FakeApiServer, client: Any, time: Time, how: ControllerSettings | None = None
) -> AsyncIterator[Running]:
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        controller = assemble(
            how or settings(),
            client,
            session,
            clock=time,
            monotonic=time.monotonic,
            tracing=Tracing(),
            stack=stack,
        )
        watches = asyncio.create_task(controller._parts.world.run())
        try:
            await until(lambda: controller._parts.world.synced)
            yield Running(controller, server, time)
        finally:
            watches.cancel()
            await asyncio.gather(watches, return_exceptions=True)


async def test_a_ramp_is_scaled_ahead_and_told() -> None:
    """The Deployment is written, and status, Events, metrics and the log say why."""
    server = FakeApiServer()
    async with server.serving() as client:
        server.add_deployment("vllm", 2)
        server.put(OBJECT, an_autoscaler())
        async with a_controller(server, client, Time()) as running:
            server.requests_per_second = 5.0
            for _ in range(8):
                await running.period()
            before = server.objects[DEPLOYMENT]["spec"]["replicas"]
            server.requests_per_second = 120.0
            for _ in range(12):
                await running.period()
                server.pods_follow("vllm")
            after = server.objects[DEPLOYMENT]["spec"]["replicas"]
            assert after > before
            assert running.status["desiredReplicas"] == after
            conditions = {each["type"]: each["status"] for each in running.status["conditions"]}
            assert conditions["Ready"] == conditions["DemandKnown"] == "True"
            events = [path for path in server.objects if "/events/" in path]
            assert events
            page = running.controller._parts.reports._metrics.page().decode()
            assert (
                f'leadtime_controller_desired_replicas{{namespace="llm",predictiveautoscaler="vllm"}} {after}' in page
            )


@asynccontextmanager
async def a_busy_workload(how: ControllerSettings | None = None, **spec: Any) -> AsyncIterator[Running]:
    """Two pods that are asked for far more than they hold; a controller that leads."""
    server = FakeApiServer()
    async with server.serving() as client:
        server.add_deployment("vllm", 2)
        server.put(OBJECT, an_autoscaler(**spec))
        async with a_controller(server, client, Time(), how) as running:
            server.requests_per_second = 150.0
            yield running


async def test_a_paused_cluster_is_decided_about_and_not_written() -> None:
    async with a_busy_workload() as running:
        await running.period()
        lease = running.server.objects[LEASE]
        annotated = {**lease["metadata"], "annotations": {PAUSED_ANNOTATION: "true"}}
        running.server.put(LEASE, {**lease, "metadata": annotated})
        for _ in range(4):
            await running.period()
        assert running.scale_writes == []
        assert running.status["paused"] is True
        assert running.status["desiredReplicas"] > 2
        running.server.put(LEASE, {**running.server.objects[LEASE], "metadata": lease["metadata"]})
        await running.period()
        assert running.scale_writes != []


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        pytest.param({"minReplicas": 30}, "minReplicas", id="a-spec-that-contradicts-itself"),
        pytest.param({"profile": "no-such-model-on-h100"}, "no-such-model", id="a-profile-that-does-not-exist"),
        pytest.param({"slo": {"tpotSeconds": 0.001}}, "tpotSeconds", id="an-slo-that-the-gpu-cannot-keep"),
        pytest.param({"scaleTargetRef": {"kind": "Deployment", "name": "gone"}}, "gone", id="no-such-target"),
        pytest.param({"scaleTargetRef": {"kind": "Gadget", "name": "vllm"}}, "Gadget", id="no-such-kind"),
    ],
)
async def test_what_cannot_be_scaled_is_said_in_its_status_and_left_alone(spec: dict[str, Any], says: str) -> None:
    async with a_busy_workload(**spec) as running:
        for _ in range(3):
            await running.period()
        assert running.scale_writes == []
        ready = next(each for each in running.status["conditions"] if each["type"] == "Ready")
        assert ready["status"] != "True"
        assert says in ready["message"]


async def test_an_outage_of_the_metrics_scales_nothing_down() -> None:
    async with a_busy_workload() as running:
        for _ in range(6):
            await running.period()
            running.server.pods_follow("vllm")
        high = running.server.objects[DEPLOYMENT]["spec"]["replicas"]
        assert high > 2
        for path in [path for path in running.server.objects if "/pods/" in path]:
            pod = running.server.objects[path]
            running.server.put(path, {**pod, "metadata": {**pod["metadata"], "annotations": {}}})  # no page any more
        for _ in range(40):
            await running.period()
        assert running.server.objects[DEPLOYMENT]["spec"]["replicas"] == high


async def test_a_follower_decides_warmly_writes_nothing_and_takes_over() -> None:
    server, time = FakeApiServer(), Time()
    async with server.serving() as client:
        server.add_deployment("vllm", 2)
        server.put(OBJECT, an_autoscaler())
        async with a_controller(server, client, time) as leader, a_controller(server, client, time) as follower:
            server.requests_per_second = 5.0
            for _ in range(6):
                await leader.period(follower)
            assert (leader.leads, follower.leads) == (True, False)
            known = [each.controller._parts.workloads.get(KEY) for each in (leader, follower)]
            learned = [len(each.running.state.predictive.load.history) for each in known if each is not None]
            assert learned[0] == learned[1] > 0
            server.requests_per_second = 150.0
            server.writes.clear()
            await follower.period(seconds=9.0)  # the leader is gone, its Lease not yet over
            assert server.writes == []
            await follower.period()
            assert follower.leads
            assert not leader.leads
            await follower.period()
            assert follower.scale_writes != []


async def test_the_log_of_decisions_replays_to_the_same_decisions(tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    async with a_busy_workload(settings(decisionLog={"path": str(log)})) as running:
        for _ in range(6):
            await running.period()
            running.server.pods_follow("vllm")
    replayed = list(replay(log.read_text().splitlines()))
    assert len(replayed) == 6
    assert [each.differences for each in replayed] == [()] * 6


async def test_an_object_that_is_deleted_is_forgotten_everywhere() -> None:
    async with a_busy_workload() as running:
        for _ in range(3):
            await running.period()
        parts = running.controller._parts
        running.server.delete(OBJECT)
        await until(lambda: KEY not in parts.world.autoscalers)
        await running.controller.tidy()
        assert parts.workloads.get(KEY) is None
        assert "predictiveautoscaler=" not in parts.reports._metrics.page().decode()
        assert parts.reports._history.past(KEY) is None


async def test_it_serves_probes_metrics_and_the_page_and_releases_its_lease_at_the_end() -> None:
    server = FakeApiServer()
    async with server.serving() as client, AsyncExitStack() as stack:
        server.add_deployment("vllm", 2)
        server.put(OBJECT, an_autoscaler())
        session = await stack.enter_async_context(aiohttp.ClientSession())
        time = Time()
        controller = assemble(
            settings(), client, session, clock=time, monotonic=time.monotonic, tracing=Tracing(), stack=stack
        )
        stopped, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(controller.run(stopped, port.set_result))
        url = f"http://127.0.0.1:{await port}"

        async def status(path: str) -> int:
            async with session.get(url + path) as response:
                return response.status

        await until(lambda: controller._parts.world.synced)
        await until(lambda: LEASE in server.objects and bool(server.objects[LEASE]["spec"]["holderIdentity"]))
        assert [await status(path) for path in ("/livez", "/readyz", "/metrics", "/", "/api/v1/autoscalers")] == [
            200
        ] * 5
        await until(lambda: controller._parts.reports._history.past(KEY) is not None)  # a step at once, not in 15 s
        stopped.set()
        await task
        assert server.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_a_floor_of_an_object_that_was_deleted_while_no_controller_ran_is_given_back() -> None:
    server, time = FakeApiServer(), Time()
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}
    async with server.serving() as client:
        server.add_deployment("vllm", 2)
        server.put(
            HPA,
            {
                "metadata": {"name": "vllm", "namespace": "llm", "uid": "u-2"},
                "spec": {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 50},
            },
        )
        server.put(OBJECT, an_autoscaler(mode="Floor"))
        async with a_controller(server, client, time) as first:
            server.requests_per_second = 150.0
            for _ in range(4):
                await first.period()
        assert server.objects[HPA]["spec"]["minReplicas"] > 2
        server.delete(OBJECT)
        async with a_controller(server, client, time) as second:
            await second.controller._parts.orphans.turn()
            assert server.objects[HPA]["spec"]["minReplicas"] > 2, "it does not lead yet"
            await second.period()
            assert second.leads
            await second.controller._parts.orphans.turn()
        assert server.objects[HPA]["spec"]["minReplicas"] == 2
        assert not server.objects[HPA]["metadata"]["annotations"]


@pytest.mark.parametrize(
    ("ending", "says"),
    [
        pytest.param(AUTOSCALER_LIST, "the cluster is not in sight yet", id="the-objects-cannot-be-listed"),
    ],
)
async def test_it_is_not_ready_without_the_cluster_and_says_what_is_missing(ending: str, says: str) -> None:
    server = FakeApiServer()
    server.failing[ending] = 403
    async with server.serving() as client, AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        time = Time()
        controller = assemble(
            settings(), client, session, clock=time, monotonic=time.monotonic, tracing=Tracing(), stack=stack
        )
        stopped, port = asyncio.Event(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(controller.run(stopped, port.set_result))
        url = f"http://127.0.0.1:{await port}/readyz"
        await until(lambda: bool(controller._parts.world.faults))
        async with session.get(url) as response:
            assert response.status == 503
            text = await response.text()
        assert says in text
        assert "predictiveautoscalers" in text
        stopped.set()
        await task
