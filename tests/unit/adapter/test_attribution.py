"""Whose samples they are."""

from adapter.sources.attribution import Page, attribute
from adapter.sources.catalogue import combine, find
from adapter.sources.exposition import parse_exposition
from adapter.sources.targets import PodKey, Target

NOW_NS = 1_700_000_000_000_000_000
VLLM_0, VLLM_1, DCGM = PodKey("llm", "vllm-0"), PodKey("llm", "vllm-1"), PodKey("gpu", "dcgm-x")
PODS = {VLLM_0: {"app": "vllm"}, VLLM_1: {"app": "vllm"}, DCGM: {"app": "dcgm"}}
POD_PAGE = Target(url="http://10.0.0.7:8000/metrics", role="pod", owner=VLLM_0)
EXPORTER_PAGE = Target(url="http://10.0.0.3:9400/metrics", role="exporter", owner=DCGM)

DCGM_PAGE = """\
# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-a",device="nvidia0",container="vllm",namespace="llm",pod="vllm-0"} 40
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-b",device="nvidia1",container="vllm",namespace="llm",pod="vllm-0"} 80
DCGM_FI_DEV_GPU_UTIL{gpu="2",UUID="GPU-c",device="nvidia2",container="vllm",namespace="llm",pod="vllm-1"} 10
DCGM_FI_DEV_GPU_UTIL{gpu="3",UUID="GPU-d",device="nvidia3",container="",namespace="",pod=""} 0
# HELP DCGM_FI_DEV_FB_USED Framebuffer memory used (in MiB).
# TYPE DCGM_FI_DEV_FB_USED gauge
DCGM_FI_DEV_FB_USED{gpu="0",UUID="GPU-a",device="nvidia0",container="vllm",namespace="llm",pod="vllm-0"} 70000
DCGM_FI_DEV_FB_USED{gpu="1",UUID="GPU-b",device="nvidia1",container="vllm",namespace="llm",pod="vllm-0"} 71000
"""


def attributed(page: str, target: Target) -> Page:
    return attribute(parse_exposition(page), target=target, pods=PODS, scraped_at_ns=NOW_NS)


def value(page: Page, pod: PodKey, metric: str) -> float:
    name = find(metric)
    assert name is not None
    return combine(name.metric, [one.value for one in page[pod, name.current] if one.value is not None])


def test_two_engines_of_a_pod_wait_together_and_share_their_cache_usage() -> None:
    page = attributed(
        'vllm:num_requests_waiting{engine="0"} 3\nvllm:num_requests_waiting{engine="1"} 5\n'
        'vllm:kv_cache_usage_perc{engine="0"} 0.2\nvllm:kv_cache_usage_perc{engine="1"} 0.6\n',
        POD_PAGE,
    )
    assert value(page, VLLM_0, "vllm:num_requests_waiting") == 8.0
    assert value(page, VLLM_0, "vllm:kv_cache_usage_perc") == 0.4


def test_two_gpus_of_a_pod_average_their_percent_and_add_their_memory() -> None:
    page = attributed(DCGM_PAGE, EXPORTER_PAGE)
    assert value(page, VLLM_0, "DCGM_FI_DEV_GPU_UTIL") == 60.0
    assert value(page, VLLM_0, "DCGM_FI_DEV_FB_USED") == 141_000.0
    assert value(page, VLLM_1, "DCGM_FI_DEV_GPU_UTIL") == 10.0


def test_an_idle_gpu_belongs_to_nobody() -> None:
    assert {pod for pod, _ in attributed(DCGM_PAGE, EXPORTER_PAGE)} == {VLLM_0, VLLM_1}


def test_behind_prometheus_the_workload_is_in_the_exported_labels() -> None:
    line = (
        'DCGM_FI_DEV_GPU_UTIL{gpu="0",exported_namespace="llm",exported_pod="vllm-0",namespace="gpu",pod="dcgm-x"} 7\n'
    )
    page = attributed(line, EXPORTER_PAGE)
    assert value(page, VLLM_0, "DCGM_FI_DEV_GPU_UTIL") == 7.0
    ((series,),) = page.values()
    assert series.labels == {"gpu": "0", "app": "vllm", "namespace": "llm", "pod": "vllm-0"}


def test_the_exporters_own_pod_never_gets_the_gpus() -> None:
    line = 'DCGM_FI_DEV_GPU_UTIL{gpu="0",namespace="gpu",pod="dcgm-x"} 7\n'
    idle = 'DCGM_FI_DEV_GPU_UTIL{gpu="0",exported_pod="",namespace="gpu",pod="dcgm-x"} 7\n'
    assert attributed(line, EXPORTER_PAGE) == {}
    assert attributed(idle, EXPORTER_PAGE) == {}


def test_a_pod_that_is_not_listed_gets_nothing() -> None:
    assert attributed('DCGM_FI_DEV_GPU_UTIL{namespace="llm",pod="deleted"} 7\n', EXPORTER_PAGE) == {}


def test_a_pods_page_speaks_of_that_pod_whatever_its_labels_say() -> None:
    page = attributed('vllm:num_requests_waiting{pod="liar",app="other",engine="0"} 3\n', POD_PAGE)
    ((series,),) = page.values()
    assert series.labels == {
        "exported_pod": "liar",
        "exported_app": "other",
        "engine": "0",
        "app": "vllm",
        "namespace": "llm",
        "pod": "vllm-0",
    }


def test_an_older_name_is_stored_under_the_current_one() -> None:
    page = attributed('vllm:gpu_cache_usage_perc{engine="0"} 0.3\n', POD_PAGE)
    assert value(page, VLLM_0, "vllm:kv_cache_usage_perc") == 0.3
    assert value(page, VLLM_0, "vllm:gpu_cache_usage_perc") == 0.3


def test_of_a_page_with_both_names_the_current_one_counts_and_counts_once() -> None:
    page = attributed(
        "vllm:time_per_output_token_seconds_sum 9\nvllm:inter_token_latency_seconds_sum 10\n"
        "vllm:kv_cache_usage_perc 0.3\nvllm:gpu_cache_usage_perc 0.2\n",
        POD_PAGE,
    )
    assert value(page, VLLM_0, "vllm:inter_token_latency_seconds_sum") == 10.0
    assert value(page, VLLM_0, "vllm:kv_cache_usage_perc") == 0.3


def test_of_a_histogram_sum_and_count_are_values_and_buckets_are_not() -> None:
    page = attributed(
        'vllm:time_to_first_token_seconds_bucket{le="1"} 4\n'
        "vllm:time_to_first_token_seconds_sum 2.5\nvllm:time_to_first_token_seconds_count 5\n",
        POD_PAGE,
    )
    assert {metric for _, metric in page} == {
        "vllm:time_to_first_token_seconds_sum",
        "vllm:time_to_first_token_seconds_count",
    }


def test_series_outside_the_catalogue_are_left_out() -> None:
    assert attributed("process_cpu_seconds_total 3\n", POD_PAGE) == {}


def test_a_samples_own_time_is_kept_unless_it_lies_ahead() -> None:
    early, late = NOW_NS - 5_000_000_000, NOW_NS + 5_000_000_000
    page = attributed(
        f"vllm:num_requests_waiting 1 {early // 1_000_000}\nvllm:num_requests_running 1 {late // 1_000_000}\n", POD_PAGE
    )
    assert [series[0].at_ns for series in page.values()] == [early, NOW_NS]
