"""The node loop: every pool of all PredictiveAutoscalers is decided once, then told, all pools at the same time.

    workloads -> pools, each once -> pool_step -> provider -> PoolOutcome of each object

A decision waits for nobody: what the provider said at the last step is enough for it. So a provider that is slow or
fails holds up neither the other pools nor its own next decision.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.writer import NotLeader
from autoscaler.cluster import Key
from autoscaler.node_pools.asks import Told
from autoscaler.node_pools.pool_outcome import pool_outcome, refused_outcome
from autoscaler.node_pools.pool_step import OnDemandPool, PoolMemory, PoolStep, pool_step
from autoscaler.node_pools.pools import PoolKey, SharedPool, pool_key, shared_pools
from autoscaler.node_pools.provider import PoolTold, Provider
from autoscaler.node_pools.recommend import RecommendProvider
from autoscaler.node_pools.seen import NodeNow, PodsOn, nodes_of
from autoscaler.node_pools.workload import WorkloadNow, need_on_first, need_on_later
from autoscaler.outcome import PoolOutcome
from policies.errors import BadInput
from policies.nodepools.decide import Headroom
from policies.nodepools.pool_seen import WorkloadNeed
from policies.snapshot import NS_PER_SECOND

_log = logging.getLogger(__name__)
PERIOD_SECONDS = 30
"""Between two steps, as in the simulator."""
SWEEP_SECONDS = 600
"""Between two looks for room that nobody wants, while the pools stay the same."""

_NOT_TO_BE_HAD = frozenset({"QuotaExceeded", "StockedOut", "Refused"})

Sweep = Callable[[Collection[PoolKey], Collection[str]], Awaitable[None]]
"""Empties what holds room for pools that are gone; told (keys of pools that are there, uids that cannot be read)."""


async def _no_sweep(keys: Collection[PoolKey], unreadable_uids: Collection[str]) -> None:
    """Where nothing holds room."""


class NodeLoop:
    """provider_of: of a pool as it is described now. may_write: whether this replica leads; asked again before a write.

    is_paused: the whole cluster. timeout_seconds: how long a step waits for providers; one that takes longer goes on,
    and its pool is told nothing else meanwhile.
    """

    def __init__(
        self,
        *,
        provider_of: Callable[[SharedPool], Provider],
        may_write: Callable[[], bool],
        is_paused: Callable[[], bool] = lambda: False,
        sweep: Sweep = _no_sweep,
        headroom: Headroom | None = None,
        timeout_seconds: float = 20.0,
    ) -> None:
        self._provider_of = provider_of
        self._may_write = may_write
        self._is_paused = is_paused
        self._sweep = sweep
        self._headroom = headroom or Headroom()
        self._timeout_seconds = timeout_seconds
        self._memories: dict[PoolKey, PoolMemory] = {}
        self._running: dict[PoolKey, asyncio.Task[None]] = {}
        self._sweeping: asyncio.Task[None] | None = None
        self._swept_for: tuple[object, int] | None = None  # what was to be kept at the last good sweep, and when
        self._outcomes: dict[Key, dict[PoolKey, PoolOutcome]] = {}
        self._order: dict[Key, list[PoolKey]] = {}

    def outcomes_of(self, key: Key) -> tuple[PoolOutcome, ...]:
        """The newest of each of its pools, in the order of its spec; a pool's own as soon as it is there."""
        found = self._outcomes.get(key, {})
        return tuple(found[pool] for pool in self._order.get(key, ()) if pool in found)

    async def step(
        self,
        workloads: Iterable[WorkloadNow],
        nodes: Mapping[str, NodeNow],
        pods_on: PodsOn,
        now_ns: int,
        *,
        unreadable_uids: Collection[str] = (),
    ) -> Mapping[Key, tuple[PoolOutcome, ...]]:
        """Decide and tell every pool.

        Only with the cluster in sight: nodes or pods that are not known yet would look like room or like none.
        unreadable_uids: of PredictiveAutoscalers that are there and whose spec cannot be used; what they own is kept.
        """
        workloads = tuple(workloads)
        pools = shared_pools(workloads)
        named = {key: nodes_of(shared.pool, nodes.values()) for key, shared in pools.items()}
        self._forget(workloads, pools)
        tasks = []
        for key, shared in pools.items():
            try:
                needs = self._needs(key, shared, named)
                memory = self._memories.get(key, PoolMemory())
                done = pool_step(
                    shared,
                    named[key],
                    needs,
                    pods_on,
                    memory,
                    headroom=self._headroom,
                    now_ns=now_ns,
                    on_demand=self._on_demand(shared, pools, named),
                )
            except BadInput as error:
                for owner in shared.owners:
                    self._outcomes.setdefault(owner.key, {})[key] = refused_outcome(shared, owner, str(error))
                continue
            self._memories[key] = done.memory
            self._publish(shared, done)
            if key not in self._running:
                task = asyncio.create_task(self._provide(shared, done, now_ns), name=f"node pool {shared.pool.name}")
                self._running[key] = task
                tasks.append(task)
        kept = frozenset(key for key, shared in pools.items() if not shared.is_advice)
        if self._sweep_is_due((kept, frozenset(unreadable_uids)), now_ns):
            sweep = self._swept(kept, frozenset(unreadable_uids), now_ns)
            self._sweeping = asyncio.create_task(sweep, name="node pools sweep")
            tasks.append(self._sweeping)
        if tasks:
            await asyncio.wait(tasks, timeout=self._timeout_seconds)
        return {workload.key: self.outcomes_of(workload.key) for workload in workloads}

    async def close(self) -> None:
        """Give up what is under way."""
        tasks = [*self._running.values(), *([] if self._sweeping is None else [self._sweeping])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _provide(self, shared: SharedPool, done: PoolStep, now_ns: int) -> None:
        """Ask or tell the provider, and publish what came of it."""
        key = shared.key
        try:
            told, told_nodes = await self._told(shared, done, now_ns)
        except Exception as error:  # one pool's fault, whatever it is, is not the others'
            _log.exception("node pool %s: its provider failed", shared.pool.name)
            told, told_nodes = PoolTold(state="Unreachable", message=f"its provider failed: {error!r}"), None
        finally:
            self._running.pop(key, None)
        if key in self._memories:
            self._memories[key] = replace(self._memories[key], told=told, told_nodes=told_nodes)
            self._publish(shared, done)

    async def _told(self, shared: SharedPool, done: PoolStep, now_ns: int) -> tuple[PoolTold, Told | None]:
        """What the provider says, and how many nodes it was told to bring."""
        provider: Provider = RecommendProvider() if shared.is_advice else self._provider_of(shared)
        if not self._may_write():
            return PoolTold(state="Idle", message="this replica is not the leader, which tells the pool"), None
        if self._is_paused() or not shared.acts:
            told = await provider.state(now_ns)
            return (told if shared.is_advice else replace(told, message=_joined("paused", told.message))), None
        told = await provider.tell(done.ask, now_ns)
        brings = provider.brings_nodes and told.state not in ("Refused", "Unreachable")
        return told, Told(nodes=done.ask.keep_nodes, at_ns=now_ns) if brings else None

    def _sweep_is_due(self, kept: object, now_ns: int) -> bool:
        if not self._may_write() or self._is_paused() or self._sweeping is not None:
            return False
        before, at_ns = self._swept_for or (None, 0)
        return kept != before or now_ns - at_ns >= SWEEP_SECONDS * NS_PER_SECOND

    async def _swept(self, keys: frozenset[PoolKey], unreadable_uids: frozenset[str], now_ns: int) -> None:
        try:
            await self._sweep(keys, unreadable_uids)
            self._swept_for = ((keys, unreadable_uids), now_ns)
        except (ApiError, NotLeader) as error:
            _log.warning(
                "room that no pool wants any more could not be given back: %s; the next step tries again", error
            )
        finally:
            self._sweeping = None

    def _publish(self, shared: SharedPool, done: PoolStep) -> None:
        told = self._memories[shared.key].told
        for owner in shared.owners:
            outcome = pool_outcome(shared, owner, done, told)
            self._outcomes.setdefault(owner.key, {})[shared.key] = outcome

    def _needs(
        self, key: PoolKey, shared: SharedPool, named: Mapping[PoolKey, Sequence[NodeNow]]
    ) -> list[WorkloadNeed]:
        """Of each workload: on its first pool all that stands on no other, on a later one what the one before lacks."""
        names = {pool: {node.name for node in found} for pool, found in named.items()}
        needs = []
        for workload in shared.workloads:
            keys = [pool_key(pool) for pool in workload.pools]
            at = keys.index(key)
            if at == 0:
                elsewhere = sum(workload.on(names[other]) for other in dict.fromkeys(keys[1:]) if other != key)
                needs.append(need_on_first(workload, names[key], elsewhere))
                continue
            before = self._memories.get(keys[at - 1], PoolMemory())
            unplaced = max(workload.replicas, workload.needed_replicas or 0) - len(
                [pod for pod in workload.pods if pod.node]
            )
            overflow = min(max(0, unplaced), before.overflow_gpus // workload.gpus_per_replica)
            needs.append(need_on_later(workload, names[key], overflow))
        return needs

    def _on_demand(
        self, shared: SharedPool, pools: Mapping[PoolKey, SharedPool], named: Mapping[PoolKey, Sequence[NodeNow]]
    ) -> OnDemandPool | None:
        """The pool that has the on-demand nodes of a spot pool. None where both kinds are in one pool, where those who
        share it go on to different ones or to unlike nodes, and while that pool cannot be had either: then all of it
        stays spot."""
        if shared.pool.spot is None or not shared.pool.spot.on_demand_in_next_pool:
            return None
        following = set()
        for workload in shared.workloads:
            keys = [pool_key(pool) for pool in workload.pools]
            following.add(next(iter(keys[keys.index(shared.key) + 1 :]), None))
        behind = following.pop()
        if behind is None or following or pools[behind].pool.gpus_per_node != shared.pool.gpus_per_node:
            return None
        if self._memories.get(behind, PoolMemory()).told.state in _NOT_TO_BE_HAD:
            return None
        names = {node.name for node in named[behind]}
        used = {pod.node for workload in shared.workloads for pod in workload.pods} & names
        return OnDemandPool(name=pools[behind].pool.name, nodes=len(used))

    def _forget(self, workloads: Sequence[WorkloadNow], pools: Mapping[PoolKey, SharedPool]) -> None:
        """What is named no more. A pool that is gone is told nothing more."""
        self._memories = {key: memory for key, memory in self._memories.items() if key in pools}
        self._order = {workload.key: [pool_key(pool) for pool in workload.pools] for workload in workloads}
        self._outcomes = {
            key: {pool: outcome for pool, outcome in found.items() if pool in pools}
            for key, found in self._outcomes.items()
            if key in self._order
        }


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)
