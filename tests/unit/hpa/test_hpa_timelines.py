"""Whole runs of the HPA, sync by sync, short enough to check by eye.

The scale target obeys at once: the pods of a sync are as many as the last decision asked for. A row is
(second, usage per pod, wanted replicas, reason); usage None is a metric that fails.
"""

import pytest

from policies.hpa import (
    ControllerOptions,
    HPASpec,
    HPAState,
    MetricSpec,
    ScalingPolicy,
    decide,
    default_behavior,
    parse_quantity,
    propose,
    rescale_failed,
    scale_down_rules,
    scale_unreadable,
    scale_up_rules,
)
from policies.snapshot import (
    NS_PER_SECOND,
    ExternalMetric,
    MetricError,
    Pod,
    PodMetrics,
    PodSample,
    Snapshot,
)

START_NS = 1_800_000_000 * NS_PER_SECOND
WAITING = MetricSpec(type="Pods", name="vllm:num_requests_waiting", average_value_milli=10_000)
QUEUE = MetricSpec(type="External", name="queue_depth", average_value_milli=10_000)
READY, HELD = "ReadyForNewScale", "ScaleDownStabilized"


def at(second):
    return START_NS + second * NS_PER_SECOND


def spec(*, metrics=(WAITING,), behavior=None, minimum=1, maximum=20, **options):
    return HPASpec(
        min_replicas=minimum,
        max_replicas=maximum,
        metrics=metrics,
        behavior=behavior,
        controller=ControllerOptions(**options),
    )


def running(count, start=0):
    return tuple(Pod(name=f"p{index}", phase="Running", ready="True") for index in range(start, start + count))


def waiting(usage, pods):
    """Every pod reports `usage` requests."""
    if usage is None:
        return MetricError("the server could not find the metric")
    return PodMetrics({pod.name: PodSample(value_milli=round(usage * 1000), at_ns=START_NS) for pod in pods})


def pods_metric_snapshot(replicas, usage, *, missing=0, pending=0):
    """`replicas` pods, of which the last `missing` report nothing and `pending` have not started."""
    measured = running(replicas - missing - pending)
    silent = running(missing, start=len(measured))
    young = tuple(Pod(name=f"young{index}", phase="Pending", ready="False") for index in range(pending))
    return Snapshot(
        replicas=replicas,
        pods=measured + silent + young,
        observations={WAITING.query: waiting(usage, measured)},
    )


def queue_snapshot(replicas, total):
    answer = MetricError("no metrics returned") if total is None else ExternalMetric((round(total * 1000),))
    return Snapshot(replicas=replicas, pods=running(replicas), observations={QUEUE.query: answer})


def follow(timeline, hpa, replicas, snapshot=pods_metric_snapshot, state=None):
    state = state or HPAState()
    for second, usage, wanted, reason in timeline:
        decision, state = decide(hpa, state, snapshot(replicas, usage), at(second))
        assert (decision.desired_replicas, decision.reason) == (wanted, reason), f"at {second} s: {decision}"
        replicas = decision.desired_replicas
    return state


def window(seconds):
    return default_behavior(scale_down=scale_down_rules(stabilization_window_seconds=seconds))


ONE_POD_A_MINUTE = (ScalingPolicy(type="Pods", value=1, period_seconds=60),)
HALF_OR_THREE = (
    ScalingPolicy(type="Percent", value=50, period_seconds=60),
    ScalingPolicy(type="Pods", value=3, period_seconds=60),
)


