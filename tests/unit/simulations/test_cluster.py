"""The cluster: packing, paths, the pending queue, node scaling, the bill, what is refused."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.cluster import Cluster
from simulations.cluster.node_pool import NodePool
from simulations.cluster.placement import Placement
from simulations.cluster.usage import (
    allocated_gpu_seconds,
    cost_usd,
    node_seconds,
    nodes_over_time,
    start_seconds_by_path,
)
from simulations.lead_time import Draws, LeadTime, Stage, StartPath

EXACT = Draws(LeadTime(sigma=0.0), 0)  # new node: 90 s, then 21 s; warm node: 3 s


def pool(max_nodes: int = 3, gpus_per_node: int = 8, min_nodes: int = 0, name: str = "h100") -> NodePool:
    return NodePool(
        name=name,
        gpus_per_node=gpus_per_node,
        max_nodes=max_nodes,
        min_nodes=min_nodes,
        provision=Stage(90.0, 0.0),
    )


def ask(cluster: Cluster, *pods: str, gpus: int = 1, at: float = 0.0, pool: str = "h100") -> list[Placement | None]:
    return [cluster.place(pod, gpus=gpus, pool=pool, start=EXACT.pod(0), now_seconds=at) for pod in pods]


def summary(placements: Sequence[Placement | None]) -> list[tuple[str, str, str, float, float]]:
    return [
        (each.pod, each.node, each.path.value, each.placed_at, each.starts_at)
        for each in placements
        if each is not None
    ]


def test_a_pod_without_a_node_waits_for_a_new_one_and_its_image() -> None:
    cluster = Cluster([pool()])
    assert ask(cluster, "a") == [None]
    assert (cluster.pending, cluster.next_event_seconds()) == (("a",), 90.0)
    assert cluster.advance(89.9) == ()
    assert summary(cluster.advance(90.0)) == [("a", "h100-0000", "new node", 90.0, 111.0)]
    assert cluster.advance(95.0) == (), "told once"
    assert cluster.pending == ()


def test_a_pod_starts_at_once_on_a_ready_node_that_has_the_image() -> None:
    cluster = Cluster([pool(min_nodes=1)])
    assert summary(ask(cluster, "a", at=40.0)) == [("a", "h100-0000", "warm node", 40.0, 43.0)]


def test_pods_that_wait_for_one_image_start_when_it_is_there() -> None:
    """Eight pods fit one new node: one node is asked for, its image is pulled once, by the first."""
    cluster = Cluster([pool()])
    ask(cluster, *"abcdefgh")
    assert len(cluster.nodes) == 1
    assert {(path, starts) for _, _, path, _, starts in summary(cluster.advance(90.0))} == {("new node", 111.0)}
    cluster.release("a", 100.0)
    assert summary(ask(cluster, "i", at=109.0)) == [("i", "h100-0000", "new node", 109.0, 112.0)]
    cluster.release("b", 111.0)
    assert summary(ask(cluster, "j", at=111.0)) == [("j", "h100-0000", "warm node", 111.0, 114.0)]


def test_nodes_are_asked_for_only_as_the_pending_pods_need_them() -> None:
    cluster = Cluster([pool(max_nodes=9)])
    ask(cluster, "a", "b", "c", gpus=4)
    assert len(cluster.nodes) == 2, "two pods of 4 GPUs fit a node of 8"
    ask(cluster, "d", gpus=4, at=10.0)
    assert len(cluster.nodes) == 2, "the room on its way is counted"
    ask(cluster, "e", gpus=1, at=20.0)
    assert [node.asked_at for node in cluster.nodes] == [0.0, 0.0, 20.0]


def test_a_freed_gpu_goes_to_the_oldest_pending_pod_and_its_node_comes_and_goes_unused() -> None:
    cluster = Cluster([pool(gpus_per_node=1, min_nodes=1, max_nodes=3)])
    cluster.place_running("a", gpus=1, pool="h100")
    assert ask(cluster, "b", "c") == [None, None]
    cluster.release("a", 30.0)
    assert summary(cluster.advance(30.0)) == [("b", "h100-0000", "warm node", 30.0, 33.0)]
    assert summary(cluster.advance(90.0)) == [("c", "h100-0001", "new node", 90.0, 111.0)]
    cluster.advance(689.9)
    assert len(cluster.live_nodes()) == 3
    cluster.advance(690.0)
    assert [node.removed_at for node in cluster.nodes] == [None, None, 690.0]


def test_at_max_nodes_pods_wait_their_turn() -> None:
    cluster = Cluster([pool(gpus_per_node=1, max_nodes=1)])
    ask(cluster, "a", "b", "c")
    cluster.advance(200.0)
    assert (len(cluster.nodes), cluster.pending, cluster.next_event_seconds()) == (1, ("b", "c"), math.inf)
    cluster.release("a", 300.0)
    cluster.release("b", 400.0)
    assert summary(cluster.advance(400.0)) == [
        ("b", "h100-0000", "warm node", 300.0, 303.0),
        ("c", "h100-0000", "warm node", 400.0, 403.0),
    ]


def test_a_pod_that_is_no_longer_wanted_leaves_the_queue() -> None:
    cluster = Cluster([pool(gpus_per_node=1, max_nodes=1)])
    ask(cluster, "a", "b", "c")
    cluster.release("b", 10.0)
    cluster.release("a", 100.0)
    assert [each.pod for each in cluster.advance(100.0)] == ["a", "c"]
    assert allocated_gpu_seconds(cluster, 200.0) == (100.0 - 90.0) + (200.0 - 100.0)


def test_the_most_allocated_node_that_fits_is_taken_so_that_nodes_empty_out() -> None:
    cluster = Cluster([pool(min_nodes=3, gpus_per_node=8)])
    ask(cluster, "a", gpus=6)
    ask(cluster, "b", gpus=5)
    ask(cluster, "c", gpus=3)
    ask(cluster, "d", gpus=2)
    nodes = {each.pod: each.placement.node for each in cluster.pods.values() if each.placement}
    assert nodes == {"a": "h100-0000", "b": "h100-0001", "c": "h100-0001", "d": "h100-0000"}
    assert cluster.nodes[2].empty_since == 0.0


def test_a_tensor_parallel_replica_needs_its_gpus_on_one_node() -> None:
    """Two nodes with 3 free GPUs each do not hold 4; a pod of 3 that came later passes."""
    cluster = Cluster([pool(min_nodes=2, max_nodes=2)])
    ask(cluster, "a", "b", gpus=5)
    assert ask(cluster, "big", gpus=4) == [None]
    assert summary(ask(cluster, "small", gpus=3, at=1.0)) == [("small", "h100-0000", "warm node", 1.0, 4.0)]
    cluster.release("b", 5.0)
    assert summary(cluster.advance(5.0)) == [("big", "h100-0001", "warm node", 5.0, 8.0)]


def test_pools_do_not_lend_each_other_nodes() -> None:
    cluster = Cluster([pool(min_nodes=1, max_nodes=1, gpus_per_node=1), pool(min_nodes=1, gpus_per_node=1, name="l4")])
    ask(cluster, "a", "b")
    assert cluster.pending == ("b",)
    assert [node.name for node in cluster.live_nodes("l4")] == ["l4-0001"]
    assert cluster.live_nodes("l4")[0].empty_since == 0.0


def test_empty_nodes_go_after_their_time_but_not_below_min_nodes() -> None:
    cluster = Cluster([pool(gpus_per_node=1, min_nodes=1, max_nodes=3)])
    ask(cluster, "a", "b", "c")
    for pod, at in (("b", 100.0), ("a", 200.0), ("c", 300.0)):
        cluster.release(pod, at)
    cluster.advance(2_000.0)
    assert [node.removed_at for node in cluster.nodes] == [800.0, 700.0, None]


def test_a_pod_keeps_an_empty_node_and_restarts_its_clock() -> None:
    cluster = Cluster([pool(gpus_per_node=1)])
    ask(cluster, "a")
    cluster.release("a", 200.0)
    ask(cluster, "b", at=799.0)
    cluster.release("b", 805.0)
    cluster.advance(1_404.9)
    assert len(cluster.live_nodes()) == 1
    cluster.advance(1_405.0)
    assert cluster.live_nodes() == ()


def test_pods_that_run_at_the_start_bring_their_nodes() -> None:
    cluster = Cluster([pool(gpus_per_node=2, max_nodes=2)])
    placed = [cluster.place_running(pod, gpus=1, pool="h100") for pod in "abc"]
    assert summary(placed) == [
        ("a", "h100-0000", "already running", 0.0, 0.0),
        ("b", "h100-0000", "already running", 0.0, 0.0),
        ("c", "h100-0001", "already running", 0.0, 0.0),
    ]
    cluster.place_running("d", gpus=1, pool="h100")
    with pytest.raises(BadInput, match=r"h100\.max_nodes: was 2, too few for the replicas that run at the start"):
        cluster.place_running("e", gpus=1, pool="h100")


def test_the_bill_runs_from_the_ask_for_a_node_to_its_removal_within_the_horizon() -> None:
    priced = NodePool(name="priced", gpus_per_node=8, max_nodes=1, price_per_node_hour=30.0, provision=Stage(90.0, 0.0))
    cluster = Cluster([pool(gpus_per_node=2), priced])
    ask(cluster, "a", "b", at=100.0)
    ask(cluster, "c", gpus=8, at=300.0, pool="priced")
    cluster.advance(400.0)
    for pod, at in (("a", 500.0), ("b", 900.0), ("c", 1_000.0)):
        cluster.release(pod, at)
    cluster.advance(5_000.0)
    assert node_seconds(cluster, 5_000.0, "h100") == 900 + 600 - 100
    assert node_seconds(cluster, 5_000.0, "priced") == 1_000 + 600 - 300
    assert node_seconds(cluster, 600.0) == 500 + 300
    assert allocated_gpu_seconds(cluster, 5_000.0) == (500 - 190) + (900 - 190) + 8 * (1_000 - 390)
    assert cost_usd(cluster, 5_000.0, price_per_gpu_hour=2.0) == pytest.approx(
        1_400 / 3_600 * 2 * 2.0 + 1_300 / 3_600 * 30.0
    )
    assert [(each.at_seconds, each.provisioning, each.ready) for each in nodes_over_time(cluster)] == [
        (0.0, 0, 0),
        (100.0, 1, 0),
        (190.0, 0, 1),
        (300.0, 1, 1),
        (390.0, 0, 2),
        (1_500.0, 0, 1),
        (1_600.0, 0, 0),
    ]


def test_the_paths_and_their_spans_are_told() -> None:
    cluster = Cluster([pool(gpus_per_node=1, max_nodes=1)])
    cluster.place_running("a", gpus=1, pool="h100")
    ask(cluster, "b", at=50.0)
    cluster.release("a", 70.0)
    cluster.release("b", 80.0)
    cluster.advance(700.0)
    ask(cluster, "c", at=700.0)
    cluster.advance(800.0)
    assert start_seconds_by_path(cluster) == {
        StartPath.INITIAL: (0.0,),
        StartPath.WARM_NODE: (23.0,),
        StartPath.NEW_NODE: (111.0,),
    }


@pytest.mark.parametrize("sigma", [0.0, 0.2])
def test_an_elastic_cluster_starts_the_nth_pod_as_a_fleet_without_nodes_did(sigma: float) -> None:
    """Two lognormals a pod from default_rng(seed) in the order of creation, to the last bit; each on its own node."""
    cluster, draws, rng = Cluster.elastic(), Draws(LeadTime(sigma=sigma), 42), np.random.default_rng(42)
    for number, now in enumerate(np.cumsum(np.random.default_rng(0).exponential(40.0, 300)).tolist()):
        start, load = rng.lognormal(0.0, sigma, 2).tolist()
        starts = now + start * 111.0
        pod = draws.pod(number)
        placement = cluster.place(f"pod-{number}", gpus=1, pool="elastic", start=pod, now_seconds=now)
        assert placement is not None
        assert placement.path is StartPath.NEW_NODE
        assert (placement.starts_at, placement.starts_at + pod.load_seconds) == (starts, starts + load * 120.0)
        if number % 3 == 2:
            cluster.release(f"pod-{number - 1}", now)
    assert len({record.placement.node for record in cluster.pods.values() if record.placement}) == 300


def test_in_an_elastic_cluster_node_hours_are_pod_hours() -> None:
    cluster = Cluster.elastic(gpus_per_replica=4)
    cluster.place_running("a", gpus=4, pool="elastic")
    ask(cluster, "b", "c", gpus=4, at=100.0, pool="elastic")
    cluster.release("b", 150.0)
    ask(cluster, "d", gpus=4, at=150.0, pool="elastic")
    cluster.release("a", 400.0)
    assert node_seconds(cluster, 1_000.0) == 400 + 50 + 900 + 850
    assert allocated_gpu_seconds(cluster, 1_000.0) == 4 * node_seconds(cluster, 1_000.0)
    assert cost_usd(cluster, 1_000.0, price_per_gpu_hour=0.71) == pytest.approx(2_200 * 4 / 3_600 * 0.71)
    assert cluster.next_event_seconds() == math.inf


def test_the_kth_node_takes_as_long_under_every_policy() -> None:
    spread = [NodePool(name="h100", gpus_per_node=1, max_nodes=9), NodePool(name="l4", gpus_per_node=1, max_nodes=9)]
    eager, late = Cluster(spread, seed=5), Cluster(spread, seed=5)
    ask(eager, *"abcd")
    for second, pod in enumerate("abcd"):
        ask(late, pod, at=200.0 * second)
        ask(late, pod * 2, at=200.0 * second, pool="l4")
    assert [node.ready_at for node in eager.nodes] == pytest.approx(
        [node.ready_at - node.asked_at for node in late.nodes if node.pool.name == "h100"]
    )
    assert len({node.ready_at for node in eager.nodes}) == 4


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(lambda: pool(min_nodes=4), "h100.min_nodes: was 4, must be in [0, 3] (max_nodes)", id="min>max"),
        pytest.param(lambda: pool(min_nodes=-1), "h100.min_nodes: was -1, must be in [0, 3]", id="min<0"),
        pytest.param(lambda: pool(max_nodes=0), "h100.max_nodes: was 0, must be at least 1", id="no-node"),
        pytest.param(lambda: pool(gpus_per_node=0), "h100.gpus_per_node: was 0, must be at least 1", id="no-gpu"),
        pytest.param(lambda: pool(name=""), "pool.name: was empty", id="no-name"),
        pytest.param(
            lambda: NodePool(name="x", gpus_per_node=1, max_nodes=1, price_per_node_hour=-1.0),
            "x.price_per_node_hour: was -1.0, must be 0 or more",
            id="negative-price",
        ),
        pytest.param(
            lambda: NodePool(name="x", gpus_per_node=1, max_nodes=1, unneeded_seconds=math.nan),
            "x.unneeded_seconds: was nan, must be in [0, 86400]",
            id="no-number",
        ),
        pytest.param(lambda: Cluster([]), "pools: was empty", id="no-pool"),
        pytest.param(lambda: Cluster([pool(), pool()]), "pool.name: 'h100' was given twice", id="same-name-twice"),
        pytest.param(lambda: Cluster([pool()], seed=-1), "seed: was -1", id="negative-seed"),
        pytest.param(
            lambda: ask(Cluster([pool()]), "a", gpus=16),
            "gpus_per_replica: was 16, must be in [1, 8], the GPUs of one node of pool h100",
            id="replica-larger-than-a-node",
        ),
        pytest.param(lambda: ask(Cluster([pool()]), "a", gpus=0), "gpus_per_replica: was 0", id="no-gpus"),
        pytest.param(
            lambda: ask(Cluster([pool()]), "a", pool="h10"), "pool: was 'h10'; did you mean h100?", id="misspelt-pool"
        ),
        pytest.param(
            lambda: Cluster([pool(), pool(name="l4")]).place_running("a", gpus=1, pool="spot"),
            "pool: was 'spot'; must be one of h100, l4",
            id="unknown-pool",
        ),
        pytest.param(
            lambda: Cluster([NodePool(name="x", gpus_per_node=1, max_nodes=1, gpu="NVIDIA-L4")]).check_pod(
                gpus=1, pool="x", lead_time=LeadTime(), gpu="NVIDIA-H100-80GB"
            ),
            "x.gpu: was NVIDIA-L4, must be NVIDIA-H100-80GB",
            id="other-gpu-than-the-profile",
        ),
        pytest.param(
            lambda: Cluster([pool()]).check_pod(gpus=1, pool="h100", lead_time=LeadTime(start_median_seconds=60.0)),
            "start_median_seconds: was 60, must be at least the node's provisioning of 90 s",
            id="start-shorter-than-provisioning",
        ),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        build()
    assert message in str(refused.value)
