"""The deletion costs of pods: at each turn those of all objects are worked out anew, and what differs is written.

An object that is set back to Unset, or to mode Recommend, has its own annotations taken off; so have pods whose object
is gone, deleted while no controller ran too: whose an annotation is, is said by the pod's managedFields.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from adapter.sources.series import PodKey
from autoscaler.act.act import why_paused
from autoscaler.act.deletion_cost import RIGHTS, CostChange, CostsWritten, cost_changes, is_somebody_elses, write
from autoscaler.act.writer import NotLeader, Writer
from autoscaler.autoscaler import Autoscaler
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.leader.leadership import Leadership
from autoscaler.node_pools.node_worths import node_worths, on_demand_shares
from autoscaler.node_pools.seen import NodeNow
from autoscaler.observe.observer import Seen
from autoscaler.observe.pod_seen import PodSeen
from autoscaler.outcome import Finding
from policies.errors import BadInput
from policies.nodepools.decide import Headroom
from policies.nodepools.deletion_cost import deletion_costs

_log = logging.getLogger(__name__)
_TYPE = "PodDeletionCostSet"
_REPLICA_SETS = "replicasets.apps"


class Cluster(Protocol):
    """What is asked of autoscaler.observe.world.World."""

    @property
    def autoscalers(self) -> Mapping[Key, Autoscaler]: ...
    @property
    def nodes(self) -> Mapping[str, NodeNow]: ...
    @property
    def pods(self) -> Mapping[PodKey, PodSeen]: ...
    @property
    def synced(self) -> bool: ...
    def pods_on(self, node: str) -> Iterable[PodSeen]: ...


class DeletionCosts:
    """lately: what an object's last step saw; None where that is not known, or too old. older_of: the object that acts
    on the same workload in its place. headroom: as the node loop has it."""

    def __init__(
        self,
        writer: Writer,
        world: Cluster,
        leadership: Leadership,
        clock: Clock,
        *,
        lately: Callable[[Key, int], Seen | None],
        older_of: Callable[[Key], Key | None],
        headroom: Headroom | None = None,
    ) -> None:
        self._writer = writer
        self._world = world
        self._leadership = leadership
        self._clock = clock
        self._lately = lately
        self._older_of = older_of
        self._headroom = headroom or Headroom()
        self._findings: dict[Key, Finding] = {}

    def findings_of(self, key: Key) -> tuple[Finding, ...]:
        """What became of the object's costs at the last turn; nothing where it wants none."""
        found = self._findings.get(key)
        return () if found is None else (found,)

    async def turn(self) -> None:
        """To be called every node pools' period; raises nothing for what the API server refuses."""
        is_ours = self._leadership.may_write() and not self._leadership.paused
        if not is_ours or not self._world.synced or not self._world.nodes:
            return
        now_ns = self._clock.now_ns()
        findings: dict[Key, Finding] = {}
        looked_at: set[PodKey] = set()
        left_alone: set[str] = set()  # namespaces in which an annotation may be wanted by an object that tells nothing
        try:
            for key, autoscaler in tuple(self._world.autoscalers.items()):
                if self._older_of(key) is not None:
                    continue
                seen = self._lately(key, now_ns)
                if autoscaler.spec is None or seen is None or why_paused(autoscaler, cluster_paused=False):
                    left_alone.add(key.namespace)
                    if key in self._findings and autoscaler.spec is not None:
                        findings[key] = self._findings[key]
                    continue
                pods = self._of_replica_sets(seen)
                looked_at.update(pod.key for pod in pods)
                finding = await self._of_object(autoscaler, pods)
                if finding is not None:
                    findings[key] = finding
                await asyncio.sleep(0)  # the steps of a thousand objects go on meanwhile
            await self._take_off(
                pod
                for pod in tuple(self._world.pods.values())
                if pod.deletion_cost is not None and pod.key not in looked_at and pod.key.namespace not in left_alone
            )
        except NotLeader:
            return
        self._findings = findings

    async def _of_object(self, autoscaler: Autoscaler, pods: list[PodSeen]) -> Finding | None:
        """Raises NotLeader."""
        spec = autoscaler.spec
        assert spec is not None
        is_wanted = spec.pod_deletion_cost == "ByNode"
        if not is_wanted and all(pod.deletion_cost is None for pod in pods):
            return None
        try:
            costs = self._costs(autoscaler, pods) if is_wanted else {}
        except BadInput as error:
            return Finding(type=_TYPE, status="False", reason="InvalidSpec", message=str(error))
        is_advice = spec.mode == "Recommend"
        changes = cost_changes(pods, {} if is_advice else costs, self._writer.field_manager)
        done = await self._written(changes, f"autoscaler={autoscaler.key.namespace}/{autoscaler.key.name}")
        if done.forbidden:
            return Finding(type=_TYPE, status="False", reason="Forbidden", message=f"{done.forbidden}; {RIGHTS}")
        if not is_wanted:
            return None
        told = f"{len(costs)} of {len(pods)} pods of ReplicaSets are told apart by their nodes"
        if is_advice:
            return Finding(
                type=_TYPE, status="True", reason="Recommended", message=f"mode Recommend writes nothing: {told}"
            )
        others = sum(is_somebody_elses(pod, self._writer.field_manager) for pod in pods) + done.taken
        if others:
            told += f"; {others} have a cost that somebody else set, which stays"
        return Finding(type=_TYPE, status="True", reason="ByNode", message=told)

    def _costs(self, autoscaler: Autoscaler, pods: list[PodSeen]) -> dict[str, int]:
        """Raises BadInput."""
        assert autoscaler.spec is not None
        of_pods = {pod.key.name: pod.node for pod in pods if pod.node and not pod.pod.deleting}
        pools = autoscaler.spec.node_pools
        worths = node_worths(pools, set(of_pods.values()), self._world.nodes, self._world.pods_on)
        return deletion_costs(of_pods, worths, on_demand_shares(pools, worths, self._headroom))

    async def _take_off(self, pods: Iterable[PodSeen]) -> None:
        """Ours of pods that no object is about any more. Raises NotLeader."""
        await self._written(cost_changes(pods, {}, self._writer.field_manager), "pods whose autoscaler is gone")

    async def _written(self, changes: tuple[CostChange, ...], whose: str) -> CostsWritten:
        done = await write(changes, writer=self._writer)
        if fault := done.forbidden or done.error:
            _log.warning("%s: deletion costs of pods: %s; the next turn tries again", whose, fault)
        return done

    def _of_replica_sets(self, seen: Seen) -> list[PodSeen]:
        """As they stand now. Of others nobody reads the annotation."""
        found = (self._world.pods.get(pod.key) for pod in seen.pods)
        return [pod for pod in found if pod is not None and any(kind == _REPLICA_SETS for kind, _ in pod.owners)]
