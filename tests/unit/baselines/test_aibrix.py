"""AIBrix' APA and KPA against its own tests and code: dead band, doubling, windows, guard, inverse cooldown.

Upstream: vllm-project/aibrix pkg/controller/podautoscaler, algorithm/{apa,kpa}_test.go (commit 2aff67a4),
autoscaler_test.go (commit 029a38b1), podautoscaler_controller.go (commit 015a2e5f).
"""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.baselines.aibrix import ENTRIES, AibrixState, apa_policy, decide, kpa_policy
from policies.baselines.aibrix_algorithms import (
    AibrixKpaSpec,
    AibrixSpec,
    Recommendation,
    apa_replicas,
    guarded,
    kpa_replicas,
    recommend,
)
from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND, MetricError, MetricQuery, Pod, PodMetrics, PodSample, Snapshot

METRIC = MetricQuery(type="Pods", name="vllm:num_requests_running")
APA = AibrixSpec(target_value=30.0)
KPA = AibrixKpaSpec(target_value=10.0)


def seen(mean, *, replicas, ready=None):
    """`replicas` pods of which `ready` answer, each with the mean; None: none answers."""
    ready = replicas if ready is None else ready
    pods = tuple(
        Pod(name=f"pod-{index}", phase="Running", ready="True" if index < ready else "False")
        for index in range(replicas)
    )
    samples = {pod.name: PodSample(value_milli=round(1000 * (mean or 0)), at_ns=0) for pod in pods[:ready]}
    answer = MetricError("no metrics returned") if mean is None else PodMetrics(samples)
    return Snapshot(replicas=replicas, pods=pods, observations={METRIC: answer})


@pytest.mark.parametrize(
    ("changes", "current", "value", "expected"),
    [
        pytest.param({}, 2, 45, 3, id="basic_scale_up"),
        pytest.param({}, 2, 35, 3, id="scale_up_upto_ceiling"),
        pytest.param({}, 2, 90, 4, id="scale_up_upto_max_scale_up"),
        pytest.param({"max_scale_up_rate": 2.5}, 2, 90, 5, id="scale_up_upto_max_scale_up_ceiling"),
        pytest.param({}, 6, 20, 4, id="basic_scale_down"),
        pytest.param({}, 6, 18, 4, id="scale_down_upto_ceiling"),
        pytest.param({}, 6, 10, 3, id="scale_down_upto_max_scale_down"),
        pytest.param({"max_scale_down_rate": 2.5}, 6, 5, 2, id="scale_down_upto_max_scale_down_floor"),
        pytest.param({}, 2, 33, 2, id="no_scaling_as_within_up_tolerance"),
        pytest.param({}, 2, 27, 2, id="no_scaling_as_within_down_tolerance"),
    ],
)
def test_apa(changes, current, value, expected):
    """apa_test.go, TestAPAAlgorithm_ComputeTargetReplicas, its rows by name."""
    assert apa_replicas(replace(APA, **changes), current, value) == expected


@pytest.mark.parametrize(
    ("changes", "current", "stable", "panic", "panicking", "expected"),
    [
        pytest.param({}, 2, 20, 20, False, 2, id="stable_mode_basic_scaling"),
        pytest.param({}, 2, 30, 40, True, 4, id="panic_mode_scaling_up"),
        pytest.param({}, 1, 0, 0, False, 0, id="scale_to_zero"),
        pytest.param({"max_scale_up_rate": 1.5}, 2, 100, 100, False, 3, id="max_scale_up_rate_limit"),
        pytest.param({}, 4, 5, 5, False, 2, id="max_scale_down_rate_limit"),
        pytest.param({}, 5, 20, 20, True, 2, id="panic-does-not-latch-in-the-base-context"),
        pytest.param({}, 3, 10.9, 10.9, False, 3, id="within-the-dead-band-nothing-changes"),
    ],
)
def test_kpa(changes, current, stable, panic, panicking, expected):
    """kpa_test.go, TestKPAAlgorithm_ComputeTargetReplicas, its rows by name; the last two are from the code.

    Upstream's row panic_mode_no_scale_down gives its mock a remembered maximum of 5; the real context
    (context.go, GetMaxPanicPods) always says 0, so the fleet of 5 shrinks to floor(5 / 2) in panic.
    """
    assert kpa_replicas(replace(KPA, **changes), current, stable, panic, panicking=panicking) == expected


