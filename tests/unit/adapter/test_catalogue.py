"""The tables of names, and the rules that serve them."""

import re

import pytest

from adapter.rules.rule_set import rule_set
from adapter.sources.catalogue import CATALOGUE, RULES, SERIES_NAMES, find, find_any_case
from adapter.sources.rule import Latest, Quantile, Rate, Ratio, Rule, Total, series_names

RULE = {rule.name: rule for rule in RULES}
PERCENT_AND_RATIOS = {"percent", "ratio"}


def test_no_name_is_listed_twice_even_in_another_case() -> None:
    names = [series.name.lower() for series in SERIES_NAMES]
    assert len(names) == len(set(names))


def test_no_two_rules_share_a_name_or_alias_even_in_another_case() -> None:
    assert len(rule_set(RULES).rules) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_ratios_and_percentages_never_add_up_and_counts_always_do(rule: Rule) -> None:
    """A pool's metrics are told by every replica of its endpoint picker: there the largest counts."""
    if rule.unit in PERCENT_AND_RATIOS:
        assert rule.reducer in ("mean", "max")
        assert rule.across == rule.reducer
    elif rule.unit in ("requests", "requests/s", "tokens/s", "bytes") and not rule.name.startswith("inference_pool"):
        assert (rule.reducer, rule.across) == ("sum", "sum")


def test_every_series_of_a_rule_is_one_that_an_exporter_writes_or_a_cloud_metric() -> None:
    written = {series.name for series in SERIES_NAMES}
    written |= {f"{name}_bucket" for metric in CATALOGUE if metric.kind == "histogram" for name in metric.spellings}
    for rule in RULES:
        for name in series_names(rule.value):
            assert name in written or (rule.cloud is not None and name == rule.cloud.metric_type), name


def test_every_gauge_and_counter_is_served_as_it_is_under_each_of_its_names() -> None:
    served = {name: rule for rule in RULES for name in (rule.name, *rule.aliases)}
    for metric in CATALOGUE:
        if metric.kind != "histogram":
            for name in metric.spellings:
                assert served[name].value == Latest(metric.spellings)
                assert served[name].kind == metric.kind


def test_names_can_stand_in_a_path_and_in_prometheus() -> None:
    for series in SERIES_NAMES:
        assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", series.name)
    for rule in RULES:
        assert not set("/% ") & set(rule.name)


def test_a_name_is_found_by_its_exact_spelling_and_for_external_metrics_by_any() -> None:
    assert find("dcgm_fi_dev_gpu_util") is None
    found = find_any_case("dcgm_fi_dev_gpu_util")
    assert found is not None
    assert found.current == "DCGM_FI_DEV_GPU_UTIL"


def test_an_older_name_leads_to_the_current_one() -> None:
    found = find("vllm:gpu_cache_usage_perc")
    assert found is not None
    assert (found.current, found.age) == ("vllm:kv_cache_usage_perc", 1)


def test_sglangs_time_per_output_token_is_its_inter_token_latency_and_not_a_requests() -> None:
    found = find("sglang:time_per_output_token_seconds_sum")
    assert found is not None
    assert found.current == "sglang:inter_token_latency_seconds_sum"
    assert find("sglang:request_time_per_output_token_seconds_sum") != found


@pytest.mark.parametrize("name", ["sglang_num_queue_reqs", "sglang_requests_per_second", "vllm_num_requests_waiting"])
def test_names_with_a_colon_are_found_with_an_underscore_too(name: str) -> None:
    assert any(name in rule.aliases for rule in RULES)


def test_a_histogram_is_asked_for_by_its_sum_or_count() -> None:
    assert find("vllm:time_to_first_token_seconds") is None
    assert find("vllm:time_to_first_token_seconds_bucket") is None
    assert find("vllm:time_to_first_token_seconds_sum") is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(
            "vllm:num_requests_running_and_waiting",
            Total(
                (
                    ("vllm:num_requests_running", "num_requests_running"),
                    ("vllm:num_requests_waiting", "num_requests_waiting"),
                )
            ),
            id="total-demand-is-running-and-waiting",
        ),
        pytest.param(
            "vllm:requests_per_second",
            Rate(("vllm:request_success_total", "request_success_total"), 60),
            id="the-request-rate-counts-successes",
        ),
        pytest.param(
            "vllm:time_to_first_token_seconds_p95",
            Quantile(("vllm:time_to_first_token_seconds", "time_to_first_token_seconds"), 0.95, 120),
            id="ttft-p95",
        ),
        pytest.param(
            "nv_inference_queue_duration_us_per_request",
            Ratio(("nv_inference_queue_duration_us",), ("nv_inference_request_success",), 60, idle=0.0),
            id="tritons-queue-time-per-request",
        ),
        pytest.param(
            "nv_inference_queue_duration_us", Latest(("nv_inference_queue_duration_us",)), id="and-its-counter"
        ),
        pytest.param(
            "sglang:num_running_and_queue_reqs",
            Total((("sglang:num_running_reqs",), ("sglang:num_queue_reqs",))),
            id="sglangs-total-demand",
        ),
        pytest.param(
            "sglang:inter_token_latency_seconds_p95",
            Quantile(("sglang:inter_token_latency_seconds", "sglang:time_per_output_token_seconds"), 0.95, 120),
            id="sglangs-inter-token-latency-by-either-name",
        ),
        pytest.param("torchserve_requests_per_second", Rate(("ts_inference_requests_total",), 60), id="torchserve"),
        pytest.param(
            "kubernetes.io|container|accelerator|duty_cycle",
            Latest(("DCGM_FI_DEV_GPU_UTIL",)),
            id="gkes-duty-cycle-is-had-from-dcgm-too",
        ),
    ],
)
def test_what_is_served(name: str, value: object) -> None:
    assert RULE[name].value == value


def test_gkes_duty_cycle_is_asked_of_cloud_monitoring_by_its_type() -> None:
    cloud = RULE["kubernetes.io|container|accelerator|duty_cycle"].cloud
    assert cloud is not None
    assert (cloud.metric_type, cloud.resource_type) == (
        "kubernetes.io/container/accelerator/duty_cycle",
        "k8s_container",
    )


def test_an_inference_pools_metrics_describe_the_pool_that_their_label_names() -> None:
    (current, alpha) = RULE["inference_pool_average_queue_size"].objects
    assert (current.resource, current.label) == ("inferencepools.inference.networking.k8s.io", "name")
    assert alpha.resource == "inferencepools.inference.networking.x-k8s.io"
