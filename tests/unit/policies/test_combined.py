"""What a PredictiveAutoscaler decides: which part decides, what stands in for unknown demand, and what always holds."""

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.capacity.profile import PROFILES
from policies.combined.decide import adopt, combined_policy, learn
from policies.combined.spec import CombinedSpec, Fallback, ScheduledFloor
from policies.combined.state_json import state_from_json, state_json
from policies.decision import Decision
from policies.errors import BadInput
from policies.hpa import (
    ControllerOptions,
    HPASpec,
    HPAState,
    MetricSpec,
    default_behavior,
    propose,
    scale_down_rules,
    scale_up_rules,
)
from policies.policy import Policy, Running
from policies.predictive.decide import predictive_policy
from policies.predictive.spec import PredictiveSpec
from policies.serving_counters import QUERIES
from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    MetricQuery,
    Observation,
    Pod,
    PodMetrics,
    PodSample,
    Snapshot,
)

MONDAY = 1_800_230_400  # 2027-01-18 00:00 UTC
QUEUE = MetricSpec(type="External", name="queue_depth", average_value_milli=10_000)
BATCH = MetricSpec(type="External", name="batch", average_value_milli=10_000)
AT_ONCE = default_behavior(
    scale_up=scale_up_rules(stabilization_window_seconds=0),
    scale_down=scale_down_rules(stabilization_window_seconds=0),
)


def floor(name: str = "day", start: str = "0 8 * * *", end: str = "0 20 * * *", replicas: int = 6) -> ScheduledFloor:
    return ScheduledFloor(name=name, start=start, end=end, time_zone="UTC", min_replicas=replicas)


def predictive(**changes: Any) -> PredictiveSpec:
    profile = PROFILES["llama-3.1-8b-fp8-l4"]
    return PredictiveSpec(**{"profile": profile, "tpot_seconds": 0.075, "max_replicas": 30, **changes})


def spec(
    metrics: tuple[MetricSpec, ...] = (),
    schedules: tuple[ScheduledFloor, ...] = (),
    fallback: Fallback | None = None,
    **changes: Any,
) -> CombinedSpec:
    return CombinedSpec(
        predictive=predictive(**changes), metrics=metrics, schedules=schedules, fallback=fallback or Fallback()
    )


def seen(
    second: int, replicas: int, served: float | None, answers: dict[MetricQuery, Observation], waiting: float = 0.0
) -> Snapshot:
    """One pod that has served so many requests of 1,000 and 200 tokens; None: the metrics API does not answer."""
    observations: dict[MetricQuery, Observation] = {}
    for query, value in zip(QUERIES, (0.0, waiting, 1.0, 1_000.0, 200.0), strict=True):
        counted = value if query in QUERIES[:2] else value * (served or 0.0)
        observations[query] = (
            MetricError("unavailable")
            if served is None
            else PodMetrics({"a": PodSample(value_milli=round(counted * 1000), at_ns=second * NS_PER_SECOND)})
        )
    return Snapshot(
        replicas=replicas,
        pods=(Pod(name="a", phase="Running", ready="True"),),
        observations={**observations, **answers},
    )


class World:
    """A workload that answers all that arrives and does at once what is decided. Its clock begins at `second`."""

    def __init__(self, policy: Policy[Any, Any], replicas: int = 5, second: int = MONDAY) -> None:
        self.running = Running.start(policy)
        self.replicas = replicas
        self.second = second
        self.served = 0.0
        self.snapshots: list[tuple[Snapshot, int]] = []

    def step(self, rate: float | None, queue: float | None = None, *, batch: float | None = None) -> Decision:
        """15 s later: demand in requests/s, and what the External metrics say; None: no answer."""
        self.second += 15
        self.served += (rate or 0.0) * 15
        answers: dict[MetricQuery, Observation] = {
            metric.query: MetricError("no answer") if value is None else ExternalMetric((round(value * 1000),))
            for metric, value in ((QUEUE, queue), (BATCH, batch))
        }
        snapshot = seen(self.second, self.replicas, None if rate is None else self.served, answers)
        self.snapshots.append((snapshot, self.second * NS_PER_SECOND))
        decision = self.running.step(snapshot, self.second * NS_PER_SECOND)
        self.replicas = decision.desired_replicas
        return decision


