"""The HPA presets on short timelines, worked out by hand from upstream's documents.

k8s: kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale ("Algorithm details": desiredReplicas =
ceil(currentReplicas x currentMetricValue / desiredMetricValue), tolerance 0.1, pods that are not ready count 0 on
the way up and pods without a metric 0 up and 100 % down; "Default Behavior": +4 pods or +100 % in 15 s, 300 s
window down). gke: .../machine-learning/inference/autoscaling (which metric, which starting target).

A row is (second, value per measured pod, pods that start, wanted replicas, reason); value None is a metric that
fails. The value of an External metric is the total.
"""

from typing import Any

import pytest

from policies.baselines.hpa_presets import ENTRIES
from policies.errors import BadInput
from policies.hpa import MetricSpec
from policies.policy import Policy, Running
from policies.snapshot import (
    NS_PER_SECOND,
    Container,
    ExternalMetric,
    MetricError,
    Observation,
    Pod,
    PodMetrics,
    PodSample,
    Snapshot,
)

BY_NAME = {entry.name: entry for entry in ENTRIES}
START_NS = 1_800_000_000 * NS_PER_SECOND
READY, HELD, UP_LIMIT = "ReadyForNewScale", "ScaleDownStabilized", "ScaleUpLimit"
Row = tuple[int, float | None, int, int, str]


def pods(count: int, starting: int) -> tuple[Pod, ...]:
    container = Container(name="vllm", requests_milli={"cpu": 1000})
    ready = count - starting
    return tuple(
        Pod(
            name=f"p{index}",
            phase="Running" if index < ready else "Pending",
            ready="True" if index < ready else "False",
            start_ns=START_NS - 3600 * NS_PER_SECOND if index < ready else None,
            ready_transition_ns=START_NS - 3000 * NS_PER_SECOND,
            containers=(container,),
        )
        for index in range(count)
    )


def observation(metric: MetricSpec, value: float | None, measured: tuple[Pod, ...]) -> Observation:
    if value is None:
        return MetricError("no metrics returned")
    milli = round(value * 1000)
    if metric.type == "External":
        return ExternalMetric((milli,))
    return PodMetrics({pod.name: PodSample(value_milli=milli, at_ns=START_NS) for pod in measured})


def follow(policy: Policy[Any, Any], replicas: int, timeline: list[Row]) -> None:
    running = Running.start(policy)
    (metric,) = policy.spec.metrics
    for second, value, starting, wanted, reason in timeline:
        there = pods(replicas, starting)
        measured = tuple(pod for pod in there if pod.is_ready)
        snapshot = Snapshot(
            replicas=replicas, pods=there, observations={metric.query: observation(metric, value, measured)}
        )
        decision = running.step(snapshot, START_NS + second * NS_PER_SECOND)
        assert (decision.desired_replicas, decision.reason) == (wanted, reason), f"at {second} s: {decision.message}"
        replicas = decision.desired_replicas


