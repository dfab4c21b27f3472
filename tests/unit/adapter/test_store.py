"""What the request path reads: tables by namespace and pod, pods by label."""

from adapter.sources.pods import PodInfo
from adapter.sources.rule import Latest, Rule
from adapter.sources.series import PodKey, Series
from adapter.store import PodIndex, Store, Table, namespace_of

RULE = Rule(name="q", value=Latest(("q",)))
A, B, ELSEWHERE = PodKey("ns", "a"), PodKey("ns", "b"), PodKey("other", "a")


def _series(pod: PodKey | None, **labels: str) -> Series:
    return Series(labels, 1.0, 0, pod)


def _table(*series: Series) -> Table:
    return Table(RULE, series, source="pods", lag_seconds=0)


def test_a_pods_series_are_found_by_namespace_and_name() -> None:
    table = _table(_series(A, engine="0"), _series(A, engine="1"), _series(B), _series(ELSEWHERE))
    assert {name: len(series) for name, series in table.by_pod("ns").items()} == {"a": 2, "b": 1}
    assert list(table.by_pod("other")) == ["a"]
    assert table.by_pod("none") == {}


def test_a_series_of_no_pod_belongs_to_the_namespace_that_its_labels_say() -> None:
    assert namespace_of(Series({}, 1.0, 0, resource_labels={"namespace_name": "ns"})) == "ns"
    assert namespace_of(_series(None, namespace="ns")) == "ns"
    assert namespace_of(_series(None, queue="q")) == ""
    table = _table(_series(None, queue="q"), _series(None, namespace="ns"), _series(A))
    assert len(table.in_namespace("ns")) == 2
    assert len(table.in_namespace("")) == 1
    assert set(table.namespaces()) == {"", "ns"}


def test_max_age_is_the_rules_plus_what_the_source_lags() -> None:
    assert Table(RULE, (), source="cloud", lag_seconds=240).max_age_ns == 300_000_000_000


def test_pods_are_found_by_label() -> None:
    pods = PodIndex(
        {
            A: PodInfo(labels={"app": "vllm"}),
            B: PodInfo(labels={"app": "triton"}),
            ELSEWHERE: PodInfo(labels={"app": "vllm"}),
        }
    )
    assert pods.labelled("ns", "app", ["vllm"]) == ["a"]
    assert sorted(pods.labelled("ns", "app", ["vllm", "triton"])) == ["a", "b"]
    assert pods.labelled("ns", "tier", ["gold"]) == []


def test_the_store_serves_the_last_table_and_forgets_removed_rules() -> None:
    store = Store()
    assert store.table("q") is None
    first, second = _table(), _table()
    store.publish(first)
    store.publish(second)
    assert store.table("q") is second
    store.keep_only(["other"])
    assert store.table("q") is None
