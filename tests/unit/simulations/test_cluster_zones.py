"""Zones, quotas and stockouts: where a node goes, when it is refused, and what is tried next."""

from collections.abc import Callable
from typing import Any

import pytest

from policies.errors import BadInput
from simulations.cluster import Cluster
from simulations.cluster.node_autoscaler import Backoff, NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.spot import Spot
from simulations.cluster.usage import node_seconds, nodes_over_time
from simulations.cluster.zones import Quota, RandomStockouts, Stockout, StockoutCalendar
from simulations.lead_time import Draws, LeadTime, Stage

START = Draws(LeadTime(sigma=0.0), 0).pod(0)
RULES = NodeAutoscaler.cluster_autoscaler()


def pool(**changes: Any) -> NodePool:
    fields = {
        "name": "l4",
        "gpus_per_node": 1,
        "max_nodes": 9,
        "gpu": "NVIDIA-L4",
        "zones": ("a", "b", "c"),
        "provision": Stage(85.0, 0.0),
    }
    return NodePool(**(fields | changes))


def ask(cluster: Cluster, *pods: str, at: float = 0.0, pool: str = "l4", **asked: Any) -> None:
    for pod in pods:
        cluster.place(pod, gpus=1, pool=pool, start=START, now_seconds=at, **asked)


def run(cluster: Cluster, until: float) -> None:
    while (at := cluster.next_event_seconds()) <= until:
        cluster.advance(at)
    cluster.advance(until)


def asks(cluster: Cluster) -> list[tuple[str, float, str]]:
    """(zone, asked at, why it is gone) of every ask."""
    return [(node.zone, node.asked_at, node.removed_reason) for node in cluster.nodes]


def test_new_nodes_go_to_the_zone_with_the_fewest() -> None:
    """GKE's location policy BALANCED: best effort to balance the sizes of the zones."""
    cluster = Cluster([pool()])
    ask(cluster, *"pqrst")
    assert [node.zone for node in cluster.nodes] == ["a", "b", "c", "a", "b"]


def test_a_pod_goes_where_its_volume_is() -> None:
    """ "I have a couple of pending pods, but there was no scale-up?": the pod has to be in its volume's zone."""
    cluster = Cluster([pool(min_nodes=2)])
    ask(cluster, "p", zone="c")
    assert cluster.pending == ("p",), "the free nodes are in a and b"
    assert [node.zone for node in cluster.nodes] == ["a", "b", "c"]
    run(cluster, 100.0)
    placement = cluster.pods["p"].placement
    assert placement is not None
    assert (placement.zone, placement.spot) == ("c", False)


def test_a_full_pool_does_not_grow_for_a_zone_until_a_node_of_another_goes() -> None:
    cluster = Cluster([pool(max_nodes=2, zones=("a", "b"), unneeded_seconds=50.0)])
    ask(cluster, "p", "q", zone="a")
    run(cluster, 100.0)
    ask(cluster, "r", at=100.0, zone="b")
    cluster.release("p", 120.0)
    run(cluster, 300.0)
    assert asks(cluster) == [("a", 0.0, "unneeded"), ("a", 0.0, ""), ("b", 170.0, "")]


def test_a_stockout_in_one_zone_sends_the_node_to_the_next() -> None:
    """Each zone of a GKE node pool is an instance group of its own; the failed one is backed off."""
    cluster = Cluster([pool()], autoscaler=RULES, stockouts=[Stockout(zone="a", start_seconds=0, end_seconds=5_000)])
    ask(cluster, "p")
    run(cluster, 200.0)
    assert asks(cluster) == [("a", 0.0, "stockout"), ("b", 10.0, "")], "known at the next scan"
    assert node_seconds(cluster, 200.0) == 190.0, "a node that never was costs nothing"
    assert [(each.at_seconds, each.provisioning, each.ready) for each in nodes_over_time(cluster)] == [
        (0.0, 1, 0),
        (10.0, 1, 0),
        (95.0, 0, 1),
    ]


