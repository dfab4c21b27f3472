"""When the node autoscaler acts: at once, or at the scans of its grid that have something to do."""

import math

from simulations.cluster.cluster_state import ClusterState
from simulations.cluster.scale_down import (
    empty_due_seconds,
    empty_one_node,
    emptying_due_seconds,
    note_unneeded,
    remove_empty,
    remove_one_empty,
)
from simulations.cluster.scale_up import scale_up


class AutoscalerLoop:
    """Of one cluster. Scans at which nothing would happen are skipped, so that two quiet weeks cost nothing."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._rules = state.rules
        self._scans = state.rules.scan_interval_seconds > 0.0
        self._scale_up_due = math.inf
        self._no_scale_down_before = -math.inf
        self._is_changed = False

    def pods_changed(self) -> None:
        """A pod was placed or ended, or a node came or left: which nodes are needed may have changed."""
        self._is_changed = True

    def want_nodes(self, *, for_pods: bool = True) -> None:
        """Ask now, or at the next scan. for_pods: False for the floors only; the pods' nodes were asked for before."""
        if self._scans:
            self._scale_up_due = self._rules.scan_at_or_after(self._state.now)
        else:
            self._scale_up(for_pods=for_pods)

    def next_removal_seconds(self) -> float:
        """When an empty node goes, without scans; inf for never."""
        if self._scans:
            return math.inf
        return max(self._state.now, self._empty_due_seconds())

    def next_scan_seconds(self) -> float:
        """When there is something to do at a scan, or for a group that was left alone; inf for never."""
        scan = self._scale_up_due
        if self._scans:
            scan = min(scan, self._scale_down_scan(self._empty_due_seconds()))
            if self._rules.utilization_threshold > 0:
                scan = min(scan, self._scale_down_scan(emptying_due_seconds(self._state)))
                if self._is_changed:
                    scan = min(scan, self._rules.scan_at_or_after(self._state.now))
        return scan

    def remove_one(self) -> None:
        """What is due at `next_removal_seconds`. A pool that was full may then grow where the pods need it."""
        node = remove_one_empty(self._state)
        pools = [pool for record, _ in self._state.pending_shapes.values() for pool in record.pools]
        if any(pool is node.pool for pool in pools):
            self.want_nodes()

    def scan(self) -> None:
        """What is due at `next_scan_seconds`; in a look at which it asked for nodes, it removes none."""
        state = self._state
        if self._scale_up_due <= state.now and self._scale_up():
            return
        if not self._scans:
            return  # only a group's back-off was over
        empties_nodes = self._rules.utilization_threshold > 0
        if self._is_changed and empties_nodes:
            note_unneeded(state)
        self._is_changed = False
        if state.now < self._no_scale_down_before:
            return
        if remove_empty(state) or (empties_nodes and empty_one_node(state)):
            # scale-down-delay-after-delete is a scan by default
            self._no_scale_down_before = state.now + self._rules.scan_interval_seconds
            self._is_changed = True
            if state.pending:
                self.want_nodes()

    def _empty_due_seconds(self) -> float:
        return min((empty_due_seconds(self._state, pool) for pool in self._state.pools.values()), default=math.inf)

    def _scale_down_scan(self, due_seconds: float) -> float:
        """The scan at which a node goes that is due then: not within the delays."""
        return self._rules.scan_at_or_after(max(due_seconds, self._no_scale_down_before, self._state.now))

    def _scale_up(self, *, for_pods: bool = True) -> bool:
        result = scale_up(self._state, for_pods=for_pods)
        self._scale_up_due = self._rules.scan_at_or_after(result.retry_at)
        if result.asked:
            delay = self._rules.scale_down_delay_after_add_seconds
            self._no_scale_down_before = max(self._no_scale_down_before, self._state.now + delay)
        return result.asked > 0
