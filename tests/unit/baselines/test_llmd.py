"""The five ScaledObjects of llm-d as timelines: what each does, and the flaws that are kept."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.baselines import llmd_keda_epp
from policies.baselines.llmd_keda_epp import QueueSpec, SaturationSpec, queue_policy, saturation_policy
from policies.baselines.llmd_queue_guard import QueueGuardSpec, guarded, queue_guard_policy
from policies.baselines.llmd_slo_aware import SLOAwareSpec, control_law, slo_aware_policy
from policies.baselines.llmd_token_aware import TokenAwareSpec, token_aware_policy
from policies.baselines.llmd_triggers import Read
from policies.decision import Decision
from policies.errors import BadInput
from policies.policy import Policy, Running
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricError, MetricQuery, Observation, Pod, Snapshot

QUEUE = "inference_extension_flow_control_queue_size"
RUNNING = "inference_objective_running_requests"
SATURATION = "inference_pool_saturation"
PENDING = "kube_deployment_status_replicas_unavailable"
STATUS_REPLICAS = "kube_deployment_status_replicas"
PREFILL = "inference_pool_inflight_prefill_tokens"
KV = "inference_pool_kv_cache_utilization_sum"
TTFT = "leadtime:ttft_p90_seconds:1m"
TPOT = "leadtime:tpot_p90_seconds:1m"
SPEC_REPLICAS = "kube_deployment_spec_replicas"
READY = "kube_deployment_status_replicas_ready"

FAILED = "the query failed"
EMPTY = "the query had no series"
Value = float | str


def snapshot(replicas: int, values: Mapping[str, Value], ready: int | None = None) -> Snapshot:
    """A pool with these External series; the Deployment's own counts are those of the pool unless given."""
    ready = replicas if ready is None else ready
    pods = tuple(
        Pod(name=f"pod-{index:03d}", phase="Running", ready="True" if index < ready else "False")
        for index in range(replicas)
    )
    known: dict[str, Value] = {
        PENDING: replicas - ready,
        STATUS_REPLICAS: replicas,
        SPEC_REPLICAS: replicas,
        READY: ready,
        **values,
    }
    observations = {MetricQuery(type="External", name=name): answer(value) for name, value in known.items()}
    return Snapshot(replicas=replicas, status_replicas=replicas, pods=pods, observations=observations)


def answer(value: Value) -> Observation:
    if value == FAILED:
        return MetricError("the metrics server timed out")
    return ExternalMetric(() if value == EMPTY else (round(float(value) * 1000),))


Row = tuple[int, dict[str, Value], int]
"""(second, values, replicas asked for)"""


def follow(policy: Policy[Any, Any], replicas: int, rows: Sequence[Row]) -> list[Decision]:
    """Run the rows; every ask is granted at once, all pods ready."""
    running = Running.start(policy)
    decisions = []
    for second, values, desired in rows:
        decision = running.step(snapshot(replicas, values), second * NS_PER_SECOND)
        assert decision.desired_replicas == desired, f"at {second} s: {decision.message}"
        replicas = decision.desired_replicas
        decisions.append(decision)
    return decisions


def every_15s(start: int, end: int, values: dict[str, Value], desired: int) -> list[Row]:
    return [(second, values, desired) for second in range(start, end, 15)]


IDLE: dict[str, Value] = {QUEUE: 0, RUNNING: 0}