def test_a_group_that_fails_is_left_alone_for_5_10_20_and_30_minutes() -> None:
    """Flags initial-node-group-backoff-duration 5 min, max-node-group-backoff-duration 30 min, doubling
    (utils/backoff/exponential_backoff.go). An ask fails 10 s after it, at the next scan."""
    cluster = Cluster(
        [pool(zones=("a",))], autoscaler=RULES, stockouts=[Stockout(zone="a", start_seconds=0, end_seconds=6_000)]
    )
    ask(cluster, "p")
    run(cluster, 10_000.0)
    at, expected = 0.0, [0.0]
    for minutes in (5, 10, 20, 30, 30, 30):
        at += 10.0 + 60.0 * minutes
        expected.append(at)
    assert [node.asked_at for node in cluster.nodes] == expected[: len(cluster.nodes)]
    assert [reason for _, _, reason in asks(cluster)] == ["stockout"] * 6 + [""], "from 6,000 s there are nodes"


def test_a_stockout_may_be_known_late_and_nobody_asks_elsewhere_meanwhile() -> None:
    """The autoscaler counts on what it asked for until it fails."""
    late = Stockout(zone="a", start_seconds=0, end_seconds=5_000, fails_after_seconds=93.0)
    cluster = Cluster([pool(zones=("a", "b"))], autoscaler=RULES, stockouts=[late])
    ask(cluster, "p", "q")
    ask(cluster, "r", at=5.0)
    run(cluster, 300.0)
    assert asks(cluster) == [
        ("a", 0.0, "stockout"),  # for p
        ("b", 0.0, ""),  # for q
        ("a", 10.0, "stockout"),  # for r: nobody knows yet
        ("b", 100.0, ""),  # for p
        ("b", 110.0, ""),  # for r
    ]


def test_one_look_asks_a_group_that_refuses_for_all_its_nodes_at_once() -> None:
    """The autoscaler asks for the difference in one request; every node of it fails."""
    out = Stockout(zone="a", start_seconds=0, end_seconds=5_000)
    cluster = Cluster([pool(zones=("a",), max_nodes=4)], autoscaler=RULES, stockouts=[out])
    ask(cluster, *"pqrstu")
    assert [(node.was_created, node.stands_for) for node in cluster.nodes] == [(False, 4)]
    run(cluster, 311.0)
    assert [node.stands_for for node in cluster.nodes] == [4, 4]


def test_a_pod_falls_back_from_spot_to_on_demand_while_spot_is_out() -> None:
    spot = pool(name="spot", spot=Spot())
    out = Stockout(zone="", start_seconds=0, end_seconds=1_000, spot=True)
    cluster = Cluster([spot, pool(name="on-demand", zones=("a",))], autoscaler=RULES, stockouts=[out])
    ask(cluster, "p", pool="spot", fallback_pools=("on-demand",))
    run(cluster, 300.0)
    assert [(node.pool.name, node.zone, node.removed_at) for node in cluster.nodes] == [
        ("spot", "a", 10.0),
        ("spot", "b", 20.0),
        ("spot", "c", 30.0),
        ("on-demand", "a", None),
    ]
    assert cluster.pods["p"].pool.name == "on-demand"


def test_without_scans_a_refused_ask_is_known_at_once_and_tried_again_after_the_backoff() -> None:
    cluster = Cluster([pool(zones=("a",))], stockouts=[Stockout(zone="a", start_seconds=0, end_seconds=200)])
    ask(cluster, "p")
    assert cluster.next_event_seconds() == 300.0
    run(cluster, 500.0)
    assert asks(cluster) == [("a", 0.0, "stockout"), ("a", 300.0, "")]


@pytest.mark.parametrize(
    ("quota", "nodes"),
    [
        pytest.param(Quota(gpu="NVIDIA-L4", gpus=3), {"spot": 2, "on-demand": 1}, id="for-all"),
        pytest.param(Quota(gpu="NVIDIA-L4", gpus=1, spot=True), {"spot": 1, "on-demand": 2}, id="for-spot"),
        pytest.param(Quota(gpu="NVIDIA-L4", gpus=1, spot=False), {"spot": 2, "on-demand": 1}, id="for-on-demand"),
        pytest.param(Quota(gpu="NVIDIA-H100-80GB", gpus=0), {"spot": 2, "on-demand": 2}, id="for-another-gpu"),
    ],
)
def test_a_quota_is_shared_by_the_pools_of_a_gpu(quota: Quota, nodes: dict[str, int]) -> None:
    """ "What happens in scale-up when I have no more quota in the cloud provider?": the scale-up fails."""
    pools = [pool(name="spot", spot=Spot(), zones=("a",)), pool(name="on-demand", zones=("a",))]
    cluster = Cluster(pools, autoscaler=RULES, quotas=[quota])
    ask(cluster, "p", "q", pool="spot")
    ask(cluster, "r", "s", pool="on-demand")
    run(cluster, 250.0)
    assert {name: len(cluster.live_nodes(name)) for name in nodes} == nodes
    refused = [node for node in cluster.nodes if not node.was_created]
    assert {node.removed_reason for node in refused} <= {"quota exceeded"}
    assert len(cluster.pending) == 4 - sum(nodes.values())


