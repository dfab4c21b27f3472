"""Spot nodes: when they are taken back, what their pods are told, and until when they are paid."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from policies.errors import BadInput
from simulations.cluster import Cluster
from simulations.cluster.node_autoscaler import NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.placement import Eviction
from simulations.cluster.spot import Spot, SpotMarket
from simulations.cluster.usage import allocated_gpu_seconds, node_seconds
from simulations.lead_time import Draws, LeadTime, Stage

START = Draws(LeadTime(sigma=0.0), 0).pod(0)


def pool(spot: Spot, **changes: Any) -> NodePool:
    fields = {"name": "spot", "gpus_per_node": 2, "max_nodes": 9, "provision": Stage(90.0, 0.0)}
    return NodePool(spot=spot, **(fields | changes))


def running(cluster: Cluster, *pods: str, pool: str = "spot") -> None:
    for pod in pods:
        cluster.place_running(pod, gpus=1, pool=pool)


def notice_of(spot: Spot, seed: int) -> float:
    """When the first node, ready at 0 s, gets its notice."""
    return SpotMarket(spot=spot, pool="spot", zones=(), seed=seed).life_seconds()


def test_a_node_gets_notice_its_pods_15_s_and_itself_30_s() -> None:
    """Compute Engine documentation, "Spot VMs": 30 s; GKE documentation, "Spot VMs": the first 15 s for pods."""
    spot = Spot(preemptions_per_node_hour=1.0)
    notice = notice_of(spot, seed=4)
    cluster = Cluster([pool(spot)], seed=4)
    running(cluster, "a", "b")
    assert cluster.next_event_seconds() == notice
    cluster.advance(notice)
    assert cluster.take_evictions() == tuple(
        Eviction(pod=pod, node="spot-0000", notice_at=notice, gone_at=notice + 15.0, reason="spot preempted")
        for pod in "ab"
    )
    assert cluster.take_evictions() == (), "told once"
    cluster.release("a", notice + 5.0)
    assert cluster.next_event_seconds() == notice + 15.0
    cluster.advance(notice + 15.0)
    assert (cluster.pods["a"].evicted_at, cluster.pods["b"].evicted_at) == (None, notice + 15.0)
    assert len(cluster.live_nodes()) == 1
    cluster.advance(notice + 30.0)
    assert (cluster.live_nodes(), cluster.nodes[0].removed_reason) == ((), "spot preempted")
    assert node_seconds(cluster, 1e6) == pytest.approx(notice + 30.0), "billed to its end"
    assert allocated_gpu_seconds(cluster, 1e6) == pytest.approx(notice + 5.0 + notice + 15.0)
    cluster.release("b", notice + 60.0)  # a fleet may say so late


def test_no_pod_goes_to_a_node_under_notice_and_a_new_one_is_asked_for_at_once() -> None:
    """A Deployment's replacement is pending, as the kubelet's graceful shutdown makes the node not ready."""
    spot = Spot(preemptions_per_node_hour=1.0)
    notice = notice_of(spot, seed=4)
    cluster = Cluster([pool(spot)], seed=4)
    running(cluster, "a")
    cluster.advance(notice)
    assert cluster.place("a2", gpus=1, pool="spot", start=START, now_seconds=notice) is None
    assert [node.asked_at for node in cluster.nodes] == [0.0, notice]


def test_a_floor_is_filled_again_after_a_preemption() -> None:
    spot = Spot(preemptions_per_node_hour=1.0)
    notice = notice_of(spot, seed=4)
    cluster = Cluster([pool(spot, min_nodes=1)], seed=4)
    cluster.advance(notice + 29.0)
    assert len(cluster.nodes) == 1
    cluster.advance(notice + 30.0)
    assert [node.asked_at for node in cluster.nodes] == [0.0, notice + 30.0]


def test_a_zone_is_lost_with_all_its_spot_nodes_and_no_others() -> None:
    spot = Spot(zone_events_per_hour=0.5)
    market = SpotMarket(spot=spot, pool="spot", zones=("a", "b"), seed=9)
    at = market.next_zone_event_seconds
    zone = market.take_zone_event()
    on_demand = NodePool(name="base", gpus_per_node=1, max_nodes=1, min_nodes=1, zones=(zone,))
    cluster = Cluster([pool(spot, zones=("a", "b"), min_nodes=4), on_demand], seed=9)
    running(cluster, *"pqrstuvw")
    running(cluster, "x", pool="base")
    cluster.advance(at)
    lost = [node for node in cluster.nodes if node.pool.name == "spot" and node.zone == zone]
    assert {each.node for each in cluster.take_evictions() if each.reason == "zone lost"} == {n.name for n in lost}
    assert len(lost) == 2
    cluster.advance(at + 30.0)
    gone = [node.name for node in cluster.nodes if node.removed_at is not None]
    assert gone == [node.name for node in lost]
    assert len(cluster.live_nodes("base")) == 1


def test_preemptions_come_at_their_rate() -> None:
    """A memoryless life at 0.5 an hour lasts 2 h on average; the mean of 4,000 has a standard error of 1.6 %."""
    market = SpotMarket(spot=Spot(preemptions_per_node_hour=0.5), pool="spot", zones=(), seed=1)
    lives = np.array([market.life_seconds() for _ in range(4_000)])
    assert lives.mean() == pytest.approx(7_200.0, rel=0.05)
    assert lives.std() == pytest.approx(7_200.0, rel=0.08)


def test_the_kth_node_lives_as_long_whatever_is_asked_for() -> None:
    """Policies are compared on common random numbers."""
    spot = Spot(preemptions_per_node_hour=2.0)
    lives = []
    for asked_at in (0.0, 1_000.0):
        cluster = Cluster([pool(spot, gpus_per_node=1, unneeded_seconds=86_400.0)], seed=3)
        for pod in "abc":
            cluster.place(pod, gpus=1, pool="spot", start=START, now_seconds=asked_at)
        cluster.advance(90_000.0)
        lives.append([node.removed_at - node.ready_at for node in cluster.nodes[:3] if node.removed_at is not None])
    assert lives[0] == pytest.approx(lives[1])
    assert len(set(lives[0])) == 3


def test_under_scans_the_replacement_waits_for_the_next_scan() -> None:
    spot = Spot(preemptions_per_node_hour=1.0)
    notice = notice_of(spot, seed=4)
    cluster = Cluster([pool(spot)], seed=4, autoscaler=NodeAutoscaler.cluster_autoscaler())
    running(cluster, "a")
    cluster.advance(notice)
    cluster.place("a2", gpus=1, pool="spot", start=START, now_seconds=notice)
    cluster.advance(notice + 10.0)
    assert cluster.nodes[1].asked_at == pytest.approx(notice + 10.0 - (notice + 10.0) % 10.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(
            lambda: Spot(preemptions_per_node_hour=61.0),
            "spot.preemptions_per_node_hour: was 61.0, must be in [0, 60]",
            id="rate",
        ),
        pytest.param(
            lambda: Spot(notice_seconds=10.0),
            "spot.pod_grace_seconds: was 15, must be in [0, 10] (notice_seconds)",
            id="grace-longer-than-notice",
        ),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        build()
    assert message in str(refused.value)