def world(replicas: int = 5, second: int = MONDAY, **changes: Any) -> World:
    return World(combined_policy(spec(**{"behavior": AT_ONCE, **changes})), replicas, second)


def settled(each: World, rate: float = 6.0, queue: float | None = None) -> int:
    """Replicas after 20 min of steady demand."""
    for _ in range(80):
        each.step(rate, queue)
    return each.replicas


def test_without_metrics_and_schedules_it_decides_as_the_predictive_rule_alone() -> None:
    alone = World(predictive_policy(predictive()), 5)
    combined = World(combined_policy(spec()), 5)
    for index in range(200):
        rate = 6.0 + 5.0 * math.sin(index / 20)
        first, second = alone.step(rate), combined.step(rate)
        assert (second.desired_replicas, second.reason) == (first.desired_replicas, first.reason)
        assert first.numbers.items() <= second.numbers.items()


@given(st.lists(st.one_of(st.none(), st.floats(0, 500)), min_size=1, max_size=40), st.integers(1, 30))
def test_without_a_hold_that_is_so_while_demand_is_unknown_too(rates: list[float | None], replicas: int) -> None:
    alone = World(predictive_policy(predictive(max_replicas=12)), replicas)
    combined = World(combined_policy(spec(max_replicas=12, fallback=Fallback(hold_seconds=0.0))), replicas)
    for rate in rates:
        first, second = alone.step(rate), combined.step(rate)
        assert (second.desired_replicas, second.reason) == (first.desired_replicas, first.reason)


def test_the_largest_of_demand_metrics_and_schedule_decides_and_is_named() -> None:
    each = world(metrics=(QUEUE,), schedules=(floor(),), second=MONDAY + 6 * 3_600)
    need = settled(each, queue=10.0)
    demand = each.step(6.0, 10.0)
    assert demand.desired_replicas == need == demand.numbers["needed_replicas"]
    assert demand.message.endswith(f": {need} needed; others: metrics 1")
    metrics = each.step(6.0, 75.0)
    assert (metrics.desired_replicas, metrics.numbers["metrics_replicas"]) == (8, 8.0)
    assert metrics.message == (
        f"{need} -> 8 replicas: queue_depth is 18.75 per pod (target 10): metrics ask for 8; others: demand {need}"
    )
    each.second = MONDAY + 8 * 3_600
    schedule = each.step(1.0, 10.0)
    assert schedule.numbers["schedule_replicas"] == 6.0
    assert schedule.desired_replicas == max(6, schedule.numbers["needed_replicas"])
    for _ in range(400):
        schedule = each.step(1.0, 10.0)
    assert schedule.desired_replicas == 6
    assert "schedule day asks for at least 6 (0 8 * * * to 0 20 * * *, UTC)" in schedule.message


# rows: (seconds since demand was last known, what metrics say as a queue, of which a replica takes 10, desired)
@pytest.mark.parametrize(
    ("changes", "timeline"),
    [
        pytest.param({}, [(45, None, 5), (300, None, 5), (3_600, None, 5)], id="it-stays-where-nothing-else-is-known"),
        pytest.param(
            {"metrics": (QUEUE,)},
            [(45, 20, 5), (90, 80, 8), (105, 20, 8), (285, 20, 8), (300, 20, 2), (315, 60, 6)],
            id="metrics-only-add-while-the-need-is-held-and-then-decide-alone",
        ),
        pytest.param(
            {"metrics": (QUEUE,)},
            [(45, None, 5), (375, None, 5), (390, 10, 1), (405, None, 1)],
            id="metrics-that-come-back-decide-and-those-that-do-not-hold",
        ),
        pytest.param(
            {"metrics": (QUEUE, BATCH)},
            [(45, 20, 5), (375, 20, 5), (390, 90, 9), (405, 20, 9)],
            id="with-one-metric-invalid-the-other-only-adds",
        ),
        pytest.param(
            {"fallback": Fallback(hold_seconds=120.0, replicas=9)},
            [(45, None, 5), (105, None, 5), (120, None, 9), (600, None, 9)],
            id="after-the-hold-the-stated-count-is-a-floor",
        ),
        pytest.param(
            {"fallback": Fallback(hold_seconds=120.0, replicas=3)},
            [(105, None, 5), (600, None, 5)],
            id="and-never-a-reason-to-go-down",
        ),
        pytest.param(
            {"metrics": (QUEUE,), "fallback": Fallback(hold_seconds=120.0, replicas=3)},
            [(105, 10, 5), (120, 10, 3), (135, 40, 4)],
            id="it-is-a-floor-under-metrics-too",
        ),
        pytest.param(
            {"schedules": (floor(start="30 0 * * *", end="35 0 * * *", replicas=8),)},
            [(45, None, 5), (600, None, 8), (990, None, 8)],
            id="a-schedule-raises-it-and-its-end-lowers-nothing-that-is-not-known",
        ),
        pytest.param(
            {
                "metrics": (QUEUE,),
                "behavior": default_behavior(scale_down=scale_down_rules(stabilization_window_seconds=60)),
            },
            [(285, 10, 5), (300, 10, 5), (330, 10, 5), (345, 10, 1)],
            id="windows-hold-in-the-fallback-as-well",
        ),
    ],
)
def test_while_demand_is_not_known(changes: dict[str, Any], timeline: list[tuple[int, float | None, int]]) -> None:
    """5 replicas are needed until the last scrape, 20 min after midnight; it is the present for a minute more."""
    each = world(**changes)
    queue: float | None = 10.0
    assert settled(each, rate=7.0, queue=queue) == 5
    known_second = each.second + 60
    for second, said, desired in timeline:
        while each.second < known_second + second - 15:
            each.step(None, queue)
        queue = said
        decision = each.step(None, queue)
        assert (decision.numbers["known"], decision.numbers["unknown_seconds"]) == (0.0, second)
        assert decision.desired_replicas == desired, f"{second} s: {decision.message}"