class TestQueue:
    """guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s/queue/scaledobject.yaml, 057abb4a."""

    def test_a_burst_waits_for_the_whole_upward_window_then_doubles_every_15_s(self) -> None:
        """scaleUp.stabilizationWindowSeconds 300: the first ask comes 5 minutes late, 100 % per 15 s, max 8."""
        burst: dict[str, Value] = {QUEUE: 40, RUNNING: 64}
        follow(
            queue_policy(QueueSpec()),
            2,
            [*every_15s(0, 300, burst, 2), (300, burst, 4), (315, burst, 8), (330, burst, 8)],
        )

    def test_a_burst_shorter_than_the_window_is_never_answered(self) -> None:
        """The same window from the other side: four minutes of queue 40 leave the pool as it was."""
        burst: dict[str, Value] = {QUEUE: 40, RUNNING: 32}
        calm: dict[str, Value] = {QUEUE: 0, RUNNING: 30}
        follow(queue_policy(QueueSpec()), 2, [*every_15s(0, 240, burst, 2), *every_15s(240, 900, calm, 2)])

    def test_the_larger_of_the_two_triggers_holds(self) -> None:
        """max( ceil(3 / 1), ceil(76 / 16) ) = 5."""
        load: dict[str, Value] = {QUEUE: 3, RUNNING: 76}
        decisions = follow(queue_policy(QueueSpec()), 4, [*every_15s(0, 300, load, 4), (300, load, 5)])
        assert decisions[-1].numbers["unstabilized_replicas"] == 5

    def test_scale_down_waits_300_s(self) -> None:
        follow(queue_policy(QueueSpec()), 6, [*every_15s(0, 300, IDLE, 6), (300, IDLE, 1)])

    def test_a_failed_query_stops_it_and_an_empty_one_reads_0(self) -> None:
        """ignoreNullValues defaults to true (keda pkg/scalers/prometheus_scaler.go); an error goes to the HPA, which
        records no recommendation: after an outage longer than its window the first answer acts at once."""
        failed: dict[str, Value] = {QUEUE: FAILED, RUNNING: FAILED}
        empty: dict[str, Value] = {QUEUE: EMPTY, RUNNING: EMPTY}
        follow(queue_policy(QueueSpec()), 6, [*every_15s(0, 900, failed, 6), (900, empty, 1)])


class TestSaturation:
    """guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s/saturation/scaledobject.yaml, 321a7e8c."""

    def test_a_full_small_pool_grows(self) -> None:
        """2 pods, saturation 2.0: ceil(2.0 / 0.7) = 3, once 300 s have agreed."""
        full: dict[str, Value] = {SATURATION: 2.0, RUNNING: 32}
        follow(saturation_policy(SaturationSpec()), 2, [*every_15s(0, 300, full, 2), (300, full, 3)])

    def test_a_full_large_pool_shrinks(self) -> None:
        """The flaw of a mean as an AverageValue: 8 pods at saturation 3.0 are asked down to ceil(3 / 0.7) = 5."""
        full: dict[str, Value] = {SATURATION: 3.0, RUNNING: 72}
        follow(saturation_policy(SaturationSpec()), 8, [*every_15s(0, 300, full, 8), (300, full, 5)])

    def test_running_requests_keep_the_pool_and_10_is_the_most(self) -> None:
        """maxReplicaCount 10 here: ceil(200 / 16) = 13 is cut."""
        busy: dict[str, Value] = {SATURATION: 1.0, RUNNING: 200}
        follow(saturation_policy(SaturationSpec()), 6, [*every_15s(0, 300, busy, 6), (300, busy, 10)])


