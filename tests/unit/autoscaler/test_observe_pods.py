"""Pods as they are kept, and found again by labels and by node."""

from typing import Any

import pytest
from fake_cluster_api import running_pod
from hypothesis import given
from hypothesis import strategies as st

from adapter.sources.kubernetes.label_selector import parse_selector
from adapter.sources.series import PodKey
from autoscaler.observe.demand_targets import own_pods
from autoscaler.observe.pod_index import PodIndex
from autoscaler.observe.pod_seen import watched_pod
from policies.snapshot import NS_PER_SECOND, Container, Pod

AT_NS = 1_795_255_200 * NS_PER_SECOND  # 2026-11-21T10:00:00Z


def indexed(*pods: dict[str, Any]) -> PodIndex:
    index = PodIndex()
    for pod in pods:
        watched = watched_pod(pod)
        index.pod_changed(watched.seen.key, watched)
    return index


def names(index: PodIndex, **labels: str) -> list[str]:
    return [seen.key.name for seen in index.selected("llm", parse_selector({"matchLabels": labels}))]


def test_a_policy_is_told_what_the_api_server_shows() -> None:
    seen = watched_pod(running_pod()).seen
    assert seen.pod == Pod(
        name="vllm-5d4f-x",
        phase="Running",
        ready="True",
        created_ns=AT_NS,
        start_ns=AT_NS + 5 * NS_PER_SECOND,
        ready_transition_ns=AT_NS + 240 * NS_PER_SECOND,
        containers=(Container(name="server", requests_milli={"nvidia.com/gpu": 1000, "cpu": 500}),),
    )
    assert (seen.node, seen.ip, seen.uid, seen.revision) == ("gpu-1", "10.0.0.7", "uid-vllm-5d4f-x", "5d4f")
    assert seen.owner == ("deployments.apps", "vllm")


@pytest.mark.parametrize("changes", [{"deleting": True}, {"phase": "Failed"}, {"phase": "Succeeded"}])
def test_an_ending_pod_is_seen_and_has_no_page(changes: dict[str, Any]) -> None:
    """It still is one of the workload's, and is no capacity: both matter to a policy."""
    watched = watched_pod(running_pod(**changes))
    assert watched.record is None
    assert watched.seen.owner == ("deployments.apps", "vllm")
    assert watched.seen.pod.deleting == bool(changes.get("deleting"))
    assert watched.seen.pod.phase == changes.get("phase", "Running")
    assert not watched.seen.pod.is_ready


def test_a_pod_without_a_status_yet_is_pending() -> None:
    young = running_pod(node="")
    young["status"] = {}
    seen = watched_pod(young).seen
    assert (seen.pod.phase, seen.pod.ready, seen.pod.start_ns, seen.node, seen.ip) == ("Pending", None, None, "", "")


@pytest.mark.parametrize(
    ("labels", "owner", "name", "revision", "ordinal"),
    [
        pytest.param(
            {"controller-revision-hash": "vllm-1", "apps.kubernetes.io/pod-index": "3"},
            ("apps/v1", "StatefulSet", "vllm"),
            "vllm-3",
            "vllm-1",
            3,
            id="a-statefulset-by-its-labels",
        ),
        pytest.param(
            {"controller-revision-hash": "vllm-1"},
            ("apps/v1", "StatefulSet", "vllm"),
            "vllm-12",
            "vllm-1",
            12,
            id="a-statefulset-before-1.28-by-its-name",
        ),
        pytest.param(
            {
                "leaderworkerset.sigs.k8s.io/name": "vllm",
                "leaderworkerset.sigs.k8s.io/group-index": "2",
                "leaderworkerset.sigs.k8s.io/template-revision-hash": "7c",
                "controller-revision-hash": "vllm-9",
            },
            ("apps/v1", "StatefulSet", "vllm"),
            "vllm-2",
            "7c",
            2,
            id="a-leaderworkerset",
        ),
        pytest.param(
            {"pod-template-hash": "a", "rollouts-pod-template-hash": "b"},
            ("apps/v1", "ReplicaSet", "vllm-b"),
            "vllm-b-1",
            "b",
            None,
            id="a-rollout-is-no-statefulset-whatever-its-name-ends-in",
        ),
        pytest.param({}, None, "bare-7", "", None, id="a-pod-of-its-own"),
    ],
)
def test_revision_and_ordinal(
    labels: dict[str, str], owner: tuple[str, str, str] | None, name: str, revision: str, ordinal: int | None
) -> None:
    seen = watched_pod(running_pod(name, labels=labels, owner=owner)).seen
    assert (seen.revision, seen.ordinal) == (revision, ordinal)


