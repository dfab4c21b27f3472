"""Names in HPAs to rules: tables of names in public HPAs and prometheus-adapter configurations."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.names.resolve import NameIndex, Resolved
from adapter.sources.catalogue import RULES

INDEX = NameIndex(RULES)


def told(found: Resolved | None) -> tuple[str, str, str] | None:
    return None if found is None else (found.rule.name, found.view.kind, found.view.resource_type)


DUTY_CYCLE = "kubernetes.io|container|accelerator|duty_cycle"


@pytest.mark.parametrize(
    ("name", "rule", "view"),
    [
        ("vllm:num_requests_waiting", "vllm:num_requests_waiting", "plain"),
        ("num_requests_waiting", "vllm:num_requests_waiting", "plain"),
        ("vllm_num_requests_waiting", "vllm:num_requests_waiting", "plain"),
        ("vllm_queue_size", "vllm:num_requests_waiting", "plain"),
        ("vllm:gpu_cache_usage_perc", "vllm:kv_cache_usage_perc", "plain"),
        ("vllm_kv_cache_usage_perc", "vllm:kv_cache_usage_perc", "plain"),
        ("DCGM_FI_DEV_GPU_UTIL_AVG", "DCGM_FI_DEV_GPU_UTIL", "plain"),
        ("gpu_utilization", "DCGM_FI_DEV_GPU_UTIL", "plain"),
        ("avg_time_queue_us", "nv_inference_queue_duration_us_per_request", "plain"),
        ("triton:queue_compute:ratio", "nv_inference_queue_compute_ratio", "plain"),
        ("torchserve_requests_per_second", "torchserve_requests_per_second", "plain"),
        ("prometheus.googleapis.com|vllm:num_requests_waiting|gauge", "vllm:num_requests_waiting", "prometheus_target"),
        ("prometheus.googleapis.com|vllm:num_requests_running|gauge", "vllm:num_requests_running", "prometheus_target"),
        ("prometheus.googleapis.com|vllm:gpu_cache_usage_perc|gauge", "vllm:kv_cache_usage_perc", "prometheus_target"),
        ("prometheus.googleapis.com|tgi_queue_size|gauge", "tgi_queue_size", "prometheus_target"),
        ("prometheus.googleapis.com|dcgm_fi_dev_gpu_util|unknown", "DCGM_FI_DEV_GPU_UTIL", "prometheus_target"),
        ("prometheus.googleapis.com|DCGM_FI_DEV_GPU_UTIL|gauge", "DCGM_FI_DEV_GPU_UTIL", "prometheus_target"),
        ("prometheus.googleapis.com|nv_gpu_utilization|gauge", "nv_gpu_utilization", "prometheus_target"),
        (
            "prometheus.googleapis.com|torchserve_requests_per_second|gauge",
            "torchserve_requests_per_second",
            "prometheus_target",
        ),
        (DUTY_CYCLE, DUTY_CYCLE, "k8s_container"),
        ("kubernetes.io|node|accelerator|duty_cycle", "kubernetes.io|node|accelerator|duty_cycle", "k8s_node"),
        ("custom.googleapis.com|model_latency_ms", "model_latency_ms", "k8s_pod"),
        ("external.googleapis.com|prometheus|requests_per_second", "requests_per_second", "k8s_container"),
    ],
)
def test_names_of_public_hpas(name: str, rule: str, view: str) -> None:
    expected = (rule, "plain", "") if view == "plain" else (rule, "stackdriver", view)
    assert told(INDEX.custom(name)) == expected
    assert told(INDEX.external(name)) == expected


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        pytest.param("counter", "vllm:requests_per_second", id="of-a-counter-the-rate"),
        pytest.param("unknown:counter", "vllm:requests_per_second", id="of-an-untyped-counter-the-rate"),
        pytest.param("unknown", "vllm:request_success_total", id="of-an-untyped-series-the-value-as-it-is"),
        pytest.param("histogram", None, id="nothing-of-a-distribution"),
        pytest.param("", None, id="nothing-without-a-kind"),
        pytest.param("gauge|more", None, id="nothing-with-too-many-parts"),
    ],
)
def test_the_kind_says_what_of_a_series_is_asked_for(kind: str, rule: str | None) -> None:
    found = INDEX.custom(f"prometheus.googleapis.com|vllm:request_success_total|{kind}")
    assert (None if found is None else found.rule.name) == rule


@pytest.mark.parametrize(
    "name",
    [
        "",
        "|",
        "vllm:num_requests",
        "prometheus.googleapis.com",
        "prometheus.googleapis.com|",
        "prometheus.googleapis.com||gauge",
        "pubsub.googleapis.com|subscription|num_undelivered_messages",
        "custom.googleapis.com|prometheus.googleapis.com|tgi_queue_size|gauge",
    ],
)
def test_what_no_rule_has_is_not_found(name: str) -> None:
    assert INDEX.custom(name) is None
    assert INDEX.external(name) is None


def test_custom_names_keep_their_case_and_external_names_lose_it() -> None:
    assert INDEX.custom("dcgm_fi_dev_gpu_util") is None
    assert told(INDEX.external("dcgm_fi_dev_gpu_util")) == ("DCGM_FI_DEV_GPU_UTIL", "plain", "")


NAMES = [name for rule in RULES for name in (rule.name, *rule.aliases)]


@given(st.sampled_from(NAMES), st.randoms(use_true_random=False))
def test_every_name_in_any_case_is_the_same_external_metric(name: str, random: Random) -> None:
    mixed = "".join(letter.upper() if random.random() < 0.5 else letter.lower() for letter in name)
    assert INDEX.external(mixed) == INDEX.external(name) == INDEX.custom(name)


@given(
    st.text(max_size=40) | st.lists(st.sampled_from(["prometheus.googleapis.com", "|", "x", "gauge", "."])).map("".join)
)
def test_no_name_is_too_odd_to_be_looked_up(name: str) -> None:
    for found in (INDEX.custom(name), INDEX.external(name)):
        assert found is None or found.rule in RULES
