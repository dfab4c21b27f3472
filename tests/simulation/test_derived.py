"""Series that rivals read: each equals what its exporter would show at the scrape, and nothing newer."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.capacity.profile import PROFILES
from policies.snapshot import NS_PER_SECOND, ExternalMetric, MetricError, MetricQuery, PodMetrics
from simulations.derived import AGGREGATES, DerivedSeries, Missed, cpu_cores, histogram_quantile
from simulations.engine.layout import TTFT_BOUNDS
from simulations.exporter import vllm_series
from simulations.fleet import Fleet
from simulations.lead_time import LeadTime
from simulations.pipeline import MetricPipeline
from simulations.request_rows import PENDING
from simulations.scenario import Failures, Scenario
from simulations.server_pages import ServerPages
from simulations.trace import Trace

PROFILE = PROFILES["llama-3.1-8b-fp8-l4"]
EXACT = LeadTime(start_median_seconds=100, load_median_seconds=60, sigma=0.0)
TTFT = "leadtime:ttft_p90_seconds:1m"
TPOT = "leadtime:tpot_p90_seconds:1m"
CPU = MetricQuery(type="Resource", name="cpu")


def external(name: str) -> MetricQuery:
    return MetricQuery(type="External", name=name)


def fleet(
    arrivals: list[float],
    initial_replicas: int,
    *,
    prompt: int = 100,
    output: int = 50,
    mtbf_seconds: float = math.inf,
) -> Fleet:
    count = len(arrivals)
    trace = Trace(
        "test", 0, np.array(arrivals, np.float64), np.full(count, prompt, np.int32), np.full(count, output, np.int32)
    )
    return Fleet(
        Scenario(
            trace=trace,
            profile=PROFILE,
            lead_time=EXACT,
            initial_replicas=initial_replicas,
            failures=Failures(mtbf_seconds=mtbf_seconds),
        )
    )


def requests(each: Fleet) -> Any:
    """REQUEST records in order of arrival; nothing was taken yet."""
    return each.engine.requests[: each.engine.loaded]


def pipeline_of(each: Fleet) -> MetricPipeline:
    """Every aggregate and the pods' CPU are asked for."""
    return MetricPipeline(each, [*map(external, sorted(AGGREGATES)), CPU])


def read(pipeline: MetricPipeline, name: str) -> float | None:
    """The one value of a series in its own unit, None when it is absent."""
    answer = pipeline.snapshot([external(name)]).observations[external(name)]
    if isinstance(answer, MetricError):
        return None
    assert isinstance(answer, ExternalMetric)
    (value_milli,) = answer.values_milli
    return value_milli / 1000


def scraped(each: Fleet, *seconds: float) -> MetricPipeline:
    pipeline = pipeline_of(each)
    for second in seconds:
        each.advance(second)
        pipeline.scrape()
    return pipeline


def test_without_pods_the_gateway_holds_all_and_the_pool_is_empty() -> None:
    pipeline = scraped(fleet([1.0, 2.0, 3.0], 0), 10.0)
    assert read(pipeline, "leadtime:gateway_queue") == 3
    assert read(pipeline, "leadtime:num_requests_outstanding") == 3
    assert read(pipeline, "inference_extension_flow_control_queue_size") == 3
    assert read(pipeline, "inference_objective_running_requests") == 0
    assert read(pipeline, "inference_pool_inflight_prefill_tokens") == 0, "nothing was sent to a server"
    assert read(pipeline, "inference_pool_ready_pods") == 0
    assert read(pipeline, "inference_pool_average_queue_size") is None
    assert read(pipeline, "inference_pool_average_kv_cache_utilization") is None


def test_an_empty_pool_is_fully_saturated() -> None:
    """llm-d-router utilization/detector.go, commit 39142fb9: no candidates score 1.0 (its test: empty candidates)."""
    assert read(scraped(fleet([1.0], 0), 10.0), "inference_pool_saturation") == 1.0


