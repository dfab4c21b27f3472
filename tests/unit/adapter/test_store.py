"""What is held in memory, and for how long it counts."""

from adapter.sources.attribution import Page, Series
from adapter.sources.targets import PodKey, Target, TargetSet
from adapter.store import NS_PER_SECOND, Store

WAITING = "vllm:num_requests_waiting"
A, B = PodKey("llm", "a"), PodKey("llm", "b")


def target(pod: PodKey, port: int = 8000) -> Target:
    return Target(url=f"http://{pod.name}:{port}/metrics", role="pod", owner=pod)


def listed(*pods: PodKey) -> TargetSet:
    return TargetSet(targets=tuple(target(pod) for pod in pods), pods={pod: {"app": "vllm"} for pod in pods})


def page(pod: PodKey, value: float | None, second: int) -> Page:
    return {(pod, WAITING): (Series({"pod": pod.name}, value, second * NS_PER_SECOND),)}


def test_a_sample_counts_up_to_its_max_age_and_not_a_nanosecond_longer() -> None:
    store = Store(max_age_ns=60 * NS_PER_SECOND)
    store.update(listed(A), {target(A): page(A, 3.0, 100)})
    series = store.by_pod("llm", WAITING)["a"]
    assert store.why_missing(series, 160 * NS_PER_SECOND) is None
    assert store.why_missing(series, 160 * NS_PER_SECOND + 1) is not None
    assert store.why_missing(series, 195 * NS_PER_SECOND) == "last sample 95 s old, max age 60 s"


def test_a_failed_scrape_keeps_the_last_page_and_its_time() -> None:
    store = Store(max_age_ns=60 * NS_PER_SECOND)
    store.update(listed(A, B), {target(A): page(A, 3.0, 0), target(B): page(B, 4.0, 0)})
    store.update(listed(A, B), {target(A): page(A, 5.0, 15)})
    values = {pod: (one.value, one.at_ns) for pod, (one,) in store.by_pod("llm", WAITING).items()}
    assert values == {"a": (5.0, 15 * NS_PER_SECOND), "b": (4.0, 0)}


def test_a_pod_that_is_no_longer_listed_is_gone_at_once_and_does_not_come_back_with_its_old_page() -> None:
    store = Store(max_age_ns=60 * NS_PER_SECOND)
    store.update(listed(A, B), {target(A): page(A, 3.0, 0), target(B): page(B, 4.0, 0)})
    store.update(listed(A), {target(A): page(A, 3.0, 15)})
    assert list(store.by_pod("llm", WAITING)) == ["a"]
    store.update(listed(A, B), {target(A): page(A, 3.0, 30)})
    assert list(store.by_pod("llm", WAITING)) == ["a"]


def test_an_exporters_old_page_says_nothing_about_a_pod_that_left() -> None:
    store = Store(max_age_ns=60 * NS_PER_SECOND)
    exporter = Target(url="http://dcgm:9400/metrics", role="exporter", owner=None)
    store.update(TargetSet(targets=(exporter,), pods={A: {}}), {exporter: page(A, 60.0, 0)})
    assert list(store.by_pod("llm", WAITING)) == ["a"]
    store.update(TargetSet(targets=(exporter,), pods={}), {})
    assert store.by_pod("llm", WAITING) == {}


def test_a_page_that_stops_showing_a_metric_takes_it_away() -> None:
    store = Store(max_age_ns=60 * NS_PER_SECOND)
    store.update(listed(A), {target(A): page(A, 3.0, 0)})
    store.update(listed(A), {target(A): {}})
    assert store.by_pod("llm", WAITING) == {}


def test_two_pages_of_a_pod_are_one_pods_series() -> None:
    store = Store(max_age_ns=60 * NS_PER_SECOND)
    first, second = target(A, 8000), target(A, 8001)
    store.update(TargetSet(targets=(first, second), pods={A: {}}), {first: page(A, 3.0, 0), second: page(A, 4.0, 5)})
    series = store.by_pod("llm", WAITING)["a"]
    assert [one.value for one in series] == [3.0, 4.0]
    assert store.why_missing(series, 61 * NS_PER_SECOND) is not None, "as old as its oldest series"


def test_one_series_without_a_value_makes_the_pods_value_missing() -> None:
    store = Store(max_age_ns=60 * NS_PER_SECOND)
    series = (Series({}, 3.0, 0), Series({}, None, 0))
    assert store.why_missing(series, 0) == "its page gives NaN or an infinity, which is no value"


def test_the_oldest_sample_and_the_count_of_series_are_known() -> None:
    store = Store(max_age_ns=60 * NS_PER_SECOND)
    assert (store.series_count(), store.oldest_at_ns()) == (0, None)
    store.update(listed(A, B), {target(A): page(A, 3.0, 7), target(B): page(B, None, 9)})
    assert (store.series_count(), store.oldest_at_ns()) == (2, 7 * NS_PER_SECOND)
