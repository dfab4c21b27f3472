"""The cluster-autoscaler's rules as timelines. Sections are of kubernetes/autoscaler cluster-autoscaler/FAQ.md."""

from collections.abc import Callable
from typing import Any

import pytest

from policies.errors import BadInput
from simulations.cluster import Cluster
from simulations.cluster.node_autoscaler import NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.placement import Eviction
from simulations.cluster.pod_policy import PodDisruptionBudget, PodPolicy
from simulations.lead_time import Draws, LeadTime, Stage

START = Draws(LeadTime(sigma=0.0), 0).pod(0)
RULES = NodeAutoscaler.cluster_autoscaler()
MOVABLE = PodPolicy(safe_to_evict=True)


def pool(**changes: Any) -> NodePool:
    """Nodes of 4 GPUs that take 85 s, so that what is asked for at a scan is ready off the grid."""
    fields = {"name": "l4", "gpus_per_node": 4, "max_nodes": 30, "provision": Stage(85.0, 0.0)}
    return NodePool(**(fields | changes))


def ask(cluster: Cluster, pod: str, at: float = 0.0, gpus: int = 1, pool: str = "l4", **asked: Any) -> None:
    cluster.place(pod, gpus=gpus, pool=pool, start=START, now_seconds=at, **asked)


def run(cluster: Cluster, until: float) -> None:
    """From event to event, as a simulation moves it."""
    while (at := cluster.next_event_seconds()) <= until:
        cluster.advance(at)
    cluster.advance(until)


def removed(cluster: Cluster) -> list[float | None]:
    return [node.removed_at for node in cluster.nodes]


def test_the_preset_has_the_flags_defaults() -> None:
    """ "What are the parameters to CA?": scan-interval, scale-down-delay-after-add, max-node-provision-time,
    scale-down-utilization-threshold, max-empty-bulk-delete, max-graceful-termination-sec; scale-down-unneeded-time is
    the pools'. The back-off flags are in main.go."""
    assert (
        NodeAutoscaler(
            scan_interval_seconds=10,
            scale_down_delay_after_add_seconds=10 * 60,
            max_node_provision_seconds=15 * 60,
            utilization_threshold=0.5,
            max_graceful_termination_seconds=10 * 60,
            max_empty_bulk_delete=10,
            initial_backoff_seconds=5 * 60,
            max_backoff_seconds=30 * 60,
            backoff_reset_seconds=3 * 3_600,
        )
        == RULES
    )
    assert pool().unneeded_seconds == 10 * 60


@pytest.mark.parametrize(("asked_at", "scanned_at"), [(0.0, 0.0), (0.1, 10.0), (10.0, 10.0), (10.5, 20.0)])
def test_a_node_is_asked_for_at_the_next_scan(asked_at: float, scanned_at: float) -> None:
    """ "How fast is Cluster Autoscaler?": up to 10 s after the pod is unschedulable."""
    cluster = Cluster([pool()], autoscaler=RULES)
    ask(cluster, "a", at=asked_at)
    run(cluster, 200.0)
    assert [(node.asked_at, node.ready_at) for node in cluster.nodes] == [(scanned_at, scanned_at + 85.0)]


def test_pods_of_one_scan_share_their_nodes() -> None:
    """ "How does scale-up work?": bin packing of all unschedulable pods."""
    cluster = Cluster([pool()], autoscaler=RULES)
    for number, at in enumerate((1.0, 4.0, 9.0, 9.5, 12.0)):
        ask(cluster, f"p{number}", at=at)
    run(cluster, 200.0)
    assert [node.asked_at for node in cluster.nodes] == [10.0, 20.0]


def test_an_empty_node_goes_ten_minutes_after_the_scan_that_found_it() -> None:
    """ "How does scale-down work?": unneeded for 10 min, seen every 10 s."""
    cluster = Cluster([pool(min_nodes=0)], autoscaler=RULES)
    ask(cluster, "a")
    run(cluster, 1_000.0)
    cluster.release("a", 1_003.0)
    run(cluster, 2_000.0)
    assert removed(cluster) == [1_610.0]
    assert cluster.nodes[0].removed_reason == "unneeded"


def test_a_pod_that_comes_and_goes_restarts_the_ten_minutes() -> None:
    cluster = Cluster([pool()], autoscaler=RULES)
    ask(cluster, "a")
    run(cluster, 1_000.0)
    cluster.release("a", 1_000.0)
    ask(cluster, "b", at=1_500.0)
    cluster.release("b", 1_505.0)
    run(cluster, 3_000.0)
    assert removed(cluster) == [1_510.0 + 600.0]


def test_nothing_is_removed_for_ten_minutes_after_a_scale_up_of_any_pool() -> None:
    """ "I have a couple of nodes with low utilization, but they are not scaled down. Why?": a scale-up in the last
    10 min (scale-down-delay-after-add)."""
    cluster = Cluster([pool(), pool(name="other")], autoscaler=RULES)
    ask(cluster, "a")
    run(cluster, 1_000.0)
    cluster.release("a", 1_000.0)
    ask(cluster, "b", at=1_400.0, pool="other")
    run(cluster, 3_000.0)
    assert removed(cluster)[0] == 1_400.0 + 600.0, "not at 1,600 s"


