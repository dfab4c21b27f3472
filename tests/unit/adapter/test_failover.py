"""Priority, failover and return, as timelines."""

from adapter.failover import Choice, choose
from adapter.sources.rule import Latest, Rule
from adapter.sources.series import NS_PER_SECOND, Series
from adapter.store import Table

RULE = Rule(name="q", value=Latest(("q",)), max_age_seconds=60)
ORDER = ("pods", "prometheus")


def _table(source: str, at: int | None) -> Table:
    series = [Series({}, 1.0, at * NS_PER_SECOND)] if at is not None else []
    return Table(RULE, series, source=source, lag_seconds=0)


def _run(timeline: list[tuple[int, int | None, int | None]]) -> list[str | None]:
    """timeline: (second, time of pods' newest sample or None, the same of prometheus)."""
    choice, chosen = Choice(), []
    for second, pods, prometheus in timeline:
        tables = {"pods": _table("pods", pods), "prometheus": _table("prometheus", prometheus)}
        choice = choose(choice, ORDER, tables, now_ns=second * NS_PER_SECOND, failback_after_seconds=60)
        chosen.append(choice.source)
    return chosen


def test_the_first_good_source_by_priority_is_used() -> None:
    assert _run([(0, 0, 0)]) == ["pods"]
    assert _run([(0, None, 0)]) == ["prometheus"]


def test_a_source_is_left_before_its_values_are_stale_and_not_for_one_missed_collection() -> None:
    assert _run([(0, 0, 0), (15, 0, 15), (30, 0, 30), (45, 0, 45)]) == ["pods", "pods", "pods", "prometheus"]


def test_a_better_source_is_returned_to_only_after_a_minute_without_a_break() -> None:
    away = [(0, None, 0)]
    back = [(second, second, second) for second in range(15, 91, 15)]
    assert _run(away + back) == ["prometheus"] * 5 + ["pods"] * 2
    flapping = [(15, 15, 15), (60, None, 60), (75, 75, 75), (120, 120, 120)]
    assert _run(away + flapping) == ["prometheus"] * 5


def test_where_none_is_good_the_one_in_use_stays() -> None:
    assert _run([(0, None, 0), (500, None, 0)]) == ["prometheus", "prometheus"]


def test_a_source_that_is_no_longer_configured_is_left() -> None:
    tables = {"prometheus": _table("prometheus", 0)}
    assert choose(Choice("gone"), ORDER, tables, now_ns=0, failback_after_seconds=60).source == "prometheus"
