"""The cluster: GPU nodes that several fleets share, a scheduler that packs pods on them, and a node autoscaler.

As Kubernetes and its cluster-autoscaler do it:
  - a pod goes to the most allocated ready node of its pool that has all it asks for, so that nodes empty out
    (kube-scheduler's NodeResourcesFit with scoring strategy MostAllocated, its bin packing);
  - a pod that fits nowhere is pending; pending pods are tried again, oldest first, whenever GPUs free up or a node
    becomes ready; one that still does not fit lets younger, smaller ones pass;
  - nodes are asked for as the pending pods do not all fit on those that are on their way, up to max_nodes and the
    quotas (scale_up.py); an ask may fail, and then the next zone or the pod's next pool is tried;
  - a node that was empty for unneeded_seconds is removed, down to min_nodes, or to a floor above it that was set
    (scale_down.py); nodes below the floor are asked for at once (enforce-node-group-min-size, off by default);
  - spot nodes are taken back (spot.py): their pods are told by `take_evictions`.
By default the autoscaler acts at once, on empty nodes only; NodeAutoscaler.cluster_autoscaler() scans every 10 s.
Sources: kubernetes/autoscaler cluster-autoscaler/FAQ.md, and each file's own.
"""

import math
from collections.abc import Iterable

from policies.errors import BadInput
from simulations.cluster.autoscaler_loop import AutoscalerLoop
from simulations.cluster.cluster_state import ARRIVES, NODE_GONE, NOTICE, PODS_GONE, ClusterState
from simulations.cluster.node_autoscaler import SCALED_DOWN, NodeAutoscaler
from simulations.cluster.node_pool import NodePool, elastic_pool, pool_named
from simulations.cluster.placement import Eviction, Node, Placement, PodRecord
from simulations.cluster.pod_policy import PodDisruptionBudget, PodPolicy
from simulations.cluster.resources import PodResources
from simulations.cluster.scheduler import Scoring
from simulations.cluster.spot import SPOT_PREEMPTED, ZONE_LOST
from simulations.cluster.zones import Quota, RandomStockouts, Stockout, StockoutCalendar
from simulations.lead_time import LeadTime, PodStart, StartPath

_REMOVAL, _ZONE_EVENT, _SCAN = 1, 2, 5
"""Where these come among what is due at one instant; the timers' places are in cluster_state.py."""

_DEFAULT_POLICY = PodPolicy()


