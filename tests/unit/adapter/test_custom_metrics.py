"""custom.metrics.k8s.io: which objects have which value, and why not."""

from dataclasses import replace

import pytest
from served_metrics import (
    HELD,
    LOADING,
    NOW_NS,
    POOL,
    QUEUE,
    REFUSED,
    SUMMED_WITHOUT,
    THEIRS,
    UTILIZATION,
    A,
    B,
    series,
    served,
)  # fmt: skip

from adapter.api.custom_metrics import custom_metrics
from adapter.api.query import CustomQuery
from adapter.api.served import Served
from adapter.api.status import StatusError
from adapter.names.resolve import NameIndex
from adapter.sources.pods import PodInfo
from adapter.sources.rule import Rule
from adapter.sources.series import NS_PER_SECOND, Series
from adapter.store import Table

PODS = CustomQuery(version="v1beta2", namespace="llm", resource="pods", name="*", metric="queue")


def _items(world: Served, query: CustomQuery = PODS, now_ns: int = NOW_NS) -> list[dict]:
    return custom_metrics(world, query, now_ns).body["items"]


def _values(world: Served, query: CustomQuery = PODS, now_ns: int = NOW_NS) -> dict[str, str]:
    return {item["describedObject"]["name"]: item["value"] for item in _items(world, query, now_ns)}


def _refusal(world: Served, query: CustomQuery = PODS) -> StatusError:
    with pytest.raises(StatusError) as caught:
        custom_metrics(world, query, NOW_NS)
    return caught.value


def _of(rule: Rule, *found: Series) -> tuple[Served, CustomQuery]:
    return served((rule, list(found))), replace(PODS, metric=rule.name)


def test_each_pod_of_the_namespace_has_its_value_with_its_own_time() -> None:
    world = served((QUEUE, [series(A, 3), series(B, 4.5, age=20), series(THEIRS, 9)]))
    items = _items(world)
    assert [(item["describedObject"]["name"], item["value"]) for item in items] == [
        ("vllm-a", "3000m"),
        ("vllm-b", "4500m"),
    ]
    assert items[0] == {
        "describedObject": {"kind": "Pod", "namespace": "llm", "name": "vllm-a", "apiVersion": "/v1"},
        "metric": {"name": "queue", "selector": None},
        "timestamp": "2027-01-15T07:59:55Z",
        "windowSeconds": 0,
        "value": "3000m",
    }


def test_v1beta1_has_its_own_shape() -> None:
    world = served((QUEUE, [series(A, 3)]))
    (item,) = _items(world, replace(PODS, version="v1beta1", metric="queue_alias"))
    assert {"metricName": "queue_alias", "window": 0, "selector": None}.items() <= item.items()


def test_pods_are_selected_by_their_labels_and_series_by_theirs() -> None:
    world = served((QUEUE, [series(A, 3, engine="0"), series(A, 4, engine="1"), series(B, 5, engine="0")]))
    assert _values(world, replace(PODS, label_selector="app=vllm")) == {"vllm-a": "7000m", "vllm-b": "5000m"}
    assert _refusal(world, replace(PODS, label_selector="app=triton")).reason == "NotFound"
    assert _values(world, replace(PODS, metric_label_selector="engine!=0")) == {"vllm-a": "4000m"}
    assert _refusal(world, replace(PODS, label_selector="app in")).reason == "BadRequest"


def test_a_single_pod_is_asked_for_by_name() -> None:
    world = served((QUEUE, [series(A, 3), series(B, 4)]))
    assert _values(world, replace(PODS, name="vllm-b")) == {"vllm-b": "4000m"}
    refused = _refusal(world, replace(PODS, name="gone"))
    assert str(refused) == (
        "the server could not find the metric queue for pods gone: its source gives no series that this request "
        "selects; `leadtime adapter explain` shows more"
    )


