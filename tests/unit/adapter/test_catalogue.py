"""The table of names."""

from adapter.sources.catalogue import CATALOGUE, SERIES_NAMES, find, find_any_case


def test_no_name_is_listed_twice_even_in_another_case() -> None:
    names = [series.name.lower() for series in SERIES_NAMES]
    assert len(names) == len(set(names))


def test_ratios_and_percentages_are_averaged_and_everything_else_adds_up() -> None:
    assert {metric.name for metric in CATALOGUE if metric.reducer == "mean"} == {
        "vllm:kv_cache_usage_perc",
        "DCGM_FI_DEV_GPU_UTIL",
    }


def test_a_name_is_found_by_its_exact_spelling_and_for_external_metrics_by_any() -> None:
    assert find("dcgm_fi_dev_gpu_util") is None
    found = find_any_case("dcgm_fi_dev_gpu_util")
    assert found is not None
    assert found.current == "DCGM_FI_DEV_GPU_UTIL"


def test_an_older_name_leads_to_the_current_one() -> None:
    found = find("vllm:gpu_cache_usage_perc")
    assert found is not None
    assert (found.current, found.age) == ("vllm:kv_cache_usage_perc", 1)


def test_a_histogram_is_asked_for_by_its_sum_or_count() -> None:
    assert find("vllm:time_to_first_token_seconds") is None
    assert find("vllm:time_to_first_token_seconds_bucket") is None
    assert find("vllm:time_to_first_token_seconds_sum") is not None
