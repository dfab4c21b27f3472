"""WVA's saturation analyzer V2: upstream's own examples, timelines behind its HPA, and the flaws that are kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.baselines.wva_saturation import ENTRY, WVASpec, compute_bound_tokens, wva_policy
from policies.decision import Decision
from policies.errors import BadInput
from policies.policy import Running
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

SMALL = WVASpec(kv_tokens_per_replica=16_000, max_num_batched_tokens=2_048, max_num_seqs=256, max_replicas=20)
"""Upstream's test replica: 16000 KV tokens, so k1 = 12800."""


@dataclass
class World:
    """Servers that answer requests of 500 + 100 tokens; counters grow by 10 requests a server and scrape."""

    replicas: int
    ready: int | None = None
    second: int = 0
    answered: float = 0.0
    output: float = 100.0

    def snapshot(self, kv_usage: float, waiting: float, *, gateway: float = 0, failed: bool = False) -> Snapshot:
        ready = self.replicas if self.ready is None else self.ready
        names = [f"pod-{index:03d}" for index in range(self.replicas)]
        pods = tuple(
            Pod(name=name, phase="Running", ready="True" if index < ready else "False")
            for index, name in enumerate(names)
        )
        self.answered += 10
        values: Mapping[str, float] = {
            "vllm:kv_cache_usage_perc": kv_usage,
            "vllm:num_requests_waiting": waiting,
            "vllm:num_requests_running": 4,
            "vllm:request_success_total": self.answered,
            "vllm:prompt_tokens_total": self.answered * 500,
            "vllm:generation_tokens_total": self.answered * self.output,
        }
        at_ns = self.second * NS_PER_SECOND
        observations: dict[MetricQuery, Observation] = {
            MetricQuery(type="Pods", name=name): MetricError("no metrics returned")
            if failed
            else PodMetrics({pod: PodSample(value_milli=round(value * 1000), at_ns=at_ns) for pod in names[:ready]})
            for name, value in values.items()
        }
        observations[MetricQuery(type="External", name="leadtime:gateway_queue")] = ExternalMetric(
            (round(gateway * 1000),)
        )
        return Snapshot(replicas=self.replicas, status_replicas=self.replicas, pods=pods, observations=observations)


Load = tuple[float, float]


def run(spec: WVASpec, world: World, loads: Sequence[Load], *, grant: bool = True) -> list[Decision]:
    """One load per 15 s; asks are granted at once unless told not to. The counters are warmed by the first row."""
    running = Running.start(wva_policy(spec))
    decisions = []
    for kv_usage, waiting in loads:
        decisions.append(running.step(world.snapshot(kv_usage, waiting), world.second * NS_PER_SECOND))
        if grant:
            world.replicas = decisions[-1].desired_replicas
        world.second += 15
    return decisions


class TestComputeBoundCapacity:
    """saturation_v2/analyzer_test.go: "k1/k2 interaction", "k2 history", "Output-length bucketing", "k2 derivation"."""

    def test_the_tokens_in_use_at_a_full_queue_are_the_capacity_and_are_remembered(self) -> None:
        """queue 6, 8000 tokens in use: k2 = 8000; later, with queue 2, the remembered 8000 and not k1."""
        k2, seen = compute_bound_tokens(SMALL, {}, 8_000, 6, 100.0, 50.0)
        assert (k2, seen) == (8_000, {"short": (8_000,)})
        assert compute_bound_tokens(SMALL, seen, 6_000, 2, 100.0, 50.0)[0] == 8_000

    def test_history_is_kept_per_output_length(self) -> None:
        """avgOutput 50 is short, 600 is long: no history there, so the derived k2."""
        _, seen = compute_bound_tokens(SMALL, {}, 8_000, 6, 100.0, 50.0)
        assert compute_bound_tokens(SMALL, seen, 6_000, 2, 100.0, 600.0)[0] != 8_000

    @pytest.mark.parametrize(
        ("batched", "prompt", "output", "expected"),
        [
            pytest.param(2_048, 500.0, 100.0, 140_800, id="B=2048: min(341, 256) * 550"),
            pytest.param(4_096, 500.0, 100.0, 140_800, id="B=4096: min(683, 256) * 550"),
            pytest.param(2_048, 2_000.0, 100.0, 199_923, id="prefill-bound: 97.5 * 2050"),
            pytest.param(2_048, 500.0, 0.0, None, id="no workload: fall back to k1"),
        ],
    )
    def test_derived(self, batched: int, prompt: float, output: float, expected: int | None) -> None:
        """estimateCapacityFromParams: N = min(B * O / (I + O), S), N * (I + O / 2)."""
        spec = WVASpec(max_num_batched_tokens=batched, max_num_seqs=256)
        assert compute_bound_tokens(spec, {}, 5_000, 2, prompt, output)[0] == expected

    def test_ten_observations_are_remembered(self) -> None:
        """constants.go: RollingAverageWindowSize 10."""
        seen: Mapping[str, tuple[int, ...]] = {}
        for tokens in range(1_000, 13_000, 1_000):
            _, seen = compute_bound_tokens(SMALL, seen, tokens, 6, 100.0, 50.0)
        assert seen == {"short": tuple(range(3_000, 13_000, 1_000))}


