"""Static headroom: so many idle nodes beside those with pods, as placeholder pods of low priority keep them.

A replica that comes takes a placeholder's node at once; the placeholder is pending then, and the cluster-autoscaler
brings a node for it. Here without the placeholders: the pool's floor is the nodes that hold pods and the spare ones
(kubernetes/autoscaler cluster-autoscaler/FAQ.md, "How can I configure overprovisioning with Cluster Autoscaler?").
They are kept in this one pool only: while it has no nodes to give, a real placeholder could be put into another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from simulations.node_loop import NodeLoop
from simulations.results import Recorder


@dataclass(slots=True)
class StaticHeadroom(NodeLoop):
    """Moves the floor of `spec.name`; decides nothing."""

    spare_nodes: int = 0

    def act(self, second: int, recorders: Sequence[Recorder]) -> None:
        if second < self._due or not recorders:
            return
        self._due = second + self.period_seconds
        fleet = recorders[0].fleet
        nodes = fleet.cluster.live_nodes(self.spec.name)
        held = sum(node.free_gpus < self.spec.gpus_per_node for node in nodes if node.leaving_since is None)
        fleet.cluster.set_floor(self.spec.name, min(held + self.spare_nodes, self.spec.max_nodes), fleet.now_seconds)
