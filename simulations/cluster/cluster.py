"""The cluster: GPU nodes that several fleets share, a scheduler that packs pods on them, and a node autoscaler.

As Kubernetes and its cluster-autoscaler do it:
  - a pod goes to the most allocated ready node of its pool that has all its GPUs free, so that nodes empty out
    (kube-scheduler's NodeResourcesFit with scoring strategy MostAllocated, its bin packing);
  - a pod that fits nowhere is pending; pending pods are tried again, oldest first, whenever GPUs free up or a node
    becomes ready; one that still does not fit lets younger, smaller ones pass;
  - nodes are asked for as soon as the pending pods do not all fit on those that are on their way, up to max_nodes;
  - a node that was empty for unneeded_seconds is removed, down to min_nodes, or to a floor above it that was set; nodes
    below the floor are asked for at once (enforce-node-group-min-size, which is off by default). Replicas are never
    moved off a node that is little used: a move is another model load.
Not modelled: the autoscaler's scan every 10 s as a grid (up, it is part of NodePool.provision; down, removal is
exact), its pause of scale-down for 10 min after a scale-up, stockouts, zones, spot.
Source: kubernetes/autoscaler cluster-autoscaler/FAQ.md, "How does scale-up work?", "How does scale-down work?".
"""

import math
from collections.abc import Iterable

import numpy as np

from policies.errors import BadInput
from simulations.cluster.node_pool import NodePool, elastic_pool, pool_named
from simulations.cluster.placement import Node, Placement, PodRecord
from simulations.lead_time import IMAGE, LeadTime, PodStart, StartPath, generator


