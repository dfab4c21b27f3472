"""What a workload has learned outlives every change of its spec that leaves it true."""

import json
import logging
import threading
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_objects import KEY, autoscaler

from adapter.sources.in_threads import DaemonThreads
from autoscaler.cluster import Key
from autoscaler.learning import Learning
from autoscaler.workload import Workload, Workloads
from policies.combined.state import CombinedState
from policies.errors import BadInput
from policies.hpa import Recommendation
from policies.predictive.backfill import Samples
from policies.predictive.band import BandState
from policies.predictive.demand import Demand
from policies.predictive.load_history import BINS_PER_DAY, LoadHistory, bin_of
from policies.predictive.margin import Margin
from policies.predictive.observed_load import ObservedLoad
from policies.predictive.replica_capacity import sustained
from policies.predictive.sizing import prior
from policies.snapshot import NS_PER_SECOND

NOW_NS = 1_800_000_000 * NS_PER_SECOND
NOTHING = Samples(
    at_ns=np.empty(0, np.int64), requests_per_second=np.empty(0), prompt_tokens=np.empty(0), output_tokens=np.empty(0)
)


def with_demand(workload: Workload, loads: np.ndarray) -> float:
    """The workload after these loads, in replicas, until NOW_NS; what one replica sustains, requests/s."""
    last = Demand(
        at_ns=NOW_NS,
        requests_per_second=1.0,
        started_per_second=1.0,
        tokens_per_second=200.0,
        backlog=0.0,
        running=1.0,
        prompt_tokens=400.0,
        output_tokens=200.0,
    )
    history = LoadHistory.of(bin_of(NOW_NS) - len(loads), loads)
    state = workload.running.state
    predictive = replace(state.predictive, last=last, load=ObservedLoad(history=history), lead_time_seconds=600.0)
    workload.running.state = replace(state, predictive=predictive)
    per_replica = sustained(workload.spec.predictive, last)
    assert per_replica is not None
    return per_replica


def test_a_forecast_is_of_the_demand_that_was_seen_in_requests() -> None:
    """Its unit is that of demand, and it needs two hours."""
    new = Workloads().current(autoscaler())
    assert new.forecast(NOW_NS) is None
    with_demand(new, np.full(120, 4.0))
    assert new.forecast(NOW_NS) is None
    workload = Workloads().current(autoscaler())
    per_replica = with_demand(workload, np.full(2 * BINS_PER_DAY, 4.0))
    told = workload.forecast(NOW_NS)
    assert told is not None
    assert told.median_requests_per_second == pytest.approx(4.0 * per_replica)
    assert told.lower_requests_per_second < 4.0 * per_replica < told.upper_requests_per_second
    assert told.lead_time_seconds == 600.0
    assert workload.forecast(NOW_NS + 300 * NS_PER_SECOND) is None, "demand is not known any more"


def test_a_forecast_in_other_units_begins_anew() -> None:
    workloads = Workloads()
    workload = workloads.current(autoscaler())
    with_demand(workload, np.full(2 * BINS_PER_DAY, 4.0))
    assert workload.forecast(NOW_NS) is not None
    assert workload.band.said
    workloads.current(autoscaler(maxReplicas=7))
    assert workload.forecast(NOW_NS) is not None
    workloads.current(autoscaler(profile="llama-3.1-8b-a100"))
    assert workload.band == BandState()
    assert workload.forecast(NOW_NS) is None


def learned_workload(workloads: Workloads, **spec: Any) -> Workload:
    """One that has seen a load and learned from it."""
    workload = workloads.current(autoscaler(**spec))
    state = workload.running.state
    predictive = replace(
        state.predictive,
        load=ObservedLoad(history=LoadHistory.of(0, np.ones(100))),
        sizing=replace(prior(0.95, 0.5), bins=100),
    )
    scaling = replace(state.scaling, recommendations=(Recommendation(replicas=3, at_ns=NOW_NS),))
    workload.running.state = replace(state, predictive=predictive, scaling=scaling, needed_replicas=3)
    workload.needs_history = False
    workload.learn_after_ns = NOW_NS
    return workload


