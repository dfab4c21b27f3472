"""Which provider a pool has, and what pools of one cluster share."""

from collections.abc import Callable, Collection
from typing import assert_never

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.writer import Writer
from autoscaler.node_pools.capacity_buffer import CapacityBufferProvider, capacity_buffers
from autoscaler.node_pools.gke import GkeProvider
from autoscaler.node_pools.gke_client import GkeSettings
from autoscaler.node_pools.gke_cluster import GkeCluster
from autoscaler.node_pools.placeholders import PlaceholderProvider, placeholder_deployments
from autoscaler.node_pools.pools import PoolKey, SharedPool
from autoscaler.node_pools.provider import Provider
from autoscaler.node_pools.recommend import RecommendProvider
from autoscaler.node_pools.room_objects import of_no_pool


class Providers:
    """Providers by pool; those of GKE live on between steps, with their operation under way."""

    def __init__(
        self,
        *,
        writer: Writer,
        may_write: Callable[[], bool],
        namespaces: tuple[str, ...] = (),
        gke: GkeSettings | None = None,
    ) -> None:
        self._writer = writer
        self._may_write = may_write
        self._namespaces = namespaces
        self._gke = gke or GkeSettings()
        self._clusters: dict[str, GkeCluster] = {}
        self._gke_pools: dict[PoolKey, tuple[object, GkeProvider]] = {}

    def of(self, shared: SharedPool) -> Provider:
        """The pool's provider as it is described now."""
        pool = shared.pool
        match pool.provider:
            case "Recommend":
                return RecommendProvider()
            case "Placeholders":
                return PlaceholderProvider(shared, placeholder_deployments(self._writer, self._namespaces))
            case "CapacityBuffer":
                return CapacityBufferProvider(shared, self._writer, self._namespaces)
            case "GKE":
                assert pool.gke is not None, "a rule of NodePool"
                described, provider = self._gke_pools.get(shared.key, (None, None))
                if provider is None or described != pool.gke:
                    gke = pool.gke
                    path = f"projects/{gke.project}/locations/{gke.location}/clusters/{gke.cluster}"
                    cluster = self._cluster(path)
                    provider = GkeProvider(gke, cluster, self._may_write)
                    self._gke_pools[shared.key] = (gke, provider)
                return provider
        assert_never(pool.provider)

    def _cluster(self, path: str) -> GkeCluster:
        if path not in self._clusters:
            self._clusters[path] = GkeCluster(path, self._gke)
        return self._clusters[path]

    async def sweep(self, keys: Collection[PoolKey], unreadable_uids: Collection[str]) -> None:
        """Scale what holds room for pools that nobody names any more to 0; who may not list it has made none.

        Raises ApiError, NotLeader.
        """
        kinds = [placeholder_deployments(self._writer, self._namespaces)]
        buffers = await capacity_buffers(self._writer, self._namespaces)
        kinds += [] if buffers is None else [buffers]
        for kind in kinds:
            try:
                found = await kind.list()
            except ApiError as error:
                if error.status == 403:
                    continue
                raise
            await kind.empty(of_no_pool(found, keys, unreadable_uids))

    def close(self) -> None:
        for cluster in self._clusters.values():
            cluster.close()
