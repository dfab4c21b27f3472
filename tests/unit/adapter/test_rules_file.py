"""Files of rules: what they say, and the one line that says what is wrong with them."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from adapter.rules.faults import BadRules
from adapter.rules.file import parse_rules
from adapter.sources.located import MAX_DEPTH
from adapter.sources.rule import (
    CloudQuery,
    Latest,
    ObjectLabel,
    Quantile,
    Rate,
    Ratio,
    Rule,
    Share,
    Total,
    Value,
    WhenStale,
)

HEAD = "apiVersion: adapter.leadtime.dev/v1alpha1\nkind: MetricRules\n"


def only_rule(text: str) -> Rule:
    (rule,) = parse_rules(HEAD + text, "r.yaml").rules
    return rule


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("latest: {series: [a, b]}", Latest(("a", "b"))),
        ("latest: {series: a}", Latest(("a",))),
        ("rate: {series: a_total}", Rate(("a_total",), 60)),
        ("ratio: {numerator: a, denominator: [b, c], windowSeconds: 30}", Ratio(("a",), ("b", "c"), 30)),
        ("quantile: {histogram: a_seconds, quantile: 0.99}", Quantile(("a_seconds",), 0.99, 120)),
        ("share: {histogram: a_seconds, above: 2}", Share(("a_seconds",), 2.0, 60)),
        ("total: {parts: [a, [b, c]]}", Total((("a",), ("b", "c")))),
        ("prometheus: {query: 'sum(x) by (namespace, pod)'}", Latest(("m",))),
        ("cloudMonitoring: {metricType: a.com/b}", Latest(("m",))),
    ],
)
def test_forms_of_values(form: str, value: Value) -> None:
    assert only_rule(f"rules:\n- name: m\n  {form}\n").value == value


def test_a_rule_with_everything() -> None:
    rule = only_rule(
        """\
rules:

- name: pool_queue
  aliases: [queue]
  latest: {series: pool_queue}
  kind: untyped
  unit: requests
  reducer: max
  maxAgeSeconds: 30
  whenStale: {policy: hold, holdSeconds: 120}
  whenStaleSummed: {policy: unavailable}
  whileLoading: report
  objects: [{resource: pools.example.com, label: name, namespaced: false, kind: Pool}]
  visibleTo: ["*"]
  sources: prometheus
  prometheus: {query: up}
  cloudMonitoring: {metricType: a.com/b, filter: 'metric.labels.x = "y"', reducer: REDUCE_SUM, resourceType: global}