def test_the_message_says_what_stands_in_for_unknown_demand() -> None:
    each = world(max_replicas=4)
    settled(each, rate=9.0)
    for _ in range(5):
        held = each.step(None)
    assert held.message == (
        "4 replicas kept: demand is not known (no complete and recent scrape of the ready pods) for 15 s: its last "
        "need of 6 holds until 300 s, and may only be added to; TooManyReplicas at 4"
    )
    assert held.numbers["held_replicas"] == 6.0
    for _ in range(20):
        kept = each.step(None)
    assert kept.message == (
        "4 replicas kept: demand is not known (no complete and recent scrape of the ready pods) for 315 s: nothing is "
        "scaled down"
    )
    assert kept.reason == "FailedGetPodsMetric"
    assert "held_replicas" not in kept.numbers


def test_a_metric_that_cannot_tell_keeps_the_present_count_and_says_so() -> None:
    each = world(replicas=12, metrics=(QUEUE,))
    for _ in range(10):
        decision = each.step(2.0, None)
    assert (decision.desired_replicas, decision.reason) == (12, "FailedGetExternalMetric")
    assert decision.numbers["needed_replicas"] < 12
    assert "invalid metrics (1 invalid out of 1)" in decision.message
    assert each.step(2.0, 20.0).desired_replicas < 12


def test_an_idle_workload_is_no_unknown_one() -> None:
    """No request ever came: nothing to size replicas by, but no reason for the fallback's floor either."""
    each = world(replicas=2, fallback=Fallback(hold_seconds=60.0, replicas=8))
    for _ in range(10):
        decision = each.step(0.0)
    assert (decision.desired_replicas, decision.numbers["known"]) == (2, 1.0)
    assert "no request of late" in decision.message


def test_sizes_that_never_come_are_unknown_demand() -> None:
    """Requests arrive, no token is ever counted: a server without these counters is no idle one."""
    running = Running.start(combined_policy(spec(fallback=Fallback(hold_seconds=0.0, replicas=8))))
    for second in range(15, 90, 15):
        snapshot = seen(second, 2, 0.0, {}, waiting=second / 3)
        decision = running.step(snapshot, second * NS_PER_SECOND)
    assert (decision.desired_replicas, decision.numbers["known"]) == (6, 0.0)
    assert "no tokens were counted" in decision.message


def test_a_workload_that_was_switched_off_stays_off() -> None:
    each = world(schedules=(floor(start="0 0 * * *"),))
    settled(each)
    each.replicas = 0
    decision = each.step(6.0)
    assert (decision.desired_replicas, decision.reason) == (0, "ScalingDisabled")
    assert "set it to 1 or more to begin" in decision.message
    assert decision.numbers["wanted_replicas"] == 6.0
    each.replicas = 1
    assert each.step(6.0).desired_replicas > 1


