"""Dynamo's planner: forecast, capacity, both loops as timelines, and the flaws that are kept."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies.baselines import dynamo_forecast, dynamo_planner
from policies.baselines.dynamo_capacity import Engine, best_requests_per_second, engine
from policies.baselines.dynamo_forecast import Series, add, order_of, predict_next
from policies.baselines.dynamo_load import Load, LoadSpec, combined, decode_scaling, load_policy, prefill_scaling
from policies.baselines.dynamo_throughput import ThroughputSpec, throughput_policy
from policies.capacity.profile import PROFILES
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

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
CONSTANT = ThroughputSpec(profile=PROFILE, predictor="constant", ttft_seconds=2.0, itl_seconds=0.075, max_replicas=20)
LOAD = LoadSpec(profile=PROFILE, ttft_seconds=2.0, itl_seconds=0.075, max_replicas=20)
PROMPT, OUTPUT = 1_000.0, 200.0
CAPACITY = best_requests_per_second(engine(PROFILE, PROMPT, OUTPUT), 2.0, 0.075)[0]


def series(values: Sequence[float]) -> Series:
    each = Series()
    for value in values:
        each = add(each, value)
    return each


class TestForecast:
    """planner/core/load/predictors.py (260b6ae9) and tests/unit/test_load_predictors.py (004551e8)."""

    def test_leading_zeros_are_skipped_and_later_ones_kept(self) -> None:
        """test_skips_leading_zeros, test_does_not_skip_zeros_after_nonzero."""
        assert series([0, 0]).values == ()
        assert series([0, 0, 5, 0]).values == (5.0, 0.0)

    def test_what_is_not_finite_counts_as_zero(self) -> None:
        """test_nan_treated_as_zero."""
        assert predict_next("constant", series([10, float("nan")]))[0] == 0.0

    def test_constant_is_the_last_value_and_nothing_is_zero(self) -> None:
        """test_returns_last_added_value, test_returns_zero_with_no_data."""
        assert predict_next("constant", series([10, 20, 30]))[0] == 30.0
        assert predict_next("constant", Series())[0] == 0.0

    def test_below_five_points_and_while_all_are_equal_it_is_the_last_value(self) -> None:
        """ARIMAPredictor.predict_next: minimum_data_points 5; "constant data"."""
        for values in ([10, 20, 30, 40], [7] * 9):
            forecast, after = predict_next("arima", series(values))
            assert (forecast, after.ordered_at) == (values[-1], None)

    def test_the_order_is_chosen_once_and_outlives_what_the_data_become(self) -> None:
        """ "Fit auto ARIMA model once, then only do incremental updates": five points of noise decide for the run."""
        pytest.importorskip("statsforecast")
        each = series([100, 115, 108, 97, 104])
        _, each = predict_next("arima", each)
        first = order_of(each)
        assert first is not None
        assert (first.order[0], first.order[2], first.log1p) == (0, 0, True), "(0, d, 0) starts over on log(1 + y)"
        for value in range(130, 400, 10):
            each = add(each, value)
            forecast, each = predict_next("arima", each)
        assert (each.ordered_at, order_of(each)) == (5, first)
        assert forecast < 300, "the mean of what was seen, with the ramp at 390"

    def test_a_trend_that_shows_in_the_first_points_is_followed(self) -> None:
        pytest.importorskip("statsforecast")
        forecast, _ = predict_next("arima", series([10, 20, 30, 42, 50, 61, 70]))
        assert forecast == pytest.approx(80, abs=3)

    def test_a_failure_of_the_library_is_the_last_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """ "ARIMA prediction failed: {e}, using last value"."""

        def fail(values: Any, ordered_at: int) -> float:
            raise ValueError(f"{len(values)} {ordered_at}")

        monkeypatch.setattr(dynamo_forecast, "_forecast", fail)
        assert predict_next("arima", series([1, 2, 3, 4, 6]))[0] == 6.0

    @given(values=st.lists(st.floats(0.0, 1e5), min_size=5, max_size=26))
    @settings(max_examples=15, deadline=None)
    def test_a_forecast_is_finite_and_never_below_zero(self, values: list[float]) -> None:
        """test_predict_next_returns_non_negative_*: max(0.0, forecast)."""
        pytest.importorskip("statsforecast")
        forecast, _ = predict_next("arima", series(values))
        assert 0.0 <= forecast < float("inf")

    def test_a_missing_library_is_named_with_its_remedy(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dynamo_forecast.importlib.util, "find_spec", lambda _: None)
        with pytest.raises(BadInput, match=r"pip install leadtime\[rivals\]"):
            throughput_policy(replace(CONSTANT, predictor="arima"))


class TestCapacity:
    """planner/core/perf_model/agg.py (518a7027), find_best_engine_agg_rps and estimate_next_ttft."""

    ENGINE = Engine(
        base_seconds=0.010,
        per_prefill_token_seconds=1e-5,
        per_kv_token_seconds=1e-6,
        max_num_batched_tokens=4_096,
        max_num_seqs=256,
        kv_tokens=1_000_000,
        prompt_tokens=1_000.0,
        output_tokens=100.0,
    )

    def test_the_itl_target_bounds_the_batch(self) -> None:
        """step(bs) = 10 ms + bs * (10 tokens * 10 us + 1050 * 1 us) = 10 + 1.15 bs ms: 34 fit into 50 ms."""
        rate, _, itl = best_requests_per_second(self.ENGINE, 10.0, 0.050)
        assert itl == pytest.approx(0.010 + 34 * 0.00115)
        assert rate == pytest.approx(34 / (100 * itl))

    def test_the_ttft_target_bounds_it_too(self) -> None:
        """TTFT(bs) = 10 ms + (10 bs + 1000) * 10 us + 1050 bs us = 20 + 1.15 bs ms: 26 fit into 50 ms."""
        rate, ttft, itl = best_requests_per_second(self.ENGINE, 0.050, 10.0)
        assert ttft == pytest.approx(0.020 + 26 * 0.00115)
        assert rate == pytest.approx(26 / (100 * itl))

    @pytest.mark.parametrize(
        ("changes", "batch"),
        [
            pytest.param({"kv_tokens": 10_500}, 10, id="the KV cache: 10500 / 1050"),
            pytest.param({"max_num_seqs": 7}, 7, id="max_num_seqs"),
            pytest.param({"max_num_batched_tokens": 15}, 5, id="prefill must replace what decode finishes: 15 - 10"),
        ],
    )
    def test_other_bounds(self, changes: dict[str, int], batch: int) -> None:
        rate, _, itl = best_requests_per_second(replace(self.ENGINE, **changes), 100.0, 100.0)
        assert rate == pytest.approx(batch / (100 * itl))

    def test_targets_that_nothing_meets_are_sized_for_a_batch_of_one(self) -> None:
        """ "Agg SLA unreachable at batch_size=1": best_rps = 1 / (osl * wt)."""
        rate, ttft, itl = best_requests_per_second(self.ENGINE, 0.001, 0.001)
        assert rate == pytest.approx(1 / (100 * itl))
        assert ttft > 0.001

    def test_a_queue_is_prefilled_in_chunks(self) -> None:
        """9000 queued + 1000 own tokens in chunks of 4096: 3 steps."""
        assert self.ENGINE.next_ttft_seconds(9_000, 0) == pytest.approx(3 * 0.010 + 10_000 * 1e-5)


@dataclass
class World:
    """Ready servers that answer every request at once; whoever asks for pods has them `start_seconds` later."""

    replicas: int
    start_seconds: int = 0
    second: int = 0
    ready: int = 0
    ready_at: int = 0
    answered: dict[str, float] = field(default_factory=dict)

    def snapshot(self, *, waiting: float = 0.0, kv_usage: float = 0.0, running: float = 0.0) -> Snapshot:
        if self.second >= self.ready_at:
            self.ready = self.replicas
        names = [f"pod-{index:03d}" for index in range(self.replicas)]
        self.answered = {name: self.answered.get(name, 0.0) for name in names[: self.ready]}
        pods = tuple(
            Pod(name=name, phase="Running", ready="True" if index < self.ready else "False")
            for index, name in enumerate(names)
        )
        servers = {
            name: (count, running, waiting, count * PROMPT, count * OUTPUT, kv_usage)
            for name, count in self.answered.items()
        }
        return Snapshot(
            replicas=self.replicas, status_replicas=self.replicas, pods=pods, observations=answers(servers, self.second)
        )

    def answer(self, requests: float) -> None:
        for name in self.answered:
            self.answered[name] += requests / len(self.answered)

    def granted(self, decision: Decision) -> None:
        if decision.desired_replicas > self.replicas:
            self.ready_at = self.second + self.start_seconds
        self.ready = min(self.ready, decision.desired_replicas)
        self.replicas = decision.desired_replicas


NAMES = (
    "vllm:request_success_total",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:kv_cache_usage_perc",
)


def answers(servers: dict[str, tuple[float, ...]], second: int) -> dict[MetricQuery, Observation]:
    """Pods series by name; without servers there are none."""
    observations: dict[MetricQuery, Observation] = {
        MetricQuery(type="External", name="leadtime:gateway_queue"): ExternalMetric((0,))
    }
    for index, name in enumerate(NAMES):
        samples = {
            pod: PodSample(value_milli=round(1000 * values[index]), at_ns=second * NS_PER_SECOND)
            for pod, values in servers.items()
        }
        observations[MetricQuery(type="Pods", name=name)] = (
            PodMetrics(samples) if samples else MetricError("no metrics returned")
        )
    return observations


def steady(world: World, spec: ThroughputSpec, rates: Sequence[float]) -> list[Decision]:
    """One rate (requests/s) a second for 15 s each; the fleet's servers share the counters evenly."""
    running = Running.start(throughput_policy(spec))
    decisions = []
    for rate in rates:
        decision = running.step(world.snapshot(), world.second * NS_PER_SECOND)
        decisions.append(decision)
        world.granted(decision)
        world.second += 15
        world.answer(15 * rate)
    return decisions


