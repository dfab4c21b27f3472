"""The simulated pages read back by the adapter's own parser: the same names, types and numbers."""

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from adapter.sources.catalogue import CATALOGUE
from adapter.sources.exposition import parse_exposition
from policies.capacity.profile import PROFILES
from simulations.exporter import GpuSampler, dcgm_page, vllm_page, vllm_series
from simulations.fleet import Fleet
from simulations.scenario import Scenario
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace


def started(seconds: float, replicas: int) -> Fleet:
    """The first seconds of the shipped hour, at their beginning."""
    return Fleet(
        Scenario(
            trace=read_trace(SHIPPED).first(seconds),
            profile=PROFILES["llama-3.1-8b-fp8-l4"],
            initial_replicas=replicas,
        )
    )


@pytest.fixture
def fleet() -> Fleet:
    """Three busy pods, one minute into the shipped hour."""
    each = started(300, 3)
    each.advance(60.0)
    return each


def test_the_page_has_vllms_names_and_types(fleet: Fleet) -> None:
    page = vllm_page(fleet, fleet.pods[0])
    kinds = {family.name: family.type for family in text_string_to_metric_families(page)}
    expected = {metric.name.removesuffix("_total"): metric.kind for metric in CATALOGUE if metric.system == "vllm"}
    assert kinds.items() <= expected.items()
    assert {
        "vllm:num_requests_waiting",
        "vllm:num_requests_running",
        "vllm:kv_cache_usage_perc",
        "vllm:prompt_tokens",
        "vllm:generation_tokens",
        "vllm:time_to_first_token_seconds",
        "vllm:request_time_per_output_token_seconds",
    } <= kinds.keys()


def test_the_parsed_page_holds_the_servers_numbers(fleet: Fleet) -> None:
    pod = fleet.pods[1]
    parsed = {sample.name: sample.value for sample in parse_exposition(vllm_page(fleet, pod))}
    for name, value in vllm_series(fleet, pod).items():
        assert parsed[name] == value
    assert parsed["vllm:num_requests_running"] == fleet.outstanding(pod)
    assert 0 < (parsed["vllm:kv_cache_usage_perc"] or 0) < 1


def test_histograms_are_cumulative_and_end_at_their_count(fleet: Fleet) -> None:
    samples = parse_exposition(vllm_page(fleet, fleet.pods[0]))
    for name in ("vllm:time_to_first_token_seconds", "vllm:request_time_per_output_token_seconds"):
        buckets = [sample.value for sample in samples if sample.name == f"{name}_bucket"]
        (count,) = (sample.value for sample in samples if sample.name == f"{name}_count")
        assert buckets == sorted(buckets, key=lambda value: value or 0.0)
        assert buckets[-1] == count
        assert (count or 0) > 0


def test_a_bucket_holds_what_is_at_or_below_its_bound(fleet: Fleet) -> None:
    fleet.advance(300.0)
    while not fleet.finished:
        fleet.advance(fleet.now_seconds + 60)
    requests = fleet.engine.requests[: fleet.engine.loaded]
    ttft = (requests["first_token"] - requests["enqueued"])[requests["replica"] == 0]
    for sample in parse_exposition(vllm_page(fleet, fleet.pods[0])):
        if sample.name == "vllm:time_to_first_token_seconds_bucket":
            assert sample.value == np.sum(ttft <= float(sample.labels["le"]))


def test_gpu_utilization_is_whole_percent_of_the_period_and_names_the_workloads_pod(fleet: Fleet) -> None:
    sampler = GpuSampler()
    sampler.sample(fleet)
    fleet.scale(4)
    fleet.advance(240.0)  # the new pod has started and still loads, or is ready without load
    sampler.sample(fleet)
    percent = sampler.percent()
    assert all(0 <= value <= 100 for value in percent.values())
    assert percent["vllm-0000"] > 50
    samples = parse_exposition(dcgm_page(fleet, percent))
    assert {sample.labels["pod"]: sample.value for sample in samples} == percent


def test_an_idle_gpu_shows_zero() -> None:
    idle = started(60, 1)
    idle.advance(0.5)
    sampler = GpuSampler()
    sampler.sample(idle)
    assert sampler.percent() == {"vllm-0000": 0}
