"""KEDA's ScaledObject against its own tests, code and documentation: executor, HPA, fallback, cron, annotations.

Upstream: kedacore/keda pkg/scaling/executor/scale_scaledobjects_test.go (commit 03b6a23a), pkg/fallback/
fallback_test.go (commit 10fb40f8) and fallback.go, pkg/scalers/{prometheus,cron}_scaler.go.
"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.baselines.keda import ENTRY, KedaSpec, KedaState, decide, keda_policy
from policies.baselines.keda_executor import ExecutorSpec, request_scale
from policies.baselines.keda_triggers import Fallback, PrometheusTrigger, TriggerValue, prometheus_value, with_fallback
from policies.baselines.schedule import Window
from policies.errors import BadInput
from policies.hpa import MetricSpec
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricError, MetricQuery, Pod, Snapshot

QUERY = MetricQuery(type="External", name="leadtime:num_requests_outstanding")
FAILED = MetricError("connection refused")
EMPTY = MetricError("no metrics returned for leadtime:num_requests_outstanding")
MONDAY_NS = int(datetime(2024, 3, 4, tzinfo=UTC).timestamp()) * NS_PER_SECOND


def seen(answer, replicas):
    """A fleet whose pods all exist; answer: requests in the system, or the observation itself."""
    observation = ExternalMetric((round(1000 * answer),)) if isinstance(answer, int | float) else answer
    pods = tuple(Pod(name=f"pod-{index}", phase="Running", ready="True") for index in range(replicas))
    return Snapshot(replicas=replicas, status_replicas=replicas, pods=pods, observations={QUERY: observation})


def run(spec, rows, replicas=1, start_ns=MONDAY_NS):
    """Rows of (second, answer, expected desired); the fleet follows each decision. Returns the decisions."""
    policy, decisions = keda_policy(spec), []
    state = policy.initial_state
    for second, answer, expected in rows:
        decision, state = decide(spec, state, seen(answer, replicas), start_ns + second * NS_PER_SECOND)
        replicas = decision.desired_replicas
        assert replicas == expected, f"at {second} s: {decision.reason}: {decision.message}"
        decisions.append(decision)
    return decisions


def held(answer, expected, until, start=0):
    """The same row at every HPA sync in [start, until)."""
    return [(second, answer, expected) for second in range(start, until, 15)]


EXECUTOR = ExecutorSpec(
    min_replicas=0,
    idle_replicas=None,
    cooldown_ns=300 * NS_PER_SECOND,
    initial_cooldown_ns=0,
    fallback_replicas=None,
    paused_scale_in=False,
    paused_scale_out=False,
    force_activation=False,
)


@pytest.mark.parametrize(
    ("changes", "replicas", "active", "expected"),
    [
        pytest.param({}, 10, False, 0, id="ScaleToMinReplicasWhenNotActive"),
        pytest.param({"min_replicas": 5}, 1, False, 5, id="ScaleToMinReplicasFromLowerInitialReplicaCount"),
        pytest.param({}, 0, True, 1, id="ScaleFromMinReplicasWhenActive"),
        pytest.param({"idle_replicas": 0, "min_replicas": 5}, 10, False, 0, id="ScaleToIdleReplicasWhenNotActive"),
        pytest.param({"idle_replicas": 0, "min_replicas": 5}, 0, True, 5, id="ScaleFromIdleToMinReplicasWhenActive"),
        pytest.param({"idle_replicas": 0, "min_replicas": 5}, 2, True, 5, id="EventWitTriggerInfo-from-2-to-5"),
        pytest.param({"paused_scale_in": True}, 10, False, None, id="NoScaleToMinReplicas-PauseScaleIn"),
        pytest.param(
            {"paused_scale_in": True, "idle_replicas": 0, "min_replicas": 5},
            10,
            False,
            None,
            id="NoScaleToIdle-PauseScaleIn",
        ),
        pytest.param({"force_activation": True}, 0, False, 1, id="ScaleFromMinReplicasWhenActivationForced"),
        pytest.param({"paused_scale_out": True}, 0, True, None, id="NoScaleFromMinReplicas-PausedScaleOut"),
        pytest.param({}, 3, True, None, id="above-zero-the-HPA-scales"),
    ],
)
def test_executor(changes, replicas, active, expected):
    """scale_scaledobjects_test.go, by name: objects that were never active, so that no cooldown holds them."""
    step = request_scale(
        replace(EXECUTOR, **changes),
        replicas=replicas,
        is_active=active,
        is_error=False,
        last_active_ns=None,
        created_ns=0,
        now_ns=NS_PER_SECOND,
    )
    assert step.replicas == expected


@pytest.mark.parametrize(
    ("fallback_replicas", "active", "expected", "renewed"),
    [
        pytest.param(None, False, None, False, id="an-error-without-fallback-does-nothing"),
        pytest.param(6, False, None, False, id="with-one-it-waits-for-the-HPA"),
        pytest.param(0, False, 0, False, id="but-a-fallback-of-0-lets-it-go-to-zero"),
        pytest.param(None, True, None, False, id="beside-an-active-trigger-the-cooldown-is-not-renewed"),
    ],
)
def test_executor_with_errors(fallback_replicas, active, expected, renewed):
    """scale_scaledobjects.go, RequestScale: the switch on isError, in its order."""
    step = request_scale(
        replace(EXECUTOR, fallback_replicas=fallback_replicas),
        replicas=3,
        is_active=active,
        is_error=True,
        last_active_ns=0,
        created_ns=0,
        now_ns=301 * NS_PER_SECOND,
    )
    assert (step.replicas, step.last_active_ns != 0) == (expected, renewed)


TIMELINES = [
    pytest.param(
        KedaSpec(),
        [(0, 160, 1), (15, 160, 4), (30, 160, 8), (45, 160, 10)],
        0,
        id="from-zero-one-replica-then-the-classic-limits-of-the-HPA",
    ),
    pytest.param(
        KedaSpec(),
        [*held(32, 2, 45), *held(0, 2, 330, 45), (330, 0, 2), (345, 0, 1), (360, 0, 0), *held(0, 0, 450, 375)],
        2,
        id="the-HPA-stabilizes-for-300-s-and-the-cooldown-runs-from-the-last-active-poll",
    ),
    pytest.param(
        KedaSpec(polling_interval_seconds=60, scale_down_window_seconds=0),
        [(0, 0, 0), (15, 0, 0), (30, 5, 0), (45, 5, 0), (60, 5, 1)],
        0,
        id="demand-at-zero-waits-for-the-next-poll",
    ),
    pytest.param(
        KedaSpec(activation_threshold=10, scale_down_window_seconds=0),
        [(0, 10, 0), (30, 10, 0), (60, 11, 1), (75, 11, 1)],
        0,
        id="activation-is-strictly-above-its-threshold",
    ),
    pytest.param(
        KedaSpec(min_replicas=3),
        [(0, 0, 3), (15, 0, 3), *held(0, 3, 700, 30)],
        1,
        id="with-a-minimum-it-is-held-and-never-leaves-it",
    ),
    pytest.param(
        KedaSpec(min_replicas=2, idle_replicas=0, scale_down_window_seconds=0),
        [
            (0, 40, 2),
            (15, 40, 3),
            *held(0, 2, 300, 30),
            (300, 0, 2),
            (315, 0, 2),
            (330, 0, 0),
            (345, 0, 0),
            (360, 3, 2),
        ],
        0,
        id="idle-is-below-the-minimum-and-activity-jumps-to-the-minimum",
    ),
    pytest.param(
        KedaSpec(initial_cooldown_seconds=60),
        [(0, 0, 2), (30, 0, 2), (60, 0, 2), (90, 0, 0)],
        2,
        id="what-was-never-active-waits-for-the-initial-cooldown",
    ),
]


@pytest.mark.parametrize(("spec", "rows", "replicas"), TIMELINES)
def test_timeline(spec, rows, replicas):
    """scale_scaledobjects.go for 0 and 1 (poll every 30 s, cooldown 300 s), the HPA of 1.36.3 for the rest.

    A replica is worth 16 outstanding requests, as in the default spec.
    """
    run(spec, rows, replicas)


@pytest.mark.parametrize(
    ("answer", "ignore", "value_milli", "error"),
    [
        pytest.param(ExternalMetric((7000,)), True, 7000, "", id="one-element"),
        pytest.param(ExternalMetric(()), True, 0, "", id="an-empty-result-is-0"),
        pytest.param(EMPTY, True, 0, "", id="also-when-the-metrics-API-says-it"),
        pytest.param(ExternalMetric(()), False, None, "the result is empty", id="unless-nulls-count"),
        pytest.param(EMPTY, False, None, "the result is empty", id="unless-nulls-count-there-too"),
        pytest.param(ExternalMetric((1, 2)), True, None, "returned 2 elements", id="several-elements-are-an-error"),
        pytest.param(FAILED, True, None, "connection refused", id="a-failed-query-is-an-error"),
        pytest.param(None, True, None, "not answered", id="so-is-one-that-was-not-asked"),
    ],
)
def test_prometheus_result(answer, ignore, value_milli, error):
    """prometheus_scaler.go, ExecutePromQuery (commit 0805d72e): zero, one or more elements."""
    snapshot = Snapshot(replicas=1, observations={} if answer is None else {QUERY: answer})
    trigger = PrometheusTrigger(query=QUERY.name, threshold=16)
    value = prometheus_value(trigger, snapshot, ignore_null_values=ignore)
    assert value.value_milli == value_milli
    assert error in value.error
    assert bool(value.error) == bool(error)


def test_a_lost_exporter_drains_the_fleet():
    """The flaw of ignoreNullValues=true, its default: no series is no load, and after the cooldown no replica.

    The HPA still remembers 10 when the executor takes all of them at once, 300 s after the last active poll (30 s).
    """
    rows = [*held(160, 10, 60), *held(EMPTY, 10, 360, 60), (360, EMPTY, 0)]
    run(KedaSpec(), rows, 10)


def test_with_nulls_as_errors_it_freezes():
    """prometheus_scaler.go: an error for the HPA, which holds, and for the executor, which does nothing."""
    rows = [*held(160, 10, 60), *held(EMPTY, 10, 1800, 60)]
    decision = run(KedaSpec(ignore_null_values=False), rows, 10)[-1]
    assert decision.reason == "FailedGetExternalMetric"


@pytest.mark.parametrize(
    ("behavior", "current", "expected_milli"),
    [
        pytest.param("static", 4, 100_000, id="static-is-target-times-replicas"),
        pytest.param("currentReplicas", 4, 40_000, id="currentReplicas"),
        pytest.param("currentReplicasIfHigher", 4, 100_000, id="IfHigher-below"),
        pytest.param("currentReplicasIfHigher", 12, 120_000, id="IfHigher-above"),
        pytest.param("currentReplicasIfLower", 4, 40_000, id="IfLower-below"),
        pytest.param("currentReplicasIfLower", 12, 100_000, id="IfLower-above"),
    ],
)
def test_fallback_value(behavior, current, expected_milli):
    """fallback_test.go: failureThreshold 3, replicas 10, target 10: the 4th failure in a row says 100."""
    metric = MetricSpec(type="External", name="some_metric_name", average_value_milli=10_000)
    failing = TriggerValue(metric=metric, value_milli=None, active=False, error="some error")
    fallback = Fallback(failure_threshold=3, replicas=10, behavior=behavior)
    answer, failed, is_fallback = with_fallback(fallback, {metric.name: 2}, failing, current)
    assert (answer, failed, is_fallback) == (MetricError("some error"), 3, False)
    answer, failed, is_fallback = with_fallback(fallback, {metric.name: 3}, failing, current)
    assert (answer, failed, is_fallback) == (ExternalMetric((expected_milli,)), 4, True)
    happy = replace(failing, value_milli=6000, error="")
    assert with_fallback(fallback, {metric.name: 5}, happy, current) == (ExternalMetric((6000,)), 0, False)
    assert with_fallback(None, {metric.name: 5}, failing, current)[0] == MetricError("some error")


def test_fallback_timeline():
    """fallback.go, GetMetricsWithFallback: frozen for failureThreshold syncs, then at the fallback, then back."""
    spec = KedaSpec(fallback_failure_threshold=3, fallback_replicas=6, scale_down_window_seconds=0)
    rows = [
        (0, 32, 2),
        (15, FAILED, 2),
        (30, FAILED, 2),
        (45, FAILED, 2),
        (60, FAILED, 6),
        (75, FAILED, 6),
        (90, 32, 2),
    ]
    decisions = run(spec, rows, 2)
    assert decisions[4].reason == "FallbackActive"
    assert decisions[4].message.endswith("(fallback static: leadtime:num_requests_outstanding failed)")


def test_a_static_fallback_below_the_fleet_shrinks_it():
    """llm-d's queue-guard sets fallback.replicas 1: a loss of metrics is then a scale-down."""
    spec = KedaSpec(fallback_failure_threshold=1, fallback_replicas=1, scale_down_window_seconds=0)
    run(spec, [(0, 160, 10), (15, FAILED, 10), (30, FAILED, 1)], 10)


