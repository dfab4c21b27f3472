"""Deletion costs: pods are told apart by their nodes before a scale-down takes some of them, in virtual time.

policies/nodepools/deletion_cost.py decides; this reads the simulated cluster for it, as a controller reads the API
server, and writes the costs on the simulated pods.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from policies.nodepools.decide import Headroom
from policies.nodepools.deletion_cost import NodeWorth, deletion_costs, on_demand_share
from policies.nodepools.spec import PoolSpec
from simulations.cluster.placement import Node
from simulations.fleet import Fleet
from simulations.results import Recorder


@dataclass(slots=True)
class DeletionCosts:
    """Of the workloads that ask for them, by their scenario's or their policy's podDeletionCost ByNode.

    plan: the pool's that holds the spot nodes; of its nodes and of the workload's on-demand pools' the plan's share
    stays on demand. None where nothing has to. One belongs to one run.
    """

    workloads: frozenset[str]
    plan: PoolSpec | None = None
    headroom: Headroom = field(default_factory=Headroom)
    period_seconds: int = 30
    _due: int = 0

    def act(self, second: int, recorders: Sequence[Recorder]) -> None:
        """Write the costs, when it is time; the fleets are at this second."""
        mine = [each for each in recorders if each.scenario.name in self.workloads]
        if second < self._due or not mine:
            return
        self._due = second + self.period_seconds
        gpu_pods = Counter(
            node for each in recorders for node in _nodes(each.fleet).values()
        )  # every pod asks for a GPU
        for each in mine:
            self._write(each, gpu_pods)

    def _write(self, recorder: Recorder, gpu_pods: Mapping[str, int]) -> None:
        fleet, scenario = recorder.fleet, recorder.scenario
        of_pods = _nodes(fleet)
        used = set(of_pods.values())
        worths = {
            node.name: self._worth(node, scenario.price_per_gpu_hour, gpu_pods)
            for node in fleet.cluster.live_nodes()
            if node.name in used
        }
        shares = {}
        if self.plan is not None:
            planned = sum(bool(worth.plan) for worth in worths.values())
            shares[self.plan.name] = on_demand_share(
                self.plan,
                planned,
                replace_seconds=self.headroom.replace_seconds,
                attainment=self.headroom.attainment,
            )
        costs = deletion_costs(of_pods, worths, shares)
        for pod in fleet.existing():
            pod.deletion_cost = costs.get(pod.uid, 0)

    def _worth(self, node: Node, price_per_gpu_hour: float, gpu_pods: Mapping[str, int]) -> NodeWorth:
        """Of a pool without a price GPUs are priced, not nodes."""
        price = node.pool.price_per_node_hour
        of_plan = self.plan is not None and (node.pool.name == self.plan.name or not node.spot)
        return NodeWorth(
            price_per_gpu_hour=price_per_gpu_hour if price is None else price / node.pool.gpus_per_node,
            gpu_pods=gpu_pods[node.name],
            plan=self.plan.name if self.plan is not None and of_plan else "",
            is_on_demand=not node.spot,
        )


def _nodes(fleet: Fleet) -> dict[str, str]:
    """uid -> node of every pod that is wanted and has one."""
    pods = (*fleet.existing(), *fleet.prefill_pods)
    return {pod.uid: node for pod in pods if pod.is_wanted and (node := fleet.node_of(pod))}
