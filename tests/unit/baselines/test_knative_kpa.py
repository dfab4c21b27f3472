"""Knative's KPA against its own tests and documentation: windows, panic, rates, the delay, and the way to zero.

Upstream: knative/serving pkg/autoscaler/scaling/autoscaler_test.go (commit 01f103ef), pkg/autoscaler/aggregation/
bucketing.go and pkg/reconciler/autoscaling/kpa/scaler_test.go (commit 05e10560, and later rows on pod retention).
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.baselines import knative_kpa
from policies.baselines.knative_kpa import ENTRY, KnativeSpec, KnativeState, Load, decide, knative_policy, scale
from policies.baselines.knative_load import (
    GATEWAY_QUEUE,
    RUNNING,
    WAITING,
    concurrency,
    record,
    weighted_average,
    window_average,
)
from policies.errors import BadInput
from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    Pod,
    PodMetrics,
    PodSample,
    Snapshot,
)

UPSTREAM = KnativeSpec(target_concurrency=10, target_utilization=1.0, max_scale_up_rate=10, max_scale_down_rate=10)
"""newTestAutoscaler: target 10, rates 10, panic threshold 2, stable window 60 s."""


def pods(ready, loading=0):
    return tuple(
        Pod(name=f"pod-{index}", phase="Running", ready="True" if index < ready else "False")
        for index in range(ready + loading)
    )


def per_pod(values):
    return PodMetrics({name: PodSample(value_milli=round(1000 * value), at_ns=0) for name, value in values.items()})


def seen(requests, *, replicas, ready=None, queue=0.0):
    """A snapshot with `requests` spread over the ready pods, a quarter of them waiting, and a gateway queue."""
    ready = replicas if ready is None else ready
    listed = pods(ready, replicas - ready)
    share = {pod.name: requests / ready for pod in listed[:ready]}
    held = {
        RUNNING: per_pod({name: 0.75 * value for name, value in share.items()}) if ready else MetricError("no pods"),
        WAITING: per_pod({name: 0.25 * value for name, value in share.items()}) if ready else MetricError("no pods"),
        GATEWAY_QUEUE: ExternalMetric((round(1000 * queue),)),
    }
    return Snapshot(replicas=replicas, pods=listed, observations=held)


@pytest.mark.parametrize(
    ("changes", "stable", "panic", "ready", "wanted"),
    [
        pytest.param({}, 50, 50, 5, 5, id="AutoscalerStableModeNoChangeAlreadyScaled"),
        pytest.param({}, 50, 100, 1, 10, id="AutoscalerPanicModeDoublePodCount"),
        pytest.param(
            {"target_concurrency": 1, "max_scale_up_rate": 1.1},
            3,
            3.1,
            2,
            3,
            id="IncreaseWithSmallScaleUpRate",
        ),
        pytest.param({"max_scale_down_rate": 1.1}, 1, 1, 100, 90, id="DecreaseWithSmallScaleDownRate"),
        pytest.param({}, 1000, 1001, 1, 10, id="RateLimitScaleUp-at-1"),
        pytest.param({}, 1000, 1001, 10, 100, id="RateLimitScaleUp-at-10"),
        pytest.param({}, 1, 1, 100, 10, id="RateLimitScaleDown-at-100"),
        pytest.param({}, 1, 1, 10, 1, id="RateLimitScaleDown-at-10"),
        pytest.param({}, 1000, 888, 0, 10, id="UseOnePodAsMinimumIfEndpointsNotFound"),
        pytest.param({}, 0, 0, 1, 0, id="StableModeNoTrafficScaleToZero"),
        pytest.param({"activation_scale": 2}, 1, 0, 1, 2, id="ActivationScale-with-load"),
        pytest.param({"activation_scale": 2}, 0, 0, 1, 0, id="ActivationScale-without-load"),
    ],
)
def test_one_scale(changes, stable, panic, ready, wanted):
    """autoscaler_test.go: one Scale() of an autoscaler that was not panicking."""
    load = Load(stable=stable, panic=panic, ready_replicas=ready)
    got, _ = scale(replace(UPSTREAM, **changes), KnativeState(), load, 0)
    assert got == wanted


PANIC = [
    pytest.param(
        [(0, 100, 100, 1, 10), (0, 100, 1000, 10, 100), (30, 1, 1, 10, 100), (61, 1, 1, 10, 1)],
        10,
        id="panic-never-shrinks-and-ends-a-stable-window-later",
    ),
    pytest.param([(0, 11, 25, 10, 25), (30, 30, 41, 40, 41), (62, 50, 56, 55, 50)], 1, id="a-slow-increase-un-panics"),
    pytest.param([(0, 11, 25, 10, 25), (30, 30, 80, 40, 80), (89, 30, 30, 80, 80)], 1, id="a-second-surge-extends-it"),
    pytest.param(
        [(0, 6, 6, 1, 6), (0, 36, 36, 6, 36), (1, 216, 216, 36, 216), (2, 1296, 1296, 216, 1296)],
        1,
        id="it-tracks-an-exponential-increase",
    ),
    pytest.param([(0, 50, 50, 1, 50 // 5), (5, 50, 30, 5, 50)], 1, id="in-panic-the-stable-window-counts-if-larger"),
    pytest.param([(0, 40, 200, 4, 20), (100, 40, 200, 4, 20), (200, 40, 200, 4, 20)], 10, id="pods-that-load-keep-it"),
]


@pytest.mark.parametrize(("timeline", "target"), PANIC)
def test_panic(timeline, target):
    """autoscaler_test.go: PanicThenUnPanicScaleDown, UnpanicAfterSlowIncrease, ExtendPanicWindow, ExponentialTrack.

    Rows: (second, stable, panic, ready, wanted). The last row is ours: the ratio is to READY pods, so as long as
    the pods that were asked for still load, the panic is armed again and again.
    """
    state = KnativeState()
    spec = replace(UPSTREAM, target_concurrency=target)
    for second, stable, panic, ready, wanted in timeline:
        load = Load(stable=stable, panic=panic, ready_replicas=ready)
        got, state = scale(spec, state, load, second * NS_PER_SECOND)
        assert got == wanted, f"at {second} s"


def test_scale_down_delay():
    """TestAutoscalerScaleDownDelay: the largest count of five minutes holds, and then each step scrolls out."""
    spec = replace(UPSTREAM, panic_threshold_percentage=10_000, scale_down_delay_seconds=300)
    state = KnativeState()
    rows = [(2, 40, 4), (300, 0, 4), (302, 0, 0), (540, 40, 4), (600, 30, 4), (660, 0, 4), (840, 0, 3), (900, 0, 0)]
    for second, load, wanted in rows:
        got, state = scale(spec, state, Load(stable=load, panic=load, ready_replicas=0), second * NS_PER_SECOND)
        assert got == wanted, f"at {second} s"


@pytest.mark.parametrize(
    ("writes", "now", "expected"),
    [
        pytest.param([(0, 10), (1, 20)], 1, 15.0, id="a-young-window-is-averaged-over-its-age"),
        pytest.param([(0, 10), (2, 20)], 2, 10.0, id="a-gap-inside-counts-as-0"),
        pytest.param([(0, 10), (1, 20)], 2, 15.0, id="missing-at-the-end-is-left-out"),
        pytest.param([(0, 10), (1, 20), (2, 30), (3, 40)], 4, 35.0, id="and-the-oldest-bucket-with-it"),
        pytest.param([(0, 10)], 2, 10.0, id="until-a-whole-window-is-silent"),
        pytest.param([(0, 10)], 3, 0.0, id="then-the-average-is-0"),
        pytest.param([(0, 10), (3, 40)], 3, 40.0, id="after-which-the-window-begins-anew"),
        pytest.param([(0, 1), (1, 1), (2, 2)], 2, 1.333333, id="six-decimals-rounded-down"),
    ],
)
def test_window_average(writes, now, expected):
    """bucketing.go, WindowAverage and Record, with buckets of 2 s in a panic window of 6 s."""
    buckets = ()
    for index, value in writes:
        buckets = record(buckets, index, float(value), 60)
    assert window_average(buckets, now, 6) == expected


def test_weighted_average_prefers_recent_buckets():
    """bucketing.go, WeightedFloat64Buckets: newer buckets weigh more, missing ones are 0."""
    smoothing = 1 - (1 - 0.9999) ** (1 / 4)
    values = [5.0, 5.0, 10.0, 10.0]
    buckets = ()
    for index, value in enumerate(values):
        buckets = record(buckets, index, value, 8)
    expected = sum(smoothing * (1 - smoothing) ** age * value for age, value in enumerate(reversed(values)))
    assert weighted_average(buckets, 3, 8) == pytest.approx(expected)
    assert weighted_average(buckets, 4, 8) == pytest.approx((1 - smoothing) * (expected - _oldest(smoothing, values)))


def _oldest(smoothing, values):
    return smoothing * (1 - smoothing) ** 3 * values[0]


def timeline(spec, rows):
    """Runs rows of (second, replicas, ready, requests, expected); the rest of the ticks are filled in between."""
    state, desired, row = KnativeState(), None, 0
    for second in range(1, rows[-1][0] + 1, 2):
        while rows[row][0] < second:
            row += 1
        _, replicas, ready, requests, expected = rows[row]
        decision, state = decide(spec, state, seen(requests, replicas=replicas, ready=ready), second * NS_PER_SECOND)
        desired = decision.desired_replicas
        if second == rows[row][0]:
            assert desired == expected, f"at {second} s: {decision.message}"
    return state


def test_to_zero_takes_the_stable_window_and_the_grace():
    """scaler_test.go: one pod until active for a stable window, inactive with it for 30 s, then none.

    Load ends after 41 s and falls out of the window at 101 s: from then on 0 is wanted. The pod was active for
    longer than a window by then, so it is marked inactive at once and gone 30 s later.
    """
    spec = KnativeSpec(target_concurrency=10, target_utilization=1.0)
    state = timeline(spec, [(41, 1, 1, 4, 1), (101, 1, 1, 0, 1), (129, 1, 1, 0, 1), (131, 1, 1, 0, 0)])
    assert state.activation.status == "inactive"


def test_retention_keeps_the_last_pod_longer():
    """scaler_test.go, "can't scale to zero after grace period, but before last pod retention"."""
    spec = KnativeSpec(target_concurrency=10, target_utilization=1.0, scale_to_zero_pod_retention_period_seconds=60)
    timeline(spec, [(41, 1, 1, 4, 1), (131, 1, 1, 0, 1), (159, 1, 1, 0, 1), (161, 1, 1, 0, 0)])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"enable_scale_to_zero": False}, 1, id="switched-off-it-stops-at-1"),
        pytest.param({"min_replicas": 2}, 2, id="or-at-min-scale"),
    ],
)
def test_without_scale_to_zero(changes, expected):
    """scaler_test.go, TestDisableScaleToZero."""
    timeline(replace(KnativeSpec(), **changes), [(601, 3, 3, 0, expected)])


def test_from_zero_the_gateway_is_what_counts():
    """Pods at zero report nothing: the queue in front of them does, and one tick is enough."""
    spec = KnativeSpec(target_concurrency=10, target_utilization=1.0)
    decision, state = decide(spec, KnativeState(), seen(0, replicas=0, queue=25), NS_PER_SECOND)
    assert (decision.desired_replicas, decision.reason) == (3, "PanicMode")
    assert "25.0 requests on average" in decision.message
    loading = replace(seen(0, replicas=3, ready=0, queue=25), observations=seen(0, replicas=0, queue=60).observations)
    decision, _ = decide(spec, state, loading, 3 * NS_PER_SECOND)
    assert decision.desired_replicas == 5, "(25 + 60) / 2 over the young window"


def test_an_activation_that_takes_too_long_is_given_up():
    """scaler_test.go, "scale to zero while activating after deadline exceeded": 600 s and 30 s of buffer."""
    spec = KnativeSpec(progress_deadline_seconds=60)
    timeline(spec, [(91, 2, 0, 0, 2), (93, 2, 0, 0, 0)])


def test_missing_metrics_change_nothing_only_once_the_window_is_empty():
    """autoscaler_test.go, NoDataNoAutoscale: no data is an invalid result; until then the last values stand."""
    spec = KnativeSpec(target_concurrency=10, target_utilization=1.0)
    blind = Snapshot(
        replicas=4, pods=pods(4), observations={RUNNING: MetricError("down"), WAITING: MetricError("down")}
    )
    decision, state = decide(spec, KnativeState(), blind, NS_PER_SECOND)
    assert (decision.desired_replicas, decision.reason) == (4, "FailedGetPodsMetric")
    decision, state = decide(spec, state, seen(40, replicas=4), 3 * NS_PER_SECOND)
    decision, state = decide(spec, state, blind, 57 * NS_PER_SECOND)
    assert decision.desired_replicas == 4
    decision, _ = decide(spec, state, blind, 67 * NS_PER_SECOND)
    assert decision.reason == "FailedGetPodsMetric"


@pytest.mark.parametrize(
    ("snapshot", "expected"),
    [
        pytest.param(seen(30, replicas=3, queue=5), 35.0, id="pods-and-gateway-add-up"),
        pytest.param(seen(30, replicas=5, ready=3), 30.0, id="pods-that-load-hold-nothing"),
        pytest.param(seen(0, replicas=2, ready=0, queue=7), 7.0, id="without-ready-pods-only-the-gateway"),
        pytest.param(
            Snapshot(
                replicas=4,
                pods=pods(4),
                observations={RUNNING: per_pod({"pod-0": 6, "pod-1": 2}), WAITING: per_pod({"pod-0": 2, "pod-1": 2})},
            ),
            24.0,
            id="pods-that-did-not-answer-hold-the-mean-of-the-others",
        ),
        pytest.param(
            Snapshot(replicas=1, pods=pods(1), observations={GATEWAY_QUEUE: ExternalMetric((9000,))}),
            9.0,
            id="a-failed-scrape-leaves-the-gateway-alone",
        ),
        pytest.param(Snapshot(replicas=1, pods=pods(1)), None, id="nothing-is-known"),
    ],
)
def test_concurrency(snapshot, expected):
    """metrics/stats_scraper.go: the mean of the scraped pods times the ready pods, and the activator's own count."""
    assert concurrency(snapshot) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"target_concurrency": 0.0}, "targetConcurrency", id="no-target"),
        pytest.param({"stable_window_seconds": 5}, r"must be in \[6, 3600\]", id="a-window-too-short"),
        pytest.param({"min_replicas": 3, "max_replicas": 2}, "minReplicas", id="bounds-crossed"),
        pytest.param({"max_scale_up_rate": 1.0}, "maxScaleUpRate", id="a-rate-that-cannot-grow"),
    ],
)
def test_nonsense_is_refused(changes, message):
    """config.go, validate."""
    with pytest.raises(BadInput, match=message):
        knative_policy(replace(KnativeSpec(), **changes))