def test_equal_pods_share_their_containers() -> None:
    """5,000 pods of a hundred templates cost what differs between them."""
    one, other = (watched_pod(running_pod(name)).seen.pod for name in ("a", "b"))
    assert one.containers is other.containers


PODS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.fixed_dictionaries(
        {},
        optional={"app": st.sampled_from("xy"), "tier": st.sampled_from("12")},
    ),
)


@given(
    st.lists(PODS, min_size=1, max_size=3),
    st.fixed_dictionaries({}, optional={"app": st.sampled_from("xyz"), "tier": st.sampled_from("123")}),
    st.sampled_from(
        [[], [{"key": "tier", "operator": "Exists"}], [{"key": "app", "operator": "NotIn", "values": ["x"]}]]
    ),
)
def test_what_is_selected_is_what_the_selector_matches(
    generations: list[dict[str, dict[str, str]]], labels: dict[str, str], expressions: list[dict[str, Any]]
) -> None:
    """Through changes of labels and deletions, for selectors with and without an equality to look up."""
    index = PodIndex()
    for pods in generations:
        for name in "abcdef":
            watched = watched_pod(running_pod(name, labels=pods[name])) if name in pods else None
            index.pod_changed(PodKey("llm", name), watched)
    selector = parse_selector({"matchLabels": labels, "matchExpressions": expressions})
    expected = [name for name, held in sorted(generations[-1].items()) if selector.matches(held)]
    assert [seen.key.name for seen in index.selected("llm", selector)] == expected
    assert index.selected("other", selector) == ()


def test_a_pod_is_in_its_nodes_zone_whichever_is_seen_first() -> None:
    index = indexed(running_pod("a", node="n"), running_pod("b", node=""))
    index.zone_changed("n", "zone-1")
    assert [(seen.key.name, seen.zone) for seen in index.pods.values()] == [("a", "zone-1"), ("b", "")]
    watched = watched_pod(running_pod("b", node="n"))
    index.pod_changed(watched.seen.key, watched)
    assert [(seen.key.name, seen.zone) for seen in index.on_node("n")] == [("a", "zone-1"), ("b", "zone-1")]
    index.zone_changed("n", "")
    assert {seen.zone for seen in index.on_node("n")} == {""}
    index.pod_changed(PodKey("llm", "a"), None)
    assert [seen.key.name for seen in index.on_node("n")] == ["b"]


def test_pods_of_another_workload_of_the_same_kind_are_not_its_own() -> None:
    """Two Deployments whose selectors overlap; a pod that nobody owns, or of another kind, is not doubted."""
    index = indexed(
        running_pod("vllm-5d4f-a"),
        running_pod(
            "canary-77-a",
            labels={"app": "vllm", "pod-template-hash": "77"},
            owner=("apps/v1", "ReplicaSet", "canary-77"),
        ),
        running_pod("bare", labels={"app": "vllm"}, owner=None),
        running_pod("own", labels={"app": "vllm"}, owner=("example.com/v1", "Serving", "x")),
    )
    assert names(index, app="vllm") == ["bare", "canary-77-a", "own", "vllm-5d4f-a"]
    selected = index.selected("llm", parse_selector({"matchLabels": {"app": "vllm"}}))
    assert [each.key.name for each in own_pods(selected, "deployments.apps", "vllm")] == ["bare", "own", "vllm-5d4f-a"]