@pytest.mark.parametrize(
    ("name", "replicas", "timeline"),
    [
        pytest.param(
            "hpa-total-demand",
            3,
            # 80 / 16 = 5 pods; at the next sync the 5 exist, two of them starting: 80 / (16 x 5) = 1, hold
            [(0, 80, 0, 5, READY), (15, 80, 2, 5, READY), (30, 80, 2, 5, READY)],
            id="total-demand-is-not-asked-for-twice-while-pods-start",
        ),
        pytest.param(
            "hpa-total-demand",
            5,
            # 32 / 16 = 2; the window holds the 5 that the first sync recommended for 300 s
            [(0, 80, 0, 5, READY), (15, 32, 0, 5, HELD), (299, 32, 0, 5, HELD), (300, 32, 0, 2, READY)],
            id="total-demand-that-fell-waits-the-window-then-goes-to-its-ratio-at-once",
        ),
        pytest.param(
            "hpa-total-demand",
            4,
            [(0, None, 0, 4, "FailedGetExternalMetric"), (15, 200, 0, 8, UP_LIMIT), (30, 200, 4, 13, READY)],
            id="total-demand-without-data-holds-and-then-takes-two-syncs-to-triple",  # 200 / 16 = 12.5
        ),
        pytest.param(
            "hpa-queue",
            2,
            # 5.4 / 5 = 1.08 and 4.6 / 5 = 0.92: within 0.1 of the target
            [(0, 5.4, 0, 2, READY), (15, 4.6, 0, 2, READY), (30, 5.6, 0, 3, READY)],
            id="queue-within-a-tenth-of-the-target-changes-nothing",
        ),
        pytest.param(
            "hpa-queue",
            2,
            # 20 / 5 x 2 = 8, at most +4. Then 2 of 6 pods report 20: (2 x 20 + 4 x 0) / 6 / 5 x 6 = 8, and so on
            [(0, 20, 0, 6, UP_LIMIT), (15, 20, 4, 8, READY), (30, 30, 6, 12, READY), (45, 40, 10, 16, READY)],
            id="queue-that-grows-during-a-cold-start-is-asked-for-again-and-again",
        ),
        pytest.param(
            "hpa-queue",
            3,
            [(0, 5, 0, 3, READY), (15, 0, 0, 3, HELD), (300, 0, 0, 1, "TooFewReplicas")],
            id="queue-of-zero-goes-to-the-minimum-after-the-window",
        ),
        pytest.param(
            "hpa-batch-size",
            1,
            # gke codelab's `50 / 10` with one pod: ceil(1 x 50 / 10) = 5, which is 1 + 4
            [(0, 50, 0, 5, READY), (15, 10, 0, 5, READY)],
            id="batch-of-fifty-at-a-target-of-ten-makes-five",
        ),
        pytest.param(
            "hpa-batch-size",
            4,
            # 2 of 4 report 12: above the target, so the starting two count 0: 24 / 4 = 6 < 10 turns round: hold
            [(0, 12, 2, 4, READY), (15, 12, 0, 5, READY)],
            id="batch-size-of-half-the-pods-cannot-turn-the-direction",
        ),
        pytest.param(
            "hpa-batch-size",
            6,
            [(0, 10, 0, 6, READY), (15, 4, 0, 6, HELD), (30, None, 0, 6, "FailedGetPodsMetric"), (330, 4, 0, 3, READY)],
            id="batch-size-without-data-keeps-the-scale",  # 6 x 4 / 10 = 2.4 -> 3
        ),
        pytest.param(
            "hpa-duty-cycle",
            4,
            # saturated is all it can say: 100 / 60 x 4 = 6.7 -> 7, then 7 x 100 / 60 = 11.7 -> 12
            [(0, 100, 0, 7, READY), (15, 100, 0, 12, READY)],
            id="duty-cycle-of-a-hundred-percent-never-asks-for-more-than-five-thirds",
        ),
        pytest.param(
            "hpa-duty-cycle",
            10,
            [(0, 60, 0, 10, READY), (15, 55, 0, 10, READY), (30, 53, 0, 10, HELD)],
            id="duty-cycle-just-under-the-target-holds",  # 55 / 60 = 0.917; 53 / 60 = 0.883 wants 9
        ),
        pytest.param(
            "hpa-duty-cycle",
            2,
            # the two that start have no GPU sample: 95 / 60 = 1.58, with zeros (2 x 95) / 4 / 60 = 0.79: hold
            [(0, 95, 0, 4, READY), (15, 95, 2, 4, READY)],
            id="duty-cycle-damps-itself-while-pods-start",
        ),
        pytest.param(
            "hpa-cpu",
            2,
            # 1.4 cores of a 1 core request is 140 %; 140 / 70 = 2
            [(0, 1.4, 0, 4, READY), (15, 0.7, 0, 4, READY)],
            id="cpu-at-twice-its-target-doubles",
        ),
        pytest.param(
            "hpa-cpu",
            4,
            # an LLM server's cores feed the GPU and stay where they are: 75 % / 70 % = 1.07
            [(0, 0.75, 0, 4, READY), (600, 0.75, 0, 4, READY)],
            id="cpu-that-does-not-follow-the-load-never-scales",
        ),
        pytest.param(
            "hpa-cpu",
            4,
            [(0, 0.7, 0, 4, READY), (15, 0.1, 0, 4, HELD), (315, 0.1, 0, 1, READY)],
            id="cpu-that-idles-goes-to-the-minimum-after-the-window",  # 10 / 70 x 4 = 0.57 -> 1
        ),
        pytest.param(
            "hpa",
            2,
            [(0, 15, 0, 6, READY), (15, 5, 0, 6, READY)],
            id="one-metric-of-your-choice-follows-the-same-rule",
        ),
    ],
)
def test_timeline(name: str, replicas: int, timeline: list[Row]) -> None:
    entry = BY_NAME[name]
    follow(entry.build(entry.spec()), replicas, timeline)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("hpa-queue", {"target_requests": 0.0}, r"targetRequests: was 0.0, must be in \[0.001, "),
        ("hpa-queue", {"target_requests": float("nan")}, "targetRequests: was nan"),
        ("hpa-cpu", {"target_percent": 0}, "averageUtilization: was 0"),
        ("hpa-duty-cycle", {"min_replicas": 5, "max_replicas": 4}, "minReplicas: was 5, must be <= maxReplicas"),
        ("hpa-total-demand", {"min_replicas": 0}, "minReplicas: was 0, must be >= 1"),
        ("hpa-batch-size", {"scale_down_window_seconds": -1}, "stabilizationWindowSeconds: was -1"),
        ("hpa-batch-size", {"tolerance": -0.1}, "controller.tolerance: was -0.1"),
    ],
)
def test_what_the_api_server_refuses_is_refused(name: str, changes: dict[str, Any], message: str) -> None:
    entry = BY_NAME[name]
    with pytest.raises(BadInput, match=message):
        entry.build(entry.spec(**changes))


def test_a_target_becomes_milli_units_rounded_up() -> None:
    entry = BY_NAME["hpa-queue"]
    for target, milli in ((5.0, 5000), (0.3, 300), (4.0001, 4001), (1.1, 1100)):
        assert entry.build(entry.spec(target_requests=target)).spec.metrics[0].average_value_milli == milli