class Cluster:
    """Nodes and the pods on them; instants are seconds since the start of the run. Equal calls give equal clusters.

    The k-th node that a pool asks for takes as long to provision whatever it is asked for.
    nodes, pods: everything that ever was, oldest ask first; simulations/cluster/usage.py adds it up.
    """

    def __init__(self, pools: Iterable[NodePool], *, seed: int = 0) -> None:
        self.pools: dict[str, NodePool] = {}
        self.nodes: list[Node] = []
        self.pods: dict[str, PodRecord] = {}
        self.now_seconds = 0.0
        self._live: list[Node] = []
        self._pending: list[PodRecord] = []
        self._news: list[Placement] = []
        self._sizes: dict[str, int] = {}  # nodes by pool, those on their way included
        self._floors: dict[str, int] = {}
        self._streams: dict[str, np.random.Generator] = {}
        for pool in pools:
            if pool.name in self.pools:
                raise BadInput(f"pool.name: {pool.name!r} was given twice; give every pool its own name")
            self.pools[pool.name] = pool
            self._sizes[pool.name] = 0
            self._floors[pool.name] = pool.min_nodes
            self._streams[pool.name] = generator(seed, "node pool", pool.name)
            for _ in range(pool.min_nodes):
                self._add_ready_node(pool)
        if not self.pools:
            raise BadInput("pools: was empty, must hold at least one node pool")

    @classmethod
    def elastic(cls, gpus_per_replica: int = 1) -> "Cluster":
        """One pool, `elastic`, where every pod gets a node of its own size, at once and for just its life."""
        return cls([elastic_pool(gpus_per_replica)])

    def check_pod(self, *, gpus: int, pool: str, lead_time: LeadTime, gpu: str = "") -> None:
        """Raise BadInput when such pods could never run: unknown pool, too many GPUs, an impossible start."""
        chosen = pool_named(self.pools, pool)
        chosen.check_pod(gpus, gpu)
        lead_time.start_after(chosen.provision)

    def place(self, pod: str, *, gpus: int, pool: str, start: PodStart, now_seconds: float) -> Placement | None:
        """Ask for a pod; its name is unique in the cluster. None while it is pending: `advance` will tell.

        Raises BadInput as `check_pod` does.
        """
        pool_named(self.pools, pool).check_pod(gpus)
        self._move_to(now_seconds)
        record = self._record(pod, self.pools[pool], gpus, start)
        self._pending.append(record)
        self._schedule()
        self._move_to(now_seconds)  # a node that takes no time is ready already
        if record.placement is not None:
            self._news.remove(record.placement)
        return record.placement

    def place_running(self, pod: str, *, gpus: int, pool: str) -> Placement:
        """Put a pod that runs when the simulation begins; so does its node. Raises BadInput."""
        assert self.now_seconds == 0.0, "only at the start are there pods that run already"
        chosen = pool_named(self.pools, pool)
        chosen.check_pod(gpus)
        record = self._record(pod, chosen, gpus, None)
        node = self._fitting(record)
        if node is None:
            if self._sizes[pool] >= chosen.max_nodes:
                raise BadInput(
                    f"{pool}.max_nodes: was {chosen.max_nodes}, too few for the replicas that run at the start; "
                    "raise it or start with fewer replicas"
                )
            node = self._add_ready_node(chosen)
        return self._bind(record, node)

    def release(self, pod: str, now_seconds: float) -> None:
        """The pod has ended, or is no longer wanted while pending: its GPUs are free."""
        self._move_to(now_seconds)
        record = self.pods[pod]
        assert record.released_at is None, f"{pod} was released before"
        record.released_at = now_seconds
        node = record.node
        if node is None:
            self._pending.remove(record)
            return
        node.free_gpus += record.gpus
        if node.free_gpus == node.pool.gpus_per_node:
            node.empty_since = now_seconds
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
        self._floors[pool] = max(nodes, chosen.min_nodes)
        while self._sizes[pool] < self._floors[pool]:
            self._ask_for_node(chosen)
        self._move_to(now_seconds)  # empty nodes may go at once, and those that take no time are ready already

    def floor(self, pool: str) -> int:
        """Nodes that a pool keeps."""
        return self._floors[pool_named(self.pools, pool).name]

    def advance(self, now_seconds: float) -> tuple[Placement, ...]:
        """Move time. The pods that left the pending queue since the last call, in the order of their placing."""
        self._move_to(now_seconds)
        news, self._news = tuple(self._news), []
        return news

    def next_event_seconds(self) -> float:
        """When something will happen by itself: a node becomes ready or an empty one goes. inf when nothing will."""
        return min(map(self._due, self._live), default=math.inf)

    @property
    def pending(self) -> tuple[str, ...]:
        """Pods that fit nowhere, oldest first."""
        return tuple(record.pod for record in self._pending)

    def live_nodes(self, pool: str | None = None) -> tuple[Node, ...]:
        """Nodes that are ready or on their way, oldest first; of one pool or of all."""
        return tuple(node for node in self._live if pool is None or node.pool.name == pool)

    def _move_to(self, now_seconds: float) -> None:
        assert now_seconds >= self.now_seconds, f"time went back from {self.now_seconds} to {now_seconds}"
        while (at := self.next_event_seconds()) <= now_seconds:
            self.now_seconds = at
            node = min(self._live, key=lambda each: (self._due(each), each.is_ready, each.number))
            if node.is_ready:
                node.removed_at = at
                self._live.remove(node)
                self._sizes[node.pool.name] -= 1
            else:
                node.is_ready = True
                node.empty_since = at
                self._schedule()
        self.now_seconds = now_seconds

    def _due(self, node: Node) -> float:
        """When a node becomes ready; when a ready one is removed unless a pod comes."""
        if not node.is_ready:
            return node.ready_at
        if node.empty_since is None or self._sizes[node.pool.name] <= self._floors[node.pool.name]:
            return math.inf
        return max(self.now_seconds, node.empty_since + node.pool.unneeded_seconds)

    def _schedule(self) -> None:
        """Place what fits, oldest first; ask for nodes for the rest."""
        for record in tuple(self._pending):
            node = self._fitting(record)
            if node is not None:
                self._pending.remove(record)
                self._news.append(self._bind(record, node))
        room = {node: node.free_gpus for node in self._live if not node.is_ready}
        for record in self._pending:
            fitting = [node for node, free in room.items() if node.pool is record.pool and free >= record.gpus]
            if fitting:
                room[min(fitting, key=lambda node: (room[node], node.number))] -= record.gpus
            elif self._sizes[record.pool.name] < record.pool.max_nodes:
                room[self._ask_for_node(record.pool)] = record.pool.gpus_per_node - record.gpus

    def _fitting(self, record: PodRecord) -> Node | None:
        """The most allocated ready node with enough GPUs free; the oldest of several."""
        fitting = [
            node for node in self._live if node.is_ready and node.pool is record.pool and node.free_gpus >= record.gpus
        ]
        return min(fitting, key=lambda node: (node.free_gpus, node.number), default=None)

    def _bind(self, record: PodRecord, node: Node) -> Placement:
        """Put a pod on a node that fits."""
        now = self.now_seconds
        if record.start is None:
            path, starts_at = StartPath.INITIAL, now
        else:
            path, starts_at = record.start.begin(node.cached, node.pool.provision, now)
        node.free_gpus -= record.gpus
        node.empty_since = None
        record.node = node
        record.placement = Placement(
            pod=record.pod,
            node=node.name,
            path=path,
            asked_at=record.asked_at,
            placed_at=now,
            starts_at=starts_at,
        )
        return record.placement

    def _record(self, pod: str, pool: NodePool, gpus: int, start: PodStart | None) -> PodRecord:
        assert pod not in self.pods, f"{pod} was placed before"
        self.pods[pod] = PodRecord(pod=pod, pool=pool, gpus=gpus, asked_at=self.now_seconds, start=start)
        return self.pods[pod]

    def _ask_for_node(self, pool: NodePool) -> Node:
        deviate = float(self._streams[pool.name].standard_normal())
        return self._add_node(pool, ready_at=self.now_seconds + pool.provision.seconds(deviate))

    def _add_ready_node(self, pool: NodePool) -> Node:
        node = self._add_node(pool, ready_at=self.now_seconds)
        node.is_ready = True
        node.cached[IMAGE] = node.empty_since = self.now_seconds
        return node

    def _add_node(self, pool: NodePool, ready_at: float) -> Node:
        number = len(self.nodes)
        node = Node(
            number=number,
            name=f"{pool.name}-{number:04d}",
            pool=pool,
            asked_at=self.now_seconds,
            ready_at=ready_at,
            is_ready=False,
            free_gpus=pool.gpus_per_node,
        )
        self.nodes.append(node)
        self._live.append(node)
        self._sizes[pool.name] += 1
        return node
