"""Metrics pages as samples."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from adapter.sources.exposition import MalformedPage, Sample, parse_exposition
from adapter.sources.page_parser import PageLimits, PageParser, ParsedPage, SeriesBudget
from adapter.sources.series_cache import SeriesCache
from adapter.sources.source import SourceUnavailable

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


def parsed(
    page: str,
    names: set[str],
    *,
    openmetrics: bool = False,
    is_complete: bool = True,
    cut_at: int = 10_000,
    cache: SeriesCache | None = None,
    **limits: int,
) -> ParsedPage:
    cache = cache or SeriesCache(limit=1000)
    cache.want(frozenset(names))
    all_limits = {"series": 1000, "labels_per_series": 64, "label_value_length": 1024} | limits
    parser = PageParser(cache, PageLimits(**all_limits), SeriesBudget(100_000))
    parser.openmetrics = openmetrics
    for start in range(0, len(page), cut_at):
        parser.feed(page[start : start + cut_at])
    return parser.finish(is_complete=is_complete)


def flat(page: ParsedPage) -> list[tuple[str, dict[str, str], float, int | None]]:
    """(name, labels with le, value, timestamp in ms) of every sample."""
    return [
        (
            name,
            dict(head.labels.labels) | ({"le": head.le} if head.le is not None else {}),
            value,
            page.times[head] // 1_000_000 if head in page.times else None,
        )
        for name, found in page.samples.items()
        for head, value in found.items()
    ]


@pytest.mark.parametrize("cut_at", [1, 7, 10_000])
def test_a_page_that_arrives_in_pieces_is_the_same_page(cut_at: int) -> None:
    names = {"vllm:num_requests_waiting", "vllm:time_to_first_token_seconds_bucket"}
    samples = flat(parsed(VLLM_TWO_ENGINES, names, cut_at=cut_at))
    model = "meta-llama/Llama-3.1-8B-Instruct"
    assert samples == [
        ("vllm:num_requests_waiting", {"engine": "0", "model_name": model}, 3.0, None),
        ("vllm:num_requests_waiting", {"engine": "1", "model_name": model}, 5.0, None),
        ("vllm:time_to_first_token_seconds_bucket", {"engine": "0", "model_name": model, "le": "0.001"}, 0.0, None),
        ("vllm:time_to_first_token_seconds_bucket", {"engine": "0", "model_name": model, "le": "+Inf"}, 7.0, None),
    ]


def test_a_page_seen_before_shares_its_series_and_gives_the_new_values() -> None:
    cache = SeriesCache(limit=1000)
    (first,) = parsed('a{b="c"} 1\n', {"a"}, cache=cache).samples["a"]
    ((again, value),) = parsed('a{b="c"} 2 1700000000123\n', {"a"}, cache=cache).samples["a"].items()
    assert again is first
    assert value == 2.0


def test_the_order_of_labels_makes_no_other_series() -> None:
    page = parsed('a{b="1",c="2"} 1\na{c="2",b="1"} 5\n', {"a"})
    assert [value for *_, value, _ in flat(page)] == [1.0]
    assert page.notes == {"duplicate": 1}


def test_of_duplicate_series_the_first_counts() -> None:
    page = parsed("a 1\na 2\na 3\n", {"a"})
    assert flat(page) == [("a", {}, 1.0, None)]
    assert page.notes["duplicate"] == 2


def test_names_wanted_later_are_found_although_they_were_skipped_before() -> None:
    cache = SeriesCache(limit=1000)
    parsed('a{x="y"} 1\nb{x="y"} 2\n', {"a"}, cache=cache)
    assert flat(parsed('a{x="y"} 1\nb{x="y"} 2\n', {"b"}, cache=cache)) == [("b", {"x": "y"}, 2.0, None)]


OPENMETRICS = """\
# TYPE a counter
a_total{b="c"} 1.5 1700000000.123 # {trace_id="x"} 0.67 1700000000.1
a_total{b="d"} 2 # {trace_id="}"} 1
# EOF
"""


def test_openmetrics_has_seconds_exemplars_and_an_end() -> None:
    for cache in [SeriesCache(limit=1000)] * 2:
        assert flat(parsed(OPENMETRICS, {"a_total"}, openmetrics=True, cache=cache)) == [
            ("a_total", {"b": "c"}, 1.5, 1_700_000_000_123),
            ("a_total", {"b": "d"}, 2.0, None),
        ]


@pytest.mark.parametrize(
    ("page", "openmetrics"),
    [
        pytest.param("a 12", False, id="a-last-line-that-may-have-lost-digits"),
        pytest.param("a 12\n", True, id="openmetrics-without-its-end"),
    ],
)
def test_a_page_without_its_end_is_refused(page: str, openmetrics: bool) -> None:
    with pytest.raises(SourceUnavailable) as refused:
        parsed(page, {"a"}, openmetrics=openmetrics, is_complete=False)
    assert refused.value.reason == "truncated"


def test_a_last_line_without_newline_is_fine_where_the_transport_vouches_for_it() -> None:
    assert flat(parsed("a 12", {"a"}, is_complete=True)) == [("a", {}, 12.0, None)]


@pytest.mark.parametrize(
    "page",
    [
        "<html><body>sign in</body></html>\n",
        "<style>p{color:red}</style>\n",
        "a 1_000\n",
        'a{b="c} 1\n',
        "a 1 2 3\n",
        "x\n",
    ],
)
def test_what_is_no_metrics_page_is_refused_with_its_line(page: str) -> None:
    with pytest.raises(MalformedPage, match="line 3"):
        parsed('\nok{x="1"} 1\n' + page, {"a", "ok"})


def test_a_known_series_with_a_broken_value_is_refused() -> None:
    cache = SeriesCache(limit=1000)
    parsed('a{b="c"} 1\n', {"a"}, cache=cache)
    for value in ("abc", "1_0", ""):
        with pytest.raises(MalformedPage, match="line 1"):
            parsed(f'a{{b="c"}} {value}\n', {"a"}, cache=cache)


def test_a_line_without_an_end_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(MalformedPage, match="over 65536 characters"):
        parsed("# " + "x" * 100_000, {"a"})


def test_of_a_label_explosion_the_largest_metric_is_left_out_whole() -> None:
    page = "b 1\n" + "".join(f'a{{user="{user}"}} 1\n' for user in range(5000)) + "c 2\n"
    cache = SeriesCache(limit=100_000)
    result = parsed(page, {"a", "b", "c"}, series=100, cut_at=1000, cache=cache)
    assert [name for name, *_ in flat(result)] == ["b", "c"]
    assert result.cut == {"a": "over 100 series on the page"}
    assert result.notes["limit"] > 100
    assert len(cache.heads) < 300, "what is cut is not remembered"


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ('a{b="' + "x" * 2000 + '"} 1\na{b="y"} 2\n', "a label value of over 1024 characters on the page"),
        ("a{" + ",".join(f'l{i}="1"' for i in range(65)) + "} 1\n", "a series of over 64 labels on the page"),
    ],
)
def test_a_metric_with_absurd_labels_is_left_out_whole(page: str, why: str) -> None:
    result = parsed(page + "c 1\n", {"a", "c"})
    assert result.cut == {"a": why}
    assert [name for name, *_ in flat(result)] == ["c"]


def test_all_pages_share_one_budget_and_a_failed_page_gives_its_part_back() -> None:
    cache, budget = SeriesCache(limit=1000), SeriesBudget(3)
    cache.want(frozenset({"a"}))
    limits = PageLimits(series=100, labels_per_series=64, label_value_length=100)
    parser = PageParser(cache, limits, budget)
    with pytest.raises(SourceUnavailable) as refused:
        parser.feed("".join(f'a{{b="{i}"}} 1\n' for i in range(4)))
    assert refused.value.reason == "limit"
    parser.release()
    assert budget.left == 3


def test_what_is_remembered_of_lines_is_bounded() -> None:
    cache = SeriesCache(limit=10)
    cache.want(frozenset({"a"}))
    parser = PageParser(
        cache, PageLimits(series=10_000, labels_per_series=64, label_value_length=100), SeriesBudget(10_000)
    )
    for number in range(500):
        parser.feed(f'a{{b="{number}"}} 1\n# {number}\nx{number} 1\n')
    assert len(cache.heads) <= 10
    assert len(parser.finish(is_complete=True).samples["a"]) == 500


NAMES = st.from_regex(r"[a-z_:][a-z0-9_:]{0,3}", fullmatch=True)
LABELS = st.dictionaries(
    st.from_regex(r"[a-z_][a-z0-9_]{0,3}", fullmatch=True).filter(lambda name: not name.startswith("__")),  # reserved
    st.text(alphabet='ab \\"\n{}=,#é\t', max_size=6),
    max_size=3,
)
NUMBERS = st.one_of(
    st.floats(width=64).map(repr), st.integers(-(10**20), 10**20).map(str), st.just("+Inf"), st.just("1e3")
)
BLANKS = st.sampled_from([" ", "  ", "\t"])


@st.composite
def lines(draw: st.DrawFn) -> str:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"') + '"'

    comma = draw(st.sampled_from([",", ", ", " ,"]))
    inside = comma.join(
        f"{key}{draw(st.sampled_from(['=', ' = ']))}{quoted(text)}" for key, text in draw(LABELS).items()
    )
    labels = "{" + inside + draw(st.sampled_from(["", ","] if inside else [""])) + "}"
    stamp = draw(st.none() | st.integers(0, 10**13))
    tail = "" if stamp is None else f" {stamp}"
    return f"{draw(NAMES)}{labels if inside or draw(st.booleans()) else ''}{draw(BLANKS)}{draw(NUMBERS)}{tail}"


@given(st.lists(lines(), max_size=6), st.integers(1, 50))
def test_lines_are_read_as_the_official_parser_reads_them(page: list[str], cut_at: int) -> None:
    """Fed in pieces, cold and again with everything remembered."""
    expected: dict[tuple[str, frozenset[tuple[str, str]]], tuple[str, int | None]] = {}
    for line in page:
        (family,) = text_string_to_metric_families(line)
        (sample,) = family.samples
        stamp = None if sample.timestamp is None else round(float(sample.timestamp) * 1000)
        expected.setdefault((sample.name, frozenset(sample.labels.items())), (repr(float(sample.value)), stamp))
    names = {name for name, _ in expected}
    cache = SeriesCache(limit=1000)
    text = "".join(f"{line}\n" for line in page)
    for _ in range(2):
        found = flat(parsed(text, names, cut_at=cut_at, cache=cache))
        assert {
            (name, frozenset(labels.items())): (repr(value), stamp) for name, labels, value, stamp in found
        } == expected


@given(st.one_of(st.text(max_size=200), st.lists(LINE, max_size=5).map("\n".join)), st.booleans())
def test_any_text_is_a_page_or_one_of_two_named_errors(page: str, openmetrics: bool) -> None:
    with contextlib.suppress(MalformedPage, SourceUnavailable):
        parsed(page, {"a", "b", "N"}, openmetrics=openmetrics, cut_at=13)
