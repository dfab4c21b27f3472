"""Label selectors."""

import pytest

from adapter.api.selector import BadSelector, parse_selector

LABELS = {"app": "vllm", "tier": "gpu", "empty": ""}


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
        pytest.param("app>1", id="greater-than-is-not-offered"),
        pytest.param("model=meta-llama/Llama-3", id="a-slash-is-no-label-value"),
        pytest.param("a=" + "x" * 64, id="a-value-of-64-characters"),
        pytest.param("-a=b", id="a-key-that-begins-with-a-dash"),
    ],
)
def test_a_bad_selector_is_refused_with_the_whole_text(text: str) -> None:
    with pytest.raises(BadSelector, match="unable to parse requirement"):
        parse_selector(text)


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