def test_sums_and_means_are_those_of_the_servers_own_series() -> None:
    each = fleet([0.01 * index for index in range(900)], 2, output=400)
    pipeline = scraped(each, 20.0)
    rows = [vllm_series(each, pod) for pod in each.pods]
    waiting = [row["vllm:num_requests_waiting"] for row in rows]
    running = [row["vllm:num_requests_running"] for row in rows]
    usage = [row["vllm:kv_cache_usage_perc"] for row in rows]
    assert sum(waiting) > 0
    assert read(pipeline, "leadtime:num_requests_outstanding") == sum(running) + sum(waiting)
    assert read(pipeline, "inference_extension_flow_control_queue_size") == sum(waiting)
    assert read(pipeline, "inference_objective_running_requests") == sum(running)
    assert read(pipeline, "inference_pool_average_queue_size") == pytest.approx(sum(waiting) / 2, abs=1e-3)
    assert read(pipeline, "inference_pool_average_kv_cache_utilization") == pytest.approx(sum(usage) / 2, abs=1e-3)
    assert read(pipeline, "inference_pool_kv_cache_utilization_sum") == pytest.approx(sum(usage), abs=1e-3)
    scores = [max(queue / 5, kv / 0.8) for queue, kv in zip(waiting, usage, strict=True)]
    assert read(pipeline, "inference_pool_saturation") == pytest.approx(sum(scores) / 2, abs=1e-3)


def test_a_terminating_pod_leaves_the_pool_but_its_requests_stay_outstanding() -> None:
    each = fleet([1.0, 1.0], 2, output=500)
    each.advance(2.0)
    each.scale(1)
    pipeline = scraped(each, 3.0)
    assert read(pipeline, "inference_pool_ready_pods") == 1
    assert read(pipeline, "leadtime:num_requests_outstanding") == 2


def test_inflight_prefill_tokens_are_whole_prompts_from_dispatch_to_first_token() -> None:
    """A prompt of two chunks counts in full until its first token, then not at all."""
    each = fleet([10.0, 10.0, 100.0], 1, prompt=4_000)
    pipeline = pipeline_of(each)
    seen = {}
    for second in (9.0, 10.1, 60.0, 100.1, 160.0):
        each.advance(second)
        pipeline.scrape()
        seen[second] = read(pipeline, "inference_pool_inflight_prefill_tokens")
    assert seen == {9.0: 0, 10.1: 8_000, 60.0: 0, 100.1: 4_000, 160.0: 0}


def test_inflight_prefill_tokens_equal_a_count_over_all_requests() -> None:
    each = fleet([0.02 * index for index in range(1_000)], 1, prompt=700, output=80)
    pipeline = pipeline_of(each)
    for second in range(0, 400, 5):
        each.advance(float(second))
        pipeline.scrape()
        rows = requests(each)
        sent = ~np.isnan(rows["enqueued"]) & np.isnan(rows["first_token"]) & (rows["outcome"] == PENDING)
        assert read(pipeline, "inference_pool_inflight_prefill_tokens") == rows["prompt_tokens"][sent].sum()


def test_the_deployments_counts_follow_its_pods() -> None:
    each = fleet([1_000.0], 1)
    each.scale(3)
    pipeline = scraped(each, 30.0)
    assert read(pipeline, "kube_deployment_spec_replicas") == 3
    assert read(pipeline, "kube_deployment_status_replicas") == 3
    assert read(pipeline, "kube_deployment_status_replicas_ready") == 1
    assert read(pipeline, "kube_deployment_status_replicas_unavailable") == 2
    each.scale(2)
    each.advance(200.0)
    pipeline.scrape()
    assert read(pipeline, "kube_deployment_status_replicas_unavailable") == 0


def _after_scrapes(wanted: Collection[str], missed: Collection[Missed] = ()) -> list[dict[str, float]]:
    """What each scrape gives of a fleet that is scaled, and whose servers crash, while requests queue and finish."""
    each = fleet([0.05 * index for index in range(3_000)], 2, prompt=900, output=60, mtbf_seconds=90.0)
    derived, pages = DerivedSeries(wanted, missed), ServerPages(each)
    values = []
    for second in range(10, 400, 15):
        each.advance(float(second))
        if second == 100:
            each.scale(3)
        values.append(derived.scrape(each, pages.read()))
    return values


_MISSED = Missed("leadtime:ttft_missed_percent:1m", 2.0)


@pytest.fixture(scope="module")
def with_all() -> list[dict[str, float]]:
    return _after_scrapes(AGGREGATES, [_MISSED])


@pytest.mark.parametrize("name", sorted(AGGREGATES | {_MISSED.series}))
def test_a_series_that_is_asked_for_alone_is_the_same_and_comes_alone(
    name: str, with_all: list[dict[str, float]]
) -> None:
    alone = _after_scrapes((), [_MISSED]) if name == _MISSED.series else _after_scrapes({name})
    assert alone == [{name: values[name]} if name in values else {} for values in with_all]
    assert len({values.get(name) for values in with_all}) > 1, "the fleet must move it for this to say something"