def test_two_gpus_of_a_pod_are_averaged_not_added() -> None:
    world, query = _of(UTILIZATION, series(A, 60, gpu="0"), series(A, 80, gpu="1"))
    assert _values(world, query) == {"vllm-a": "70000m"}


def test_a_pod_with_one_unknown_series_has_no_value_and_others_do() -> None:
    world = served((QUEUE, [series(A, 3, engine="0"), series(A, None, engine="1"), series(B, 4)]))
    assert _values(world) == {"vllm-b": "4000m"}


def test_where_no_pod_has_a_value_the_error_says_why() -> None:
    world = served((QUEUE, [series(A, 3, age=100), series(B, None)]))
    refused = _refusal(world)
    assert refused.reason == "NotFound"
    assert str(refused) == (
        "the server could not find the metric queue for pods: vllm-a: last sample 100 s old, max age 60 s (and 1 more)"
    )


def test_a_loading_pod_is_left_out_and_an_ended_one_is_gone_at_once() -> None:
    world = served((QUEUE, [series(A, 3), series(LOADING, 0), series(B, 4)]))
    assert _values(world) == {"vllm-a": "3000m", "vllm-b": "4000m"}
    world.store.set_pods({A: PodInfo()})
    assert _values(world) == {"vllm-a": "3000m"}


def test_policies_beyond_max_age() -> None:
    world, query = _of(HELD, series(A, 3, age=100))
    (item,) = _items(world, query)
    assert (item["value"], item["timestamp"]) == ("3000m", "2027-01-15T07:58:20Z")  # its true time
    world, query = _of(HELD, series(A, 3, age=121))
    assert _refusal(world, query).reason == "NotFound"
    world, query = _of(REFUSED, series(A, 3, age=61), series(B, 4))
    assert _refusal(world, query).reason == "ServiceUnavailable"


def test_an_answer_holds_until_its_first_value_grows_too_old() -> None:
    world = served((QUEUE, [series(A, 3, age=5), series(B, 4, age=50)]))
    assert custom_metrics(world, PODS, NOW_NS).until_ns == NOW_NS + 10 * NS_PER_SECOND


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "value"),
    [
        ("deployments.apps", "llm", "vllm", "7000m"),
        ("replicasets.apps", "llm", "vllm-5d4f", "7000m"),
        ("services", "llm", "vllm", "7000m"),
        ("namespaces", "", "llm", "7000m"),
        ("nodes", "", "gpu-1", "12000m"),
    ],
)
def test_an_object_has_the_sum_over_its_pods(resource: str, namespace: str, name: str, value: str) -> None:
    world = served((QUEUE, [series(A, 3), series(B, 4), series(LOADING, 0), series(THEIRS, 9)]))
    query = replace(PODS, resource=resource, namespace=namespace, name=name)
    (item,) = _items(world, query)
    assert item["value"] == value
    assert ("namespace" in item["describedObject"]) == bool(namespace)


def test_an_object_of_a_pod_without_value_has_none_unless_the_rule_says_omit() -> None:
    query = replace(PODS, resource="deployments.apps", name="vllm")
    world = served((QUEUE, [series(A, 3), series(B, 4, age=100)]))
    assert str(_refusal(world, query)).endswith("vllm-b: last sample 100 s old, max age 60 s")
    world = served((SUMMED_WITHOUT, [series(A, 3), series(B, 4, age=100)]))
    assert _values(world, replace(query, metric="partial")) == {"vllm": "3000m"}


def test_a_rules_own_mapping_names_the_object() -> None:
    world = served((POOL, [series(A, 6, name="llama"), series(B, 8, name="llama"), series(B, 1, name="qwen")]))
    query = replace(PODS, resource="inferencepools.inference.networking.k8s.io", name="llama", metric="pool_queue")
    (item,) = _items(world, query)
    assert item["describedObject"]["kind"] == "InferencePool"


