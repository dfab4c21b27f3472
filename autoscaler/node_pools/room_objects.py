"""The objects that hold room for pools, Deployments of placeholders or CapacityBuffers: found by label, sized by
replicas.

What is in the cluster is the only memory, so that a restart or another leader changes nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from autoscaler.act.writer import FIELD_MANAGER, Writer
from autoscaler.node_pools.pools import PoolKey
from autoscaler.node_pools.seen import PLACEHOLDER_LABEL

Json = dict[str, Any]
POOL_ANNOTATION = "autoscaling.leadtime.dev/node-pool"
"""On every such object: the pool's whole identity, which a label could not hold."""
MANAGED_BY = {"app.kubernetes.io/managed-by": FIELD_MANAGER}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoomObjects:
    """group: such as `/apis/apps/v1`. resource: the plural. namespaces: where; none means everywhere."""

    group: str
    resource: str
    writer: Writer
    namespaces: tuple[str, ...] = ()

    async def list(self, pool_name: str | None = None) -> list[Json]:
        """Of one pool's name, or all. Raises ApiError."""
        managed = ",".join(f"{label}={value}" for label, value in MANAGED_BY.items())
        pools = PLACEHOLDER_LABEL if pool_name is None else f"{PLACEHOLDER_LABEL}={pool_name}"
        params = {"labelSelector": f"{managed},{pools}"}
        paths = [f"{self.group}/namespaces/{each}/{self.resource}" for each in self.namespaces]
        found: list[Json] = []
        for path in paths or [f"{self.group}/{self.resource}"]:
            found += (await self.writer.get(path, params)).get("items") or []
        return found

    async def apply(self, body: Json) -> None:
        """Raises ApiError, NotLeader."""
        await self.writer.apply(self.path(body), body, force=True, kind=self.resource)

    async def empty(self, objects: Iterable[Json]) -> None:
        """Scale those to 0 that are not. Raises ApiError, NotLeader."""
        for each in objects:
            if each["spec"].get("replicas") != 0:
                await self.writer.merge(self.path(each), {"spec": {"replicas": 0}}, kind=self.resource)

    def path(self, body: Json) -> str:
        metadata = body["metadata"]
        return f"{self.group}/namespaces/{metadata['namespace']}/{self.resource}/{metadata['name']}"


def identity(key: PoolKey) -> str:
    """The value of POOL_ANNOTATION."""
    return "/".join(key)


def of_pool(objects: Iterable[Json], key: PoolKey) -> list[Json]:
    """Those of exactly this pool: another one may have the same name."""
    return [each for each in objects if _pool_of(each) == identity(key)]


def of_no_pool(objects: Iterable[Json], keys: Collection[PoolKey], unreadable_uids: Collection[str]) -> list[Json]:
    """Those whose pool nobody names any more. unreadable_uids: of objects whose spec cannot be read at present: what
    they own is left alone."""
    named = {identity(key) for key in keys}
    return [
        each
        for each in objects
        if _pool_of(each) not in named
        and not any(owner["uid"] in unreadable_uids for owner in each["metadata"].get("ownerReferences") or ())
    ]


def _pool_of(body: Json) -> str:
    return str((body["metadata"].get("annotations") or {}).get(POOL_ANNOTATION, ""))