class TestThroughputLoop:
    """planner/core/throughput_scaling.py (0c9050c9), state_machine.py (0272cbdd), tests/unit/test_state_machine.py."""

    def test_every_180_s_it_sizes_for_the_last_interval(self) -> None:
        """ceil(demand_rps / engine_rps): 4.9 times one engine's rate needs 5; between two ticks nothing moves."""
        world = World(5)
        decisions = steady(world, CONSTANT, [4.9 * CAPACITY] * 25)
        assert [each.reason for each in decisions[:13]] == ["BetweenTicks"] * 12 + ["ThroughputTarget"]
        assert [each.desired_replicas for each in decisions] == [5] * 25

    def test_a_step_in_load_waits_for_its_tick(self) -> None:
        """The horizon is one interval and the loop runs every 180 s: 3 times the load is seen 180 s later."""
        rates = [1.9 * CAPACITY] * 12 + [5.9 * CAPACITY] * 13
        decisions = steady(World(2), CONSTANT, rates)
        assert [each.desired_replicas for each in decisions] == [2] * 24 + [6]

    def test_a_tick_that_meets_a_starting_pod_is_lost(self) -> None:
        """connectors/kubernetes.py: "Deployment is not ready, ignoring this scaling". Pods take 200 s: the next
        tick, 180 s on, is ignored however the load has grown, and the fleet waits for the one after."""
        rates = [2.9 * CAPACITY] * 12 + [7.9 * CAPACITY] * 25
        decisions = steady(World(2, start_seconds=200), CONSTANT, rates)
        ticks = [(each.desired_replicas, each.reason) for each in decisions[12::12]]
        assert ticks == [(3, "ThroughputTarget"), (3, "ScalingInProgress"), (8, "ThroughputTarget")]

    def test_an_idle_interval_keeps_the_mean_request_and_asks_for_the_minimum(self) -> None:
        """test_carries_request_shape_forward_across_idle_windows; max(ceil(0 / rps), min_endpoint)."""
        rates = [2.9 * CAPACITY] * 12 + [0.0] * 25
        decisions = steady(World(3), CONSTANT, rates)
        assert [each.desired_replicas for each in decisions[12::12]] == [3, 1, 1]
        assert decisions[36].numbers["forecast_prompt_tokens"] == pytest.approx(PROMPT)

    def test_without_a_mean_request_there_is_no_decision(self) -> None:
        """test_leading_idle_windows_do_not_seed_request_shape: the model is not ready, nothing is done."""
        decisions = steady(World(3), CONSTANT, [0.0] * 13)
        assert (decisions[12].desired_replicas, decisions[12].reason) == (3, "ModelNotReady")

    def test_the_budget_is_the_most(self) -> None:
        """max_gpu_budget 8 with one GPU each."""
        decisions = steady(World(3), replace(CONSTANT, max_replicas=8), [30 * CAPACITY] * 13)
        assert decisions[12].desired_replicas == 8
        assert decisions[12].numbers["needed_replicas"] == 30

    def test_no_counters_no_decision(self) -> None:
        running = Running.start(throughput_policy(CONSTANT))
        blind = Snapshot(replicas=3, observations=answers({}, 0))
        for second in (0, 180, 360):
            decision = running.step(blind, second * NS_PER_SECOND)
        assert (decision.desired_replicas, decision.reason) == (3, "NoTrafficData")

    def test_arima_sizes_for_its_forecast(self) -> None:
        """Five intervals of a ramp, then the sixth is forecast rather than repeated."""
        pytest.importorskip("statsforecast")
        spec = replace(CONSTANT, predictor="arima")
        steps = [1.0, 2.0, 3.1, 4.0, 5.05, 6.0, 7.02]
        rates = [step * CAPACITY for step in steps for _ in range(12)] + [0.0]
        (arima, constant) = (steady(World(1), each, rates)[-1] for each in (spec, CONSTANT))
        assert constant.numbers["forecast_requests_per_second"] == pytest.approx(7.02 * CAPACITY, rel=1e-3)
        assert arima.numbers["forecast_requests_per_second"] > 7.5 * CAPACITY


