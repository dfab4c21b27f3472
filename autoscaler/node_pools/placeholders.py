"""Provider Placeholders: pods of low priority that hold room on the pool, one Deployment for each size.

A pod that has no room preempts them; those that lost their node are pending, and the node autoscaler brings another.
Their priority is -10, the lowest at which the cluster-autoscaler acts for a pending pod (its flag
expendable-pods-priority-cutoff). Source: kubernetes.io/docs/tasks/administer-cluster/node-overprovisioning.

A Deployment goes with the last of its owners; one that is no longer wanted is scaled to 0.
"""

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.writer import NotLeader, Writer
from autoscaler.node_pools.api_trouble import not_written, told_of
from autoscaler.node_pools.placeholder_pods import Json, deployment
from autoscaler.node_pools.pools import SharedPool
from autoscaler.node_pools.provider import PoolAsk, PoolTold
from autoscaler.node_pools.room_objects import RoomObjects, of_pool

_RIGHTS = "list, create and patch deployments (apps)"


def placeholder_deployments(writer: Writer, namespaces: tuple[str, ...] = ()) -> RoomObjects:
    return RoomObjects(group="/apis/apps/v1", resource="deployments", writer=writer, namespaces=namespaces)


class PlaceholderProvider:
    """One pool; it keeps nothing between two steps."""

    brings_nodes = True

    def __init__(self, shared: SharedPool, deployments: RoomObjects) -> None:
        self._shared = shared
        self._deployments = deployments

    async def state(self, now_ns: int) -> PoolTold:  # noqa: ARG002 - as Provider has it
        """How many of the placeholders have a node."""
        try:
            return _standing(await self._found())
        except ApiError as error:
            return told_of(error, _RIGHTS)

    async def tell(self, ask: PoolAsk, now_ns: int) -> PoolTold:  # noqa: ARG002 - as Provider has it
        bodies = [
            deployment(self._shared, ask.owners, ask.taints, gpus=gpus, replicas=count)
            for gpus, count in ask.placeholders.items()
        ]
        paths = {self._deployments.path(body) for body in bodies}
        try:
            found = {self._deployments.path(each): each for each in await self._found()}
            for body in bodies:
                there = found.get(self._deployments.path(body), {})
                # Items of a list have neither apiVersion nor kind.
                if not all(_holds(there.get(part), body[part]) for part in ("metadata", "spec")):
                    await self._deployments.apply(body)
            await self._deployments.empty(each for path, each in found.items() if path not in paths)
            return _standing(await self._found())
        except NotLeader as error:
            return not_written(error)
        except ApiError as error:
            return told_of(error, _RIGHTS)

    async def _found(self) -> list[Json]:
        return of_pool(await self._deployments.list(self._shared.pool.name), self._shared.key)


def _holds(found: object, wanted: object) -> bool:
    """Whether everything that is wanted stands in what was found, whatever else the API server filled in.

    A list is compared in order and length: none of ours is filled in by anyone.
    """
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(_holds(found.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return (
            isinstance(found, list)
            and len(found) == len(wanted)
            and all(_holds(one, other) for one, other in zip(found, wanted, strict=True))
        )
    return found == wanted


def _standing(deployments: list[Json]) -> PoolTold:
    wanted = sum(int(each["spec"].get("replicas", 1)) for each in deployments)
    placed = sum(int((each.get("status") or {}).get("readyReplicas", 0)) for each in deployments)
    if placed < wanted:
        return PoolTold(state="Resizing", message=f"{wanted - placed} of {wanted} placeholders wait for a node")
    return PoolTold(state="Idle", message=f"{wanted} placeholders hold room")