class TestQueueGuard:
    """guides/workload-autoscaling/keda-epp/optimized-baseline/overlays/k8s/queue-guard/scaledobject.yaml, b06ec635."""

    @pytest.mark.parametrize(
        ("demand", "pending", "replicas", "expected"),
        [
            pytest.param(40.0, 4.0, 6.0, 36.0, id="pods-under-way-are-taken-off"),
            pytest.param(5.0, 3.0, 4.0, 4.0, id="never-below-the-present-count"),
            pytest.param(3.0, 2.0, 4.0, 3.0, id="demand-itself-when-it-is-no-more-than-the-pool"),
        ],
    )
    def test_formula(self, demand: float, pending: float, replicas: float, expected: float) -> None:
        """The file's header and formula: demand <= replicas ? demand : max(demand - (pending ?? 0), replicas)."""
        assert guarded(demand, Read(value=pending), replicas) == expected

    def test_one_queued_request_is_one_replica_so_a_burst_asks_for_the_maximum_at_once(self) -> None:
        """Queue 40 with 4 of 6 pods starting still wants 36: 8 is the maximum."""
        policy = queue_guard_policy(QueueGuardSpec())
        step = Running.start(policy).step
        decision = step(snapshot(6, {QUEUE: 40, RUNNING: 20}, ready=2), 0)
        assert (decision.desired_replicas, decision.numbers["unstabilized_replicas"]) == (8, 36)

    def test_pods_under_way_are_not_asked_for_again(self) -> None:
        """running 96 wants 6 replicas of 4, 2 of them starting: 6 - 2 = 4, floored at the 4 there are."""
        step = Running.start(queue_guard_policy(QueueGuardSpec())).step
        assert step(snapshot(4, {QUEUE: 0, RUNNING: 96}, ready=2), 0).desired_replicas == 4
        assert step(snapshot(4, {QUEUE: 0, RUNNING: 96}), 15 * NS_PER_SECOND).desired_replicas == 6

    def test_lost_metrics_shrink_the_pool(self) -> None:
        """fallback: failureThreshold 3, replicas 1, static. keda pkg/fallback/fallback.go (1a835eba): from the 4th
        failure on the value is target * replicas; the 300 s window delays the fall, and then it comes in one step."""
        lost: dict[str, Value] = {QUEUE: FAILED, RUNNING: 128}
        decisions = follow(
            queue_guard_policy(QueueGuardSpec()), 8, [*every_15s(0, 300, lost, 8), (300, lost, 1), (315, lost, 1)]
        )
        assert [each.reason for each in decisions[:4]] == [
            "FailedGetExternalMetric",
            "FailedGetExternalMetric",
            "FailedGetExternalMetric",
            "ScaleDownStabilized",
        ]
        assert "fallback to 1" in decisions[3].message

    def test_a_working_read_clears_the_failures(self) -> None:
        lost: dict[str, Value] = {QUEUE: FAILED, RUNNING: 128}
        fine: dict[str, Value] = {QUEUE: 0, RUNNING: 128}
        rows: list[Row] = [(0, lost, 8), (15, lost, 8), (30, lost, 8), (45, fine, 8), (60, lost, 8)]
        decisions = follow(queue_guard_policy(QueueGuardSpec()), 8, rows)
        assert decisions[-1].reason == "FailedGetExternalMetric"

    def test_a_pending_count_that_stays_unreadable_counts_as_0(self) -> None:
        """`pending ?? 0`, after failureThreshold polls: demand-only scaling."""
        load: dict[str, Value] = {QUEUE: 0, RUNNING: 96, PENDING: FAILED}
        follow(queue_guard_policy(QueueGuardSpec()), 4, [(0, load, 4), (15, load, 4), (30, load, 4), (45, load, 6)])


