"""Which nodes are asked for: floors that lack nodes, then pending pods that fit on none that is on its way.

A pool has a group of nodes per zone, as a GKE node pool has a managed instance group per zone. Of the pools that a pod
may use, the one of the highest priority grows, then the pod's first choice (priority expander), in the zone with the
fewest of its nodes, passing over groups that failed a short while ago.
Source: kubernetes/autoscaler cluster-autoscaler/FAQ.md, "How does scale-up work?", "What are Expanders?".
"""

import math
from dataclasses import dataclass

from simulations.cluster.cluster_state import ClusterState
from simulations.cluster.placement import Node, PodRecord
from simulations.cluster.pool_state import PoolState
from simulations.cluster.scheduler import Plan


@dataclass(frozen=True, slots=True)
class ScaleUp:
    """asked: how many nodes. retry_at: when a group that is left alone may be asked again for what is lacking."""

    asked: int
    retry_at: float


def scale_up(cluster: ClusterState, *, for_pods: bool = True) -> ScaleUp:
    """Ask for what is lacking now. for_pods: False for what the floors lack only."""
    pass_ = _Pass(cluster)
    for state in cluster.pools.values():
        while state.size < state.floor and pass_.ask([state], None):
            pass
    if for_pods and cluster.pending and not _is_provided_for(cluster):
        plan = Plan()
        for state in cluster.pools.values():
            plan.add(state.upcoming.values())
        hopeless: set[tuple[object, ...]] = set()
        for record in cluster.pending.values():
            if record.shape not in hopeless and not plan.pack(record) and not pass_.ask_for(record, plan):
                hopeless.add(record.shape)  # room only shrinks: what fits nowhere now fits nowhere in this pass
        plan.undo()
    retry_at = cluster.backoff.next_end_seconds(cluster.now) if pass_.was_held_back else math.inf
    return ScaleUp(pass_.asked, retry_at)


def _is_provided_for(cluster: ClusterState) -> bool:
    """Whether packing the pending pods would change nothing; False when it takes the packing to know.

    It can be counted where pods of a shape have their pools to themselves: they fit on what is on its way, or all
    their pools are full.
    """
    seen: set[str] = set()
    for record, count in cluster.pending_shapes.values():
        states = [cluster.pools[pool.name] for pool in record.pools]
        if any(state.pool.name in seen for state in states):
            return False
        seen.update(state.pool.name for state in states)
        if all(state.size >= state.pool.max_nodes for state in states):
            continue
        if record.resources is not None or record.zone is not None or not record.gpus:
            return False
        if sum(node.free_gpus // record.gpus for state in states for node in state.upcoming.values()) < count:
            return False
    return True


class _Pass:
    """One look at what is lacking. Pods count on what was asked for until it is there, or known to have failed."""

    def __init__(self, cluster: ClusterState) -> None:
        self.cluster = cluster
        self.asked = 0
        self.was_held_back = False

    def ask(self, states: list[PoolState], record: PodRecord | None, plan: Plan | None = None) -> bool:
        """Ask for a node of the first of these pools that may grow, and book the pod on it; False when none may."""
        cluster = self.cluster
        for state in states:
            if state.size >= state.pool.max_nodes:
                continue
            zones = state.zones if record is None or record.zone is None else (record.zone,)
            for zone in zones:
                group = (state.pool.name, zone)
                if cluster.backoff.until(group) > cluster.now:
                    self.was_held_back = True
                    continue
                node = self._ask_group(state, zone, plan)
                self.asked += 1
                if plan is not None and record is not None:
                    plan.add([node])
                    plan.book(record, node)
                return True
        return False

    def ask_for(self, record: PodRecord, plan: Plan) -> bool:
        states = [self.cluster.pools[pool.name] for pool in record.pools]
        if len(states) > 1:
            states.sort(key=lambda state: -state.pool.priority)
        return self.ask(states, record, plan)

    def _ask_group(self, state: PoolState, zone: str, plan: Plan | None) -> Node:
        """One node more; of a group that refuses, one record stands for all that it was asked for at this instant."""
        for node in state.upcoming.values():
            if not node.was_created and node.zone == zone and node.asked_at == self.cluster.now:
                if plan is not None:
                    plan.discard(node)
                self.cluster.ask_again(state, node)
                return node
        return self.cluster.ask_for_node(state, zone)