class TestTimelines:
    """engine_v2.go (applyUniversalThreshold), cost_aware_optimizer_test.go, and the guide's hpa.yaml (739e6a61)."""

    def test_need_is_added_in_whole_replicas_after_the_hpas_120_s(self) -> None:
        """ "ceil(5000/10000) = 1 replica added": 2 servers at 0.75 want 24000 / 0.85 - 25600 = 2636 tokens, 1 more."""
        decisions = run(SMALL, World(2), [(0.75, 0)] * 9)
        assert [each.numbers["wva_desired_replicas"] for each in decisions] == [3] * 9
        assert [each.desired_replicas for each in decisions] == [2] * 8 + [3]

    def test_waiting_requests_are_charged_with_their_whole_length(self) -> None:
        """waitingQueueDemand: 4 waiting * (500 + 100) = 2400 tokens a server beside the 4000 in use."""
        decisions = run(SMALL, World(2), [(0.25, 0), (0.25, 0), (0.25, 0), (0.25, 0), (0.25, 4)])
        assert [each.numbers["demand_tokens"] for each in decisions[3:]] == [8_000, 12_800]

    def test_starting_replicas_are_supply_for_scale_up(self) -> None:
        """analyzer_test.go "Pending replicas": anticipated supply counts them. 2 of 4 ready, 24000 wanted:
        24000 / 0.85 = 28235 < 4 * 12800, so nothing more is asked for while they start."""
        world = World(4, ready=2)
        decisions = run(SMALL, world, [(0.75, 0)] * 12, grant=False)
        assert {each.numbers["wva_desired_replicas"] for each in decisions} == {4}

    def test_starting_replicas_are_not_supply_for_scale_down(self) -> None:
        """The same tests: spare = 2 * 12800 - 3200 / 0.7 = 21028 tokens, floor is 1, of 4 there stay 3."""
        decisions = run(SMALL, World(4, ready=2), [(0.1, 0)] * 2, grant=False)
        assert decisions[-1].numbers["wva_desired_replicas"] == 3

    def test_spare_is_removed_in_whole_replicas_down_to_one(self) -> None:
        """cost_aware_optimizer_test.go: floor(15000/10000) = 1; "cheapest variant protected at 1 replica"."""
        decisions = run(SMALL, World(4), [(0.5, 0)] * 9)
        assert decisions[0].numbers["wva_desired_replicas"] == 4, "51200 - 32000 / 0.7 = 5485: not a whole one"
        idle = run(SMALL, World(4), [(0.0, 0)] * 9)
        assert [each.desired_replicas for each in idle] == [4] * 8 + [1]

    def test_it_looks_once_a_minute_at_the_minutes_maximum(self) -> None:
        """GLOBAL_OPT_INTERVAL 60 and max_over_time[1m]: a spike of one scrape is still wanted at the next look."""
        loads = [(0.2, 0.0), (0.2, 0.0), (0.9, 0.0), (0.2, 0.0), (0.2, 0.0), (0.2, 0.0)]
        decisions = run(SMALL, World(2), loads, grant=False)
        assert [each.numbers["demand_tokens"] for each in decisions] == [6_400] * 4 + [28_800] * 2

    def test_one_overloaded_minute_lowers_the_capacity_for_good(self) -> None:
        """The flaw of k2: 5 waiting at 4000 tokens in use, and from then on a server is taken to hold 4000."""
        decisions = run(SMALL, World(2), [(0.25, 0)] * 4 + [(0.25, 5)] + [(0.25, 0)] * 20, grant=False)
        assert [each.numbers["capacity_tokens_per_replica"] for each in decisions] == [12_800] * 4 + [4_000] * 21

    def test_without_metrics_the_last_number_stands(self) -> None:
        world = World(3)
        running = Running.start(wva_policy(SMALL))
        running.step(world.snapshot(0.9, 0), 0)
        for second in range(15, 400, 15):
            world.second = second
            decision = running.step(world.snapshot(0.0, 0, failed=True), second * NS_PER_SECOND)
            assert decision.numbers["wva_desired_replicas"] == 4
        assert decision.desired_replicas == 4

    def test_before_the_first_optimization_the_hpa_stands_still(self) -> None:
        world = World(3)
        decision = Running.start(wva_policy(SMALL)).step(world.snapshot(0.0, 0, failed=True), 0)
        assert (decision.desired_replicas, decision.reason) == (3, "FailedGetExternalMetric")

    def test_a_change_by_one_in_twelve_is_swallowed_by_the_hpas_tolerance(self) -> None:
        """wva_desired_replicas 13 over 12 pods is 1.083, within 0.1: the HPA does nothing."""
        decisions = run(SMALL, World(12), [(0.72, 0)] * 12, grant=False)
        assert {each.numbers["wva_desired_replicas"] for each in decisions} == {13}
        assert {each.desired_replicas for each in decisions} == {12}

    def test_what_waits_at_the_gateway_is_demand(self) -> None:
        """estimateSchedulerQueueDemand: queueSize * (I + O)."""
        world, running = World(2), Running.start(wva_policy(SMALL))
        for second in (0, 15, 30, 45):
            world.second = second
            running.step(world.snapshot(0.25, 0), second * NS_PER_SECOND)
        world.second = 60
        decision = running.step(world.snapshot(0.25, 0, gateway=10), 60 * NS_PER_SECOND)
        assert decision.numbers["demand_tokens"] == 8_000 + 10 * 600


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        pytest.param(WVASpec(kv_cache_threshold=0.0), "kvCacheThreshold: was 0.0", id="threshold"),
        pytest.param(WVASpec(scale_up_threshold=0.6), "scaleUpThreshold: was 0.6", id="band"),
        pytest.param(WVASpec(max_replicas=0), "maxReplicas: was 0", id="bounds"),
    ],
)
def test_wrong_input_is_named(spec: WVASpec, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        wva_policy(spec)


def replay(scrapes: Sequence[tuple[float, float, float, float, bool]], *, reverse: bool) -> list[Any]:
    running, world = Running.start(ENTRY.build(SMALL)), World(4)
    decisions = []
    for kv_usage, waiting, gateway, share, failed in scrapes:
        world.ready = round(share * world.replicas)
        snapshot = world.snapshot(kv_usage, waiting, gateway=gateway, failed=failed)
        if reverse:
            snapshot = Snapshot(
                replicas=snapshot.replicas,
                status_replicas=snapshot.status_replicas,
                pods=snapshot.pods[::-1],
                observations={query: backwards(each) for query, each in snapshot.observations.items()},
            )
        decisions.append(running.step(snapshot, world.second * NS_PER_SECOND))
        world.replicas = decisions[-1].desired_replicas
        world.second += 15
    return [*decisions, running.state]


def backwards(answer: Observation) -> Observation:
    return PodMetrics(dict(reversed(answer.samples.items()))) if isinstance(answer, PodMetrics) else answer


@given(
    scrapes=st.lists(
        st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1e4), st.floats(0.0, 1e4), st.floats(0.0, 1.0), st.booleans()),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=60, deadline=None)
def test_bounds_hold_and_a_replay_is_equal_in_any_order_of_pods(scrapes: Any) -> None:
    first = replay(scrapes, reverse=False)
    assert all(SMALL.min_replicas <= each.desired_replicas <= SMALL.max_replicas for each in first[:-1])
    assert replay(scrapes, reverse=False) == first
    assert replay(scrapes, reverse=True) == first