ITL_ENGINE = Engine(
    base_seconds=0.001,
    per_prefill_token_seconds=0.0,
    per_kv_token_seconds=1e-5,
    max_num_batched_tokens=2_048,
    max_num_seqs=256,
    kv_tokens=100_000,
    prompt_tokens=950.0,
    output_tokens=100.0,
)
"""_train_decode_regression: 0.00001 * kv + 0.001, with avg_decode_len 1000."""


def ttft_engine(prompt_tokens: float) -> Engine:
    """_train_slow_prefill_regression: 1e-5 * tokens + 1e-3, chunks of 2048."""
    return Engine(
        base_seconds=1e-3,
        per_prefill_token_seconds=1e-5,
        per_kv_token_seconds=0.0,
        max_num_batched_tokens=2_048,
        max_num_seqs=256,
        kv_tokens=100_000,
        prompt_tokens=prompt_tokens,
        output_tokens=100.0,
    )


class TestLoadVotes:
    """planner/tests/unit/test_state_machine.py (0c6da1ec), its classes TestDecode..., TestPrefill..., one by one."""

    @pytest.mark.parametrize(
        ("kv_tokens", "itl_seconds", "vote"),
        [
            pytest.param(1_500, 0.100, 1, id="test_post_consolidation_within_sla_permits: 41 of 80 ms"),
            pytest.param(8_000, 0.100, 2, id="test_post_consolidation_breaches_sla_refuses: 171 of 80 ms"),
            pytest.param(60_000, 10.0, 2, id="test_post_consolidation_exceeds_max_kv_refuses: 120000 of 100000"),
            pytest.param(20_000, 0.100, 3, id="every engine above its target: 211 ms"),
        ],
    )
    def test_decode(self, kv_tokens: float, itl_seconds: float, vote: int) -> None:
        """TestDecodeConsolidationAwareScaleDown, N = 2."""
        loads = [Load(queued_prefill_tokens=0, kv_tokens=kv_tokens, running=1)] * 2
        assert decode_scaling(replace(LOAD, itl_seconds=itl_seconds), ITL_ENGINE, loads)[1] == vote

    @pytest.mark.parametrize(
        ("prompt", "workers", "queued", "ttft_seconds", "vote"),
        [
            pytest.param(1_500, 2, 30_000, 0.1, 3, id="test_n2_refuses_when_post_consolidation_breaks_sla: all above"),
            pytest.param(1_500, 2, 30_000, 0.7, 2, id="a doubled queue does not fit: 630 ms of (700 - 16) * 0.8"),
            pytest.param(1_500, 2, 0, 0.1, 1, id="test_n2_permits_when_queue_empty"),
            pytest.param(1_500, 10, 2_000, 0.1, 9, id="test_consolidation_only_inflates_queue_not_compute"),
            pytest.param(2_000, 2, 1_000, 0.050, 1, id="test_high_own_compute_permits_scale_down: 21 of 23.2 ms"),
            pytest.param(2_000, 2, 0, 0.015, 3, id="test_t_own_above_sla_blocks_scale_down: all above"),
        ],
    )
    def test_prefill(self, prompt: float, workers: int, queued: float, ttft_seconds: float, vote: int) -> None:
        """TestPrefillConsolidationAwareScaleDown, TestPrefillQueueBudgetRefinement."""
        loads = [Load(queued_prefill_tokens=queued, kv_tokens=0, running=1)] * workers
        spec = replace(LOAD, ttft_seconds=ttft_seconds)
        _, actual = prefill_scaling(spec, ttft_engine(prompt), loads)
        assert actual == vote

    @pytest.mark.parametrize(
        ("prefill", "decode", "expected"),
        [
            pytest.param(4, 2, 4, id="prefill adds"),
            pytest.param(3, 4, 4, id="decode adds"),
            pytest.param(2, 2, 2, id="both remove"),
            pytest.param(3, 2, 3, id="a refusal keeps"),
            pytest.param(None, 2, 2, id="decode alone where prefill is silent"),
            pytest.param(2, None, 3, id="prefill alone does not remove"),
            pytest.param(None, None, 3, id="no change"),
        ],
    )
    def test_combination_at_three(self, prefill: int | None, decode: int | None, expected: int) -> None:
        """_advance_load_agg."""
        assert combined(3, prefill, decode) == expected