@pytest.mark.parametrize(
    ("hpa", "replicas", "timeline"),
    [
        pytest.param(
            spec(),
            4,
            [(0, 10, 4, READY), (15, 5, 4, HELD), (300, 5, 4, HELD), (301, 5, 2, READY)],
            id="scale-down-waits-until-the-last-higher-recommendation-is-older-than-the-window",
        ),
        pytest.param(
            spec(behavior=window(300)),
            4,
            [(0, 10, 4, READY), (299, 5, 4, HELD), (300, 5, 2, READY)],
            id="with-a-behavior-a-recommendation-exactly-as-old-as-the-window-is-out",
        ),
        pytest.param(
            spec(behavior=window(0)),
            4,
            [(0, 5, 2, READY), (15, 20, 4, READY)],
            id="a-window-of-zero-scales-down-at-the-first-sync",
        ),
        pytest.param(
            spec(downscale_stabilization_seconds=60, behavior=default_behavior()),
            4,
            [(0, 10, 4, READY), (59, 5, 4, HELD), (60, 5, 2, READY)],
            id="a-behavior-without-a-scale-down-window-takes-the-controller's",
        ),
        pytest.param(
            spec(
                behavior=default_behavior(scale_up=scale_up_rules(stabilization_window_seconds=60)),
            ),
            2,
            [(0, 20, 2, "ScaleUpStabilized"), (15, 20, 2, "ScaleUpStabilized"), (60, 20, 4, READY)],
            id="a-scale-up-window-takes-the-lowest-recent-recommendation",
        ),
        pytest.param(
            spec(),
            3,
            [(0, 100, 6, "ScaleUpLimit"), (15, 100, 12, "ScaleUpLimit"), (30, 100, 20, "TooManyReplicas")],
            id="without-a-behavior-one-sync-at-most-doubles-up-to-the-maximum",
        ),
        pytest.param(
            spec(),
            1,
            [(0, 100, 4, "ScaleUpLimit")],
            id="without-a-behavior-few-replicas-may-become-four",
        ),
        pytest.param(
            spec(behavior=default_behavior(scale_up=scale_up_rules(policies=ONE_POD_A_MINUTE))),
            2,
            [
                (0, 30, 3, "ScaleUpLimit"),
                (15, 30, 3, "ScaleUpLimit"),
                (59, 30, 3, "ScaleUpLimit"),
                (60, 30, 4, "ScaleUpLimit"),
            ],
            id="a-policy-counts-what-was-added-within-its-period",
        ),
        pytest.param(
            spec(behavior=default_behavior(scale_up=scale_up_rules(policies=HALF_OR_THREE))),
            4,
            [(0, 100, 7, "ScaleUpLimit")],
            id="selectPolicy-Max-takes-the-policy-that-allows-more",
        ),
        pytest.param(
            spec(behavior=default_behavior(scale_up=scale_up_rules(policies=HALF_OR_THREE, select_policy="Min"))),
            4,
            [(0, 100, 6, "ScaleUpLimit")],
            id="selectPolicy-Min-takes-the-policy-that-allows-less",
        ),
        pytest.param(
            spec(
                behavior=default_behavior(
                    scale_down=scale_down_rules(stabilization_window_seconds=0, select_policy="Disabled")
                )
            ),
            4,
            [(0, 1, 4, "ScaleDownLimit"), (600, 1, 4, "ScaleDownLimit")],
            id="selectPolicy-Disabled-never-scales-down",
        ),
        pytest.param(
            spec(
                behavior=default_behavior(
                    scale_down=scale_down_rules(stabilization_window_seconds=0, policies=ONE_POD_A_MINUTE)
                )
            ),
            4,
            [(0, 1, 3, "ScaleDownLimit"), (30, 1, 3, "ScaleDownLimit"), (60, 1, 2, "ScaleDownLimit")],
            id="scale-down-follows-its-own-policies",
        ),
        pytest.param(
            spec(minimum=3, behavior=window(0)),
            4,
            [(0, 1, 3, "TooFewReplicas")],
            id="the-minimum-holds",
        ),
        pytest.param(
            spec(behavior=window(0)),
            10,
            [(0, 11, 10, READY), (15, 11.001, 12, READY), (30, 9, 12, READY), (45, 8.999, 11, READY)],
            id="a-tenth-off-target-is-still-tolerated",
        ),
        pytest.param(
            spec(
                behavior=default_behavior(
                    scale_up=scale_up_rules(tolerance=parse_quantity("0")),
                    scale_down=scale_down_rules(stabilization_window_seconds=0, tolerance=parse_quantity("500m")),
                )
            ),
            10,
            [(0, 10.001, 11, READY), (15, 5, 11, READY), (30, 4.99, 6, READY)],
            id="each-direction-has-its-own-tolerance",
        ),
        pytest.param(
            spec(
                hpa_configurable_tolerance=False,
                behavior=default_behavior(scale_up=scale_up_rules(tolerance=parse_quantity("0"))),
            ),
            10,
            [(0, 10.5, 10, READY)],
            id="with-the-gate-off-the-behavior's-tolerance-is-ignored",
        ),
        pytest.param(
            spec(behavior=window(0)),
            4,
            [(0, None, 4, "FailedGetPodsMetric"), (600, None, 4, "FailedGetPodsMetric"), (615, 5, 2, READY)],
            id="a-metric-that-fails-holds-the-scale-however-long",
        ),
        pytest.param(
            spec(),
            4,
            [(0, 10, 4, READY), (400, None, 4, "FailedGetPodsMetric"), (415, 5, 2, READY)],
            id="an-outage-is-no-vote-for-the-present-scale",
        ),
    ],
)
def test_timeline(hpa, replicas, timeline):
    follow(timeline, hpa, replicas)


