"""external.metrics.k8s.io: series that the HPA adds up, and when none may be told."""

from dataclasses import replace

import pytest
from served_metrics import LOADING, NOW_NS, QUEUE, RATE, SUMMED_WITHOUT, THEIRS, UTILIZATION, A, B, rule, series, served

from adapter.api.explain import explain
from adapter.api.external_metrics import external_metrics
from adapter.api.query import ExternalQuery
from adapter.api.served import Served
from adapter.api.status import StatusError
from adapter.names.on_demand import OnDemand
from adapter.sources.series import Series

ASKED = ExternalQuery(version="v1beta1", namespace="llm", metric="queue")


def _items(world: Served, query: ExternalQuery = ASKED) -> list[dict]:
    return external_metrics(world, query, NOW_NS).body["items"]


def _values(world: Served, query: ExternalQuery = ASKED) -> list[str]:
    return [item["value"] for item in _items(world, query)]


def _refusal(world: Served, query: ExternalQuery = ASKED) -> StatusError:
    with pytest.raises(StatusError) as caught:
        external_metrics(world, query, NOW_NS)
    return caught.value


def test_one_item_a_series_with_its_labels_and_its_own_time() -> None:
    world = served((QUEUE, [series(B, 4, engine="0"), series(A, 3, age=20, engine="0")]))
    assert _items(world) == [
        {
            "metricName": "queue",
            "metricLabels": {"engine": "0", "app": "vllm", "namespace": "llm", "pod": name},
            "timestamp": at,
            "window": 0,
            "value": value,
        }
        for name, at, value in [
            ("vllm-a", "2027-01-15T07:59:40Z", "3000m"),
            ("vllm-b", "2027-01-15T07:59:55Z", "4000m"),
        ]
    ]


def test_names_come_in_any_case() -> None:
    world = served((UTILIZATION, [series(A, 60)]))
    assert _values(world, replace(ASKED, metric="dcgm_fi_dev_gpu_util")) == ["60000m"]


@pytest.mark.parametrize(
    ("selector", "values"),
    [
        ("", ["3000m", "4000m", "5000m"]),
        ("pod=vllm-a", ["3000m", "4000m"]),
        ("engine=0", ["3000m", "5000m"]),
        ("engine in (1,2)", ["4000m"]),
        ("engine notin (0)", ["4000m"]),
        ("engine>0", ["4000m"]),
        ("app=vllm,engine=0,pod!=vllm-b", ["3000m"]),
    ],
)
def test_series_are_selected_by_their_own_and_their_pods_labels(selector: str, values: list[str]) -> None:
    world = served((QUEUE, [series(A, 3, engine="0"), series(A, 4, engine="1"), series(B, 5, engine="0")]))
    assert _values(world, replace(ASKED, label_selector=selector)) == values
    assert _values(world, replace(ASKED, label_selector=selector)) == values  # from the index that the first made


def test_the_index_of_a_label_follows_the_pods() -> None:
    world = served((QUEUE, [series(A, 3), series(B, 4)]))
    query = replace(ASKED, label_selector="app=vllm")
    assert _values(world, query) == ["3000m", "4000m"]
    world.store.set_pods({A: world.store.pods.pods[A]})
    assert _values(world, query) == ["3000m"]


def test_a_sum_that_would_lack_a_pod_is_not_told() -> None:
    world = served((QUEUE, [series(A, 3), series(B, 4, age=100)]))
    refused = _refusal(world)
    assert refused.reason == "NotFound"
    assert str(refused).endswith("provided labels: vllm-b: last sample 100 s old, max age 60 s")
    assert _refusal(served((QUEUE, [series(A, 3), series(B, None)]))).reason == "NotFound"


def test_unless_the_rule_says_omit() -> None:
    world = served((SUMMED_WITHOUT, [series(A, 3), series(B, 4, age=100)]))
    assert _values(world, replace(ASKED, metric="partial")) == ["3000m"]