OFFICE = KedaSpec(
    cron_triggers=(Window(start="0 8 * * 1-5", end="0 20 * * 1-5", replicas=6),), scale_down_window_seconds=0
)


@pytest.mark.parametrize(
    ("rows", "replicas"),
    [
        pytest.param(
            [(28_785, 0, 0), (28_800, 0, 0), (28_815, 0, 1), (28_830, 0, 5), (28_845, 0, 6)], 0, id="it-opens"
        ),
        pytest.param([(36_000, 160, 10), (36_015, 32, 6), (36_030, 0, 6)], 8, id="it-is-a-floor-under-the-demand"),
        pytest.param([(71_985, 0, 6), (72_000, 0, 1), (72_285, 0, 1), (72_315, 0, 0)], 6, id="outside-it-says-1"),
    ],
)
def test_cron_trigger(rows, replicas):
    """cron_scaler.go: within [start, end) desiredReplicas, else 1, against a target of 1; the HPA takes the maximum.

    The window opens at 8:00 (28800 s) and is first seen by the poll after, 30 s after the one before it.
    """
    run(OFFICE, rows, replicas)


@pytest.mark.parametrize(
    ("changes", "rows", "replicas"),
    [
        pytest.param({"paused": True}, [(0, 160, 3), (600, 0, 3)], 3, id="paused-stays-where-it-is"),
        pytest.param({"paused_replicas": 2}, [(0, 160, 2), (15, 160, 2)], 5, id="paused-replicas-go-there"),
        pytest.param(
            {"paused_scale_in": True, "scale_down_window_seconds": 0},
            [(0, 160, 10), (15, 0, 10), (600, 0, 10)],
            5,
            id="in",
        ),
        pytest.param(
            {"paused_scale_out": True, "scale_down_window_seconds": 0}, [(0, 160, 5), (15, 16, 1)], 5, id="out"
        ),
        pytest.param({"force_activation": True}, [(0, 0, 1), (600, 0, 1)], 0, id="forced-it-never-goes-to-zero"),
    ],
)
def test_annotations(changes, rows, replicas):
    """docs of ScaledObject, "Pause autoscaling" and force-activation; executor tests of the same names."""
    run(replace(KedaSpec(), **changes), rows, replicas)


