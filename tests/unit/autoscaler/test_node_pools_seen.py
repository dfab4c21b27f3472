"""What is seen of a pool: nodes by their state, GPUs that no pod holds, nodes that were asked for and have not come."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.crd.node_pool import GkePool, NodePool
from autoscaler.node_pools.asks import AwaitedNodes, Told, follow, with_awaited
from autoscaler.node_pools.holding import placeholders_for
from autoscaler.node_pools.provider import Taint
from autoscaler.node_pools.seen import (
    PLACEHOLDER_LABEL,
    NodeNow,
    gpus_held,
    lasting_taints,
    nodes_of,
    nodes_seen,
    parse_node,
)
from policies.nodepools.pool_seen import NodeSeen
from policies.snapshot import NS_PER_SECOND, Container, Pod, PodPhase

GPU = "nvidia.com/gpu"
CREATED = 1_800_000_000
POOL = NodePool(name="l4", gpus_per_node=8, max_nodes=10)


@dataclass
class FakePod:
    pod: Pod
    labels: dict[str, str] = field(default_factory=dict)


def pod(gpus: int, *, phase: PodPhase = "Running", of_pool: str = "") -> FakePod:
    containers = (Container(name="server", requests_milli={GPU: gpus * 1000}),)
    return FakePod(
        Pod(name="p", phase=phase, ready="True", containers=containers), {PLACEHOLDER_LABEL: of_pool} if of_pool else {}
    )


def time_text(seconds: int) -> str:
    return datetime.fromtimestamp(CREATED + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_json(
    name: str = "n0",
    *,
    gpus: str = "8",
    ready: str = "True",
    ready_at: int = 30,
    taints: Sequence[dict[str, str]] = (),
    unschedulable: bool = False,
    deleting: bool = False,
) -> dict[str, Any]:
    metadata = {"name": name, "creationTimestamp": time_text(0), "labels": {"pool": "l4"}}
    return {
        "metadata": metadata | ({"deletionTimestamp": time_text(99)} if deleting else {}),
        "spec": {"taints": list(taints)} | ({"unschedulable": True} if unschedulable else {}),
        "status": {
            "allocatable": {"cpu": "63770m", "memory": "512Gi", "pods": "110"} | ({GPU: gpus} if gpus else {}),
            "conditions": [
                {"type": "MemoryPressure", "status": "False", "lastTransitionTime": time_text(0)},
                {"type": "Ready", "status": ready, "lastTransitionTime": time_text(ready_at)},
            ],
        },
    }


def taint(key: str, effect: str = "NoSchedule", value: str = "") -> dict[str, str]:
    return {"key": key, "effect": effect} | ({"value": value} if value else {})


@pytest.mark.parametrize(
    ("node", "pods", "expected"),
    [
        pytest.param(node_json(), [], (True, 8), id="ready-and-empty"),
        pytest.param(node_json(), [pod(2), pod(1)], (True, 5), id="pods-of-anybody-hold-gpus"),
        pytest.param(node_json(), [pod(2, of_pool="l4")], (True, 8), id="a-placeholder-holds-none"),
        pytest.param(node_json(), [pod(2, phase="Succeeded")], (True, 8), id="a-pod-that-is-over-holds-none"),
        pytest.param(node_json(ready="False", ready_at=0), [], (False, 8), id="on-its-way"),
        pytest.param(node_json(gpus=""), [], (False, 8), id="without-its-device-plugin-yet"),
        pytest.param(node_json(unschedulable=True), [], None, id="cordoned-and-empty-is-left-out"),
        pytest.param(node_json(unschedulable=True), [pod(1)], (True, 0), id="cordoned-has-no-room"),
        pytest.param(node_json(taints=[taint("ToBeDeletedByClusterAutoscaler")]), [], None, id="to-be-deleted"),
        pytest.param(node_json(deleting=True), [pod(8)], (True, 0), id="being-deleted-with-a-pod"),
        pytest.param(node_json(ready="Unknown", ready_at=900), [], None, id="lost"),
        pytest.param(node_json(ready="Unknown", ready_at=900), [pod(1)], (True, 0), id="lost-with-a-pod"),
    ],
)
def test_a_node_is_ready_on_its_way_or_left_out(node: Any, pods: Any, expected: Any) -> None:
    """expected: (ready, free GPUs); None for a node that is left out."""
    seen = nodes_seen(POOL, [parse_node(node)], lambda _: pods)
    assert [(one.is_ready, one.free_gpus) for one in seen] == ([] if expected is None else [expected])


def test_instants_of_a_node_are_its_registration_and_when_it_became_ready() -> None:
    (seen,) = nodes_seen(POOL, [parse_node(node_json(ready_at=30))], lambda _: [])
    assert (seen.asked_ns, seen.ready_ns) == (CREATED * NS_PER_SECOND, (CREATED + 30) * NS_PER_SECOND)


@given(st.lists(st.integers(0, 8)))
def test_free_gpus_are_never_negative_nor_more_than_a_node_has(gpus: list[int]) -> None:
    (seen,) = nodes_seen(POOL, [parse_node(node_json())], lambda _: [pod(each) for each in gpus])
    assert seen.free_gpus == max(0, 8 - sum(gpus))


@pytest.mark.parametrize(
    ("containers", "init", "held"),
    [
        pytest.param([2, 1], [], 3, id="containers-add-up"),
        pytest.param([2], [(1, True)], 3, id="a-sidecar-runs-beside-them"),
        pytest.param([2], [(4, False)], 4, id="a-larger-init-container-runs-before-them"),
        pytest.param([2], [(1, True), (4, False)], 5, id="it-runs-beside-the-sidecars-before-it"),
        pytest.param([2], [(4, False), (1, True)], 4, id="and-not-beside-those-after-it"),
        pytest.param([0], [], 0, id="none"),
    ],
)
def test_a_pod_holds_what_the_scheduler_counts(containers: Any, init: Any, held: Any) -> None:
    one = Pod(
        name="p",
        phase="Running",
        ready="True",
        containers=tuple(Container(name="c", requests_milli={GPU: gpus * 1000}) for gpus in containers),
        init_containers=tuple(
            Container(name="i", requests_milli={GPU: gpus * 1000}, restart_policy_always=always)
            for gpus, always in init
        ),
    )
    assert gpus_held(one, GPU) == held


def test_nodes_are_found_by_the_selector_by_gkes_label_or_by_their_gpus() -> None:
    nodes = [
        NodeNow(name="a", labels={"pool": "l4", "cloud.google.com/gke-nodepool": "l4-pool"}, allocatable={GPU: 8}),
        NodeNow(name="b", labels={"pool": "h100"}, allocatable={GPU: 8}),
        NodeNow(name="c", labels={"pool": "cpu"}),
    ]
    gke = GkePool(project="acme", location="us-central1", cluster="c", node_pool="l4-pool")

    def found(**changes: Any) -> list[str]:
        return [node.name for node in nodes_of(POOL.model_copy(update=changes), nodes)]

    assert found(node_selector={"pool": "h100"}) == ["b"]
    assert found(gke=gke) == ["a"]
    assert found() == ["a", "b"]


def test_lasting_taints_are_those_that_a_pod_must_tolerate_to_run_there_at_all() -> None:
    nodes = [
        parse_node(
            node_json(
                taints=[
                    taint("nvidia.com/gpu", value="present"),
                    taint("team", value="ml"),
                    taint("node.kubernetes.io/not-ready", "NoExecute"),
                    taint("ToBeDeletedByClusterAutoscaler"),
                    taint("soft", "PreferNoSchedule"),
                ]
            )
        )
    ]
    assert lasting_taints([*nodes, *nodes]) == (
        Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule"),
        Taint(key="team", value="ml", effect="NoSchedule"),
    )


@pytest.mark.parametrize(
    "timeline",
    [
        pytest.param(
            [(30, "a", (3, 0), [0, 0], {}), (60, "ab", (3, 30), [0], {"b": 0})], id="the-oldest-ask-is-met-first"
        ),
        pytest.param([(30, "a", None, [], {}), (60, "ab", (2, 30), [], {"b": 30})], id="it-came-before-the-next-look"),
        pytest.param([(30, "a", (3, 0), [0, 0], {}), (60, "a", (4, 30), [0, 0, 30], {})], id="one-more-is-asked-for"),
        pytest.param([(30, "a", (3, 0), [0, 0], {}), (60, "a", (2, 30), [0], {})], id="one-is-no-longer-wanted"),
        pytest.param([(30, "a", (3, 0), [0, 0], {}), (60, "a", None, [], {})], id="telling-brings-none"),
        pytest.param(
            [(30, "ab", None, [], {}), (60, "abc", None, [], {})], id="one-that-came-for-a-pod-teaches-nothing"
        ),
        pytest.param(
            [(30, "ab", (2, 0), [], {}), (60, "a", (2, 30), [60], {})], id="one-that-is-lost-is-asked-for-anew"
        ),
    ],
)
def test_awaited_nodes(timeline: Any) -> None:
    """Rows: (second, names there, (nodes told, when), asks of the missing, asks of those that came)."""
    awaited = AwaitedNodes()
    for second, names, told, missing, asked in timeline:
        awaited = follow(awaited, list(names), told and Told(nodes=told[0], at_ns=told[1]), second)
        assert list(awaited.awaited_ns) == missing
        assert dict(awaited.asked_ns) == asked


def test_awaited_nodes_are_seen_as_on_their_way_since_their_ask() -> None:
    there = [
        NodeSeen(name="a", asked_ns=5, ready_ns=50, free_gpus=3),
        NodeSeen(name="b", asked_ns=7, ready_ns=90, free_gpus=8),
    ]
    awaited = AwaitedNodes(awaited_ns=(60,), asked_ns={"b": 2}, known=frozenset("ab"))
    seen = with_awaited(there, awaited, gpus=8, refused=False)
    # Nobody saw when a was asked for, so nothing may be learned from it: its two instants are one.
    assert [(one.name, one.asked_ns, one.ready_ns, one.free_gpus) for one in seen] == [
        ("a", 50, 50, 3),
        ("b", 2, 90, 8),
        ("awaited-0", 60, None, 8),
    ]
    assert with_awaited([], awaited, gpus=8, refused=True)[0].asked_ns == 0


@given(
    keep=st.integers(0, 50),
    gpus_per_node=st.sampled_from([1, 2, 4, 8]),
    used=st.integers(0, 400),
    unplaced=st.integers(0, 100),
    sizes=st.lists(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=3),
)
def test_placeholders_never_ask_for_more_than_the_nodes_to_keep(
    keep: Any, gpus_per_node: Any, used: Any, unplaced: Any, sizes: Any
) -> None:
    """And with one of a single GPU among them they leave nothing of it to chance."""
    counts = placeholders_for(keep, gpus_per_node=gpus_per_node, used_gpus=used, unplaced_gpus=unplaced, sizes=sizes)
    held = sum(size * count for size, count in counts.items())
    room = max(0, keep * gpus_per_node - used - unplaced)
    assert held <= room
    assert all(count > 0 for count in counts.values())
    assert room - held < min(sizes)