class TestTokenAware:
    """guides/workload-autoscaling/keda-epp-token-aware/optimized-baseline/base/scaledobject.yaml, 04c0115b."""

    def test_one_pod_in_three_minutes_whatever_the_backlog(self) -> None:
        """scaleUp: Pods 1 per 180 s. 300000 tokens are 18.8 s of prefill: 10 wanted, 3, 4, 5 given."""
        flood: dict[str, Value] = {PREFILL: 300_000, KV: 1.0}
        rows = [
            (0, flood, 3),
            *every_15s(15, 180, flood, 3),
            (180, flood, 4),
            *every_15s(195, 360, flood, 4),
            (360, flood, 5),
        ]
        decisions = follow(token_aware_policy(TokenAwareSpec()), 2, rows)
        assert decisions[0].reason == "ScaleUpLimit"

    def test_kv_cache_counts_in_pods_worth(self) -> None:
        """ceil(2.8 / 0.8) = 4."""
        (decision,) = follow(token_aware_policy(TokenAwareSpec()), 3, [(0, {PREFILL: 0, KV: 2.8}, 4)])
        assert decision.numbers["unstabilized_replicas"] == 4

    def test_the_throughput_constant_decides(self) -> None:
        """The file's comment: the same load asked for 3 replicas at 15928 tok/s and for its maximum of 8 at 2696."""
        wanted = {}
        for constant in (15_928.0, 2_696.0):
            policy = token_aware_policy(TokenAwareSpec(peak_prefill_tokens_per_second=constant, max_replicas=8))
            decision = Running.start(policy).step(snapshot(2, {PREFILL: 60_000, KV: 0.1}), 0)
            wanted[constant] = min(8.0, decision.numbers["unstabilized_replicas"])
        assert wanted == {15_928.0: 3, 2_696.0: 8}

    def test_scale_down_takes_one_pod_in_five_minutes(self) -> None:
        """scaleDown: window 300, Pods 1 per 300 s."""
        calm: dict[str, Value] = {PREFILL: 0, KV: 0.1}
        rows = [*every_15s(0, 300, calm, 5), *every_15s(300, 600, calm, 4), (600, calm, 3)]
        follow(token_aware_policy(TokenAwareSpec()), 5, rows)

    def test_missing_series_read_0_and_drain_the_pool(self) -> None:
        """`or vector(0)` on both queries: what is not known is no load."""
        gone: dict[str, Value] = {PREFILL: FAILED, KV: EMPTY}
        decisions = follow(token_aware_policy(TokenAwareSpec()), 5, [*every_15s(0, 300, gone, 5), (300, gone, 4)])
        assert "no prefill series, read as 0" in decisions[0].message


class TestSLOAware:
    """guides/workload-autoscaling/README.slo-aware.md, d38c9f0c: the control law and the HPA layer."""

    @pytest.mark.parametrize(
        ("saturation", "replicas", "ready", "expected"),
        [
            pytest.param(1.0, 4, 4, 8, id="up: 4 + ceil(4 * (1 / 0.55 - 1)) = 4 + ceil(3.27)"),
            pytest.param(0.45, 6, 6, 6, id="the band holds"),
            pytest.param(0.20, 6, 6, 3, id="down: 6 - floor(6 * (1 - 0.2 / 0.4))"),
            pytest.param(1.0, 6, 4, 8, id="credit: 6 + ceil(6 * (2/3 / 0.55 - 1)) = 6 + ceil(1.27)"),
            pytest.param(0.50, 6, 2, 6, id="no scale-down on a credited signal"),
            pytest.param(1.0, 7, 3, 6, id="flaw: the scale-up branch asks for less"),
            pytest.param(0.0, 6, 6, 0, id="idle asks for none, the HPA's minimum holds"),
            pytest.param(2.0, 0, 0, 0, id="nothing times anything is nothing"),
        ],
    )
    def test_control_law(self, saturation: float, replicas: int, ready: int, expected: int) -> None:
        """Step 2 of the guide, with n, r and s as there."""
        assert control_law(SLOAwareSpec(), saturation, replicas, ready) == expected

    def test_a_spike_is_clamped_smoothed_and_gone_after_45_s(self) -> None:
        """Step 1: min(s_raw, 2.0) averaged over 45 s. A sample at 30 times the SLO weighs as one at twice it."""
        calm: dict[str, Value] = {TTFT: 1.35, TPOT: 0.02}  # 0.45 of 3 s: inside the band
        spike: dict[str, Value] = {TTFT: 90.0, TPOT: 0.02}
        step = Running.start(slo_aware_policy(SLOAwareSpec())).step
        seen = [
            step(snapshot(4, values), second * NS_PER_SECOND).numbers["saturation"]
            for second, values in [(0, calm), (15, calm), (30, spike), (45, calm), (60, calm), (75, calm)]
        ]
        assert seen == pytest.approx([0.45, 0.45, 2.9 / 3, 2.9 / 3, 2.9 / 3, 0.45])

    def test_scale_up_waits_30_s_then_doubles_or_adds_4(self) -> None:
        """Step 3: window 30 s, max(100 %, 4 pods) per 60 s. From 3 pods at s = 2: 3 + 4 = 7, then 8."""
        slow: dict[str, Value] = {TTFT: 9.0, TPOT: 0.02}
        rows: list[Row] = [(0, slow, 3), (15, slow, 3), (30, slow, 7), (45, slow, 7), (75, slow, 7), (90, slow, 8)]
        follow(slo_aware_policy(SLOAwareSpec()), 3, rows)

    def test_an_empty_latency_series_drains_the_pool_to_its_minimum(self) -> None:
        """NaN/no traffic -> 0, and "without it the signal is empty and the pool sits at minReplicas": after 180 s
        one pod every 120 s, whatever the load may be."""
        gone: dict[str, Value] = {TTFT: FAILED, TPOT: FAILED}
        decisions = follow(
            slo_aware_policy(SLOAwareSpec()),
            5,
            [*every_15s(0, 180, gone, 5), *every_15s(180, 300, gone, 4), *every_15s(300, 600, gone, 3)],
        )
        assert "no latency series now, read as 0" in decisions[0].message

    def test_an_unreadable_replica_count_stops_it(self) -> None:
        slow: dict[str, Value] = {TTFT: 9.0, TPOT: 0.02, READY: FAILED}
        follow(slo_aware_policy(SLOAwareSpec()), 3, every_15s(0, 120, slow, 3))