def test_the_largest_trigger_wins():
    """Several triggers are several metrics of one HPA."""
    spec = KedaSpec(more_triggers=(PrometheusTrigger.parse("queue_size = 5 > 1"),))
    snapshot = seen(32, 2)
    queue = MetricQuery(type="External", name="queue_size")
    both = replace(snapshot, observations=dict(snapshot.observations) | {queue: ExternalMetric((20_000,))})
    assert keda_policy(spec).queries == (QUERY, queue)
    assert decide(spec, KedaState(), both, MONDAY_NS)[0].desired_replicas == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"threshold": 0.0}, "trigger", id="a-threshold-of-0"),
        pytest.param({"idle_replicas": 1}, "idleReplicas: was 1", id="idle-not-below-the-minimum"),
        pytest.param({"min_replicas": 5, "max_replicas": 4}, "minReplicas", id="bounds-crossed"),
        pytest.param({"time_zone": "Mars/Olympus"}, "timeZone", id="an-unknown-time-zone"),
        pytest.param(
            {"cron_triggers": (Window(start="0 8 * *", end="0 20 * * *", replicas=2),)}, "5 fields", id="cron"
        ),
        pytest.param(
            {"cron_triggers": (Window(start="0 8 * * *", end="0 8 * * *", replicas=2),)},
            "differs",
            id="an-empty-window",
        ),
        pytest.param({"cooldown_seconds": -1}, "cooldownSeconds", id="a-negative-cooldown"),
    ],
)
def test_nonsense_is_refused(changes, message):
    """scaledobject_types.go and the cron scaler's own checks."""
    with pytest.raises(BadInput, match=message):
        keda_policy(replace(KedaSpec(), **changes))