"""
    )
    assert rule == Rule(
        name="pool_queue",
        aliases=("queue",),
        value=Latest(("pool_queue",)),
        kind="untyped",
        unit="requests",
        reducer="max",
        across="max",
        max_age_seconds=30.0,
        when_stale=WhenStale(policy="hold", hold_seconds=120.0),
        when_stale_summed=WhenStale(policy="unavailable"),
        while_loading="report",
        objects=(ObjectLabel(resource="pools.example.com", label="name", namespaced=False, kind="Pool"),),
        visible_to=("*",),
        sources=("prometheus",),
        prometheus_query="up",
        cloud=CloudQuery(
            metric_type="a.com/b", filter='metric.labels.x = "y"', reducer="REDUCE_SUM", resource_type="global"
        ),
        defined_at="r.yaml:5",
    )


def test_what_is_not_written_is_the_contracts_default() -> None:
    assert only_rule("rules: [{name: m, latest: {series: m}}]") == Rule(
        name="m", value=Latest(("m",)), defined_at="r.yaml:3"
    )


def test_an_empty_file_says_nothing() -> None:
    for text in ("", "# nothing\n", "---\n"):
        assert parse_rules(text, "r.yaml").rules == ()


RULE = "rules:\n- name: m\n  latest: {series: m}\n"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        pytest.param(
            HEAD + RULE + "  maxAgeSeconds: -5\n",
            "6: rules[0].maxAgeSeconds: was -5, must be in [1, 3600]; correct it",
            id="a-number-out-of-range",
        ),
        pytest.param(
            HEAD + "rules:\n- name: m\n  quantile:\n    histogram: h\n    quantile: 1\n",
            "7: rules[0].quantile.quantile: was 1, must be in (0, 1); correct it",
            id="an-open-range",
        ),
        pytest.param(
            HEAD + RULE + "  maxAgeSecond: 5\n",
            "6: rules[0].maxAgeSecond: was not expected, did you mean maxAgeSeconds?",
            id="a-misspelled-key",
        ),
        pytest.param(
            HEAD + RULE + "  max_age: {a: 1}\n",
            "6: rules[0].max_age: was not expected, did you mean maxAgeSeconds?",
            id="a-key-in-another-style",
        ),
        pytest.param(
            HEAD + "rulez: []\n",
            "3: rulez: was not expected, did you mean rules?",
            id="a-misspelled-key-at-the-top",
        ),
        pytest.param(
            HEAD + "rules:\n- name: m\n  rate: {serie: a}\n",
            "5: rules[0].rate.serie: was not expected, did you mean series?",
            id="of-a-misspelled-key-and-what-is-missing-for-it-the-key",
        ),
        pytest.param(
            HEAD + "rules:\n- name: m\n  rate:\n    zzz: 1\n    series: a\n",
            "6: rules[0].rate.zzz: was not expected, must be one of series, windowSeconds; remove it",
            id="a-key-near-to-none",
        ),
        pytest.param(
            HEAD + "rules:\n- latest: {series: m}\n",
            "4: rules[0].name: was absent, must be given; add it",
            id="a-missing-key",
        ),
        pytest.param("kind: MetricRules\n", "1: apiVersion: was absent, must be given; add it", id="no-version"),
        pytest.param(
            "apiVersion: v1\nkind: ConfigMap\n",
            "1: apiVersion: was 'v1', must be one of adapter.leadtime.dev/v1alpha1; correct it",
            id="another-kind-of-file",
        ),
        pytest.param(
            HEAD + RULE + "  reducer: avg\n",
            "6: rules[0].reducer: was 'avg', must be one of sum, mean, max, min; correct it",
            id="none-of-a-few-words",
        ),
        pytest.param(
            HEAD + RULE + "  maxAgeSeconds: soon\n",
            "6: rules[0].maxAgeSeconds: was 'soon', must be a number; correct it",
            id="no-number",
        ),
        pytest.param(
            HEAD + "rules:\n- name: m\n  latest:\n    series:\n    - a\n    - b-c\n",
            "8: rules[0].latest.series[1]: was 'b-c', must be a series' name: letters, digits, _ and :, not beginning "
            "with a digit; correct it",
            id="a-name-that-prometheus-does-not-have",
        ),
        pytest.param(
            HEAD + "rules:\n- name: m\n  latest: {series: 'a b'}\n",
            "5: rules[0].latest.series: was 'a b', must be a series' name: letters, digits, _ and :, not beginning "
            "with a digit; correct it",
            id="the-same-without-its-list",
        ),
        pytest.param(
            HEAD + "rules:\n- name: a/b\n  latest: {series: m}\n",
            "4: rules[0].name: was 'a/b', must be 1 to 253 of letters, digits, _, :, ., | and -, beginning with a "
            "letter or _; correct it",
            id="a-name-that-no-path-can-hold",
        ),
        pytest.param(
            HEAD + "rules:\n- name: m\n",
            "4: rules[0]: was made of nothing, must have one of latest, rate, ratio, quantile, share, total, "
            "prometheus.query or cloudMonitoring.metricType; add one",
            id="a-rule-made-of-nothing",
        ),
        pytest.param(
            HEAD + RULE + "  rate: {series: m}\n",
            "4: rules[0]: was latest and rate together, must be one of them; remove the others",
            id="a-rule-made-of-two-things",
        ),
        pytest.param(
            HEAD + RULE + "  whenStale:\n    policy: hold\n",
            "6: rules[0].whenStale.holdSeconds: was 0 with policy hold, must be above 0 for hold and absent for the "
            "others; give both or neither",
            id="hold-for-how-long",
        ),
        pytest.param(HEAD + "rules: 5\n", "3: rules: was 5, must be a list; correct it", id="no-list"),
        pytest.param(HEAD + "rules: [5]\n", "3: rules[0]: was 5, must be a mapping; correct it", id="no-mapping"),
        pytest.param("- a\n", "1: file: was ['a'], must be a mapping; correct it", id="a-list-for-a-file"),
        pytest.param(
            HEAD + RULE + "  reducer: sum\n  reducer: mean\n",
            "7: reducer: was given twice, first in line 6, must be once; remove one",
            id="a-key-given-twice",
        ),
        pytest.param(
            HEAD + "rules:\n- name: [\n",
            "5: file: was not YAML (expected the node content, but found '<stream end>'); correct it",
            id="no-yaml",
        ),
        pytest.param(
            HEAD + "\trules: []\n",
            "3: file: was not YAML (found character '\\t' that cannot start any token); correct it",
            id="a-tab",
        ),
        pytest.param(
            HEAD + "---\n" + HEAD,
            "3: file: was not YAML (but found another document); correct it",
            id="two-documents",
        ),
        pytest.param(
            "a: !!python/object:os.system {}\n",
            "1: file: was not YAML (could not determine a constructor for the tag "
            "'tag:yaml.org,2002:python/object:os.system'); correct it",
            id="a-tag-that-makes-objects",
        ),
        pytest.param(
            "? [a]\n: b\n",
            "1: file: was a mapping with a key that is no text, must be text; correct it",
            id="a-list-for-a-key",
        ),
        pytest.param(
            "a: " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
            "1: file: was nested deeper than 50, must be flatter; correct it",
            id="too-deep",
        ),
        pytest.param(
            "a: " + "[" * 5000,
            "1: file: was nested deeper than 50, must be flatter; correct it",
            id="deeper-than-the-parser-can-go",
        ),
        pytest.param(
            HEAD + "# \x07\n",
            "3: file: was not YAML (character 0x07); remove it",
            id="a-control-character",
        ),
        pytest.param(
            "a: &a [*a]\n",
            "1: file: was nested deeper than 50, must be flatter; correct it",
            id="an-alias-of-itself",
        ),
        pytest.param(
            "a: &a [" + "x," * 999 + "]\nb: [" + "*a," * 999 + "]\n",
            "1: file: was more than 100000 values, aliases unfolded, must be fewer; split it",
            id="a-billion-laughs",
        ),
    ],
)
def test_a_fault_is_one_line_with_file_line_field_value_and_remedy(text: str, fault: str) -> None:
    with pytest.raises(BadRules) as caught:
        parse_rules(text, "r.yaml")
    assert str(caught.value) == f"r.yaml:{fault}"


def test_of_several_faults_the_first_in_the_file_is_told() -> None:
    text = HEAD + "rules:\n- name: a\n  maxAgeSeconds: 0\n  latest: {series: a}\n- nam: b\n"
    with pytest.raises(BadRules, match=r"^r\.yaml:5: rules\[0\]\.maxAgeSeconds"):
        parse_rules(text, "r.yaml")


LEAVES = st.none() | st.booleans() | st.integers(-9, 9999) | st.floats() | st.sampled_from(["m", "sum", "a b", ""])
KEYS = st.sampled_from(["name", "latest", "series", "rules", "rate", "whenStale", "policy", "objects", "disable", "x"])
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


def refused(text: str) -> str:
    """What is wrong with a file; "" if nothing is."""
    try:
        parse_rules(text, "r.yaml")
    except BadRules as error:
        return str(error)
    return ""


@given(TREES | st.fixed_dictionaries({"rules": st.lists(st.dictionaries(KEYS, TREES, max_size=4), max_size=2)}))
def test_whatever_is_written_there_is_a_file_of_rules_or_one_line_with_its_place(tree: object) -> None:
    text = (HEAD if isinstance(tree, dict) else "") + (yaml.safe_dump(tree) if tree else "")
    if fault := refused(text):
        file, line, _ = fault.split(":", 2)
        assert file == "r.yaml"
        assert 1 <= int(line) <= max(1, len(text.splitlines()))
        assert "\n" not in fault


@given(st.text(max_size=60))
def test_any_text_is_a_file_of_rules_or_refused(text: str) -> None:
    fault = refused(text)
    assert not fault or fault.startswith("r.yaml:")