def test_the_controllers_window_holds_where_the_behavior_leaves_it_out() -> None:
    """As in an HPA: behavior.scaleDown without a window takes --horizontal-pod-autoscaler-downscale-stabilization."""
    rules = default_behavior(scale_down=scale_down_rules())
    for seconds, expected in ((0, 1), (600, 9)):
        options = ControllerOptions(downscale_stabilization_seconds=seconds)
        policy = combined_policy(CombinedSpec(predictive=predictive(behavior=rules), controller=options))
        each = World(policy, replicas=9)
        for _ in range(30):
            each.step(0.5)
        assert each.replicas == expected


rates = st.one_of(st.none(), st.floats(0, 200))
queues = st.one_of(st.none(), st.floats(0, 10_000))


@given(st.lists(st.tuples(rates, queues, queues), min_size=1, max_size=40), st.integers(0, 30), st.integers(0, 120))
def test_bounds_hold_and_ignorance_never_scales_down(
    steps: list[tuple[float | None, float | None, float | None]], replicas: int, hold_seconds: int
) -> None:
    """Down it goes only while demand is known and no metric fails, or after the hold where all metrics answer."""
    fallback = Fallback(hold_seconds=hold_seconds, replicas=4)
    each = world(
        replicas, metrics=(QUEUE, BATCH), schedules=(floor(),), fallback=fallback, min_replicas=2, max_replicas=12
    )
    for rate, queue, batch in steps:
        before = each.replicas
        decision = each.step(rate, queue, batch=batch)
        if before == 0:
            assert decision.desired_replicas == 0
            continue
        assert 2 <= decision.desired_replicas <= 12
        assert all(math.isfinite(number) for number in decision.numbers.values())
        numbers = decision.numbers
        is_held = numbers["known"] == 0 and numbers["unknown_seconds"] < hold_seconds
        if before <= 12 and (queue is None or batch is None or is_held):
            assert decision.desired_replicas >= before, decision.message


@settings(max_examples=40)
@given(
    low=st.floats(0.5, 20),
    queue=st.floats(0, 100),
    factor=st.floats(1.0, 4.0),
    known=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=30, max_size=30),
)
def test_more_load_never_gets_fewer_replicas(
    low: float, queue: float, factor: float, known: list[tuple[bool, bool]]
) -> None:
    """Two worlds, one with more of everything, known or not at the same times: it asks for at least as many."""
    less, more = (world(metrics=(QUEUE,), fallback=Fallback(hold_seconds=60.0)) for _ in range(2))
    for demand, metric in known:
        fewer = less.step(low if demand else None, queue if metric else None)
        rather = more.step(low * factor if demand else None, queue * factor if metric else None)
        assert fewer.desired_replicas <= rather.desired_replicas


@given(
    queue=st.floats(0, 10_000),
    batch=queues,
    replicas=st.integers(1, 30),
    ready=st.integers(0, 30),
    tolerance=st.sampled_from([0.0, 0.1, 0.3]),
)
def test_metrics_ask_for_what_an_hpa_with_them_computes(
    queue: float, batch: float | None, replicas: int, ready: int, tolerance: float
) -> None:
    total = MetricSpec(type="External", name="batch", value_milli=50_000)
    options = ControllerOptions(tolerance=tolerance)
    combined = CombinedSpec(predictive=predictive(), metrics=(QUEUE, total), controller=options)
    answers: dict[MetricQuery, Observation] = {
        QUEUE.query: ExternalMetric((round(queue * 1000),)),
        total.query: MetricError("no answer") if batch is None else ExternalMetric((round(batch * 1000),)),
    }
    pods = tuple(Pod(name=f"p{index}", phase="Running", ready="True") for index in range(ready))
    snapshot = Snapshot(replicas=replicas, status_replicas=ready, pods=pods, observations=answers)
    rules = combined.predictive.rules
    hpa = HPASpec(max_replicas=30, metrics=(QUEUE, total), behavior=rules, controller=options)
    proposal, _ = propose(hpa, HPAState(), snapshot, 0)
    assert proposal.metrics is not None
    numbers = Running.start(combined_policy(combined)).step(snapshot, 0).numbers
    assert numbers.get("metrics_replicas") == proposal.metrics.replicas