@pytest.mark.parametrize(
    ("changed", "keeps_load", "keeps_sizing"),
    [
        pytest.param({"maxReplicas": 7}, True, True, id="bounds"),
        pytest.param({"mode": "Direct"}, True, True, id="mode"),
        pytest.param({"paused": True}, True, True, id="paused"),
        pytest.param({"leadTime": {"assumedSeconds": 100.0}}, True, True, id="assumed-lead-time"),
        pytest.param({"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}, True, True, id="behavior"),
        pytest.param(
            {"schedules": [{"name": "day", "start": "0 8 * * *", "end": "0 18 * * *", "minReplicas": 3}]},
            True,
            True,
            id="schedules",
        ),
        pytest.param({"slo": {"tpotSeconds": 0.05, "attainment": 0.99}}, True, False, id="another-promise"),
        pytest.param({"slo": {"tpotSeconds": 0.05, "ttftSeconds": 1.0}}, True, False, id="another-ttft"),
        pytest.param({"slo": {"tpotSeconds": 0.06}}, False, False, id="another-tpot-sizes-a-replica-anew"),
        pytest.param({"profile": "llama-3.1-8b-a100"}, False, False, id="another-gpu-sizes-a-replica-anew"),
    ],
)
def test_a_changed_spec_keeps_what_is_still_true(
    changed: dict[str, Any], *, keeps_load: bool, keeps_sizing: bool
) -> None:
    workloads = Workloads()
    workload = learned_workload(workloads)
    after = workloads.current(replace(autoscaler(**changed), generation=4))
    state = after.running.state
    assert after is workload
    assert bool(len(state.predictive.load.history)) == keeps_load
    assert (state.predictive.sizing is not None) == keeps_sizing
    assert state.scaling.recommendations
    assert after.needs_history == (not keeps_load)
    assert (after.learn_after_ns is None) == (not keeps_sizing)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"uid": "another object of the name"}, id="made-anew"),
        pytest.param({"scaleTargetRef": {"kind": "Deployment", "name": "other"}}, id="another-target"),
    ],
)
def test_another_object_or_target_knows_nothing(other: dict[str, Any]) -> None:
    workloads = Workloads()
    workload = learned_workload(workloads)
    fresh = workloads.current(autoscaler(**other))
    assert fresh is not workload
    assert fresh.running.state.predictive.sizing is None
    assert fresh.needs_history


def test_a_spec_that_cannot_be_built_leaves_what_was_learned() -> None:
    workloads = Workloads()
    workload = learned_workload(workloads)
    with pytest.raises(BadInput, match="profile"):
        workloads.current(autoscaler(profile="nothing-on-h100"))
    assert workloads.current(autoscaler()) is workload
    assert workload.running.state.predictive.sizing is not None


class Clock:
    def __init__(self) -> None:
        self.now = NOW_NS

    def now_ns(self) -> int:
        return self.now


class Past:
    """What was kept of each workload; can be told to fail."""

    def __init__(self, samples: Samples = NOTHING) -> None:
        self.samples = samples
        self.asked: list[Key] = []
        self.failing = False

    async def read(self, key: Key) -> Samples:
        self.asked.append(key)
        if self.failing:
            raise OSError("the file is gone")
        return self.samples


class Kept:
    """What outlives a controller: the store's part that has to do with learning."""

    def __init__(self) -> None:
        self.texts: dict[Key, str] = {}

    def add_learned(self, key: Key, text: str) -> None:
        self.texts[key] = text

    async def learned(self, key: Key) -> str:
        return self.texts.get(key, "")


@pytest.fixture
def pool() -> Any:
    threads = DaemonThreads(1, name="test")
    yield threads
    threads.shutdown()


def a_day() -> Samples:
    minutes = np.arange(24 * 60, dtype=np.int64)
    return Samples(
        at_ns=NOW_NS - (len(minutes) - minutes) * 60 * NS_PER_SECOND,
        requests_per_second=20.0 + 10.0 * np.sin(minutes / 100.0),
        prompt_tokens=np.full(len(minutes), 500.0),
        output_tokens=np.full(len(minutes), 200.0),
    )


async def test_a_restarted_controller_reads_the_past_and_learns_from_it_in_another_thread(pool: Executor) -> None:
    workloads, past, clock = Workloads(), Past(a_day()), Clock()
    workload = workloads.current(autoscaler())
    threads: set[str] = set()
    policy = workload.running.policy
    assert policy.learn is not None
    real_learn = policy.learn

    def learn(spec: Any, state: CombinedState, now_ns: int) -> CombinedState:
        threads.add(threading.current_thread().name)
        return real_learn(spec, state, now_ns)

    workload.running.policy = replace(policy, learn=learn)
    learning = Learning(workloads, clock=clock, pool=pool, read_past=past.read, store=Kept())
    await learning.turn()
    assert len(workload.running.state.predictive.load.history) > 2_800
    assert workload.running.state.predictive.sizing is not None
    assert threads == {"test_0"}
    await learning.turn()
    assert past.asked == [KEY]
    assert workload.learn_after_ns == NOW_NS + policy.learn_period_seconds * NS_PER_SECOND


def learns_at_once(workload: Workload) -> None:
    """In place of a search, which takes seconds: some weights, as if found on all of its past."""

    def learn(_spec: Any, state: CombinedState, _now_ns: int) -> CombinedState:
        history = state.predictive.load.history
        found = replace(prior(0.95, 0.25), bins=len(history), end=history.end)
        return replace(state, predictive=replace(state.predictive, sizing=found))

    workload.running.policy = replace(workload.running.policy, learn=learn)


