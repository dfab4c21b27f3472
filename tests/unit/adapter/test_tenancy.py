"""A namespace reads its own series and what it was allowed: by every path, parameter, selector and name."""

import contextlib
import time
from dataclasses import replace
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from served_metrics import NOW_NS, OWNERS, POOL, QUEUE, A, pods, rule, series, served

from adapter.api.answers import KeptAnswers
from adapter.api.custom_metrics import custom_metrics
from adapter.api.explain import explain
from adapter.api.external_metrics import external_metrics
from adapter.api.query import CustomQuery, ExternalQuery, parse_query
from adapter.api.selector import BadSelector, Selector, parse_selector
from adapter.api.served import Served
from adapter.api.status import StatusError
from adapter.assembly import _may_read
from adapter.auth.request_attributes import attributes_of
from adapter.http_server.request import Client, Request
from adapter.names.resolve import NameIndex
from adapter.settings import CrossNamespace
from adapter.sources.pods import PodInfo
from adapter.sources.rule import ObjectLabel
from adapter.sources.series import PodKey, Series
from adapter.store import PodIndex, Store, Table

SECRET = 7777.0
THEIRS = PodKey("team-b", "x")
CUSTOM, EXTERNAL = "/apis/custom.metrics.k8s.io/v1beta2", "/apis/external.metrics.k8s.io/v1beta1"


def _world(**settings: object) -> Served:
    """llm's pod, and team-b's with a value of its own: also on a page that claims to be llm's, and of no pod."""
    found = [
        series(A, 3.0, model="m"),
        Series({"exported_namespace": "llm", "namespace": "llm", "pod": "vllm-a"}, SECRET, NOW_NS, THEIRS),
        Series({"namespace": "team-b", "queue": "theirs"}, SECRET, NOW_NS),
        Series({}, SECRET, NOW_NS, resource_labels={"namespace_name": "team-b", "type": "k8s_pod"}),
    ]
    world = served((QUEUE, found), **settings)
    world.store.set_pods({**pods(), THEIRS: PodInfo(labels={"app": "vllm"}, ready=True, node="gpu-1", owners=OWNERS)})
    return world


def _told(world: Served, target: str) -> str:
    """All that a request for this target is told, explained or not."""
    request = Request("GET", target.encode(), client=Client())
    query = parse_query(request.segments, request.query)
    if query is None:
        return ""
    try:
        if query.explain:
            return str(explain(world, query, NOW_NS, sources=lambda _: []))
        found = external_metrics if isinstance(query, ExternalQuery) else custom_metrics
        return str(found(world, query, NOW_NS).body)  # type: ignore[operator]
    except StatusError as error:
        return str(error)


_NAMESPACE_KEYS = ("namespace", "exported_namespace", "resource.labels.namespace", "resource.labels.namespace_name")
_KEYS = (
    *_NAMESPACE_KEYS,
    *("metric.labels.namespace", "metric.labels.exported_namespace", "metadata.user_labels.app"),
    *("pod", "metric.labels.pod", "model", "queue", "app", "resource.type"),
)
_REQUIREMENTS = st.builds(
    lambda key, form: form.replace("K", key),
    st.sampled_from(_KEYS),
    st.sampled_from(["K=team-b", "K==llm", "K!=llm", "K in (llm,team-b)", "K notin (llm)", "K", "!K", "K>0", "K="]),
)
_SELECTORS = st.lists(_REQUIREMENTS, max_size=3).map(",".join)
_NAMES = st.sampled_from(
    ["queue", "queue_alias", "QUEUE", "prometheus.googleapis.com|queue|gauge", "custom.googleapis.com|queue"]
)
_PLACES = st.sampled_from(
    [
        f"{EXTERNAL}/namespaces/llm/M",
        *(f"{CUSTOM}/namespaces/llm/{what}/{name}/M" for what in ("pods", "services") for name in ("*", "x", "vllm")),
        *(f"{CUSTOM}/namespaces/llm/{what}/*/M" for what in ("nodes", "namespaces", "deployments.apps")),
        f"{CUSTOM}/namespaces/llm/deployments.apps/vllm/M",
        f"{CUSTOM}/namespaces/llm/namespaces/team-b/M",
        f"{CUSTOM}/namespaces/llm/nodes/gpu-1/M",
        f"{CUSTOM}/namespaces/llm/pods/..%2F..%2Fteam-b%2Fpods%2Fx/M",
        f"{CUSTOM}/namespaces/llm/metrics/M",
        f"{CUSTOM}/namespaces/llm%2F/pods/*/M",
        f"{CUSTOM}/namespaces/llm//pods/*/M",
    ]
)


@settings(max_examples=400, deadline=None)
@given(_PLACES, _NAMES, _SELECTORS, st.sampled_from(["", "&explain=true"]), st.sampled_from(["labelSelector", "both"]))
def test_nothing_that_is_asked_with_rights_in_one_namespace_tells_anothers_values(place, name, selector, more, where):
    target = place.replace("M", quote(name, safe="")) + f"?labelSelector={quote(selector)}{more}"
    if where == "both":
        target += f"&metricLabelSelector={quote(selector)}"
    namespace = attributes_of("GET", Request("GET", target.encode(), client=Client()).segments).namespace
    assert namespace.startswith("llm")  # it is in llm that the rights are asked for
    assert "7777" not in _told(_world(), target)