def test_quota_that_is_freed_is_used_after_the_backoff() -> None:
    cluster = Cluster([pool(zones=("a",), unneeded_seconds=0.0)], quotas=[Quota(gpu="NVIDIA-L4", gpus=1)])
    ask(cluster, "p", "q")
    run(cluster, 100.0)
    cluster.release("p", 100.0)
    assert cluster.pods["q"].placement is not None, "it gets the freed GPU, without a node of its own"
    ask(cluster, "r", at=110.0)
    run(cluster, 290.0)
    assert cluster.pending == ("r",)
    with pytest.raises(BadInput, match=r"quota\.gpus: was 1 of NVIDIA-L4, too few for the nodes that are there at the"):
        Cluster([pool(min_nodes=2)], quotas=[Quota(gpu="NVIDIA-L4", gpus=1)])


def test_nodes_that_are_asked_for_together_may_come_one_after_the_other() -> None:
    cluster = Cluster([pool(provision_step_seconds=20.0)])
    ask(cluster, "p", "q", "r")
    ask(cluster, "s", at=1.0)
    assert [node.ready_at for node in cluster.nodes] == [85.0, 105.0, 125.0, 86.0]


def test_the_backoff_forgets() -> None:
    """Reset 3 h after the last failure (node-group-backoff-reset-timeout), and when a node of the group came."""
    group = ("l4", "a")
    backoff = Backoff(NodeAutoscaler())
    spans = []
    for now in (0.0, 300.0, 900.0, 900.0 + 10_801.0):
        backoff.fail(group, now)
        spans.append(backoff.until(group) - now)
    assert spans == [300.0, 600.0, 1_200.0, 300.0]
    backoff.succeed(group)
    assert backoff.until(group) < 0.0
    backoff.fail(group, 20_000.0)
    backoff.fail(group, 20_100.0)  # while it is left alone: no doubling, as in the source
    assert backoff.until(group) == 20_400.0


def test_random_stockouts_have_their_rate_and_length_and_are_equal_for_equal_seeds() -> None:
    """Alternating renewal: a share of length / (between + length) of the time is out; here 600 / 3,000."""
    process = RandomStockouts(zone="a", mean_between_seconds=2_400.0, length=Stage(600.0, 0.0))
    horizon = 3_000_000
    first, second = (StockoutCalendar([process], seed) for seed in (5, 5))
    seen = [first.at("a", "NVIDIA-L4", False, float(now)) is not None for now in range(0, horizon, 20)]
    assert sum(seen) / len(seen) == pytest.approx(0.2, abs=0.02)
    assert [second.at("a", "", True, float(now)) is not None for now in range(0, horizon, 20)] == seen
    assert first.at("b", "", False, float(horizon)) is None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        pytest.param(lambda: Quota(gpu="", gpus=1), "quota.gpu: was empty", id="quota-of-nothing"),
        pytest.param(lambda: Quota(gpu="x", gpus=-1), "quota.gpus: was -1, must be 0 or more", id="negative-quota"),
        pytest.param(
            lambda: Stockout(zone="a", start_seconds=10, end_seconds=10),
            "stockout.start_seconds: was 10, must be in [0, 10)",
            id="empty-window",
        ),
        pytest.param(
            lambda: RandomStockouts(zone="a", mean_between_seconds=0.0, length=Stage(1.0)),
            "stockouts.mean_between_seconds: was 0.0, must be more than 0",
            id="no-time-between",
        ),
        pytest.param(
            lambda: RandomStockouts(zone="a", mean_between_seconds=1.0, length=Stage(0.0)),
            "stockouts.length: was 0 s, must be more",
            id="no-length",
        ),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object], message: str) -> None:
    with pytest.raises(BadInput) as refused:
        build()
    assert message in str(refused.value)