def test_values_are_those_of_the_scrape_and_go_missing_when_it_is_old() -> None:
    each = fleet([1.0, 2.0, 3.0], 0)
    pipeline = scraped(each, 1.5)
    each.advance(20.0)
    assert read(pipeline, "leadtime:gateway_queue") == 1
    each.advance(61.9)
    assert read(pipeline, "leadtime:gateway_queue") is None


def test_aggregates_are_external_only() -> None:
    pipeline = scraped(fleet([1.0], 1), 15.0)
    query = MetricQuery(type="Pods", name="leadtime:gateway_queue")
    assert isinstance(pipeline.snapshot([query]).observations[query], MetricError)


def test_latencies_are_absent_until_requests_finish_between_two_scrapes() -> None:
    each = fleet([20.0], 1)
    pipeline = pipeline_of(each)
    seen = []
    for second in (0.0, 15.0, 30.0, 75.0, 90.0):
        each.advance(second)
        pipeline.scrape()
        seen.append((read(pipeline, TTFT) is not None, read(pipeline, TPOT) is not None))
    assert seen == [(False, False), (False, False), (True, True), (False, False), (False, False)]


def test_the_p90_lies_in_the_bucket_of_the_true_p90() -> None:
    each = fleet([0.25 * index for index in range(400)], 2, prompt=600, output=60)
    pipeline = scraped(each, 30.0, 45.0, 60.0)
    first = requests(each)["first_token"]
    ttft = (first - requests(each)["enqueued"])[(first > 30.0) & (first <= 60.0)]
    exact = float(np.quantile(ttft, 0.9))
    above = int(np.searchsorted(TTFT_BOUNDS, exact))
    value = read(pipeline, TTFT)
    assert value is not None
    assert TTFT_BOUNDS[above - 1] - 1e-3 <= value <= TTFT_BOUNDS[above] + 1e-3


@pytest.mark.parametrize(
    ("cumulative", "expected"),
    [
        pytest.param([0, 0, 0], None, id="no-observations"),
        pytest.param([10, 10, 10], 0.9, id="linear-from-zero-in-the-first-bucket"),
        pytest.param([5, 10, 10], 1 + 1 * 4 / 5, id="linear-in-the-second-bucket"),
        pytest.param([5, 5, 10], 2.0, id="above-the-last-bound-it-is-that-bound"),
        pytest.param([9, 10, 10], 1.0, id="a-rank-on-an-edge-is-the-edge"),
    ],
)
def test_histogram_quantile(cumulative: list[int], expected: float | None) -> None:
    """prometheus/prometheus promql/quantile.go, BucketQuantile: bounds 1 and 2, quantile 0.9."""
    assert histogram_quantile(0.9, [1.0, 2.0], cumulative) == pytest.approx(expected)


@given(counts=st.lists(st.integers(0, 50), min_size=4, max_size=4), quantile=st.floats(0.05, 0.95))
def test_histogram_quantile_stays_in_the_bucket_where_the_rank_falls(counts: list[int], quantile: float) -> None:
    bounds = [0.5, 1.0, 4.0]
    cumulative = np.cumsum(counts).tolist()
    value = histogram_quantile(quantile, bounds, cumulative)
    if sum(counts) == 0:
        assert value is None
        return
    bucket = next(index for index, count in enumerate(cumulative) if count >= quantile * cumulative[-1])
    low, high = [(0.0, 0.5), (0.5, 1.0), (1.0, 4.0), (4.0, 4.0)][bucket]
    assert value is not None
    assert low - 1e-9 <= value <= high + 1e-9


def test_cpu_is_a_tenth_of_a_core_idle_and_one_core_busy() -> None:
    assert cpu_cores({"a": 0, "b": 50, "c": 100}) == pytest.approx({"a": 0.1, "b": 0.55, "c": 1.0})


def test_cpu_answers_per_started_pod_with_the_scrape_interval_as_its_window() -> None:
    each = fleet([16.0], 1, output=5_000)
    each.scale(2)
    pipeline = scraped(each, 15.0, 35.0)
    snapshot = pipeline.snapshot([CPU])
    answer = snapshot.observations[CPU]
    assert isinstance(answer, PodMetrics)
    assert answer.samples.keys() == {"vllm-0000"}, "the second pod's containers do not run yet"
    sample = answer.samples["vllm-0000"]
    assert sample.value_milli == pytest.approx(1000 * (0.1 + 0.9 * 19 / 20), abs=2)
    assert (sample.at_ns, sample.window_ns) == (35 * NS_PER_SECOND, 20 * NS_PER_SECOND)
    assert snapshot.pods[0].containers[0].requests_milli == {"cpu": 1000}