def warm(world: World, spec: LoadSpec = LOAD) -> Running[Any, Any]:
    """A load loop that knows the mean request."""
    running = Running.start(load_policy(spec))
    for _ in range(2):
        running.step(world.snapshot(kv_usage=0.2, running=10), world.second * NS_PER_SECOND)
        world.second += 5
        world.answer(100)
    return running


class TestLoadLoop:
    """planner/core/load_scaling.py (0c6da1ec)."""

    def test_one_replica_more_per_cold_start_however_high_the_load(self) -> None:
        """_scaling_in_progress: while expected != ready the loop only observes. 20 s to start, 5 s ticks."""
        world = World(2, start_seconds=20)
        running = warm(world)
        asked = []
        for _ in range(12):
            decision = running.step(world.snapshot(waiting=50, kv_usage=1.0, running=60), world.second * NS_PER_SECOND)
            asked.append((decision.desired_replicas, decision.reason == "ScalingInProgress"))
            world.granted(decision)
            world.second += 5
        assert asked == [(3, False), *[(3, True)] * 3, (4, False), *[(4, True)] * 3, (5, False), *[(5, True)] * 3]

    def test_one_idle_engine_vetoes_the_scale_up(self) -> None:
        """`all(t > sla for t in estimates)`: three engines far above their target, one just started."""
        world = World(4)
        running = warm(world)
        seen = world.snapshot(waiting=50, kv_usage=1.0, running=60)
        idle = {"pod-003": PodSample(value_milli=0, at_ns=world.second * NS_PER_SECOND)}
        observations = dict(seen.observations)
        for name in ("vllm:num_requests_waiting", "vllm:kv_cache_usage_perc", "vllm:num_requests_running"):
            query = MetricQuery(type="Pods", name=name)
            answer = observations[query]
            assert isinstance(answer, PodMetrics)
            observations[query] = PodMetrics({**answer.samples, **idle})
        decision = running.step(replace(seen, observations=observations), world.second * NS_PER_SECOND)
        assert (decision.desired_replicas, decision.reason) == (4, "LoadNoChange")

    def test_an_idle_fleet_loses_one_replica_a_tick(self) -> None:
        world = World(4)
        running = warm(world)
        asked = []
        for _ in range(5):
            decision = running.step(world.snapshot(), world.second * NS_PER_SECOND)
            asked.append(decision.desired_replicas)
            world.granted(decision)
            world.second += 5
        assert asked == [3, 2, 1, 1, 1]

    def test_an_engine_that_does_not_report_stops_it(self) -> None:
        """_reconcile_fpm_worker_count: "Worker count mismatch"."""
        world = World(3)
        running = warm(world)
        seen = world.snapshot(waiting=50, kv_usage=1.0, running=60)
        query = MetricQuery(type="Pods", name="vllm:kv_cache_usage_perc")
        answer = seen.observations[query]
        assert isinstance(answer, PodMetrics)
        partial = PodMetrics({name: sample for name, sample in answer.samples.items() if name != "pod-001"})
        decision = running.step(
            replace(seen, observations={**seen.observations, query: partial}), world.second * NS_PER_SECOND
        )
        assert (decision.desired_replicas, decision.reason) == (3, "WorkerCountMismatch")

    def test_before_a_mean_request_is_known_it_waits(self) -> None:
        """has_sufficient_data."""
        decision = Running.start(load_policy(LOAD)).step(World(3).snapshot(kv_usage=1.0, running=60), 0)
        assert (decision.desired_replicas, decision.reason) == (3, "InsufficientData")

    def test_the_throughput_loop_is_a_floor(self) -> None:
        """test_throughput_sets_lower_bound_when_load_enabled: need becomes a lower bound, the load loop scales."""
        spec = replace(LOAD, throughput_floor=True, predictor="constant")
        world = World(4)
        running = Running.start(load_policy(spec))
        asked = []
        for _ in range(0, 200, 5):
            decision = running.step(world.snapshot(kv_usage=0.3, running=10), world.second * NS_PER_SECOND)
            asked.append(decision.desired_replicas)
            world.second += 5
            world.answer(5 * 5.9 * CAPACITY)
        assert asked[35] < 6
        assert asked[36:] == [6] * 4