def test_labels_of_other_objects_than_pods_are_not_known() -> None:
    world = served((QUEUE, [series(A, 3)]))
    query = replace(PODS, resource="services", label_selector="app=vllm")
    assert _refusal(world, query).reason == "BadRequest"
    assert _values(world, replace(query, label_selector="")) == {"vllm": "3000m"}


def test_an_unknown_name_is_not_found_and_a_rule_without_values_says_what_its_sources_say() -> None:
    world = served((QUEUE, [series(A, 3)]))
    assert str(_refusal(world, replace(PODS, metric="nobody"))) == (
        "the server could not find the metric nobody for pods: no rule has this name; "
        "`leadtime adapter rules list` prints those there are"
    )
    world.store.keep_only([])
    assert str(_refusal(world)).endswith(": its sources gave nothing")


def test_a_stackdriver_name_takes_its_own_keys_and_reducer() -> None:
    world, query = _of(UTILIZATION, series(A, 60, gpu="0"), series(A, 80, gpu="1"))
    query = replace(query, metric="prometheus.googleapis.com|DCGM_FI_DEV_GPU_UTIL|gauge")
    assert _values(world, query) == {"vllm-a": "70000m"}
    assert _values(world, replace(query, metric_label_selector="metric.labels.gpu=1")) == {"vllm-a": "80000m"}
    assert _values(world, replace(query, metric_label_selector="reducer=REDUCE_MAX")) == {"vllm-a": "80000m"}
    assert _refusal(world, replace(query, metric_label_selector="gpu=1")).reason == "BadRequest"


def test_a_number_without_a_quantity_is_missing() -> None:
    world = served((QUEUE, [series(A, 1e300), series(B, 1)]))
    assert _values(world) == {"vllm-b": "1000m"}


def test_values_that_nobody_renews_go_together() -> None:
    """A's sample was taken a moment before B's, so it expires first: told of B alone, an HPA would take A to be at its
    target, whatever it had, and scale down. While B is renewed, A is one silent pod, and left out."""
    too_old = QUEUE.max_age_seconds + 1
    renewed = served((QUEUE, [series(A, 15, age=too_old), series(B, 0, age=QUEUE.max_age_seconds / 2 - 1)]))
    assert _values(renewed) == {"vllm-b": "0m"}
    nobody = served((QUEUE, [series(A, 15, age=too_old), series(B, 0, age=QUEUE.max_age_seconds - 1)]))
    refusal = _refusal(nobody)
    assert refusal.reason == "NotFound"
    assert "vllm-a: last sample" in str(refusal)
    refusal = _refusal(replace(nobody, source_fault=lambda _: "source prometheus is not available: refused"))
    assert refusal.reason == "ServiceUnavailable"
    old = [series(A, 15, age=QUEUE.max_age_seconds - 1), series(B, 0, age=QUEUE.max_age_seconds - 2)]
    assert _values(served((QUEUE, old))) == {"vllm-a": "15000m", "vllm-b": "0m"}, "none has expired yet"


def test_pods_that_are_heard_of_again_are_believed_when_all_are_or_after_a_max_age() -> None:
    """B was read again before A was. A max age later A would be one silent pod."""
    max_age_ns = round(QUEUE.max_age_seconds * NS_PER_SECOND)

    def world(a_age: float, renewed_for_ns: int) -> Served:
        found = served()
        since = {B: NOW_NS - renewed_for_ns}
        parts = [series(A, 15, age=a_age), series(B, 0, age=1)]
        found.store.publish(Table(QUEUE, parts, source="prometheus", lag_seconds=0, renewed_since_ns=since))
        return replace(found, names=NameIndex([QUEUE]))

    too_old = QUEUE.max_age_seconds + 1
    assert "vllm-a: last sample" in str(_refusal(world(too_old, max_age_ns - 1)))
    assert _values(world(too_old, max_age_ns)) == {"vllm-b": "0m"}
    assert _values(world(1, 0)) == {"vllm-a": "15000m", "vllm-b": "0m"}