def test_a_given_lead_time_goes_before_the_pods_own() -> None:
    """It is used as long as it is given, and by what is learned; what is no lead time is not."""
    each = world()
    policy = each.running.policy
    settled(each)
    snapshot, now_ns = each.snapshots[-1]
    for given_seconds, used in ((900.0, 900.0), (None, 240.0), (math.nan, 240.0), (-5.0, 240.0), (1e9, 86_400.0)):
        later = Snapshot(
            replicas=4, pods=snapshot.pods, observations=snapshot.observations, lead_time_seconds=given_seconds
        )
        decision, _ = policy.decide(policy.spec, each.running.state, later, now_ns)
        assert decision.numbers["lead_time_seconds"] == used


@settings(max_examples=20)
@given(st.lists(st.tuples(rates, queues), min_size=2, max_size=30), st.data())
def test_from_a_written_state_the_same_decisions_follow(
    steps: list[tuple[float | None, float | None]], data: st.DataObject
) -> None:
    each = world(metrics=(QUEUE,))
    cut = data.draw(st.integers(0, len(steps) - 1))
    decisions = []
    for index, (rate, queue) in enumerate(steps):
        if index == cut:
            text = json.dumps(state_json(each.running.state), allow_nan=False)
        decisions.append(each.step(rate, queue))
    state = state_from_json(json.loads(text))
    assert json.dumps(state_json(state), allow_nan=False) == text
    policy = each.running.policy
    for (snapshot, now_ns), decision in list(zip(each.snapshots, decisions, strict=True))[cut:]:
        replayed, state = policy.decide(policy.spec, state, snapshot, now_ns)
        assert replayed == decision


def test_what_is_learned_beside_decisions_is_adopted_without_losing_them() -> None:
    each = world()
    for _ in range(6 * 240 + 8):
        each.step(6.0)
    before = each.running.state
    taught = learn(each.running.policy.spec, before, each.second * NS_PER_SECOND)
    assert taught.predictive.sizing is not None
    each.step(6.0)
    now = adopt(each.running.state, taught)
    assert now.predictive.sizing is taught.predictive.sizing
    assert now.predictive.last is each.running.state.predictive.last
    assert now.predictive.margin.log == 0.0, "the first fit begins the margin anew"
    assert adopt(now, before) is now, "a state that learned nothing takes nothing away"
    each.running.state = now
    assert "0.3 days of its own load" in each.step(6.0).message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"min_replicas": 0}, "minReplicas: was 0"),
        ({"metrics": (MetricSpec(type="External", name=""),)}, r"metrics\[0\].name: was empty"),
        ({"metrics": (MetricSpec(type="Pods", name="x", value_milli=1),)}, r"metrics\[0\].target: was value"),
        ({"schedules": (floor(start="0 25 * * *"),)}, r"schedules\[0\].start: cron hour: was '25'"),
        ({"schedules": (floor(end="0 8 * *"),)}, r"schedules\[0\].end: cron: was '0 8 \* \*', must have 5 fields"),
        ({"schedules": (floor(end="0  8 * * *"),)}, r"schedules\[0\].end: was '0  8 .*must differ from start"),
        ({"schedules": (floor(), floor())}, r"schedules\[1\].name: was 'day', must be unique"),
        (
            {"schedules": (floor(replicas=31),)},
            r"schedules\[0\].minReplicas: was 31, must be in \[1, maxRep.* \(30\)\]",
        ),
        ({"fallback": Fallback(replicas=0)}, "fallback.replicas: was 0, must be in"),
        ({"fallback": Fallback(hold_seconds=math.nan)}, "fallback.holdSeconds: was nan, must be in"),
        ({"fallback": Fallback(hold_seconds=-1.0)}, "fallback.holdSeconds: was -1.0, must be in"),
    ],
)
def test_a_wrong_spec_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        combined_policy(spec(**changes))


def test_a_wrong_time_zone_and_a_wrong_flag_are_named() -> None:
    nowhere = ScheduledFloor(name="day", start="0 8 * * *", end="0 9 * * *", time_zone="Mars/Base", min_replicas=2)
    with pytest.raises(BadInput, match=r"schedules\[0\].timeZone: was 'Mars/Base', must be a name of the IANA"):
        combined_policy(spec(schedules=(nowhere,)))
    with pytest.raises(BadInput, match=r"controller.tolerance: was -1.0"):
        combined_policy(CombinedSpec(predictive=predictive(), controller=ControllerOptions(tolerance=-1.0)))