@pytest.mark.parametrize(
    ("build", "named"),
    [
        pytest.param(lambda: throughput_policy(replace(CONSTANT, itl_seconds=0)), "itlSeconds: was 0", id="itl"),
        pytest.param(lambda: throughput_policy(replace(CONSTANT, min_replicas=30)), "minReplicas: was 30", id="min"),
        pytest.param(
            lambda: load_policy(replace(LOAD, load_scaling_down_sensitivity=0)),
            "loadScalingDownSensitivity: was 0",
            id="sensitivity",
        ),
        pytest.param(
            lambda: throughput_policy(replace(CONSTANT, predictor="prophet")),
            "predictor: was 'prophet'",
            id="predictor",
        ),
    ],
)
def test_wrong_input_is_named(build: Any, named: str) -> None:
    with pytest.raises(BadInput, match=named):
        build()


def replay(policy: Any, scrapes: Sequence[tuple[float, float, float, float]], *, reverse: bool) -> list[Any]:
    running, world = Running.start(policy), World(4)
    decisions = []
    for rate, waiting, kv_usage, share in scrapes:
        snapshot = world.snapshot(waiting=waiting, kv_usage=kv_usage, running=10)
        ready = round(share * world.replicas)
        pods = tuple(pod if index < ready else replace(pod, ready="False") for index, pod in enumerate(snapshot.pods))
        snapshot = replace(snapshot, pods=pods)
        if reverse:
            observations = {
                query: PodMetrics(dict(reversed(each.samples.items()))) if isinstance(each, PodMetrics) else each
                for query, each in snapshot.observations.items()
            }
            snapshot = replace(snapshot, pods=pods[::-1], observations=observations)
        decisions.append(running.step(snapshot, world.second * NS_PER_SECOND))
        world.granted(decisions[-1])
        world.second += 60
        world.answer(60 * rate)
    return [*decisions, running.state]


@pytest.mark.parametrize("spec", [CONSTANT, LOAD], ids=["throughput", "load"])
@given(
    scrapes=st.lists(
        st.tuples(st.floats(0.0, 50.0), st.floats(0.0, 200.0), st.floats(0.0, 1.0), st.sampled_from([1.0, 1.0, 0.5])),
        min_size=1,
        max_size=25,
    )
)
@settings(max_examples=40, deadline=None)
def test_bounds_hold_and_a_replay_is_equal_in_any_order_of_pods(spec: Any, scrapes: Any) -> None:
    policy = load_policy(spec) if isinstance(spec, LoadSpec) else throughput_policy(spec)
    first = replay(policy, scrapes, reverse=False)
    assert all(spec.min_replicas <= each.desired_replicas <= spec.max_replicas for each in first[:-1])
    assert replay(policy, scrapes, reverse=False) == first
    assert replay(policy, scrapes, reverse=True) == first


def test_both_loops_are_listed() -> None:
    assert [entry.name for entry in dynamo_planner.ENTRIES] == ["dynamo-throughput", "dynamo-load"]