class Cluster:
    """Nodes and the pods on them; instants are seconds since the start of the run. Equal calls give equal clusters.

    The k-th node that a pool asks for takes as long to provision whatever it is asked for.
    nodes, pods: everything that ever was, oldest ask first; simulations/cluster/usage.py adds it up.
    """

    def __init__(
        self,
        pools: Iterable[NodePool],
        *,
        seed: int = 0,
        autoscaler: NodeAutoscaler | None = None,
        quotas: Iterable[Quota] = (),
        stockouts: Iterable[Stockout | RandomStockouts] = (),
        budgets: Iterable[PodDisruptionBudget] = (),
        scoring: Scoring = "MostAllocated",
    ) -> None:
        self._state = ClusterState(
            rules=NodeAutoscaler() if autoscaler is None else autoscaler,
            scoring=scoring,
            quotas=tuple(quotas),
            stockouts=StockoutCalendar(tuple(stockouts), seed),
            budgets={budget.name: budget for budget in budgets},
            seed=seed,
        )
        self._state.add_pools(pools)
        self.pools: dict[str, NodePool] = {name: state.pool for name, state in self._state.pools.items()}
        self.pods: dict[str, PodRecord] = {}
        self._news: list[Placement] = []
        self._autoscaler = AutoscalerLoop(self._state)

    @classmethod
    def elastic(cls, gpus_per_replica: int = 1) -> "Cluster":
        """One pool, `elastic`, where every pod gets a node of its own size, at once and for just its life."""
        return cls([elastic_pool(gpus_per_replica)])

    @property
    def nodes(self) -> list[Node]:
        """All that were ever asked for, oldest first."""
        return self._state.nodes

    @property
    def now_seconds(self) -> float:
        """Where the cluster is in time."""
        return self._state.now

    def check_pod(
        self,
        *,
        gpus: int,
        pool: str,
        lead_time: LeadTime,
        gpu: str = "",
        resources: PodResources | None = None,
        zone: str | None = None,
        fallback_pools: tuple[str, ...] = (),
        policy: PodPolicy = _DEFAULT_POLICY,
    ) -> None:
        """Raise BadInput when such pods could never run: unknown pool, too many GPUs, an impossible start."""
        for name in (pool, *fallback_pools):
            chosen = pool_named(self.pools, name)
            chosen.check_pod(gpus, gpu)
            lead_time.start_after(chosen.provision)
        self._candidates(gpus, pool, fallback_pools, resources, zone, policy)

    def place(
        self,
        pod: str,
        *,
        gpus: int,
        pool: str,
        start: PodStart,
        now_seconds: float,
        resources: PodResources | None = None,
        zone: str | None = None,
        fallback_pools: tuple[str, ...] = (),
        policy: PodPolicy = _DEFAULT_POLICY,
    ) -> Placement | None:
        """Ask for a pod; its name is unique in the cluster. None while it is pending: `advance` will tell.

        resources: what it asks for besides GPUs, which are `gpus` there as well. zone: where its volume is.
        fallback_pools: where it may run when its pool cannot grow, first choice first.
        Raises BadInput as `check_pod` does.
        """
        pools = self._candidates(gpus, pool, fallback_pools, resources, zone, policy)
        self._move_to(now_seconds)
        record = self._record(pod, pools, gpus, start, resources, zone, policy)
        self._state.add_pending(record)
        self._schedule()
        self._move_to(now_seconds)  # a node that takes no time is ready already
        if record.placement is not None:
            self._news.remove(record.placement)
        return record.placement

    def place_running(
        self,
        pod: str,
        *,
        gpus: int,
        pool: str,
        resources: PodResources | None = None,
        zone: str | None = None,
        fallback_pools: tuple[str, ...] = (),
        policy: PodPolicy = _DEFAULT_POLICY,
    ) -> Placement:
        """Put a pod that runs when the simulation begins, on `pool`; so does its node. Raises BadInput."""
        assert self.now_seconds == 0.0, "only at the start are there pods that run already"
        pools = self._candidates(gpus, pool, fallback_pools, resources, zone, policy)
        record = self._record(pod, pools, gpus, None, resources, zone, policy)
        state = self._state.pools[pool]
        node = state.room.best(record)
        if node is None:
            if state.size >= pools[0].max_nodes:
                raise BadInput(
                    f"{pool}.max_nodes: was {pools[0].max_nodes}, too few for the replicas that run at the start; "
                    "raise it or start with fewer replicas"
                )
            node = self._state.add_ready_node(state, zone)
        return self._bind(record, node)

    def release(self, pod: str, now_seconds: float) -> None:
        """The pod has ended, or is no longer wanted while pending: its GPUs are free.

        Of a pod that was evicted and is gone already, nothing is left to free.
        """
        self._move_to(now_seconds)
        record = self.pods[pod]
        if record.evicted_at is not None:
            return
        assert record.released_at is None, f"{pod} was released before"
        record.released_at = now_seconds
        node = record.node
        if node is None:
            self._state.drop_pending(record)
            return
        self._state.unbind(record)
        if node.leaving_reason == SCALED_DOWN and not node.pods:
            self._state.remove(node, SCALED_DOWN)
        self._schedule()
        self._move_to(now_seconds)  # a pool with unneeded_seconds 0 lets the node go at once

    def set_floor(self, pool: str, nodes: int, now_seconds: float) -> None:
        """Keep at least so many nodes of a pool, or its min_nodes where that is more, until the next call.

        Those that are lacking are asked for now and billed from now; those too many go when they were empty for long.
        Raises BadInput for an unknown pool, or a floor outside [0, max_nodes].
        """
        chosen = pool_named(self.pools, pool)
        if not 0 <= nodes <= chosen.max_nodes:
            raise BadInput(
                f"{pool}.floor: was {nodes}, must be in [0, {chosen.max_nodes}] (max_nodes); raise max_nodes"
            )
        self._move_to(now_seconds)
        state = self._state.pools[pool]
        state.floor = max(nodes, chosen.min_nodes)
        if state.size < state.floor:
            self._autoscaler.want_nodes(for_pods=False)
        self._move_to(now_seconds)  # empty nodes may go at once, and those that take no time are ready already

    def floor(self, pool: str) -> int:
        """Nodes that a pool keeps."""
        return self._state.pools[pool_named(self.pools, pool).name].floor

    def advance(self, now_seconds: float) -> tuple[Placement, ...]:
        """Move time. The pods that left the pending queue since the last call, in the order of their placing."""
        self._move_to(now_seconds)
        news, self._news = tuple(self._news), []
        return news

    def take_evictions(self) -> tuple[Eviction, ...]:
        """The pods that were told to leave since the last call, each once, in the order of the notices."""
        evictions, self._state.evictions = tuple(self._state.evictions), []
        return evictions

    def next_event_seconds(self) -> float:
        """When something will happen by itself: a node comes, goes or is taken back, or a scan has something to do.

        inf when nothing will.
        """
        return self._next_event()[0]

    @property
    def pending(self) -> tuple[str, ...]:
        """Pods that fit nowhere, oldest first."""
        return tuple(self._state.pending)

    def live_nodes(self, pool: str | None = None) -> tuple[Node, ...]:
        """Nodes that are ready or on their way, oldest first; of one pool or of all."""
        return tuple(node for node in self._state.live.values() if pool is None or node.pool.name == pool)

    def _next_event(self) -> tuple[float, int]:
        """When it is due, and what it is; of several at one instant the smallest what."""
        state = self._state
        at = state.next_timer_seconds()
        soonest = (at, state.timers[0][1] if at < math.inf else ARRIVES)
        for pool in state.pools.values():
            if pool.market is not None:
                soonest = min(soonest, (pool.market.next_zone_event_seconds, _ZONE_EVENT))
        removal = (self._autoscaler.next_removal_seconds(), _REMOVAL)
        return min(soonest, removal, (self._autoscaler.next_scan_seconds(), _SCAN))

    def _move_to(self, now_seconds: float) -> None:
        state = self._state
        assert now_seconds >= state.now, f"time went back from {state.now} to {now_seconds}"
        while True:
            at, what = self._next_event()
            if at > now_seconds:
                break
            state.now = max(state.now, at)
            if what == _SCAN:
                self._autoscaler.scan()
            elif what == _REMOVAL:
                self._autoscaler.remove_one()
            elif what == _ZONE_EVENT and at < state.next_timer_seconds():
                self._lose_zone()
            else:
                self._on_timer(*state.pop_timer())
        state.now = now_seconds

    def _on_timer(self, what: int, node: Node) -> None:
        state = self._state
        if what == ARRIVES:
            state.arrive(node)
            self._schedule()
        elif what == NOTICE:
            self._take_back(node, SPOT_PREEMPTED)
        elif what == PODS_GONE:
            state.evict_pods(node)
            self._schedule()
        else:
            assert what == NODE_GONE
            state.remove(node, node.leaving_reason)
            self._schedule()

    def _lose_zone(self) -> None:
        """Every node of a zone is taken back, of the pool whose event is due first."""
        state = self._state
        pool = min(
            (each for each in state.pools.values() if each.market is not None),
            key=lambda each: each.market.next_zone_event_seconds if each.market is not None else math.inf,
        )
        assert pool.market is not None
        zone = pool.market.take_zone_event()
        for node in [node for node in state.live.values() if node.pool is pool.pool and node.zone == zone]:
            if node.takes_pods:
                self._take_back(node, ZONE_LOST)

    def _take_back(self, node: Node, reason: str) -> None:
        spot = node.pool.spot
        assert spot is not None
        self._autoscaler.pods_changed()
        self._state.give_notice(node, reason, spot.pod_grace_seconds, spot.notice_seconds)

    def _schedule(self) -> None:
        """Place what fits, oldest first; see to nodes for the rest."""
        state = self._state
        self._autoscaler.pods_changed()
        hopeful = {shape for shape, (record, _) in state.pending_shapes.items() if self._fitting(record) is not None}
        for record in tuple(state.pending.values()) if hopeful else ():
            if record.shape in hopeful:
                node = self._fitting(record)
                if node is not None:
                    state.drop_pending(record)
                    self._news.append(self._bind(record, node))
                else:
                    hopeful.discard(record.shape)  # room only shrinks here
                    if not hopeful:
                        break
        if state.pending or any(pool.size < pool.floor for pool in state.pools.values()):
            self._autoscaler.want_nodes()

    def _fitting(self, record: PodRecord) -> Node | None:
        """The best ready node of the first of its pools that has one."""
        for pool in record.pools:
            node = self._state.pools[pool.name].room.best(record)
            if node is not None:
                return node
        return None

    def _candidates(
        self,
        gpus: int,
        pool: str,
        fallback_pools: tuple[str, ...],
        resources: PodResources | None,
        zone: str | None,
        policy: PodPolicy,
    ) -> tuple[NodePool, ...]:
        """The pools that such a pod may use; BadInput when it could never run on one of them."""
        asked = PodResources(gpus=gpus) if resources is None else resources
        if asked.gpus != gpus:
            raise BadInput(f"resources.gpus: was {asked.gpus}, must be {gpus}, the pod's gpus; give one of the two")
        chosen = tuple(pool_named(self.pools, name) for name in dict.fromkeys((pool, *fallback_pools)))
        for each in chosen:
            if gpus or resources is None:
                each.check_pod(gpus)
            each.check_resources(asked, policy, zone)
        return chosen

    def _bind(self, record: PodRecord, node: Node) -> Placement:
        """Put a pod on a node that fits."""
        now = self.now_seconds
        if record.start is None:
            path, starts_at = StartPath.INITIAL, now
        else:
            path, starts_at = record.start.begin(node.cached, node.pool.provision, now)
        self._state.bind(record, node)
        record.placement = Placement(
            pod=record.pod,
            node=node.name,
            path=path,
            asked_at=record.asked_at,
            placed_at=now,
            starts_at=starts_at,
            zone=node.zone,
            spot=node.spot,
        )
        return record.placement

    def _record(
        self,
        pod: str,
        pools: tuple[NodePool, ...],
        gpus: int,
        start: PodStart | None,
        resources: PodResources | None,
        zone: str | None,
        policy: PodPolicy,
    ) -> PodRecord:
        assert pod not in self.pods, f"{pod} was placed before"
        self.pods[pod] = PodRecord(
            pod=pod,
            pool=pools[0],
            pools=pools,
            gpus=gpus,
            asked_at=self.now_seconds,
            start=start,
            resources=resources,
            policy=policy,
            zone=zone,
            shape=(gpus, tuple(pool.name for pool in pools), zone, resources),
        )
        return self.pods[pod]
