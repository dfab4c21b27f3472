"""Metrics pages as samples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.exposition import MalformedPage, Sample, parse_exposition

VLLM_TWO_ENGINES = """\
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 3.0
vllm:num_requests_waiting{engine="1",model_name="meta-llama/Llama-3.1-8B-Instruct"} 5.0
# HELP vllm:kv_cache_usage_perc KV-cache usage. 1 means 100 percent usage.
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} NaN
vllm:kv_cache_usage_perc{engine="1",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.5
# HELP vllm:generation_tokens_total Number of generation tokens processed.
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 1.25e+06
# HELP vllm:time_to_first_token_seconds Histogram of time to first token in seconds.
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001",model_name="meta-llama/Llama-3.1-8B-Instruct"} 0.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf",model_name="meta-llama/Llama-3.1-8B-Instruct"} 7.0
vllm:time_to_first_token_seconds_count{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 7.0
vllm:time_to_first_token_seconds_sum{engine="0",model_name="meta-llama/Llama-3.1-8B-Instruct"} 1.5
"""


def values(page: str, name: str) -> list[float | None]:
    return [sample.value for sample in parse_exposition(page) if sample.name == name]


def test_every_series_of_a_page_is_a_sample_with_its_labels() -> None:
    first = parse_exposition(VLLM_TWO_ENGINES)[0]
    labels = {"engine": "0", "model_name": "meta-llama/Llama-3.1-8B-Instruct"}
    assert first == Sample("vllm:num_requests_waiting", labels, 3.0, None)
    assert values(VLLM_TWO_ENGINES, "vllm:num_requests_waiting") == [3.0, 5.0]
    assert values(VLLM_TWO_ENGINES, "vllm:generation_tokens_total") == [1.25e6]


def test_buckets_are_samples_with_their_bound_as_a_label() -> None:
    buckets = [one for one in parse_exposition(VLLM_TWO_ENGINES) if one.name.endswith("_bucket")]
    assert [(one.labels["le"], one.value) for one in buckets] == [("0.001", 0.0), ("+Inf", 7.0)]


@pytest.mark.parametrize("text", ["NaN", "+Inf", "-Inf", "9" * 400])
def test_numbers_that_are_no_values_are_missing(text: str) -> None:
    assert values(f"a {text}\n", "a") == [None]


def test_a_counter_without_total_keeps_its_name() -> None:
    page = "# TYPE DCGM_FI_DEV_XID_ERRORS counter\nDCGM_FI_DEV_XID_ERRORS 0\n"
    assert values(page, "DCGM_FI_DEV_XID_ERRORS") == [0.0]


def test_a_timestamp_on_the_line_is_the_samples_own() -> None:
    (sample,) = parse_exposition('a{b="c"} 1 1700000000123\n')
    assert sample.at_ns == 1_700_000_000_123_000_000


def test_only_the_names_asked_for_are_returned() -> None:
    names = {sample.name for sample in parse_exposition(VLLM_TWO_ENGINES, names={"vllm:num_requests_waiting"})}
    assert names == {"vllm:num_requests_waiting"}


def test_label_values_may_hold_braces_quotes_and_spaces() -> None:
    (sample,) = parse_exposition('a{b="x} \\"y\\" {z",c="\\\\ \\n"} 1\n')
    assert sample.labels == {"b": 'x} "y" {z', "c": "\\ \n"}


@pytest.mark.parametrize(
    ("page", "where"),
    [
        pytest.param("<html><body>503 Service Unavailable</body></html>", "line 1", id="an-error-page"),
        pytest.param('ok 1\na{b="c" 3\n', "line 2", id="labels-without-their-end"),
        pytest.param('ok 1\n\na{b="c"} abc\n', "line 3", id="a-value-that-is-no-number"),
        pytest.param("ok 1\na\n", "line 2", id="a-line-cut-off-before-its-value"),
        pytest.param("a 1 2 3\n", "line 1", id="a-number-too-many"),
    ],
)
def test_a_malformed_page_is_refused_with_the_line(page: str, where: str) -> None:
    with pytest.raises(MalformedPage, match=where):
        parse_exposition(page)


def test_a_malformed_line_is_refused_even_where_its_name_is_not_asked_for() -> None:
    with pytest.raises(MalformedPage, match="line 2"):
        parse_exposition('a 1\nb{c="d" 3\n', names={"a"})


LINE = st.text(alphabet='ab_{}=,"\\ \t#1.eN+-\x00é', max_size=40)


@given(st.one_of(st.text(max_size=200), st.lists(LINE, max_size=5).map("\n".join)))
def test_any_text_is_samples_or_one_named_error(page: str) -> None:
    try:
        samples = parse_exposition(page)
    except MalformedPage:
        return
    assert all(sample.name for sample in samples)