@pytest.mark.parametrize(
    ("spec", "value", "current", "ready", "expected"),
    [
        pytest.param(AibrixKpaSpec(), 250, 4, 2, 4, id="kpa scale-up adjusted"),
        pytest.param(AibrixKpaSpec(), 350, 4, 3, 6, id="kpa scale-up dampened"),
        pytest.param(AibrixKpaSpec(), 10, 10, 5, 6, id="kpa scale-down adjusted"),
        pytest.param(AibrixSpec(), 90, 4, 2, 4, id="apa scale-up adjusted"),
        pytest.param(AibrixSpec(), 10, 4, 2, 3, id="apa scale-down adjusted"),
        pytest.param(AibrixSpec(), 90, 4, 4, 8, id="DoesNotHoldWhenNoReplicasPending"),
    ],
)
def test_pending_guard(spec, value, current, ready, expected):
    """autoscaler_test.go, AdjustsKPAAPAConservativelyWhenReplicasPending: target 50, rate 4, by name."""
    spec = replace(spec, target_value=50.0, max_scale_up_rate=4.0)
    proposed = recommend(spec, current, stable=value, panic=value)
    assert guarded(spec, proposed, current, ready) == expected


def test_the_guard_never_turns_a_change_around():
    """autoscaler.go: at most back to the present count, never further than the proposal."""
    spec = AibrixSpec(target_value=50.0)
    assert guarded(spec, Recommendation(replicas=8, value=90, mode=""), 4, 0) == 4
    assert guarded(spec, Recommendation(replicas=2, value=49, mode=""), 4, 1) == 4


def run(policy, rows):
    """Rows of (second, mean, replicas, ready, expected desired)."""
    state = policy.initial_state
    decisions = []
    for second, mean, replicas, ready, expected in rows:
        decision, state = decide(policy.spec, state, seen(mean, replicas=replicas, ready=ready), second * NS_PER_SECOND)
        assert decision.desired_replicas == expected, f"at {second} s: {decision.message}"
        decisions.append(decision)
    return decisions


NO_WINDOW = {"stable_window_seconds": 1, "panic_window_seconds": 1}


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([(0, 64, 1, 1, 2), (10, 64, 2, 2, 4), (20, 64, 4, 4, 8)], id="it-doubles-every-resync"),
        pytest.param([(0, 32, 1, 1, 2), (10, 32, 2, 1, 2), (20, 32, 2, 2, 4)], id="unless-pods-are-still-starting"),
        pytest.param([(0, 16, 4, 4, 4), (10, 1, 4, 4, 2), (20, 1, 2, 2, 1)], id="it-halves-on-the-first-quiet-resync"),
        pytest.param(
            [(0, 2, 4, 4, 2), (10, 60, 2, 2, 4), (20, 60, 4, 4, 8), (60, 14, 8, 8, 2)],
            id="going-down-takes-the-lowest-of-300-s-and-not-what-is-needed-now",
        ),
        pytest.param(
            [(0, 2, 4, 4, 2), (10, 60, 2, 2, 4), (309, 14, 8, 8, 4), (310, 14, 8, 8, 7)], id="until-it-is-300-s-old"
        ),
        pytest.param([(0, 60, 20, 20, 20), (10, 60, 30, 30, 20)], id="bounds-cut-at-once"),
        pytest.param([(0, None, 4, 4, 4), (10, None, 30, 30, 20)], id="without-a-sample-only-the-bounds-act"),
        pytest.param([(0, None, 0, 0, 0)], id="a-scale-of-zero-is-left-alone"),
    ],
)
def test_apa_timeline(rows):
    """podautoscaler_controller.go, stabilizeRecommendation and computeScaleDecision: target 16, no averaging.

    The fourth row is the flaw of the cooldown: at 60 s the load needs 7 of 8 pods, but 2 were wanted once.
    """
    run(apa_policy(AibrixSpec(down_tolerance=0.1, **NO_WINDOW)), rows)


def test_the_inverse_cooldown_drops_below_the_need():
    """stabilizeRecommendation: max on the way up, min on the way down, in words."""
    rows = [(0, 2, 4, 4, 2), (10, 60, 2, 2, 4), (60, 14, 8, 8, 2)]
    decision = run(apa_policy(AibrixSpec(**NO_WINDOW)), rows)[-1]
    assert decision.reason == "Cooldown"
    assert decision.message == (
        "8 -> 2 replicas: vllm:num_requests_running is 14 a pod on average (target 16), over 1 s: wants 7, "
        "2 was asked for within the cooldown window"
    )


