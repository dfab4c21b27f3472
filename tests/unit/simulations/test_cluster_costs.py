"""The bill, calculated a second time: second by second from outside, and over random runs with all that can happen."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.cluster import Cluster
from simulations.cluster.node_autoscaler import NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.pod_policy import PodPolicy
from simulations.cluster.resources import GpuSharing, PodResources
from simulations.cluster.spot import Spot
from simulations.cluster.usage import allocated_gpu_seconds, cost_by_pool, cost_usd, gpu_seconds, node_seconds
from simulations.cluster.zones import Quota, RandomStockouts, Stockout
from simulations.lead_time import Draws, LeadTime, Stage


def a_run() -> Cluster:
    """Two pools for 400 s: two spot nodes, one of them taken back, a stockout, fallback; events on whole seconds."""
    spot = NodePool(
        name="spot",
        gpus_per_node=2,
        max_nodes=4,
        price_per_node_hour=1.2,
        unneeded_seconds=40.0,
        spot=Spot(),
        provision=Stage(30.0, 0.0),
    )
    base = NodePool(name="base", gpus_per_node=4, max_nodes=2, provision=Stage(50.0, 0.0))
    cluster = Cluster([spot, base], stockouts=[Stockout(zone="", start_seconds=100, end_seconds=200, spot=True)])
    draws = Draws(LeadTime(sigma=0.0), 0)
    for number, (at, gpus) in enumerate(((0, 2), (5, 1), (120, 2), (130, 4))):
        cluster.place(
            f"p{number}",
            gpus=gpus,
            pool="base" if gpus == 4 else "spot",
            fallback_pools=() if gpus == 4 else ("base",),
            start=draws.pod(number),
            now_seconds=float(at),
        )
    cluster.advance(150.0)
    cluster._state.give_notice(cluster.nodes[1], "spot preempted", 15.0, 30.0)
    cluster.release("p1", 250.0)
    cluster.release("p0", 300.0)
    cluster.advance(400.0)
    return cluster


def test_the_bill_is_the_sum_of_its_seconds() -> None:
    """Each second of 400, every node that was asked for and is not gone costs a 3,600th of its hour."""
    cluster, usd = a_run(), defaultdict(float)
    prices = {"spot": 1.2, "base": 4 * 0.9}
    for second in range(400):
        for node in cluster.nodes:
            there = node.asked_at <= second and (node.removed_at is None or second < node.removed_at)
            if there and node.removed_reason != "stockout":
                usd[node.pool.name] += prices[node.pool.name] / 3_600
    assert {cost.pool: cost.usd for cost in cost_by_pool(cluster, 400.0, 0.9)} == pytest.approx(usd)
    assert cost_usd(cluster, 400.0, 0.9) == pytest.approx(usd["spot"] + usd["base"])
    assert cost_usd(cluster, 400.0, 0.9, spot=True) == pytest.approx(usd["spot"])
    assert cost_usd(cluster, 400.0, 0.9, spot=False) == pytest.approx(usd["base"])
    assert usd["spot"] > 0 < usd["base"]


def test_the_paid_gpu_seconds_are_those_of_the_pods_and_what_was_idle() -> None:
    cluster = a_run()
    held = provisioning = idle = 0
    for second in range(400):
        for node in cluster.nodes:
            if node.asked_at <= second and (node.removed_at is None or second < node.removed_at) and node.was_created:
                pods = [
                    record
                    for record in cluster.pods.values()
                    if record.node is node
                    and record.placement is not None
                    and record.placement.placed_at <= second
                    and (record.released_at is None or second < record.released_at)
                ]
                on_it = sum(record.gpus for record in pods)
                held += on_it
                if second < node.ready_at:
                    provisioning += node.pool.gpus_per_node
                else:
                    idle += node.pool.gpus_per_node - on_it
    paid = gpu_seconds(cluster, 400.0)
    assert (paid.provisioning, paid.held, paid.idle) == pytest.approx((provisioning, held, idle))
    assert min(provisioning, held, idle) > 0


@dataclass(frozen=True)
class Step:
    """After `wait` seconds, ask for a pod (gpus > 0), end the `victim`-th pod that is left, or move a floor."""

    wait: float
    gpus: int
    victim: int
    floor: int | None


STEPS = st.lists(
    st.builds(
        Step,
        wait=st.sampled_from([0.0, 1.0, 9.5, 90.0, 250.0, 700.0, 2_000.0]),
        gpus=st.sampled_from([0, 0, 1, 1, 2, 4]),
        victim=st.integers(0, 20),
        floor=st.sampled_from([None, None, None, 0, 2]),
    ),
    max_size=40,
)
POOLS = (
    NodePool(
        name="spot",
        gpus_per_node=4,
        max_nodes=4,
        gpu="NVIDIA-L4",
        zones=("a", "b"),
        price_per_node_hour=1.1,
        spot=Spot(preemptions_per_node_hour=2.0, zone_events_per_hour=0.5),
        provision=Stage(90.0, 0.4),
    ),
    NodePool(
        name="base",
        gpus_per_node=4,
        max_nodes=3,
        gpu="NVIDIA-L4",
        zones=("a", "b"),
        price_per_node_hour=2.9,
        min_nodes=1,
        provision=Stage(200.0, 0.9),
    ),
    NodePool(
        name="shared",
        gpus_per_node=1,
        max_nodes=3,
        gpu="NVIDIA-T4",
        gpu_sharing=GpuSharing(per_gpu=4),
        provision=Stage(60.0, 0.2),
    ),
)


@dataclass
class Run:
    """A cluster driven from event to event by a fleet that replaces what is evicted; time integrals on the way."""

    cluster: Cluster
    draws: Draws = field(default_factory=lambda: Draws(LeadTime(sigma=0.4, start_median_seconds=300.0), 3))
    alive: list[str] = field(default_factory=list)
    usd: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    held: float = 0.0
    notices: dict[str, float] = field(default_factory=dict)

    def drive(self, steps: Sequence[Step]) -> "Run":
        for number, step in enumerate(steps):
            self.advance(self.cluster.now_seconds + step.wait)
            if step.floor is not None:
                self.cluster.set_floor("spot", step.floor, self.cluster.now_seconds)
            elif step.gpus:
                self.ask(f"pod-{number}", number, step.gpus)
            elif self.alive:
                self.cluster.release(self.alive.pop(step.victim % len(self.alive)), self.cluster.now_seconds)
        self.advance(self.cluster.now_seconds + 5_000.0)
        return self

    def ask(self, pod: str, number: int, gpus: int) -> None:
        share = gpus == 1 and number % 3 == 0
        self.cluster.place(
            pod,
            gpus=gpus,
            pool="shared" if share else "spot",
            fallback_pools=() if share else ("base",),
            resources=PodResources(gpu_share=4) if share else None,
            policy=PodPolicy(safe_to_evict=number % 2 == 0),
            start=self.draws.pod(number),
            now_seconds=self.cluster.now_seconds,
        )
        self.alive.append(pod)

    def advance(self, until: float) -> None:
        cluster = self.cluster
        while cluster.now_seconds < until:
            at = min(until, cluster.next_event_seconds())
            assert at >= cluster.now_seconds
            elapsed = at - cluster.now_seconds
            for node in cluster.live_nodes():
                if node.was_created:
                    self.usd[node.pool.name] += elapsed * (node.pool.price_per_node_hour or 0.5) / 3_600
                    taken = node.pool.advertised_gpus - node.free_gpus
                    self.held += elapsed * taken / node.pool.shares_per_gpu
            cluster.advance(at)
            for eviction in cluster.take_evictions():
                assert eviction.notice_at <= cluster.now_seconds <= eviction.gone_at
                assert eviction.pod not in self.notices
                self.notices[eviction.pod] = eviction.gone_at
                if eviction.pod in self.alive:
                    self.alive.remove(eviction.pod)
                    if len(self.notices) % 2:  # every other pod stops before it has to
                        cluster.release(eviction.pod, cluster.now_seconds)


@settings(max_examples=120, deadline=None)
@given(STEPS, st.booleans(), st.integers(0, 5), st.sampled_from([8, 12, 100]))
def test_money_and_gpu_seconds_are_conserved_over_pods_nodes_pools_and_preemptions(
    steps: list[Step], scans: bool, seed: int, quota: int
) -> None:
    """The bill equals what was seen on the way, and divides into what pods held, what was idle, what was not ready."""
    cluster = Cluster(
        POOLS,
        seed=seed,
        autoscaler=NodeAutoscaler.cluster_autoscaler() if scans else None,
        quotas=[Quota(gpu="NVIDIA-L4", gpus=quota)],
        stockouts=[RandomStockouts(zone="a", mean_between_seconds=900.0, length=Stage(600.0, 0.5))],
    )
    run = Run(cluster).drive(steps)
    end = cluster.now_seconds
    costs = cost_by_pool(cluster, end, 0.5)
    assert {cost.pool: cost.usd for cost in costs if cost.usd} == pytest.approx(
        {pool: usd for pool, usd in run.usd.items() if usd}
    )
    assert sum(cost.usd for cost in costs) == pytest.approx(cost_usd(cluster, end, 0.5))
    assert allocated_gpu_seconds(cluster, end) == pytest.approx(run.held, abs=1e-6)
    for cost in costs:
        paid = cost.gpu_seconds
        gpus = cluster.pools[cost.pool].gpus_per_node
        assert paid.paid == pytest.approx(gpus * node_seconds(cluster, end, cost.pool))
        assert paid.idle >= -1e-6
    used = sum(
        node.pool.gpus_per_node for node in cluster.live_nodes() if node.was_created and node.pool is not POOLS[2]
    )
    assert used <= quota
    for node in cluster.nodes:
        assert 0 <= node.free_gpus <= node.pool.advertised_gpus * node.stands_for
        if node.removed_at is not None:
            assert not node.pods
            for record in cluster.pods.values():
                if record.node is node:
                    assert record.released_at is not None
                    assert record.released_at <= node.removed_at
    for name, state in cluster._state.pools.items():
        live = cluster.live_nodes(name)
        assert state.size == sum(node.stands_for for node in live) <= state.pool.max_nodes
        assert state.size >= state.floor or cluster.next_event_seconds() < float("inf")
    for pod, gone_at in run.notices.items():
        released = cluster.pods[pod].released_at
        assert released is None or released <= gone_at


@settings(max_examples=25, deadline=None)
@given(STEPS, st.integers(0, 5))
def test_equal_runs_give_equal_bills(steps: list[Step], seed: int) -> None:
    runs = [
        Run(Cluster(POOLS, seed=seed, autoscaler=NodeAutoscaler.cluster_autoscaler())).drive(steps) for _ in range(2)
    ]
    first, second = (
        [(node.name, node.zone, node.asked_at, node.removed_at, node.removed_reason) for node in run.cluster.nodes]
        for run in runs
    )
    assert first == second