@pytest.mark.parametrize(
    ("usage", "missing", "pending", "wanted"),
    [
        pytest.param(20, 0, 0, 20, id="twice-the-target-doubles"),
        pytest.param(20, 5, 0, 10, id="up-missing-pods-use-nothing-and-may-cancel-the-change"),
        pytest.param(30, 5, 0, 15, id="up-missing-pods-use-nothing-and-damp-the-change"),
        pytest.param(30, 0, 5, 15, id="up-pending-pods-use-nothing"),
        pytest.param(5, 0, 0, 5, id="half-the-target-halves"),
        pytest.param(5, 2, 0, 6, id="down-missing-pods-sit-at-the-target"),
        pytest.param(9.5, 5, 0, 10, id="down-within-tolerance-holds"),
        pytest.param(5, 0, 4, 3, id="down-pending-pods-are-left-out"),
        pytest.param(10, 5, 0, 10, id="at-the-target-missing-pods-change-nothing"),
    ],
)
def test_pods_without_a_sample_damp_the_change(usage, missing, pending, wanted):
    """Ten pods, some silent: what is not known is taken against the direction of the change."""
    snapshot = pods_metric_snapshot(10, usage, missing=missing, pending=pending)
    decision, _ = decide(spec(behavior=window(0)), HPAState(), snapshot, START_NS)
    assert decision.desired_replicas == wanted, decision


@pytest.mark.parametrize(
    ("usage", "queue", "wanted", "reason"),
    [
        pytest.param(5, None, 4, "FailedGetExternalMetric", id="never-down-on-partial-data"),
        pytest.param(20, None, 8, READY, id="up-on-the-metric-that-works"),
        pytest.param(None, None, 4, "FailedGetPodsMetric", id="the-first-failure-names-the-reason"),
        pytest.param(5, 60, 6, READY, id="the-largest-proposal-wins"),
        pytest.param(5, 30, 3, READY, id="down-when-all-agree"),
    ],
)
def test_several_metrics(usage, queue, wanted, reason):
    """Four pods; the queue's target is 10 per pod."""
    pods = running(4)
    answer = MetricError("timeout") if queue is None else ExternalMetric((queue * 1000,))
    observations = {WAITING.query: waiting(usage, pods), QUEUE.query: answer}
    snapshot = Snapshot(replicas=4, pods=pods, observations=observations)
    hpa = spec(metrics=(WAITING, QUEUE), behavior=window(0))
    decision, _ = decide(hpa, HPAState(), snapshot, START_NS)
    assert (decision.desired_replicas, decision.reason) == (wanted, reason), decision


def test_a_metric_that_the_snapshot_does_not_hold_counts_as_failed():
    """Missing is never zero."""
    decision, _ = decide(spec(), HPAState(), Snapshot(replicas=4, pods=running(4)), START_NS)
    assert decision.desired_replicas == 4
    assert decision.reason == "FailedGetPodsMetric"


TO_ZERO = spec(metrics=(QUEUE,), minimum=0, behavior=window(0), hpa_scale_to_zero=True)


def test_scale_to_zero_and_back():
    """With the gate on, an empty queue takes the target to 0 and a full one brings it back."""
    timeline = [(0, 0, 0, READY), (15, 0, 0, READY), (30, None, 0, "FailedGetExternalMetric"), (45, 30, 3, READY)]
    state = follow(timeline[:2], TO_ZERO, 2, queue_snapshot)
    assert state.conditions.by_type()["ScaledToZero"].status == "True"
    state = follow(timeline[2:], TO_ZERO, 0, queue_snapshot, state)
    assert state.conditions.by_type()["ScaledToZero"].reason == "NotScaledToZero"


def test_a_zero_that_somebody_else_set_is_left_alone():
    """A person's 0 means "off"."""
    follow([(0, 50, 0, "ScalingDisabled"), (15, 50, 0, "ScalingDisabled")], TO_ZERO, 0, queue_snapshot)
    follow([(0, 50, 0, "ScalingDisabled")], spec(metrics=(QUEUE,)), 0, queue_snapshot)


def test_our_zero_survives_a_controller_restart():
    """The condition is in the HPA's status, so a new controller knows whose 0 it is."""
    state = follow([(0, 0, 0, READY)], TO_ZERO, 2, queue_snapshot).after_controller_restart()
    follow([(15, 20, 2, READY)], TO_ZERO, 0, queue_snapshot, state)


