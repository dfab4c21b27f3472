"""Rules as PromQL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.prometheus.promql import query_of, quoted, selector
from adapter.sources.rule import Latest, Quantile, Rate, Ratio, Rule, Share, Total

BY = "(namespace, pod, exported_namespace, exported_pod, job, instance)"


def times(vector: str) -> str:
    return f'label_replace(min by {BY} ({vector}), "leadtime_part", "time", "", "")'


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(Latest(("a",)), "a[120s]", id="the-newest-sample-comes-raw-with-its-own-time"),
        pytest.param(
            Latest(("vllm:new", "vllm:old")),
            '{__name__=~"vllm:new|vllm:old"}[120s]',
            id="all-spellings-are-asked-for-at-once",
        ),
        pytest.param(Latest(("odd name",)), '{__name__="odd name"}[120s]', id="a-name-beyond-the-old-rules-is-quoted"),
        pytest.param(Rate(("a",), 60), f"rate(a[60s]) or {times('timestamp(a)')}", id="a-rate-is-paired-with-times"),
        pytest.param(
            Rate(("a", "b"), 60),
            f"(rate(a[60s]) or on {BY} rate(b[60s])) or {times(f'(timestamp(a) or on {BY} timestamp(b))')}",
            id="a-pod-with-the-new-name-is-not-asked-by-the-old-one",
        ),
        pytest.param(
            Ratio(("a",), ("b",), 60),
            f"rate(a[60s]) / rate(b[60s]) or {times('timestamp(a)')}",
            id="a-ratio-is-of-series-with-equal-labels",
        ),
        pytest.param(
            Quantile(("h",), 0.95, 120),
            "histogram_quantile(0.95, rate(h_bucket[120s])) or " + times('timestamp(h_bucket{le="+Inf"})'),
            id="a-quantile-is-of-each-label-set",
        ),
        pytest.param(
            Share(("h",), 2.0, 60),
            "rate(h_bucket[60s]) or " + times('timestamp(h_bucket{le="+Inf"})'),
            id="a-share-is-worked-out-here-from-the-buckets",
        ),
        pytest.param(
            Total((("a",), ("b",))),
            f"a + b or {times('timestamp(a)')}",
            id="a-total-adds-series-with-equal-labels",
        ),
    ],
)
def test_one_query_a_rule(value, expected):
    query = query_of(Rule(name="m", value=value), matchers={}, lookback_seconds=120)
    assert query.promql == expected


def test_matchers_narrow_every_selector():
    value = Ratio(("a",), ("b",), 60)
    query = query_of(Rule(name="m", value=value), matchers={"cluster": "x"}, lookback_seconds=120)
    assert query.promql.count('{cluster="x"}') == 3


def test_exact_names_are_kept_to_where_the_backend_matches_no_others():
    rule = Rule(name="m", value=Latest(("a", "b")))
    query = query_of(rule, matchers={}, lookback_seconds=120, exact_names=True)
    assert query.promql == f"(a or on {BY} b) or {times(f'(timestamp(a) or on {BY} timestamp(b))')}"
    assert query.timed


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        pytest.param("x", "x[120s]", id="a-name"),
        pytest.param(' x{a="}",b=~"[{]"} ', 'x{a="}",b=~"[{]"}[120s]', id="a-selector-with-braces-in-strings"),
        pytest.param('{__name__="x"}', '{__name__="x"}[120s]', id="a-selector-without-a-name"),
        pytest.param("avg(x)", "avg(x)", id="an-expression-stays-as-it-is"),
        pytest.param("x offset 5m", "x offset 5m", id="a-selector-with-a-modifier-stays-as-it-is"),
        pytest.param("x{a='1'} or y{a='2'}", "x{a='1'} or y{a='2'}", id="two-selectors-are-an-expression"),
    ],
)
def test_a_users_own_selector_gets_true_times(written, asked):
    rule = Rule(name="m", value=Latest(("m",)), prometheus_query=written)
    assert query_of(rule, matchers={"cluster": "x"}, lookback_seconds=120).promql == asked


@pytest.mark.parametrize("series", [(), ("kubernetes.io/container/accelerator/memory_used",)])
def test_a_rule_for_another_backend_is_not_asked(series):
    assert query_of(Rule(name="m", value=Latest(series)), matchers={}, lookback_seconds=120) is None


def test_googles_own_promql_knows_its_types():
    rule = Rule(name="m", value=Latest(("kubernetes.io/container/x",)))
    query = query_of(rule, matchers={}, lookback_seconds=120, exact_names=True)
    assert query.promql.startswith('{__name__="kubernetes.io/container/x"} or label_replace(')


def unquoted(literal: str) -> str:
    """Go's string literal, read by hand: the inverse of what Prometheus does with it."""
    assert literal[0] == literal[-1] == '"'
    inner, out = iter(literal[1:-1]), []
    for char in inner:
        assert char != '"'
        assert char >= " "
        if char != "\\":
            out.append(char)
            continue
        escape = next(inner)
        out.append(chr(int(next(inner) + next(inner), 16)) if escape == "x" else escape)
    return "".join(out)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_quoted_text_reads_back_as_itself(text):
    """No label value can end its literal early, whatever it holds."""
    assert unquoted(quoted(text)) == text


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), st.text(max_size=5), max_size=3))
def test_matchers_do_not_change_with_their_order(matchers):
    assert selector(("a",), matchers) == selector(("a",), dict(reversed(matchers.items())))