def test_entry_builds_a_policy_that_ticks_every_two_seconds():
    """The default spec is Knative's: 70 of 100 requests a pod, no minimum, no maximum."""
    policy = ENTRY.build(ENTRY.spec())
    assert (policy.period_seconds, policy.scrape_seconds, policy.queries) == (2, 2, (RUNNING, WAITING, GATEWAY_QUEUE))
    assert policy.spec.target_concurrency * policy.spec.target_utilization == pytest.approx(70)
    assert knative_kpa.panic_window_seconds(policy.spec) == 6


LOADS = st.lists(
    st.tuples(st.none() | st.floats(0, 500), st.integers(0, 10), st.floats(0, 100)), min_size=1, max_size=30
)


def run(loads, spec, reverse=False):
    state, replicas, desired = KnativeState(), 3, []
    for tick, (requests, ready, queue) in enumerate(loads):
        ready = min(ready, replicas)
        snapshot = (
            Snapshot(replicas=replicas, pods=pods(ready, replicas - ready))
            if requests is None
            else seen(requests, replicas=replicas, ready=ready, queue=queue)
        )
        if reverse:
            snapshot = replace(
                snapshot,
                pods=snapshot.pods[::-1],
                observations=dict(reversed([(key, _reversed(value)) for key, value in snapshot.observations.items()])),
            )
        decision, state = decide(spec, state, snapshot, (1 + 2 * tick) * NS_PER_SECOND)
        replicas = decision.desired_replicas
        desired.append(decision)
    return desired, state


def _reversed(value):
    return PodMetrics(dict(reversed(value.samples.items()))) if isinstance(value, PodMetrics) else value


@settings(max_examples=60)
@given(loads=LOADS, low=st.integers(0, 4), span=st.integers(0, 30))
def test_bounds_hold_and_a_replay_is_equal_whatever_the_order_of_pods(loads, low, span):
    """From within the bounds it stays there, except for the last pods' way to zero, which a minimum of 0 allows."""
    spec = KnativeSpec(target_concurrency=10, min_replicas=min(low, 3), max_replicas=3 + span)
    decisions, state = run(loads, spec)
    assert all(spec.min_replicas <= each.desired_replicas <= spec.max_replicas for each in decisions)
    assert run(loads, spec) == (decisions, state)
    assert run(loads, spec, reverse=True) == (decisions, state)
