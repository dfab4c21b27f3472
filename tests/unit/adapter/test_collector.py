"""What is kept of readings: series age, they do not vanish while their pod lives."""

from adapter.collector import Collector, SourceSpec
from adapter.sources.pods import PodInfo
from adapter.sources.rule import Latest, Rule
from adapter.sources.series import NS_PER_SECOND, PodKey, Series
from adapter.sources.source import Reading, SourceUnavailable
from adapter.store import Store

RULE = Rule(name="q", value=Latest(("q",)))
A, B = PodKey("ns", "a"), PodKey("ns", "b")
PODS = {A: PodInfo(), B: PodInfo()}


def _collector(*sources: str) -> tuple[Collector, Store]:
    store = Store()
    store.set_pods(PODS)
    collector = Collector(store, [SourceSpec(name, 0) for name in sources], failback_after_seconds=60)
    collector.set_rules([RULE])
    return collector, store


def _reading(second: int, *pods: PodKey, answered: tuple[PodKey, ...] | None = None) -> Reading:
    return Reading(series={"q": [Series({}, 1.0, second * NS_PER_SECOND, pod) for pod in pods]}, answered=answered)


def _pods_of(store: Store) -> list[tuple[str, int]]:
    table = store.table("q")
    assert table is not None
    return sorted((one.pod.name, one.at_ns // NS_PER_SECOND) for one in table.series if one.pod)


def test_a_pod_that_a_source_no_longer_mentions_keeps_its_last_sample() -> None:
    collector, store = _collector("prometheus")
    collector.on_reading("prometheus", _reading(0, A, B), PODS, 0)
    collector.on_reading("prometheus", _reading(15, A), PODS, 15 * NS_PER_SECOND)
    assert _pods_of(store) == [("a", 15), ("b", 0)]


def test_it_is_forgotten_ten_minutes_past_its_max_age_or_with_its_pod() -> None:
    collector, store = _collector("prometheus")
    collector.on_reading("prometheus", _reading(0, A, B), PODS, 0)
    collector.on_reading("prometheus", _reading(661, A), PODS, 661 * NS_PER_SECOND)
    assert _pods_of(store) == [("a", 661)]
    collector.on_reading("prometheus", _reading(700, B), {B: PodInfo()}, 700 * NS_PER_SECOND)
    assert _pods_of(store) == [("b", 700)]


def test_a_page_that_was_read_and_lacks_the_series_ends_it_at_once() -> None:
    collector, store = _collector("pods")
    collector.on_reading("pods", _reading(0, A, B, answered=(A, B)), PODS, 0)
    collector.on_reading("pods", _reading(15, A, answered=(A, B)), PODS, 15 * NS_PER_SECOND)
    assert _pods_of(store) == [("a", 15)]


def test_a_series_that_is_on_no_page_any_more_ends_though_the_reading_does_not_name_it() -> None:
    collector, store = _collector("pods")
    collector.on_reading("pods", _reading(0, A, answered=(A, B)), PODS, 0)
    collector.on_reading("pods", Reading(series={}, answered=(A, B)), PODS, 15 * NS_PER_SECOND)
    assert _pods_of(store) == []


def test_a_source_that_is_down_keeps_its_tables_and_is_said_once(caplog) -> None:
    collector, store = _collector("pods")
    collector.on_reading("pods", _reading(0, A), PODS, 0)
    for second in (15, 30):
        collector.on_reading("pods", SourceUnavailable("timeout", "no answer"), PODS, second * NS_PER_SECOND)
    assert _pods_of(store) == [("a", 0)]
    assert collector.unavailable == {"pods": "no answer"}
    assert collector.notes["pods", "timeout"] == 2
    assert sum("no answer" in record.message for record in caplog.records) == 1


def test_a_rule_that_fails_is_explained_and_heals() -> None:
    collector, _ = _collector("prometheus")
    failed = Reading(series={}, failures={"q": SourceUnavailable("status", "bad query")})
    collector.on_reading("prometheus", failed, PODS, 0)
    assert collector.failures == {("prometheus", "q"): "bad query"}
    collector.on_reading("prometheus", _reading(15, A), PODS, 15 * NS_PER_SECOND)
    assert collector.failures == {}


def test_a_changed_rule_starts_anew() -> None:
    collector, store = _collector("pods")
    collector.on_reading("pods", _reading(0, A), PODS, 0)
    collector.set_rules([Rule(name="q", value=Latest(("q",)), max_age_seconds=30)])
    assert store.table("q") is None
    collector.set_rules([])
    collector.on_reading("pods", _reading(15, A), PODS, 15 * NS_PER_SECOND)
    assert store.table("q") is None


def test_another_source_takes_over_and_the_log_says_so(caplog) -> None:
    collector, store = _collector("pods", "prometheus")
    collector.on_reading("pods", _reading(0, A), PODS, 0)
    collector.on_reading("prometheus", _reading(45, A), PODS, 45 * NS_PER_SECOND)
    table = store.table("q")
    assert table is not None
    assert table.source == "prometheus"
    assert "metric changes its source" in caplog.text


def test_a_pod_that_is_new_or_paused_is_marked_for_one_max_age() -> None:
    """B's samples stop after second 15 and come again at second 60, by when A's have come every 15 s."""
    collector, store = _collector("prometheus")
    seen = {}
    for second in range(0, 136, 15):
        reading = _reading(second, A) if 15 < second < 60 else _reading(second, A, B)
        collector.on_reading("prometheus", reading, PODS, second * NS_PER_SECOND)
        table = store.table("q")
        assert table is not None
        seen[second] = {pod.name: ns // NS_PER_SECOND for pod, ns in table.renewed_since_ns.items()}
    assert seen[0] == seen[15] == {"a": 0, "b": 0}
    assert seen[30] == seen[45] == {"a": 0}
    assert seen[60] == seen[75] == seen[105] == {"b": 60}
    assert seen[120] == {}


def test_samples_half_a_max_age_apart_are_no_pause() -> None:
    collector, store = _collector("prometheus")
    for second in range(0, 121, 30):
        collector.on_reading("prometheus", _reading(second, A, B), PODS, second * NS_PER_SECOND)
    table = store.table("q")
    assert table is not None
    assert table.renewed_since_ns == {}