def test_windows_average_a_value_per_resync():
    """autoscaler_test.go, ConfiguresMetricWindowsFromPodAutoscalerSpec: 10, then 70 a minute later: 40 and 70.

    70 / 40 is below the panic threshold of 2; APA would take the 40 as well.
    """
    spec = AibrixKpaSpec(target_value=50.0, stable_window_seconds=120, panic_window_seconds=30)
    decisions = run(kpa_policy(spec), [(0, 10, 1, 1, 1), (60, 70, 1, 1, 1)])
    assert decisions[-1].numbers["metric_per_pod"] == 40.0
    assert decisions[-1].message.endswith("40 a pod on average (target 50), over 120 s: wants 1")
    spec = replace(spec, panic_threshold=1.5)
    assert run(kpa_policy(spec), [(0, 10, 1, 1, 1), (60, 70, 1, 1, 2)])[-1].numbers["metric_per_pod"] == 70.0


def test_kpa_of_a_mean_asks_for_few_pods_at_any_size():
    """kpa.go divides the mean per pod by the target: twice the target is 2 pods, for a fleet of 10 as well."""
    rows = [(0, 32, 10, 10, 5), (10, 32, 5, 5, 2), (20, 32, 2, 2, 2)]
    run(kpa_policy(AibrixKpaSpec()), rows)
    assert recommend(AibrixKpaSpec(multiply_by_pods=True), 10, stable=32, panic=32).replicas == 20


@pytest.mark.parametrize(
    ("build", "spec", "message"),
    [
        pytest.param(apa_policy, AibrixSpec(target_value=0.0), "targetValue", id="a-target-of-0"),
        pytest.param(apa_policy, AibrixSpec(min_replicas=0), r"must be in \[1, 20\]", id="a-minimum-of-0"),
        pytest.param(
            kpa_policy, AibrixKpaSpec(panic_window_seconds=300), "panicWindowSeconds", id="panic-window-longer"
        ),
        pytest.param(
            kpa_policy, AibrixKpaSpec(stable_window_seconds=7200), "observeWindow", id="a-window-over-an-hour"
        ),
        pytest.param(kpa_policy, AibrixKpaSpec(panic_threshold=0.0), "panicThreshold", id="panic-always"),
    ],
)
def test_nonsense_is_refused(build, spec, message):
    """podautoscaler_controller.go, validateReplicaBounds and validateMetricWindows."""
    with pytest.raises(BadInput, match=message):
        build(spec)


def test_entries_build_policies_that_resync_every_ten_seconds():
    """Both strategies, their knob the target."""
    assert [entry.name for entry in ENTRIES] == ["aibrix-apa", "aibrix-kpa"]
    for entry in ENTRIES:
        policy = entry.build(entry.spec())
        assert (policy.period_seconds, policy.queries, policy.initial_state) == (10, (METRIC,), AibrixState())


@settings(max_examples=60)
@given(
    is_kpa=st.booleans(),
    low=st.integers(1, 3),
    span=st.integers(0, 30),
    rows=st.lists(st.tuples(st.none() | st.floats(0, 200), st.integers(0, 12)), min_size=1, max_size=30),
)
def test_bounds_hold_and_a_replay_is_equal_whatever_the_order_of_pods(is_kpa, low, span, rows):
    """From within the bounds it never leaves them."""
    kind = AibrixKpaSpec if is_kpa else AibrixSpec
    spec = kind(min_replicas=low, max_replicas=low + span)

    def decisions(backwards):
        state, replicas, made = AibrixState(), low, []
        for tick, (mean, ready) in enumerate(rows):
            snapshot = seen(mean, replicas=replicas, ready=min(ready, replicas))
            if backwards:
                snapshot = replace(snapshot, pods=snapshot.pods[::-1])
            decision, state = decide(spec, state, snapshot, tick * 10 * NS_PER_SECOND)
            replicas = decision.desired_replicas
            made.append((decision, state))
        return made

    made = decisions(backwards=False)
    assert all(low <= decision.desired_replicas <= low + span for decision, _ in made)
    assert decisions(backwards=False) == made == decisions(backwards=True)
