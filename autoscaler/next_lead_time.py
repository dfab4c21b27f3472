"""How long it takes until the next step up serves: by what was learned of the workload, by how large that step would
be, by the room that nodes have now, and by whether its pods come one after the other."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from adapter.sources.kubernetes.api import ApiError, ApiReader
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.node_pool import NodePool
from autoscaler.lead_times.recorder import LeadTimeRecorder
from autoscaler.lead_times.step import UNKNOWN_ROOM, Room, Step
from autoscaler.node_pools.pools import PoolKey, pool_key
from autoscaler.node_pools.seen import HeldPod, NodeNow, nodes_of, nodes_seen
from autoscaler.observe.observer import Seen
from autoscaler.observe.scale import Scale
from policies.decision import Decision
from policies.snapshot import NS_PER_SECOND

_STATEFUL_SETS = "statefulsets.apps"
_RECHECK_NS = 600 * NS_PER_SECOND
"""podManagementPolicy cannot be changed, but a StatefulSet can be made anew under its name."""


_LOOK_NS = 10 * NS_PER_SECOND
_ZONE_LABEL = "topology.kubernetes.io/zone"


class Nodes(Protocol):
    """What is asked of autoscaler.observe.world.World."""

    @property
    def nodes(self) -> Mapping[str, NodeNow]: ...
    def pods_on(self, node: str) -> Iterable[HeldPod]: ...


class NextLeadTime:
    """For Snapshot.lead_time_seconds of each workload."""

    def __init__(self, recorder: LeadTimeRecorder, nodes: Nodes, api: ApiReader) -> None:
        self._recorder = recorder
        self._nodes = nodes
        self._api = api
        self._in_order: dict[str, tuple[int, bool]] = {}
        self._decisions: dict[Key, Decision] = {}
        self._free: dict[PoolKey, tuple[int, tuple[tuple[str, int], ...]]] = {}

    async def seconds(self, autoscaler: Autoscaler, seen: Seen, now_ns: int) -> float | None:
        """None while nothing was learned."""
        spec, key = autoscaler.spec, autoscaler.key
        assert spec is not None
        if not self._recorder.lead_times(key):
            return None
        replicas = seen.snapshot.replicas
        ordinals: tuple[int, ...] = ()
        more = max(1, self._wanted(key, replicas) - replicas)
        if seen.scale.resource == _STATEFUL_SETS:
            ordinals = tuple(range(replicas, replicas + more))
        step = Step(replicas=more, in_order=await self._comes_in_order(seen.scale, now_ns), ordinals=ordinals)
        return self._recorder.lead_time_seconds(
            key, spec.lead_time.assumed_seconds, step, self._room(autoscaler, now_ns)
        )

    def decided(self, key: Key, decision: Decision) -> None:
        """The last decision's want is the size of the step that comes next."""
        self._decisions[key] = decision

    def forget(self, key: Key) -> None:
        self._decisions.pop(key, None)

    def _wanted(self, key: Key, replicas: int) -> int:
        decision = self._decisions.get(key)
        return replicas if decision is None else round(decision.numbers.get("wanted_replicas", replicas))

    async def _comes_in_order(self, scale: Scale, now_ns: int) -> bool:
        """A StatefulSet's pods come one after the other, unless podManagementPolicy is Parallel. Where that cannot be
        read it is taken for the default, OrderedReady, which asks for capacity earlier."""
        if scale.resource != _STATEFUL_SETS:
            return False
        read_ns, in_order = self._in_order.get(scale.path, (0, True))
        if now_ns - read_ns < _RECHECK_NS:
            return in_order
        try:
            found = await self._api.get(scale.path.removesuffix("/scale"), timeout_seconds=2.0)
            in_order = (found.get("spec") or {}).get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        except ApiError:
            in_order = True
        self._in_order[scale.path] = (now_ns, in_order)
        return in_order

    def _room(self, autoscaler: Autoscaler, now_ns: int) -> Room:
        """Replicas that fit on Ready nodes of its pools now; not known without pools."""
        spec = autoscaler.spec
        assert spec is not None
        if not spec.node_pools:
            return UNKNOWN_ROOM
        by_zone: dict[str, int] = {}
        for pool in spec.node_pools:
            for zone, gpus in self._free_gpus(pool, now_ns):
                by_zone[zone] = by_zone.get(zone, 0) + gpus // spec.cost.gpus_per_replica
        return Room(replicas=sum(by_zone.values()), by_zone={zone: count for zone, count in by_zone.items() if zone})

    def _free_gpus(self, pool: NodePool, now_ns: int) -> tuple[tuple[str, int], ...]:
        """(zone, free GPUs) of each Ready node; looked up once for all workloads of a pool."""
        key = pool_key(pool)
        looked_ns, free = self._free.get(key, (0, ()))
        if now_ns - looked_ns < _LOOK_NS:
            return free
        nodes = {node.name: node for node in nodes_of(pool, self._nodes.nodes.values())}
        seen = nodes_seen(pool, nodes.values(), self._nodes.pods_on)
        free = tuple((nodes[each.name].labels.get(_ZONE_LABEL, ""), each.free_gpus) for each in seen if each.is_ready)
        self._free[key] = (now_ns, free)
        return free