@pytest.mark.parametrize(
    ("build", "named"),
    [
        pytest.param(lambda: queue_policy(QueueSpec(running_requests=0)), "runningRequests: was 0", id="target"),
        pytest.param(lambda: queue_policy(QueueSpec(min_replicas=9)), "minReplicas: was 9", id="bounds"),
        pytest.param(
            lambda: slo_aware_policy(SLOAwareSpec(scale_up_threshold=0.3)), "scaleUpThreshold: was 0.3", id="band"
        ),
        pytest.param(
            lambda: token_aware_policy(TokenAwareSpec(peak_prefill_tokens_per_second=0)),
            "peakPrefillTokensPerSecond: was 0",
            id="throughput",
        ),
        pytest.param(
            lambda: queue_guard_policy(QueueGuardSpec(failure_threshold=-1)), "failureThreshold: was -1", id="fallback"
        ),
    ],
)
def test_wrong_input_is_named(build: Any, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        build()


VALUES = st.one_of(st.floats(0.0, 1e6), st.sampled_from([FAILED, EMPTY]))
SCRAPES = st.lists(
    st.tuples(
        st.fixed_dictionaries(dict.fromkeys((QUEUE, RUNNING, SATURATION, PREFILL, KV, TTFT, TPOT), VALUES)),
        st.floats(0.0, 1.0),
    ),
    min_size=1,
    max_size=30,
)


def replay(policy: Policy[Any, Any], scrapes: Sequence[tuple[dict[str, Value], float]], *, reverse: bool) -> list[Any]:
    running = Running.start(policy)
    replicas, decisions = 4, []
    for index, (values, share) in enumerate(scrapes):
        seen = snapshot(replicas, values, ready=round(share * replicas))
        if reverse:
            seen = Snapshot(
                replicas=seen.replicas,
                status_replicas=seen.status_replicas,
                pods=seen.pods[::-1],
                observations=dict(reversed(seen.observations.items())),
            )
        decisions.append(running.step(seen, index * 15 * NS_PER_SECOND))
        replicas = decisions[-1].desired_replicas
    return [*decisions, running.state]


@pytest.mark.parametrize("entry", llmd_keda_epp.ENTRIES, ids=lambda entry: entry.name)
@given(scrapes=SCRAPES)
@settings(max_examples=40, deadline=None)
def test_bounds_hold_and_a_replay_is_equal_in_any_order_of_pods(entry: Any, scrapes: Any) -> None:
    spec = entry.spec()
    policy = entry.build(spec)
    first = replay(policy, scrapes, reverse=False)
    assert all(spec.min_replicas <= each.desired_replicas <= spec.max_replicas for each in first[:-1])
    assert replay(policy, scrapes, reverse=False) == first
    assert replay(policy, scrapes, reverse=True) == first