async def learned_and_kept(pool: Executor) -> Kept:
    """By a controller that was told of a day, learned, moved its margin, and ended."""
    workloads, kept = Workloads(), Kept()
    workload = workloads.current(autoscaler())
    learns_at_once(workload)
    learning = Learning(workloads, clock=Clock(), pool=pool, read_past=Past(a_day()).read, store=kept)
    await learning.turn()
    assert kept.texts.keys() == {KEY}
    state = workload.running.state
    workload.running.state = replace(state, predictive=replace(state.predictive, margin=Margin(log=0.25)))
    learning.keep()
    return kept


async def test_a_restarted_controller_goes_on_with_what_it_had_learned(pool: Executor) -> None:
    """Without a search: weights, margin and misses are the ones that were kept."""
    kept = await learned_and_kept(pool)
    workloads = Workloads()
    workload = workloads.current(autoscaler())
    before = json.loads(kept.texts[KEY])
    await Learning(workloads, clock=Clock(), pool=pool, read_past=Past(a_day()).read, store=kept).turn()
    predictive = workload.running.state.predictive
    assert predictive.sizing is not None
    assert predictive.sizing.bins > 2_800
    assert predictive.sizing.weights.tolist() == prior(0.95, 0.25).weights.tolist()
    assert predictive.margin == Margin(log=0.25)
    assert json.loads(kept.texts[KEY]) == before


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"slo": {"tpotSeconds": 0.05, "attainment": 0.99}}, id="another-promise"),
        pytest.param({"slo": {"tpotSeconds": 0.06}}, id="another-tpot"),
        pytest.param({"profile": "llama-3.1-8b-a100"}, id="another-gpu"),
    ],
)
async def test_what_was_learned_for_another_spec_is_not_taken(pool: Executor, changed: dict[str, Any]) -> None:
    kept = await learned_and_kept(pool)
    workloads = Workloads()
    workload = workloads.current(autoscaler(**changed))
    await Learning(workloads, clock=Clock(), pool=pool, read_past=Past().read, store=kept).turn()
    assert workload.running.state.predictive.sizing is None
    assert workload.running.state.predictive.margin == Margin()


@pytest.mark.parametrize("text", ["{", "[]", '{"under": 1}', '{"of": "the future"}'])
async def test_what_was_learned_and_cannot_be_read_is_learned_again(
    pool: Executor, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    kept = Kept()
    kept.texts[KEY] = text
    workloads = Workloads()
    workload = workloads.current(autoscaler())
    learns_at_once(workload)
    with caplog.at_level(logging.WARNING):
        await Learning(workloads, clock=Clock(), pool=pool, read_past=Past(a_day()).read, store=kept).turn()
    assert sum("what was learned cannot be read" in record.message for record in caplog.records) == 1
    assert workload.running.state.predictive.sizing is not None
    assert kept.texts[KEY] != text


async def test_what_was_decided_while_it_was_learned_is_kept(pool: Executor) -> None:
    """A decision in the middle changes the state that the thread was not given."""
    workloads, clock = Workloads(), Clock()
    workload = workloads.current(autoscaler())
    workload.needs_history = False
    policy = workload.running.policy

    def learn(_spec: Any, state: CombinedState, _now_ns: int) -> CombinedState:
        workload.running.state = replace(workload.running.state, needed_replicas=17)  # as a step does meanwhile
        return replace(state, predictive=replace(state.predictive, sizing=prior(0.95, 0.5)))

    workload.running.policy = replace(policy, learn=learn)
    await Learning(workloads, clock=clock, pool=pool, read_past=Past().read, store=Kept()).turn()
    assert workload.running.state.needed_replicas == 17
    assert workload.running.state.predictive.sizing is not None


async def test_learning_that_fails_keeps_nobody_else_from_it_and_comes_again(
    pool: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    workloads, clock, past = Workloads(), Clock(), Past()
    past.failing = True
    tried: list[str] = []

    def failing(_spec: Any, _state: CombinedState, _now_ns: int) -> CombinedState:
        tried.append("failing")
        raise FloatingPointError("no numbers")

    def fine(_spec: Any, state: CombinedState, _now_ns: int) -> CombinedState:
        tried.append("fine")
        return state

    for name, learn in (("a", failing), ("b", fine)):
        workload = workloads.current(autoscaler(Key("llm", name)))
        workload.running.policy = replace(workload.running.policy, learn=learn)
    learning = Learning(workloads, clock=clock, pool=pool, read_past=past.read, store=Kept())
    with caplog.at_level(logging.ERROR):
        await learning.turn()
    assert tried == ["failing", "fine"]
    assert sum("learning failed" in record.message for record in caplog.records) == 3  # two pasts and one learning
    clock.now += 24 * 3600 * NS_PER_SECOND
    await learning.turn()
    assert tried == ["failing", "fine"] * 2
    assert past.asked == [Key("llm", "a"), Key("llm", "b")]