def test_a_namespaces_explanation_is_of_that_namespace() -> None:
    """The path's rights are rights in `llm`: attributes_of says so, and the values' own answer is of it."""
    query = CustomQuery(version="v1beta2", namespace="", resource="namespaces", name="llm", metric="queue")
    told = explain(_world(), query, NOW_NS, sources=lambda _: [])
    assert [one["pod"] for one in told["samples"]] == ["vllm-a"]


def test_objects_of_one_name_in_several_namespaces_are_not_one_object() -> None:
    """Asked for in no namespace, an object that lives in one is not found."""
    world = _world()
    query = CustomQuery(version="v1beta2", namespace="", resource="deployments.apps", name="vllm", metric="queue")
    for asked in (query, replace(query, name="*")):
        with pytest.raises(StatusError, match="could not find the metric"):
            custom_metrics(world, asked, NOW_NS)
    assert custom_metrics(world, replace(query, namespace="llm"), NOW_NS).body["items"][0]["value"] == "3000m"


def test_an_object_of_the_cluster_that_a_rule_maps_is_not_found_in_a_namespace() -> None:
    pools = replace(POOL, objects=(ObjectLabel(resource="pools.example.com", label="name", namespaced=False),))
    world = served((pools, [series(A, 3.0, name="p"), series(THEIRS, 5.0, name="p")]))
    query = CustomQuery(version="v1beta2", namespace="llm", resource="pools.example.com", name="p", metric="pool_queue")
    with pytest.raises(StatusError):
        custom_metrics(world, query, NOW_NS)
    assert custom_metrics(world, replace(query, namespace=""), NOW_NS).body["items"][0]["value"] == "8000m"


def test_a_namespace_of_the_name_star_is_not_all_namespaces() -> None:
    query = ExternalQuery(version="v1beta1", namespace="*", metric="queue")
    with pytest.raises(StatusError):
        external_metrics(_world(), query, NOW_NS)
    assert (
        len(external_metrics(_world(may_read={"ops": ["*"]}), replace(query, namespace="ops"), NOW_NS).body["items"])
        == 4
    )


# What one tenant's requests cost all.


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a=b" + " " * 60_000, id="blanks"),
        pytest.param("a in (" + "," * 60_000 + ")", id="empty-values"),
        pytest.param("a-" * 30_000, id="a-long-key"),
        pytest.param("!" * 60_000, id="signs"),
        pytest.param("a!=b," * 12_000 + "a", id="requirements"),
    ],
)
def test_a_selector_as_long_as_a_request_is_read_at_once(text: str) -> None:
    began = time.process_time()
    with contextlib.suppress(BadSelector):
        parse_selector(text)
    assert time.process_time() - began < 1.0  # quadratic, the blanks took 90 s


def test_a_set_of_ten_thousand_values_is_no_slower_to_match_than_one() -> None:
    (requirement,) = parse_selector(
        "model notin (" + ",".join(f"v{number}" for number in range(10_000)) + ")"
    ).requirements
    labels = [{"model": f"m{number}"} for number in range(10_000)]
    began = time.process_time()
    assert all(Selector((requirement,)).matches(one) for one in labels)
    assert time.process_time() - began < 1.0  # as a list it took 10 s


def test_labels_that_nobody_has_are_not_remembered() -> None:
    """A client chooses the label; the pods may stay the same for days."""
    index = PodIndex(pods())
    for number in range(1000):
        assert index.labelled("llm", f"label{number}", ["x"]) == []
    assert index._by_label == {}


def test_what_is_worked_out_for_selectors_does_not_grow_with_them() -> None:
    world = _world()
    for number in range(10_000):
        query = ExternalQuery(version="v1beta1", namespace="llm", metric="queue", label_selector=f"k{number}=x")
        with pytest.raises(StatusError):
            external_metrics(world, query, NOW_NS)
    table = world.store.table("queue")
    assert table is not None
    assert len(table._memo) < 10_000


def test_a_kept_answer_keeps_no_samples_in_memory() -> None:
    """Each target of a bygone collection would hold on to all of that collection."""
    store, names = Store(), NameIndex([QUEUE])
    kept = KeptAnswers(store)
    for number in range(3):
        table = Table(QUEUE, [], source="scrape", lag_seconds=0)
        store.publish(table)
        kept.put(b"/%d" % number, names, b"answer", table, NOW_NS)
    assert kept.get(b"/2", names, NOW_NS) == b"answer"
    assert kept.get(b"/1", names, NOW_NS) is None
    assert [one.table() for one in kept._kept.values()] == [None, None, table]
    store.keep_only([])
    del table
    assert kept.get(b"/2", names, NOW_NS) is None  # the rule is gone, and with it what the answer was made from


def test_a_rule_says_who_else_may_read_it() -> None:
    shared = rule("shared", visible_to=("llm",))
    world = served((shared, [series(THEIRS, 5.0)]))
    query = ExternalQuery(version="v1beta1", namespace="llm", metric="shared")
    assert external_metrics(world, query, NOW_NS).body["items"][0]["value"] == "5000m"
    with pytest.raises(StatusError):
        external_metrics(world, replace(query, namespace="other"), NOW_NS)


def test_two_permissions_of_one_namespace_add_up() -> None:
    """`tenancy.crossNamespace` may name a namespace twice."""
    permissions = [
        CrossNamespace(namespace="llm", may_read=("a",)),
        CrossNamespace(namespace="llm", may_read=("b",)),
    ]
    assert _may_read(permissions) == {"llm": {"a", "b"}}
