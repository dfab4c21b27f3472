"""Provider GKE: a node pool's min-size where the cluster autoscaler runs on it, its size where it does not.

A min-size keeps nodes and brings none: GKE's autoscaler "waits to take effect until a new node is needed in the node
pool" (concepts/cluster-autoscaler). Where nodes must come before pods, placeholders bring them.

A size is only ever lowered while no node holds a pod: "Resize will pick instances to remove at random" (gcloud
container clusters resize). Both numbers count per zone, unless the pool's limits are told of the whole
(total_min_node_count): rounded up, as too few nodes are worse than too many.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from autoscaler.crd.node_pool import GkePool
from autoscaler.node_pools.gke_client import GkeClient, GkePoolNow
from autoscaler.node_pools.gke_cluster import GkeCluster, RunningOperation
from autoscaler.node_pools.gke_trouble import GkeTrouble
from autoscaler.node_pools.provider import PoolAsk, PoolTold
from policies.nodepools.stockout import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS
from policies.snapshot import NS_PER_SECOND

_SETTLE_SECONDS = 600.0
"""After a size was told, nodes that are not there are given so long before the same size is told again."""


_AUTOPILOT = (
    "this cluster is in Autopilot mode, whose node pools are Google's to size: set provider to Placeholders or "
    "CapacityBuffer, which work there"
)
_WRONG_SIZING = {
    (
        "MinSize",
        False,
    ): "no cluster autoscaler runs on this node pool, so that nothing reads its min-size: enable it, or "
    "set gke.sizing to Size",
    (
        "Size",
        True,
    ): "the cluster autoscaler runs on this node pool and would undo a size: set gke.sizing to MinSize, or disable it",
}
_MIN_SIZE_BRINGS_NONE = (
    "GKE's autoscaler keeps a min-size and fills a pool up to it only when a pod needs a node; for nodes before pods "
    "set provider to Placeholders"
)
_NOT_LEADER = "not written: this replica is not the leader"


@dataclass(frozen=True, slots=True, kw_only=True)
class _BackOff:
    """After a trouble. until_ns: nothing is asked for. failures: in a row."""

    trouble: GkeTrouble
    failures: int
    until_ns: int


class GkeProvider:
    """One node pool. Between steps it remembers only what the API does not show."""

    def __init__(self, pool: GkePool, cluster: GkeCluster, may_write: Callable[[], bool]) -> None:
        self.brings_nodes = pool.sizing == "Size"
        self._pool = pool
        self._cluster = cluster
        self._may_write = may_write
        self._path = f"{cluster.path}/nodePools/{pool.node_pool}"
        self._back_off: _BackOff | None = None
        self._told_size: tuple[int, int] | None = None  # nodes per zone, and when

    async def state(self, now_ns: int) -> PoolTold:
        async with self._cluster.turn:
            return (await self._look(now_ns))[0]

    async def tell(self, ask: PoolAsk, now_ns: int) -> PoolTold:
        async with self._cluster.turn:
            told, now = await self._look(now_ns)
            if now is None or told.state in ("Refused", "Unreachable", "Resizing"):
                return told
            if self._pool.sizing == "MinSize":
                return await self._tell_min_size(ask, told, now, now_ns)
            return await self._tell_size(ask, told, now, now_ns)

    async def _look(self, now_ns: int) -> tuple[PoolTold, GkePoolNow | None]:
        try:
            if await self._cluster.is_autopilot():
                return PoolTold(state="Refused", message=_AUTOPILOT), None
            await self._cluster.follow(now_ns)
            now = await self._cluster.call(lambda client: client.node_pool(self._path))
        except GkeTrouble as trouble:
            return PoolTold(state=trouble.state, message=trouble.message), None
        self._learn(now, now_ns)
        zones = 1 if now.by_total else now.zones
        told = PoolTold(
            state="Idle",
            min_nodes=now.min_nodes * zones if now.autoscaled else None,
            max_nodes=now.max_nodes * zones if now.autoscaled else None,
        )
        wrong = _WRONG_SIZING.get((self._pool.sizing, now.autoscaled))
        running = self._cluster.running
        if wrong is not None:
            told = replace(told, state="Refused", message=wrong)
        elif running is not None:
            whose = "" if running.pool == self._path else f" on {running.pool.rpartition('/')[2]}"
            told = replace(
                told, state="Resizing", operation=running.name, message=f"operation {running.name}{whose} runs"
            )
        elif now.busy:
            told = replace(told, state="Resizing", message="GKE is changing the node pool")
        elif self._back_off is not None and now_ns < self._back_off.until_ns:
            told = replace(told, state=self._back_off.trouble.state, message=self._back_off.trouble.message)
        return told, now

    def _learn(self, now: GkePoolNow, now_ns: int) -> None:
        """From the end of our own operation, and from what the pool's conditions say."""
        ended = self._cluster.take_ended(self._path)
        if ended is not None and ended.trouble is not None:
            self._told_size = None  # it may not hold what it was told
            self._fail(ended.trouble, now_ns)
        elif now.lack is not None:
            if self._back_off is None or now_ns >= self._back_off.until_ns:
                self._fail(now.lack, now_ns)
        elif not self.brings_nodes or (ended is not None and ended.operation.grows):
            self._back_off = None  # of a min-size only the conditions tell: its operations bring no node

    def _fail(self, trouble: GkeTrouble, now_ns: int) -> None:
        """Back off as the cluster autoscaler does: 5 min, twice as long each time, at most 30 min."""
        failures = 0 if self._back_off is None else self._back_off.failures
        seconds = min(FIRST_BACKOFF_SECONDS * 2.0**failures, LONGEST_BACKOFF_SECONDS)
        until_ns = now_ns + round(seconds * NS_PER_SECOND)
        self._back_off = _BackOff(trouble=trouble, failures=failures + 1, until_ns=until_ns)

    async def _tell_min_size(self, ask: PoolAsk, told: PoolTold, now: GkePoolNow, now_ns: int) -> PoolTold:
        wanted = ask.keep_nodes if now.by_total else -(-ask.keep_nodes // now.zones)
        if wanted > now.max_nodes:
            unit = "" if now.by_total else f" in each of {now.zones} zones"
            told = replace(
                told,
                message=f"the node pool's own maximum is {now.max_nodes}{unit}, which is less than {wanted}; raise it "
                f"with gcloud container node-pools update {self._pool.node_pool}",
            )
            wanted = now.max_nodes
        if wanted == now.min_nodes:
            if ask.nodes < ask.keep_nodes and not told.message:
                return replace(told, message=_MIN_SIZE_BRINGS_NONE)
            return told
        grows = wanted > now.min_nodes
        if grows and told.state != "Idle":
            return told
        return await self._begin(
            told, lambda client: client.set_min_nodes(self._path, now, wanted), now_ns, grows=False
        )

    async def _tell_size(self, ask: PoolAsk, told: PoolTold, now: GkePoolNow, now_ns: int) -> PoolTold:
        wanted = -(-ask.keep_nodes // now.zones)
        there = -(-ask.nodes // now.zones)
        if self._told_size is not None:
            size, told_ns = self._told_size
            settled = now_ns - told_ns > _SETTLE_SECONDS * NS_PER_SECOND
            there = there if settled else size
        if wanted == there:
            return told
        if wanted > there and told.state != "Idle":
            return told
        if wanted < there and ask.occupied_nodes:
            return replace(
                told,
                message=f"{ask.nodes} nodes are kept, {wanted * now.zones} would do: GKE removes nodes at random, and "
                f"{ask.occupied_nodes} hold pods; let the cluster autoscaler run on the pool, with sizing MinSize",
            )
        told = await self._begin(told, lambda client: client.set_size(self._path, wanted), now_ns, grows=wanted > there)
        if told.operation:
            self._told_size = (wanted, now_ns)
        return told

    async def _begin(self, told: PoolTold, call: Callable[[GkeClient], str], now_ns: int, *, grows: bool) -> PoolTold:
        """Write, and follow the operation from the next step on."""
        if not self._may_write():
            return replace(told, message=_NOT_LEADER)
        try:
            name = await self._cluster.call(call)
        except GkeTrouble as trouble:
            if trouble.state in ("QuotaExceeded", "StockedOut", "Refused"):
                self._fail(trouble, now_ns)
            return replace(told, state=trouble.state, message=trouble.message)
        self._cluster.began(RunningOperation(name=name, pool=self._path, started_ns=now_ns, grows=grows))
        return replace(told, state="Resizing", operation=name, message=f"operation {name} began")