def test_empty_nodes_go_ten_in_a_scan() -> None:
    """ "How does scale-down work?": empty nodes in bulk, up to 10 (max-empty-bulk-delete)."""
    cluster = Cluster([pool(min_nodes=0, max_nodes=30)], autoscaler=RULES)
    for number in range(12):
        ask(cluster, f"p{number}", gpus=4)
    run(cluster, 1_000.0)
    for number in range(12):
        cluster.release(f"p{number}", 1_000.0)
    run(cluster, 3_000.0)
    assert removed(cluster) == [1_600.0] * 10 + [1_610.0] * 2


def test_a_pool_keeps_its_minimum_and_stops_at_its_maximum() -> None:
    """ "My cluster is below minimum / above maximum number of nodes ...": sizes bound the autoscaler."""
    cluster = Cluster([pool(min_nodes=1, max_nodes=2)], autoscaler=RULES)
    for number in range(4):
        ask(cluster, f"p{number}", gpus=4)
    run(cluster, 500.0)
    assert (len(cluster.nodes), cluster.pending) == (2, ("p2", "p3"))
    for number in range(4):
        cluster.release(f"p{number}", 500.0 + number)
    run(cluster, 5_000.0)
    assert sorted(removed(cluster), key=str) == [1_110.0, None], "the pods ended at 502 and 503 s"


def test_a_node_that_is_not_there_after_fifteen_minutes_is_given_up_for_the_next_pool() -> None:
    """ "How does scale-up work?": max-node-provision-time, then another group may be scaled up."""
    slow = pool(name="slow", provision=Stage(4_000.0, 0.0))
    cluster = Cluster([slow, pool()], autoscaler=RULES)
    ask(cluster, "a", pool="slow", fallback_pools=("l4",))
    run(cluster, 1_200.0)
    assert [(node.pool.name, node.asked_at, node.removed_at, node.removed_reason) for node in cluster.nodes] == [
        ("slow", 0.0, 900.0, "not provisioned in time"),
        ("l4", 900.0, None, ""),
    ]


def running(cluster: Cluster, *pods: str, **asked: Any) -> None:
    for pod in pods:
        cluster.place_running(pod, gpus=1, pool="l4", **asked)


def two_nodes(policy: PodPolicy, budgets: tuple[PodDisruptionBudget, ...] = ()) -> Cluster:
    """One node with 3 pods on its 4 GPUs, and one with 1, which has `policy`."""
    cluster = Cluster([pool()], autoscaler=RULES, budgets=budgets)
    running(cluster, "a", "b", "c", "filler", policy=PodPolicy(budget=policy.budget))
    running(cluster, "lonely", policy=policy)
    cluster.release("filler", 0.0)
    return cluster


@pytest.mark.parametrize(
    ("policy", "leaves"),
    [
        pytest.param(PodPolicy(safe_to_evict=True), True, id="safe-to-evict"),
        pytest.param(PodPolicy(), False, id="a-replica-by-default"),
        pytest.param(PodPolicy(safe_to_evict=None), True, id="no-annotation"),
        pytest.param(PodPolicy(safe_to_evict=None, local_storage=True), False, id="local-storage"),
        pytest.param(PodPolicy(safe_to_evict=True, local_storage=True), True, id="local-storage-but-safe-to-evict"),
        pytest.param(PodPolicy(safe_to_evict=None, has_controller=False), False, id="no-controller"),
        pytest.param(PodPolicy(safe_to_evict=None, namespace="kube-system"), False, id="system-pod-without-budget"),
        pytest.param(
            PodPolicy(safe_to_evict=None, namespace="kube-system", budget="loose"), True, id="system-pod-with-budget"
        ),
        pytest.param(PodPolicy(safe_to_evict=True, budget="tight"), False, id="budget-at-its-limit"),
        pytest.param(PodPolicy(safe_to_evict=True, budget="loose"), True, id="budget-with-room"),
    ],
)
def test_what_protects_a_node_that_is_little_used(policy: PodPolicy, leaves: bool) -> None:
    """ "What types of pods can prevent CA from removing a node?"; of 4 GPUs one is used, below 0.5."""
    budgets = (PodDisruptionBudget(name="tight", min_available=4), PodDisruptionBudget(name="loose", min_available=3))
    cluster = two_nodes(policy, budgets)
    run(cluster, 600.0)
    expected = (Eviction(pod="lonely", node="l4-0001", notice_at=600.0, gone_at=1_200.0, reason="scaled down"),)
    assert cluster.take_evictions() == (expected if leaves else ())


def test_a_node_is_emptied_and_gone_when_its_last_pod_is() -> None:
    """ "What happens when a non-empty node is terminated?": pods are evicted, the node is tainted meanwhile."""
    cluster = two_nodes(MOVABLE)
    run(cluster, 605.0)
    ask(cluster, "replacement", at=606.0)
    assert cluster.pods["replacement"].node is cluster.nodes[0]
    cluster.release("lonely", 620.0)
    assert (cluster.nodes[1].removed_at, cluster.nodes[1].removed_reason) == (620.0, "scaled down")


