"""A reconcile step observes, decides, acts and reports once each, and can be ended between any two lines."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest

from autoscaler.cluster import Key
from autoscaler.reconcile import reconcile
from policies.decision import Decision
from policies.hpa import HPASpec, MetricSpec, hpa_policy
from policies.policy import Running
from policies.snapshot import ExternalMetric, MetricError, MetricQuery, Observation, Pod, Snapshot

KEY = Key("llm", "vllm")
QUEUE = MetricSpec(type="External", name="queue", average_value_milli=1_000)


class StandingClock:
    def now_ns(self) -> int:
        return 1_700_000_000_000_000_000


@dataclass
class Looked:
    snapshot: Snapshot


@dataclass
class FakeCluster:
    """Holds a scale and one metric's answer; can be told to fail at the next call of one kind."""

    replicas: int
    answer: Observation
    fail_next: str = ""
    calls: list[str] = field(default_factory=list)
    reported: list[Decision] = field(default_factory=list)

    def _called(self, verb: str, key: Key) -> None:
        assert key == KEY
        self.calls.append(verb)
        if self.fail_next == verb:
            self.fail_next = ""
            raise ConnectionError(verb)

    async def observe(self, key: Key, queries: Iterable[MetricQuery], now_ns: int) -> Looked:
        assert now_ns == StandingClock().now_ns()
        self._called("observe", key)
        pods = tuple(Pod(name=f"p{index}", phase="Running", ready="True") for index in range(self.replicas))
        return Looked(Snapshot(replicas=self.replicas, pods=pods, observations=dict.fromkeys(queries, self.answer)))

    async def act(self, key: Key, seen: Looked, decision: Decision, now_ns: int) -> bool:
        assert now_ns == StandingClock().now_ns()
        self._called("act", key)
        changed = seen.snapshot.replicas != decision.desired_replicas
        self.replicas = decision.desired_replicas
        return changed

    async def report(self, key: Key, seen: Looked, decision: Decision, done: bool) -> None:
        assert done == (seen.snapshot.replicas != decision.desired_replicas)
        self._called("report", key)
        self.reported.append(decision)


def running() -> Running:  # type: ignore[type-arg]
    return Running.start(hpa_policy(HPASpec(max_replicas=10, metrics=(QUEUE,))))


async def test_a_change_is_written_and_reported() -> None:
    cluster = FakeCluster(2, ExternalMetric((4_000,)))
    decision = await reconcile(KEY, cluster=cluster, running=running(), clock=StandingClock())
    assert cluster.replicas == decision.desired_replicas == 4
    assert cluster.calls == ["observe", "act", "report"]


async def test_no_change_is_reported_too() -> None:
    cluster = FakeCluster(3, ExternalMetric((3_000,)))
    await reconcile(KEY, cluster=cluster, running=running(), clock=StandingClock())
    assert [decision.desired_replicas for decision in cluster.reported] == [3]


async def test_a_lost_metric_never_scales() -> None:
    cluster = FakeCluster(7, MetricError("503"))
    decision = await reconcile(KEY, cluster=cluster, running=running(), clock=StandingClock())
    assert cluster.replicas == 7
    assert decision.reason == "FailedGetExternalMetric"


@pytest.mark.parametrize("verb", ["observe", "act", "report"])
async def test_a_step_that_failed_can_be_run_again(verb: str) -> None:
    cluster, each = FakeCluster(2, ExternalMetric((4_000,)), fail_next=verb), running()
    with pytest.raises(ConnectionError):
        await reconcile(KEY, cluster=cluster, running=each, clock=StandingClock())
    await reconcile(KEY, cluster=cluster, running=each, clock=StandingClock())
    assert cluster.replicas == 4
