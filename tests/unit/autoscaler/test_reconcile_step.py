"""Whatever happens in one object's step, its outcome is told, nothing raised; what was not done counts for nothing."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_objects import KEY, forecast
from made_objects import autoscaler as made_autoscaler
from made_objects import scale as made_scale
from virtual_loop import run_virtual

from autoscaler.act.result import ActResult, withheld
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.leader.leadership import Leadership
from autoscaler.observe.hpa_seen import HpaSeen
from autoscaler.observe.observer import Seen
from autoscaler.observe.scale import Scale
from autoscaler.observe.target_error import TargetError
from autoscaler.outcome import Acted, Finding, Outcome
from autoscaler.step import Steps
from autoscaler.tracing import Tracing
from autoscaler.turn import Around, Decided
from autoscaler.workload import Workloads
from policies.decision import Decision
from policies.hpa import Behavior
from policies.snapshot import MetricError, MetricQuery, Snapshot

NOW_NS = 1_800_000_000_000_000_000


class FakeParts:
    """The world, the observer, the actor and who is told, of one object; each can be told to fail or to hang next."""

    def __init__(self, **spec: Any) -> None:
        self.autoscalers: Mapping[Key, Autoscaler] = {KEY: made_autoscaler(minReplicas=5, mode="Direct", **spec)}
        self.replicas = 2
        self.calls: list[str] = []
        self.failing: dict[str, Exception] = {}
        self.hanging = ""
        self.result = ActResult(acted=Acted(to="deployments.apps/vllm", before=2, after=5))
        self.told: list[tuple[Outcome, Decided | None]] = []
        self.counted: list[str] = []
        self.costs: tuple[Finding, ...] = ()

    def hpas_on(self, namespace: str, ref: object) -> tuple[Any, ...]:  # noqa: ARG002 - as World
        return ()

    async def observe(self, it: Autoscaler, queries: Iterable[MetricQuery], now_ns: int) -> Seen:
        assert (it.key, now_ns) == (KEY, NOW_NS)
        await self._called("observe")
        observations = {query: MetricError("none") for query in queries}
        return Seen(
            scale=made_scale(self.replicas),
            snapshot=Snapshot(replicas=self.replicas, observations=observations),
            pods=(),
        )

    async def seconds(self, it: Autoscaler, seen: Seen, now_ns: int) -> float | None:  # noqa: ARG002 - as NextLeadTime
        return 321.0

    async def act(
        self,
        autoscaler: Autoscaler,
        scale: Scale,  # noqa: ARG002 - as Actor
        decision: Decision,
        hpas: Sequence[HpaSeen],
        *,
        behavior: Behavior,  # noqa: ARG002 - as Actor
        now_ns: int,
        cluster_paused: bool = False,
        older: Key | None = None,
    ) -> ActResult:
        assert (autoscaler.key, now_ns, tuple(hpas), cluster_paused, older) == (KEY, NOW_NS, (), False, None)
        assert decision.desired_replicas == 5
        await self._called("act")
        return self.result

    async def report(self, it: Autoscaler, outcome: Outcome, decided: Decided | None) -> None:
        assert it.key == outcome.key == KEY
        self.told.append((outcome, decided))
        await self._called("report")

    def failed(self, reason: str) -> None:
        self.counted.append(reason)

    async def _called(self, what: str) -> None:
        self.calls.append(what)
        if what == self.hanging:
            await asyncio.get_running_loop().create_future()
        if what in self.failing:
            raise self.failing[what]


class StandingClock:
    def now_ns(self) -> int:
        return NOW_NS


def steps(parts: FakeParts, workloads: Workloads | None = None) -> Steps:
    loop = asyncio.get_running_loop()
    around = Around(
        world=parts,
        observer=parts,
        lead_time=parts,
        actor=parts,
        leadership=Leadership.always("me", loop.time),
        older_of=lambda _key: None,
        pools_of=lambda _key: (),
        costs_of=lambda key: parts.costs if key == KEY else (),
        tracing=Tracing(),
        timeout_seconds=10.0,
    )
    return Steps(
        around,
        workloads=workloads or Workloads(),
        reporting=parts,
        clock=StandingClock(),
        monotonic=loop.time,
    )


def step(parts: FakeParts, workloads: Workloads | None = None) -> bool:
    async def one() -> bool:
        return await steps(parts, workloads).step(KEY)

    return run_virtual(one)


def test_a_step_observes_acts_and_tells_with_the_learned_lead_time() -> None:
    parts = FakeParts()
    assert step(parts)
    ((outcome, decided),) = parts.told
    assert parts.calls == ["observe", "act", "report"]
    assert outcome.decision is not None
    assert outcome.decision.desired_replicas == 5
    assert outcome.acted.after == 5
    assert outcome.findings == ()
    assert outcome.forecast is None, "nothing was seen yet"
    assert parts.counted == []
    assert decided is not None
    assert decided.seen.snapshot.lead_time_seconds == 321.0
    assert not decided.scale_event_taken_back


def test_what_became_of_the_pods_deletion_costs_is_told_with_the_step() -> None:
    parts = FakeParts()
    parts.costs = (Finding(type="PodDeletionCostSet", status="True", reason="ByNode", message="3 of 5"),)
    assert step(parts)
    ((outcome, _),) = parts.told
    assert outcome.findings == parts.costs


def test_what_is_expected_is_told_with_the_step() -> None:
    parts, workloads = FakeParts(), Workloads()
    expected = forecast()
    workload = workloads.current(parts.autoscalers[KEY])
    workload.forecast = lambda now_ns: expected if now_ns == NOW_NS else None  # type: ignore[method-assign]
    assert step(parts, workloads)
    ((outcome, _),) = parts.told
    assert outcome.forecast is expected


@pytest.mark.parametrize(
    ("failing", "counted", "condition", "status"),
    [
        (TargetError("NotFound", "Deployment llm/vllm does not exist"), "NotFound", "AbleToScale", "False"),
        (TargetError("Unreachable", "503", retry_helps=True), "Unreachable", "AbleToScale", "Unknown"),
        (RuntimeError("oops"), "InternalError", "Ready", "False"),
    ],
    ids=["somebody-must-act", "by-itself", "a-bug"],
)
def test_what_cannot_be_observed_is_told_and_not_acted_on(
    failing: Exception, counted: str, condition: str, status: str
) -> None:
    parts = FakeParts()
    parts.failing["observe"] = failing
    assert step(parts)
    ((outcome, decided),) = parts.told
    assert parts.calls == ["observe", "report"]
    assert parts.counted == [counted]
    assert [(each.type, each.status) for each in outcome.findings] == [(condition, status)]
    assert str(failing) in outcome.findings[0].message
    assert (outcome.decision, outcome.replicas, decided) == (None, None, None)


def test_a_spec_that_could_not_be_read_is_told_and_not_observed() -> None:
    parts = FakeParts()
    parts.autoscalers = {KEY: replace(parts.autoscalers[KEY], spec=None, fault="spec.slo: was absent")}
    assert step(parts)
    ((outcome, _),) = parts.told
    assert parts.calls == ["report"]
    assert (outcome.mode, outcome.findings[0].reason) == (None, "InvalidSpec")
    assert outcome.findings[0].message == "spec.slo: was absent"


@pytest.mark.parametrize("part", ["observe", "act", "report"])
def test_a_part_that_hangs_is_given_up_and_told(part: str) -> None:
    parts = FakeParts()
    parts.hanging = part
    assert not step(parts)
    assert parts.counted == ["Timeout"]
    outcome, _ = parts.told[-1]
    assert len(parts.told) == 1, "what hangs while it is told is not told again"
    if part != "report":
        assert outcome.seconds == pytest.approx(10.0)
        assert outcome.findings[0].message == f"{part} took more than 10 s; the next step tries again"
    assert (outcome.decision is not None) == (part != "observe")


def test_an_object_that_is_gone_has_no_step() -> None:
    parts = FakeParts()
    parts.autoscalers = {}
    assert step(parts)
    assert parts.calls == []


@pytest.mark.parametrize(
    ("result", "counts"),
    [
        pytest.param(ActResult(acted=Acted(to="deployments.apps/vllm", before=2, after=5)), True, id="written"),
        pytest.param(withheld("paused"), False, id="withheld"),
        pytest.param(ActResult(acted=Acted(to="deployments.apps/vllm", before=2, error="403")), False, id="refused"),
    ],
)
def test_only_a_change_that_was_made_counts_towards_the_limits_of_the_next(result: ActResult, *, counts: bool) -> None:
    parts, workloads = FakeParts(), Workloads()
    parts.result = result
    step(parts, workloads)
    workload = workloads.get(KEY)
    assert workload is not None
    assert bool(workload.running.state.scaling.scale_up_events) == counts
    (_, decided) = parts.told[0]
    assert decided is not None
    assert decided.scale_event_taken_back != counts
    assert decided.after is workload.running.state
