"""Age, readiness and absence: what has a value now."""

import pytest

from adapter.freshness import NEVER_NS, judge
from adapter.sources.pods import PodInfo
from adapter.sources.rule import Latest, Rate, Rule, WhenStale
from adapter.sources.series import NS_PER_SECOND, PodKey, Series
from adapter.store import Table

POD = PodKey("ns", "a")
OMIT, HOLD = WhenStale(), WhenStale(policy="hold", hold_seconds=30)


def _judge(
    value: float | None, age_seconds: float, *, when: WhenStale = OMIT, ready: bool | None = True, lag: float = 0
):
    rule = Rule(name="q", value=Latest(("q",)), max_age_seconds=60)
    now_ns = 1_000 * NS_PER_SECOND
    series = Series({}, value, now_ns - round(age_seconds * NS_PER_SECOND), POD, why="" if value is not None else "NaN")
    table = Table(rule, [series], source="pods", lag_seconds=lag)
    return judge(series, table, when, PodInfo(ready=ready), now_ns)


@pytest.mark.parametrize(
    ("value", "age", "options", "state"),
    [
        pytest.param(3.0, 0, {}, "fresh", id="now"),
        pytest.param(3.0, 60, {}, "fresh", id="at-max-age"),
        pytest.param(3.0, 60.001, {}, "stale", id="past-max-age"),
        pytest.param(3.0, 200, {"lag": 240}, "fresh", id="a-lagging-source-is-given-its-lag"),
        pytest.param(3.0, 61, {"when": HOLD}, "held", id="held"),
        pytest.param(3.0, 91, {"when": HOLD}, "stale", id="past-the-hold"),
        pytest.param(None, 0, {}, "missing", id="NaN-is-missing"),
        pytest.param(3.0, 0, {"ready": False}, "loading", id="a-loading-pod-is-left-out"),
        pytest.param(3.0, 0, {"ready": None}, "fresh", id="unknown-readiness-is-shown"),
    ],
)
def test_states(value, age, options, state) -> None:
    judged = _judge(value, age, **options)
    assert judged.state == state
    assert (judged.value is None) == (state not in ("fresh", "held"))
    assert bool(judged.why) == (state != "fresh")


def test_a_judgement_lasts_until_the_sample_is_too_old() -> None:
    judged = _judge(3.0, 10)
    assert judged.until_ns == (1_000 - 10 + 60) * NS_PER_SECOND
    assert _judge(None, 10).until_ns == NEVER_NS


def test_a_loading_pod_is_shown_where_the_rule_says_report() -> None:
    rule = Rule(name="q", value=Latest(("q",)), while_loading="report")
    series = Series({}, 1.0, 0, POD)
    table = Table(rule, [series], source="pods", lag_seconds=0)
    assert judge(series, table, OMIT, PodInfo(ready=False), 0).state == "fresh"


def test_a_window_in_which_nothing_happened_is_quiet_not_missing() -> None:
    rule = Rule(name="r", value=Rate(("r",), 60))
    series = Series({}, None, 0, POD, why="no requests in the window", is_quiet=True)
    table = Table(rule, [series], source="pods", lag_seconds=0)
    assert judge(series, table, OMIT, PodInfo(), 0).state == "quiet"
