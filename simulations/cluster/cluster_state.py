"""Nodes, pods and pools as they stand, and the changes that keep their counts together.

Every change of a node goes through here: simulations/cluster/cluster.py moves time and decides what happens when,
scale_up.py and scale_down.py decide what a node autoscaler does.
"""

import heapq
import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from policies.errors import BadInput
from simulations.cluster.node_autoscaler import GIVE_UP, QUOTA, STOCKOUT, Backoff, NodeAutoscaler
from simulations.cluster.node_pool import NodePool
from simulations.cluster.placement import Eviction, Node, PodRecord
from simulations.cluster.pod_policy import PodDisruptionBudget
from simulations.cluster.pool_state import PoolState
from simulations.cluster.scheduler import Room, Scoring, occupy, vacate
from simulations.cluster.spot import SpotMarket
from simulations.cluster.zones import Quota, StockoutCalendar
from simulations.lead_time import IMAGE, generator

ARRIVES, NOTICE, PODS_GONE, NODE_GONE = 0, 2, 3, 4
"""What a timer is for; of those due at one instant the smallest comes first. Removals of empty nodes are 1, scans 5."""


@dataclass(slots=True, kw_only=True)
class ClusterState:
    """timers: (at, what, node's number), a heap; those of nodes that are gone are void. live: by number.

    pending_shapes: by shape, one such pod, pending or not, and how many are pending.
    """

    rules: NodeAutoscaler
    scoring: Scoring
    quotas: tuple[Quota, ...]
    stockouts: StockoutCalendar
    budgets: dict[str, PodDisruptionBudget]
    seed: int
    now: float = 0.0
    nodes: list[Node] = field(default_factory=list)
    live: dict[int, Node] = field(default_factory=dict)
    pools: dict[str, PoolState] = field(default_factory=dict)
    pending: dict[str, PodRecord] = field(default_factory=dict)
    pending_shapes: dict[tuple[object, ...], tuple[PodRecord, int]] = field(default_factory=dict)
    evictions: list[Eviction] = field(default_factory=list)
    placed_by_budget: dict[str, int] = field(default_factory=dict)
    backoff: Backoff = field(init=False)
    timers: list[tuple[float, int, int]] = field(default_factory=list)
    _quota_used: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.backoff = Backoff(self.rules)
        self._quota_used = [0] * len(self.quotas)

    def add_pools(self, pools: Iterable[NodePool]) -> None:
        """With the nodes that each has at the start. Raises BadInput."""
        for pool in pools:
            if pool.name in self.pools:
                raise BadInput(f"pool.name: {pool.name!r} was given twice; give every pool its own name")
            market = None
            if pool.spot is not None:
                market = SpotMarket(spot=pool.spot, pool=pool.name, zones=pool.zones, seed=self.seed)
            state = PoolState(
                pool=pool,
                floor=pool.min_nodes,
                stream=generator(self.seed, "node pool", pool.name),
                room=Room(self.scoring),
                market=market,
            )
            self.pools[pool.name] = state
            for _ in range(pool.min_nodes):
                self.add_ready_node(state)
        if not self.pools:
            raise BadInput("pools: was empty, must hold at least one node pool")

    def add_ready_node(self, state: PoolState, zone: str | None = None) -> Node:
        """A node that is there when the run begins, with the image. Raises BadInput when a quota is too small."""
        quota = self._exceeded(state.pool)
        if quota is not None:
            raise BadInput(
                f"quota.gpus: was {quota.gpus} of {quota.gpu}, too few for the nodes that are there at the start; "
                "raise it, or start with fewer nodes"
            )
        node = self._new_node(state, state.zones[0] if zone is None else zone, ready_at=self.now)
        node.cached[IMAGE] = self.now
        self._enter(state, node)
        self._becomes_ready(state, node)
        return node

    def add_pending(self, record: PodRecord) -> None:
        """A pod waits for a node."""
        self.pending[record.pod] = record
        self.pending_shapes[record.shape] = (record, self.pending_shapes.get(record.shape, (record, 0))[1] + 1)

    def drop_pending(self, record: PodRecord) -> None:
        """It does no more."""
        del self.pending[record.pod]
        count = self.pending_shapes[record.shape][1] - 1
        if count:
            self.pending_shapes[record.shape] = (record, count)
        else:
            del self.pending_shapes[record.shape]

    def ask_for_node(self, state: PoolState, zone: str) -> Node:
        """Ask the cloud for one. It comes, or the ask fails and the pool's nodes in that zone are left alone."""
        pool = state.pool
        provision_seconds = state.provision_seconds(self.now)
        stockout = self.stockouts.at(zone, pool.gpu, pool.spot is not None, self.now)
        node = self._new_node(state, zone, ready_at=self.now + provision_seconds)
        if self._exceeded(pool) is not None:
            self._will_be_refused(node, QUOTA, 0.0)
        elif stockout is not None:
            self._will_be_refused(node, STOCKOUT, stockout.fails_after_seconds)
        elif self.rules.has_provision_limit:
            gives_up_at = self.rules.scan_at_or_after(self.now + self.rules.max_node_provision_seconds)
            if node.ready_at > gives_up_at:
                node.fails_at, node.fail_reason, node.ready_at = gives_up_at, GIVE_UP, math.inf
        self._enter(state, node)
        state.upcoming[node.number] = node
        self._set_timer(min(node.ready_at, node.fails_at), ARRIVES, node)
        return node

    def ask_again(self, state: PoolState, refused: Node) -> None:
        """One node more of a group that refused one at this instant."""
        refused.stands_for += 1
        refused.free_gpus += state.pool.advertised_gpus
        if state.pool.allocatable is not None:
            refused.free_cpu_milli += state.pool.allocatable.cpu_milli
            refused.free_memory_bytes += state.pool.allocatable.memory_bytes
            refused.free_ephemeral_bytes += state.pool.allocatable.ephemeral_bytes
        state.enter(refused)

    def arrive(self, node: Node) -> None:
        """What was asked for is there, or cannot be had."""
        state = self.pools[node.pool.name]
        del state.upcoming[node.number]
        group = (node.pool.name, node.zone)
        if node.fails_at <= self.now:
            self.backoff.fail(group, self.now)
            self._gone(state, node, node.fail_reason)
        else:
            self.backoff.succeed(group)
            self._becomes_ready(state, node)

    def bind(self, record: PodRecord, node: Node) -> None:
        """The node holds the pod from now on."""
        state = self.pools[node.pool.name]
        state.room.remove(node)
        occupy(node, record)
        state.room.add(node)
        state.is_used(node)
        node.pods[record.pod] = record
        record.node, record.pool = node, node.pool
        if record.policy.budget:
            self.placed_by_budget[record.policy.budget] = self.placed_by_budget.get(record.policy.budget, 0) + 1

    def unbind(self, record: PodRecord) -> None:
        """It holds it no more; a node that was being emptied and is empty goes."""
        node = record.node
        assert node is not None
        state = self.pools[node.pool.name]
        takes_pods = node.takes_pods
        if takes_pods:
            state.room.remove(node)
        vacate(node, record)
        del node.pods[record.pod]
        if record.policy.budget:
            self.placed_by_budget[record.policy.budget] -= 1
        if takes_pods:
            state.room.add(node)
            if not node.pods:
                state.is_empty(node, self.now)

    def give_notice(self, node: Node, reason: str, pod_grace_seconds: float, node_grace_seconds: float) -> None:
        """The node takes no more pods; those that it holds are told, and gone after their grace, as it is."""
        state = self.pools[node.pool.name]
        state.room.remove(node)
        state.is_used(node)
        node.leaving_since, node.leaving_reason = self.now, reason
        gone_at = self.now + pod_grace_seconds
        for pod in node.pods:
            self.evictions.append(Eviction(pod=pod, node=node.name, notice_at=self.now, gone_at=gone_at, reason=reason))
        self._set_timer(gone_at, PODS_GONE, node)
        self._set_timer(self.now + node_grace_seconds, NODE_GONE, node)

    def evict_pods(self, node: Node) -> None:
        """Their time is over."""
        for record in tuple(node.pods.values()):
            self.unbind(record)
            record.released_at = record.evicted_at = self.now

    def remove(self, node: Node, reason: str) -> None:
        """A ready node without pods is gone."""
        assert not node.pods, f"{node.name} holds pods"
        state = self.pools[node.pool.name]
        if node.takes_pods:
            state.room.remove(node)
            state.is_used(node)
        self._gone(state, node, reason)

    def next_timer_seconds(self) -> float:
        """When the next timer is due; inf for never."""
        while self.timers and not self._is_valid(self.timers[0]):
            heapq.heappop(self.timers)
        return self.timers[0][0] if self.timers else math.inf

    def pop_timer(self) -> tuple[int, Node]:
        """What is due at `next_timer_seconds`, of which node."""
        _, what, number = heapq.heappop(self.timers)
        return what, self.live[number]

    def _is_valid(self, timer: tuple[float, int, int]) -> bool:
        node = self.live.get(timer[2])
        return node is not None and (timer[1] != NOTICE or node.leaving_since is None)

    def _set_timer(self, at: float, what: int, node: Node) -> None:
        if at < math.inf:
            heapq.heappush(self.timers, (at, what, node.number))

    def _will_be_refused(self, node: Node, reason: str, after_seconds: float) -> None:
        """The cluster-autoscaler looks at every scan for instances that could not be created
        (core/static_autoscaler.go, deleteCreatedNodesWithErrors)."""
        at = self.now + max(after_seconds, self.rules.scan_interval_seconds)
        node.fails_at = self.rules.scan_at_or_after(at)
        node.fail_reason, node.ready_at, node.was_created = reason, math.inf, False

    def _becomes_ready(self, state: PoolState, node: Node) -> None:
        node.is_ready = True
        state.room.add(node)
        state.is_empty(node, self.now)
        if state.market is not None:
            self._set_timer(self.now + state.market.life_seconds(), NOTICE, node)

    def _enter(self, state: PoolState, node: Node) -> None:
        state.enter(node)
        if node.was_created:
            self._use_quota(node, node.pool.gpus_per_node)

    def _gone(self, state: PoolState, node: Node, reason: str) -> None:
        node.removed_at, node.removed_reason = self.now, reason
        del self.live[node.number]
        for _ in range(node.stands_for):
            state.leave(node)
        if node.was_created:
            self._use_quota(node, -node.pool.gpus_per_node)

    def _exceeded(self, pool: NodePool) -> Quota | None:
        """The quota that one more node of the pool exceeds."""
        for quota, used in zip(self.quotas, self._quota_used, strict=True):
            if quota.covers(pool.gpu, pool.spot is not None) and used + pool.gpus_per_node > quota.gpus:
                return quota
        return None

    def _use_quota(self, node: Node, gpus: int) -> None:
        for index, quota in enumerate(self.quotas):
            if quota.covers(node.pool.gpu, node.spot):
                self._quota_used[index] += gpus

    def _new_node(self, state: PoolState, zone: str, ready_at: float) -> Node:
        number = len(self.nodes)
        pool = state.pool
        free = pool.allocatable
        node = Node(
            number=number,
            name=f"{pool.name}-{number:04d}",
            pool=pool,
            asked_at=self.now,
            ready_at=ready_at,
            is_ready=False,
            free_gpus=pool.advertised_gpus,
            zone=zone,
            spot=pool.spot is not None,
            free_cpu_milli=0 if free is None else free.cpu_milli,
            free_memory_bytes=0 if free is None else free.memory_bytes,
            free_ephemeral_bytes=0 if free is None else free.ephemeral_bytes,
        )
        self.nodes.append(node)
        self.live[number] = node
        return node
