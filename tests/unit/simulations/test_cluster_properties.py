"""The cluster over random histories: what holds whatever is asked for, ended and waited for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.cluster import Cluster
from simulations.cluster.node_pool import NodePool
from simulations.cluster.placement import Node
from simulations.cluster.usage import allocated_gpu_seconds, node_seconds, nodes_over_time, start_seconds_by_path
from simulations.lead_time import Draws, LeadTime, PodLeadTime, Stage


@dataclass(frozen=True)
class Step:
    """After `wait` seconds, ask for a pod (gpus > 0) of a pool, or end the `victim`-th pod that is left."""

    wait: float
    gpus: int
    pool: int
    victim: int


STEPS = st.lists(
    st.builds(
        Step,
        wait=st.sampled_from([0.0, 1.0, 17.5, 90.0, 250.0, 700.0]),
        gpus=st.sampled_from([0, 0, 1, 1, 2, 4]),
        pool=st.integers(0, 1),
        victim=st.integers(0, 20),
    ),
    max_size=40,
)
POOLS = st.tuples(st.integers(0, 2), st.integers(2, 4)).map(
    lambda sizes: (
        NodePool(name="a", gpus_per_node=4, min_nodes=sizes[0], max_nodes=sizes[1], provision=Stage(90.0, 0.4)),
        NodePool(name="b", gpus_per_node=8, max_nodes=2, unneeded_seconds=60.0, provision=Stage(30.0, 0.4)),
    )
)


@dataclass
class History:
    """A cluster driven through random steps from event to event; time integrals are taken on the way."""

    cluster: Cluster
    draws: Draws = field(default_factory=lambda: Draws(LeadTime(sigma=0.4), 3))
    alive: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    live_node_seconds: float = 0.0
    held_gpu_seconds: float = 0.0

    def run(self, steps: Sequence[Step], check: Callable[["History"], None] = lambda _: None) -> "History":
        for number, step in enumerate(steps):
            self.advance(self.cluster.now_seconds + step.wait, check)
            if step.gpus:
                pod = f"pod-{number}"
                placement = self.cluster.place(
                    pod,
                    gpus=step.gpus,
                    pool="ab"[step.pool],
                    start=self.draws.pod(number),
                    now_seconds=self.cluster.now_seconds,
                )
                self.alive.append(pod)
                self.order += [placement.pod] if placement else []
            elif self.alive:
                self.cluster.release(self.alive.pop(step.victim % len(self.alive)), self.cluster.now_seconds)
            self.order += [each.pod for each in self.cluster.advance(self.cluster.now_seconds)]
            check(self)
        self.advance(self.cluster.now_seconds + 5_000.0, check)
        return self

    def advance(self, until: float, check: Callable[["History"], None]) -> None:
        while self.cluster.now_seconds < until:
            at = min(until, self.cluster.next_event_seconds())
            elapsed = at - self.cluster.now_seconds
            self.live_node_seconds += elapsed * len(self.cluster.live_nodes())
            self.held_gpu_seconds += elapsed * sum(
                node.pool.gpus_per_node - node.free_gpus for node in self.cluster.live_nodes()
            )
            self.order += [each.pod for each in self.cluster.advance(at)]
            check(self)


def held_on(cluster: Cluster, node: Node) -> int:
    return sum(record.gpus for record in cluster.pods.values() if record.node is node and record.released_at is None)


@settings(max_examples=150, deadline=None)
@given(POOLS, STEPS)
def test_gpus_are_never_given_twice_and_no_pod_waits_while_it_fits(
    pools: tuple[NodePool, ...], steps: list[Step]
) -> None:
    def check(history: History) -> None:
        cluster = history.cluster
        for node in cluster.live_nodes():
            held = held_on(cluster, node)
            assert 0 <= held == node.pool.gpus_per_node - node.free_gpus <= node.pool.gpus_per_node
            assert node.is_ready or held == 0
        for pool in pools:
            nodes = cluster.live_nodes(pool.name)
            size = len(nodes)
            assert pool.min_nodes <= size <= pool.max_nodes
            waiting = [record for pod in cluster.pending if (record := cluster.pods[pod]).pool is pool]
            assert not any(node.free_gpus >= record.gpus for record in waiting for node in nodes if node.is_ready)
            upcoming = sum(node.free_gpus for node in nodes if not node.is_ready)
            assert size == pool.max_nodes or sum(record.gpus for record in waiting) <= upcoming

    History(Cluster(pools, seed=11)).run(steps, check)


@settings(max_examples=150, deadline=None)
@given(POOLS, STEPS)
def test_every_pod_starts_on_a_node_that_was_ready_and_stays_until_the_pod_ends(
    pools: tuple[NodePool, ...], steps: list[Step]
) -> None:
    cluster = History(Cluster(pools, seed=11)).run(steps).cluster
    for record in cluster.pods.values():
        placement, node = record.placement, record.node
        if placement is None or node is None:
            assert record.released_at is not None or record.pod in cluster.pending
            continue
        assert isinstance(record.start, PodLeadTime)
        assert node.asked_at <= node.ready_at <= placement.placed_at
        assert record.asked_at <= placement.placed_at < placement.starts_at
        assert placement.starts_at >= placement.placed_at + min(
            record.start.warm_start_seconds, record.start.start_seconds_after(record.pool.provision)
        )
        if node.removed_at is not None:
            assert record.released_at is not None
            assert node.removed_at >= record.released_at + record.pool.unneeded_seconds


@settings(max_examples=150, deadline=None)
@given(POOLS, STEPS)
def test_equal_requests_are_served_in_the_order_of_their_asking(pools: tuple[NodePool, ...], steps: list[Step]) -> None:
    history = History(Cluster(pools, seed=11)).run(steps)
    asked = list(history.cluster.pods)
    assert len(history.order) == len(set(history.order)), "every placement is told once"
    for name in "ab":
        for gpus in (1, 2, 4):
            served = [
                asked.index(pod)
                for pod in history.order
                if history.cluster.pods[pod].pool.name == name and history.cluster.pods[pod].gpus == gpus
            ]
            assert served == sorted(served)


@settings(max_examples=150, deadline=None)
@given(POOLS, STEPS)
def test_node_seconds_and_gpu_seconds_are_conserved(pools: tuple[NodePool, ...], steps: list[Step]) -> None:
    """The bill, the timeline and what was seen on the way agree; what pods held fits into what was paid."""
    history = History(Cluster(pools, seed=11)).run(steps)
    cluster, end = history.cluster, history.cluster.now_seconds
    assert node_seconds(cluster, end) == pytest.approx(history.live_node_seconds)
    assert sum(node_seconds(cluster, end, pool.name) for pool in pools) == pytest.approx(history.live_node_seconds)
    counts = nodes_over_time(cluster)
    ends = [*(each.at_seconds for each in counts[1:]), end]
    assert sum(
        (each.provisioning + each.ready) * (until - each.at_seconds) for each, until in zip(counts, ends, strict=True)
    ) == pytest.approx(history.live_node_seconds)
    assert all(before.at_seconds < after.at_seconds for before, after in pairwise(counts))
    assert counts[-1].ready + counts[-1].provisioning == len(cluster.live_nodes())
    assert allocated_gpu_seconds(cluster, end) == pytest.approx(history.held_gpu_seconds)
    for pool in pools:
        held = allocated_gpu_seconds(cluster, end, pool.name)
        assert held <= node_seconds(cluster, end, pool.name) * pool.gpus_per_node + 1e-6
    assert sum(len(spans) for spans in start_seconds_by_path(cluster).values()) == len(history.order)


@settings(max_examples=50, deadline=None)
@given(POOLS, STEPS)
def test_equal_histories_give_equal_clusters(pools: tuple[NodePool, ...], steps: list[Step]) -> None:
    first, second = (History(Cluster(pools, seed=11)).run(steps).cluster for _ in range(2))
    assert [record.placement for record in first.pods.values()] == [record.placement for record in second.pods.values()]
    assert nodes_over_time(first) == nodes_over_time(second)