def test_a_pod_that_does_not_stop_is_gone_after_ten_minutes() -> None:
    """ "Does CA respect GracefulTermination in scale-down?": at most 10 min, then the node goes anyway."""
    cluster = two_nodes(MOVABLE)
    run(cluster, 1_300.0)
    record = cluster.pods["lonely"]
    assert (record.evicted_at, record.released_at, cluster.nodes[1].removed_at) == (1_200.0, 1_200.0, 1_200.0)
    cluster.release("lonely", 1_300.0)  # late, and harmless
    assert cluster.nodes[0].free_gpus == 1


def test_a_node_stays_while_its_pods_fit_nowhere_else() -> None:
    """ "How does scale-down work?": all pods can be moved to other nodes."""
    cluster = two_nodes(MOVABLE)
    ask(cluster, "d")
    run(cluster, 2_000.0)
    assert (cluster.take_evictions(), removed(cluster)) == ((), [None, None])


def test_half_used_is_used() -> None:
    """scale-down-utilization-threshold: below 0.5, and of a GPU node only its GPUs count (utilization/info.go)."""
    cluster = Cluster([pool()], autoscaler=RULES)
    running(cluster, *"abcdef", policy=MOVABLE)
    for name in "ab":
        cluster.release(name, 0.0)
    run(cluster, 2_000.0)
    assert [node.free_gpus for node in cluster.nodes] == [2, 2]
    assert cluster.take_evictions() == ()


def test_one_node_with_pods_is_emptied_in_a_scan() -> None:
    """ "How does scale-down work?": one non-empty node at a time; the next may follow just after."""
    cluster = Cluster([pool()], autoscaler=RULES)
    running(cluster, *(f"p{number}" for number in range(12)), policy=MOVABLE)
    for number in (3, 2, 5, 6, 7, 9, 10, 11):
        cluster.release(f"p{number}", 0.0)
    run(cluster, 700.0)
    assert [(each.node, each.notice_at) for each in cluster.take_evictions()] == [
        ("l4-0001", 600.0),
        ("l4-0002", 610.0),
    ]


@pytest.mark.parametrize(
    ("priorities", "expected"),
    [
        pytest.param((0, 0), "spot", id="the-pods-order"),
        pytest.param((0, 10), "on-demand", id="the-expanders-priority"),
    ],
)
def test_the_priority_expander_chooses_the_pool(priorities: tuple[int, int], expected: str) -> None:
    """ "What are Expanders?": priority; where it does not tell, the pod's own order does."""
    pools = [pool(name=name, priority=each) for name, each in zip(("spot", "on-demand"), priorities, strict=True)]
    cluster = Cluster(pools, autoscaler=RULES)
    ask(cluster, "a", pool="spot", fallback_pools=("on-demand",))
    assert [node.pool.name for node in cluster.nodes] == [expected]


def test_a_full_pool_gives_way_to_the_next() -> None:
    """ "I have a couple of pending pods, but there was no scale-up?": groups at their maximum are passed over."""
    cluster = Cluster([pool(max_nodes=1), pool(name="h100")], autoscaler=RULES)
    for name in "ab":
        ask(cluster, name, gpus=4, fallback_pools=("h100",))
    run(cluster, 200.0)
    assert [(record.pod, record.pool.name) for record in cluster.pods.values()] == [("a", "l4"), ("b", "h100")]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(
            lambda: NodeAutoscaler(scan_interval_seconds=10, utilization_threshold=1.5),
            "node_autoscaler.utilization_threshold: was 1.5, must be in [0, 1]",
            id="threshold",
        ),
        pytest.param(
            lambda: NodeAutoscaler(utilization_threshold=0.5),
            "node_autoscaler.scan_interval_seconds: was 0, must be more than 0 with a utilization_threshold",
            id="no-scan",
        ),
        pytest.param(
            lambda: NodeAutoscaler(initial_backoff_seconds=3_600.0),
            "node_autoscaler.initial_backoff_seconds: was 3600, must be in (0, 1800] (max_backoff_seconds)",
            id="backoff",
        ),
        pytest.param(
            lambda: NodeAutoscaler(scan_interval_seconds=-1.0),
            "node_autoscaler.scan_interval_seconds: was -1.0, must be in [0, 86400] seconds",
            id="negative-scan",
        ),
        pytest.param(
            lambda: NodeAutoscaler(max_empty_bulk_delete=0),
            "node_autoscaler.max_empty_bulk_delete: was 0, must be at least 1",
            id="no-bulk",
        ),
        pytest.param(
            lambda: NodeAutoscaler(max_node_provision_seconds=0.0),
            "node_autoscaler.max_node_provision_seconds: was 0.0, must be more than 0",
            id="no-time",
        ),
        pytest.param(
            lambda: PodDisruptionBudget(name="b", min_available=-1),
            "b.min_available: was -1, must be 0 or more",
            id="negative-budget",
        ),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        build()
    assert message in str(refused.value)