def test_our_zero_returns_to_a_minimum_that_was_raised_meanwhile():
    state = follow([(0, 0, 0, READY)], TO_ZERO, 2, queue_snapshot)
    raised = spec(metrics=(QUEUE,), minimum=2, behavior=window(0), hpa_scale_to_zero=True)
    decision, _ = decide(raised, state, queue_snapshot(0, 0), at(15))
    assert decision.desired_replicas == 2


def test_a_gate_that_was_turned_off_drops_the_condition_only_with_a_rescale_or_at_zero():
    """reconcileAutoscaler calls removeCondition(ScaledToZero) in these two places and nowhere else (v1.36.3)."""
    ours = follow([(0, 0, 0, READY)], TO_ZERO, 2, queue_snapshot)
    gate_off = spec(metrics=(QUEUE,), behavior=window(0))
    held = follow([(15, 30, 3, READY)], gate_off, 3, queue_snapshot, ours)
    assert held.conditions.scaled_to_zero is not None
    assert follow([(30, 50, 5, READY)], gate_off, 3, queue_snapshot, held).conditions.scaled_to_zero is None
    assert follow([(15, 30, 0, "ScalingDisabled")], gate_off, 0, queue_snapshot, ours).conditions.scaled_to_zero is None


@pytest.mark.parametrize(
    ("replicas", "wanted", "reason"),
    [
        pytest.param(30, 20, "TooManyReplicas", id="above-the-maximum-at-once"),
        pytest.param(1, 3, "TooFewReplicas", id="below-the-minimum-at-once"),
    ],
)
def test_a_manual_scale_out_of_bounds_is_put_right_without_metrics(replicas, wanted, reason):
    hpa = spec(minimum=3, behavior=window(300))
    decision, state = decide(hpa, HPAState(), pods_metric_snapshot(replicas, None), START_NS)
    assert (decision.desired_replicas, decision.reason) == (wanted, reason)
    assert len((*state.scale_up_events, *state.scale_down_events)) == 1


def test_a_manual_scale_within_bounds_is_stabilized_like_any_other():
    """Somebody doubles a steady target; the recommendation does not follow, the window holds both."""
    state = follow([(0, 10, 4, READY)], spec(), 4)
    follow([(15, 5, 4, READY)], spec(), 8, state=state)


def test_a_restart_forgets_the_window_but_starts_from_the_present_scale():
    """The first sync of a new controller recommends what is there, so nothing drops at once."""
    state = follow([(0, 10, 8, READY), (250, 5, 8, HELD)], spec(), 8)
    restarted = state.after_controller_restart()
    assert restarted.conditions == state.conditions
    timeline = [(265, 5, 8, HELD), (310, 5, 8, HELD), (565, 5, 8, HELD), (566, 5, 4, READY)]
    follow(timeline, spec(), 8, state=restarted)


def test_a_write_that_fails_stores_no_event_and_keeps_the_recommendation():
    hpa = spec(behavior=window(0))
    proposal, state = propose(hpa, HPAState(), pods_metric_snapshot(4, 20), START_NS)
    assert proposal.rescale
    assert proposal.desired_replicas == 8
    state = rescale_failed(state, "conflict", START_NS)
    assert state.conditions.by_type()["AbleToScale"].reason == "FailedUpdateScale"
    assert state.scale_up_events == ()
    assert state.recommendations[-1].replicas == 8


def test_a_scale_that_cannot_be_read_decides_nothing():
    state = scale_unreadable(HPAState(), "not found", START_NS)
    assert state.conditions.by_type()["AbleToScale"].reason == "FailedGetScale"
    assert state.recommendations == ()


def test_the_message_gives_usage_target_and_replicas():
    """One decision prints as one readable sentence, and its numbers say the same."""
    decision, _ = decide(spec(maximum=6), HPAState(), pods_metric_snapshot(4, 16.5), START_NS)
    assert decision.message == (
        "4 -> 6 replicas: vllm:num_requests_waiting is 16.5 per pod (target 10), wants 7, TooManyReplicas at 6"
    )
    assert decision.numbers == {
        "replicas": 4,
        "desired_replicas": 6,
        "vllm:num_requests_waiting_target_milli": 10_000,
        "vllm:num_requests_waiting_usage_milli": 16_500,
        "vllm:num_requests_waiting_replicas": 7,
        "unstabilized_replicas": 7,
        "stabilized_replicas": 7,
    }
