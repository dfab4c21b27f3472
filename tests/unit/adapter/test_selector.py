"""Label selectors."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapter.api.selector import BadSelector, parse_selector

LABELS = {"app": "vllm", "tier": "gpu", "empty": "", "gpus": "8", "debt": "-3", "huge": "9" * 40}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        pytest.param("", True, id="nothing-asked-matches"),
        pytest.param("app=vllm", True, id="equal"),
        pytest.param("app==vllm", True, id="equal-spelled-twice"),
        pytest.param("app=tgi", False, id="not-equal-value"),
        pytest.param("absent=vllm", False, id="equal-needs-the-label"),
        pytest.param("app!=vllm", False, id="unequal"),
        pytest.param("absent!=vllm", True, id="unequal-matches-where-the-label-is-absent"),
        pytest.param("app in (tgi, vllm)", True, id="in"),
        pytest.param("app in (tgi)", False, id="in-another-set"),
        pytest.param("app notin (tgi,triton)", True, id="notin"),
        pytest.param("absent notin (tgi)", True, id="notin-matches-where-the-label-is-absent"),
        pytest.param("app", True, id="exists"),
        pytest.param("absent", False, id="exists-needs-the-label"),
        pytest.param("!absent", True, id="does-not-exist"),
        pytest.param("! app", False, id="does-not-exist-but-it-does"),
        pytest.param("app=vllm,tier in (gpu),!absent", True, id="all-conditions-hold"),
        pytest.param("app=vllm,tier=cpu", False, id="one-condition-fails"),
        pytest.param("empty=", True, id="the-empty-value"),
        pytest.param("empty in (,a)", True, id="the-empty-value-in-a-set"),
        pytest.param(" app = vllm , tier = gpu ", True, id="spaces-do-not-matter"),
        pytest.param("in in (a)", False, id="a-key-may-be-called-in"),
        pytest.param("app.kubernetes.io/name!=x", True, id="a-key-with-a-prefix"),
        pytest.param("gpus>7", True, id="greater"),
        pytest.param("gpus > 8", False, id="greater-than-itself"),
        pytest.param("gpus<9,gpus>1", True, id="between"),
        pytest.param("debt<0", True, id="a-negative-label"),
        pytest.param("app>1", False, id="greater-needs-a-number"),
        pytest.param("huge>1", False, id="greater-needs-a-number-of-64-bits"),
        pytest.param("absent<1", False, id="less-needs-the-label"),
        pytest.param("empty in ()", True, id="the-empty-set-holds-the-empty-value"),
        pytest.param("app in (in, notin)", False, id="keywords-are-values-too"),
        pytest.param("resource.labels.container_name!=x", True, id="a-stackdriver-key"),
    ],
)
def test_matches(text: str, matches: bool) -> None:
    assert parse_selector(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("app=vllm,", id="ends-with-a-comma"),
        pytest.param(",app", id="begins-with-a-comma"),
        pytest.param("app in vllm", id="a-set-without-parentheses"),
        pytest.param("app in (vllm", id="a-set-without-its-end"),
        pytest.param("app=a b", id="two-values"),
        pytest.param("=a", id="no-key"),
        pytest.param("!", id="not-what"),
        pytest.param("app=a=b", id="equal-to-what"),
        pytest.param("app>x", id="greater-than-what-is-no-number"),
        pytest.param("app>-1", id="a-negative-bound-is-no-label-value"),
        pytest.param("app>", id="greater-than-nothing"),
        pytest.param("app>=1", id="greater-or-equal-is-not-offered"),
        pytest.param("app>9223372036854775808", id="a-bound-of-65-bits"),
        pytest.param("app=)", id="a-parenthesis-for-a-value"),
        pytest.param("app=a\u00a0,b", id="an-unusual-space-is-no-space"),
        pytest.param("a/b/c=d", id="two-slashes"),
        pytest.param("a..b/c=d", id="a-prefix-that-is-no-dns-name"),
        pytest.param("A.b/c=d", id="a-prefix-in-capitals"),
        pytest.param("/c=d", id="an-empty-prefix"),
        pytest.param("a" * 254 + "/c=d", id="a-prefix-of-254-characters"),
        pytest.param("a" * 64 + "=d", id="a-key-of-64-characters"),
        pytest.param("!a=b", id="absent-and-equal"),
        pytest.param("model=meta-llama/Llama-3", id="a-slash-is-no-label-value"),
        pytest.param("a=" + "x" * 64, id="a-value-of-64-characters"),
        pytest.param("-a=b", id="a-key-that-begins-with-a-dash"),
    ],
)
def test_a_bad_selector_is_refused_with_the_whole_text(text: str) -> None:
    with pytest.raises(BadSelector, match="unable to parse requirement"):
        parse_selector(text)


RECORDED = json.loads((Path(__file__).parent / "selectors_by_apimachinery.json").read_text(encoding="utf-8"))
"""What labels.Parse of k8s.io/apimachinery v0.36.3 said of 300 random texts, and Matches of a=1, b.c/d="", in=x, n=-3.

Made by a Go program of those two calls over 300,000 texts put together of tokens, keys and values at random, all of
which were compared; these are the first hundred of each outcome."""


@pytest.mark.parametrize(
    ("outcome", "text"), [(outcome, text) for outcome, texts in RECORDED.items() for text in texts]
)
def test_texts_mean_what_they_mean_to_kubernetes(outcome: str, text: str) -> None:
    if outcome == "refused":
        with pytest.raises(BadSelector):
            parse_selector(text)
    else:
        labels = {"a": "1", "b.c/d": "", "in": "x", "n": "-3"}
        assert parse_selector(text).matches(labels) is (outcome == "matches")


SIGNS = st.sampled_from(["a", "b.c/d", "in", "notin", "=", "==", "!=", "!", ">", "<", "(", ")", ",", " ", "1", "é"])


@given(st.lists(SIGNS, max_size=12).map("".join) | st.text(max_size=30))
def test_whatever_the_text_it_is_parsed_or_refused(text: str) -> None:
    """And what was parsed can be asked about any labels."""
    try:
        selector = parse_selector(text)
    except BadSelector:
        return
    assert selector.matches({"a": "1", "b.c/d": ""}) in (True, False)


def test_the_json_form_is_a_metav1_label_selector() -> None:
    selector = parse_selector("a=b,c in (e,d),f!=g,h,!i")
    assert selector.as_label_selector() == {
        "matchLabels": {"a": "b"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["d", "e"]},
            {"key": "f", "operator": "NotIn", "values": ["g"]},
            {"key": "h", "operator": "Exists"},
            {"key": "i", "operator": "DoesNotExist"},
        ],
    }
    assert parse_selector("").as_label_selector() is None


def test_contradicting_equalities_match_nothing_and_stay_visible() -> None:
    """A JSON object holds one value for a key, so the second equality is written as a set of one."""
    selector = parse_selector("a=b,a=c")
    assert not selector.matches({"a": "b"})
    assert selector.as_label_selector() == {
        "matchLabels": {"a": "b"},
        "matchExpressions": [{"key": "a", "operator": "In", "values": ["c"]}],
    }