def test_a_loading_pod_and_a_quiet_one_are_passed_over() -> None:
    world = served((QUEUE, [series(A, 3), series(LOADING, 0)]))
    assert _values(world) == ["3000m"]
    quiet = Series({}, None, NOW_NS, B, why="no requests in the window", is_quiet=True)
    world = served((RATE, [series(A, 3), quiet]))
    assert _values(world, replace(ASKED, metric="requests_per_second")) == ["3000m"]


def test_a_namespace_reads_its_own_series_and_is_told_when_it_asks_for_anothers() -> None:
    world = served((QUEUE, [series(A, 3), series(THEIRS, 9)]))
    assert _values(world, replace(ASKED, namespace="team-b")) == ["9000m"]
    assert _refusal(world, replace(ASKED, namespace="team-c")).reason == "NotFound"
    unmatched = _refusal(world, replace(ASKED, label_selector="pod=x"))
    assert unmatched.reason == "NotFound"
    assert "its source gives no series that this request selects" in str(unmatched)
    refused = _refusal(world, replace(ASKED, label_selector="namespace=team-b"))
    assert refused.reason == "Forbidden"
    assert "tenancy.crossNamespace" in str(refused)


def test_it_reads_anothers_where_that_is_allowed() -> None:
    theirs = replace(ASKED, label_selector="namespace=team-b")
    found = [series(A, 3), series(THEIRS, 9)]
    assert _values(served((QUEUE, found), may_read={"llm": ["team-b"]}), theirs) == ["9000m"]
    assert _values(served((QUEUE, found), may_read={"*": ["*"]}), theirs) == ["9000m"]
    assert _values(served((rule(visible_to=("llm",)), found)), theirs) == ["9000m"]


def test_a_series_of_no_namespace_is_everybodys() -> None:
    world = served((QUEUE, [series(None, 7, subscription="s")]))
    assert _values(world, replace(ASKED, namespace="team-c", label_selector="subscription=s")) == ["7000m"]


def test_a_stackdriver_name_shows_cloud_monitorings_labels_and_takes_a_reducer() -> None:
    world = served((UTILIZATION, [series(A, 60, gpu="0"), series(B, 80, gpu="0")]))
    query = replace(ASKED, metric="prometheus.googleapis.com|dcgm_fi_dev_gpu_util|unknown")
    (first, _) = _items(world, query)
    assert first["metricLabels"] == {
        "metric.labels.gpu": "0",
        "metric.labels.pod": "vllm-a",
        "resource.labels.project_id": "p",
        "resource.labels.location": "l",
        "resource.labels.cluster": "c",
        "resource.labels.namespace": "llm",
        "resource.type": "prometheus_target",
    }
    (mean,) = _items(world, replace(query, label_selector="resource.labels.namespace=llm,reducer=REDUCE_MEAN"))
    assert (mean["value"], mean["metricLabels"]) == ("70000m", {})
    assert _refusal(world, replace(query, label_selector="pod=vllm-a")).reason == "BadRequest"


def test_a_cloud_metric_that_no_rule_names_is_collected_from_its_first_request_on() -> None:
    on_demand = OnDemand()
    world = served((QUEUE, []), on_demand=on_demand)
    query = replace(ASKED, metric="pubsub.googleapis.com|subscription|num_undelivered_messages")
    assert _refusal(world, query).reason == "NotFound"
    assert [one.name for one in on_demand.rules(NOW_NS)] == [query.metric]


def test_explain_shows_every_series_its_age_and_why_it_has_no_value() -> None:
    world = served((QUEUE, [series(A, 3), series(B, 4, age=100), series(LOADING, 0)]))
    body = explain(world, ASKED, NOW_NS, sources=lambda _: [{"name": "scrape", "inUse": True}])
    assert (body["source"], body["series"], body["problem"]) == ("scrape", 3, "")
    assert [(row["pod"], row["state"], row["ageSeconds"]) for row in body["samples"]] == [
        ("vllm-a", "fresh", 5.0),
        ("vllm-b", "stale", 100.0),
        ("vllm-c", "loading", 5.0),
    ]
    with pytest.raises(StatusError):
        explain(world, replace(ASKED, label_selector="namespace=team-b"), NOW_NS, sources=lambda _: [])