def test_entry_builds_a_policy_on_all_outstanding_requests():
    """It syncs as an HPA does and asks for one summed series."""
    policy = ENTRY.build(ENTRY.spec())
    assert (policy.period_seconds, policy.queries) == (15, (QUERY,))


ANSWERS = st.lists(st.floats(0, 1000) | st.sampled_from([FAILED, EMPTY]), min_size=1, max_size=40)


@settings(max_examples=60)
@given(
    answers=ANSWERS,
    low=st.integers(0, 4),
    span=st.integers(1, 20),
    threshold=st.none() | st.integers(0, 3),
    replicas=st.integers(0, 30),
)
def test_bounds_hold_and_a_replay_is_equal_whatever_the_order_of_pods(answers, low, span, threshold, replicas):
    """Never above the maximum, and below the minimum only at a zero that it left."""
    spec = KedaSpec(
        min_replicas=low, max_replicas=low + span, fallback_failure_threshold=threshold, fallback_replicas=low + 1
    )

    def decisions(backwards):
        state, current, made = KedaState(), replicas, []
        for tick, answer in enumerate(answers):
            snapshot = seen(answer, current)
            snapshot = replace(snapshot, pods=snapshot.pods[::-1]) if backwards else snapshot
            decision, state = decide(spec, state, snapshot, MONDAY_NS + 15 * tick * NS_PER_SECOND)
            current = decision.desired_replicas
            made.append((decision, state))
        return made

    made = decisions(backwards=False)
    assert all(each.desired_replicas <= low + span for each, _ in made)
    assert all(each.desired_replicas == 0 or each.desired_replicas >= max(1, low) for each, _ in made)
    assert decisions(backwards=False) == made == decisions(backwards=True)


def test_a_sum_is_one_element_where_its_series_are_several():
    """prometheus_scaler.go refuses a result of several elements; sum() gives one (commit 0805d72e)."""
    waiting = MetricQuery(type="External", name="vllm:num_requests_waiting")
    two = Snapshot(replicas=2, observations={waiting: ExternalMetric((3_000, 4_000))})
    plain = PrometheusTrigger(query="vllm:num_requests_waiting", threshold=5)
    summed = PrometheusTrigger(query="sum(vllm:num_requests_waiting)", threshold=5)
    assert "2 elements" in prometheus_value(plain, two, ignore_null_values=True).error
    assert prometheus_value(summed, two, ignore_null_values=True).value_milli == 7_000
