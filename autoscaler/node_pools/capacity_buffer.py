"""Provider CapacityBuffer: asks the node autoscaler itself for room, without pods, by objects that it understands.

    PodTemplate (what one piece of room is) <- CapacityBuffer (how many pieces)

Source: kubernetes/autoscaler cluster-autoscaler/apis/capacitybuffer, v1beta1 types.go; served by cluster-autoscaler
1.34 (v1alpha1) and later, GKE 1.35.2 and Karpenter 1.14 behind its feature gate.
"""

from typing import Any

from adapter.sources.kubernetes.api import ApiError
from autoscaler.act.writer import NotLeader, Writer
from autoscaler.node_pools.api_trouble import not_written, told_of
from autoscaler.node_pools.placeholder_pods import pod_spec, room_metadata
from autoscaler.node_pools.pools import SharedPool
from autoscaler.node_pools.provider import PoolAsk, PoolTold
from autoscaler.node_pools.room_objects import RoomObjects, of_pool

Json = dict[str, Any]
_GROUP = "autoscaling.x-k8s.io"
_VERSIONS = ("v1beta1", "v1alpha1")
"""In order of preference; the fields that are written are the same in both."""
_RIGHTS = "list, create and patch capacitybuffers (autoscaling.x-k8s.io), get, create and patch podtemplates"
_ABSENT = PoolTold(
    state="Refused",
    message=f"this cluster serves no CapacityBuffer ({_GROUP} {' or '.join(_VERSIONS)}): install its CRD and switch "
    "it on in the node autoscaler (cluster-autoscaler --capacity-buffer-controller-enabled and "
    "--capacity-buffer-pod-injection-enabled), or set provider to Placeholders",
)


class CapacityBufferProvider:
    """One pool; it keeps nothing between two steps but the version that the cluster serves."""

    brings_nodes = True

    def __init__(self, shared: SharedPool, writer: Writer, namespaces: tuple[str, ...] = ()) -> None:
        self._shared = shared
        self._writer = writer
        self._namespaces = namespaces

    async def state(self, now_ns: int) -> PoolTold:  # noqa: ARG002 - as Provider has it
        try:
            buffers = await capacity_buffers(self._writer, self._namespaces)
            return _ABSENT if buffers is None else _standing(await self._found(buffers))
        except ApiError as error:
            return told_of(error, _RIGHTS)

    async def tell(self, ask: PoolAsk, now_ns: int) -> PoolTold:  # noqa: ARG002 - as Provider has it
        try:
            buffers = await capacity_buffers(self._writer, self._namespaces)
            if buffers is None:
                return _ABSENT
            found = {buffers.path(each): each for each in await self._found(buffers)}
            paths = set()
            for gpus, count in ask.placeholders.items():
                template, buffer = self._bodies(ask, buffers.group, gpus=gpus, replicas=count)
                path = buffers.path(buffer)
                paths.add(path)
                there = found.get(path)
                if there is None or there["spec"].get("replicas") != count or not await self._stands(template):
                    # The template first: a buffer without one is not ready.
                    await self._writer.apply(_template_path(template), template, force=True, kind="podtemplates")
                    await buffers.apply(buffer)
            await buffers.empty(each for path, each in found.items() if path not in paths)
            return _standing(await self._found(buffers))
        except NotLeader as error:
            return not_written(error)
        except ApiError as error:
            return told_of(error, _RIGHTS)

    def _bodies(self, ask: PoolAsk, group: str, *, gpus: int, replicas: int) -> tuple[Json, Json]:
        metadata = room_metadata(self._shared, ask.owners, gpus=gpus)
        template = {
            "apiVersion": "v1",
            "kind": "PodTemplate",
            "metadata": metadata,
            "template": {
                "metadata": {"labels": metadata["labels"]},
                "spec": pod_spec(self._shared.pool, ask.taints, gpus=gpus),
            },
        }
        buffer = {
            "apiVersion": group.removeprefix("/apis/"),
            "kind": "CapacityBuffer",
            "metadata": metadata,
            "spec": {"podTemplateRef": {"name": metadata["name"]}, "replicas": replicas},
        }
        return template, buffer

    async def _stands(self, template: Json) -> bool:
        """Whether the template in the cluster still says where the room is and how large."""
        try:
            there = (await self._writer.get(_template_path(template)))["template"]["spec"]
        except ApiError as error:
            if error.status == 404:
                return False
            raise
        wanted = template["template"]["spec"]
        same = (there.get(field) == wanted.get(field) for field in ("nodeSelector", "tolerations"))
        return all(same) and there["containers"][0]["resources"] == wanted["containers"][0]["resources"]

    async def _found(self, buffers: RoomObjects) -> list[Json]:
        return of_pool(await buffers.list(self._shared.pool.name), self._shared.key)


async def capacity_buffers(writer: Writer, namespaces: tuple[str, ...] = ()) -> RoomObjects | None:
    """In the best version that the cluster serves; None where it serves none. Raises ApiError."""
    try:
        group = await writer.get(f"/apis/{_GROUP}")
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    served = {each["version"] for each in group.get("versions") or ()}
    version = next((each for each in _VERSIONS if each in served), None)
    if version is None:
        return None
    path = f"/apis/{_GROUP}/{version}"
    try:
        listed = await writer.get(path)
    except ApiError as error:
        if error.status == 404:
            return None
        raise
    if not any(each["name"] == "capacitybuffers" for each in listed.get("resources") or ()):
        return None  # the group's other kinds (ProvisioningRequest) are served by older autoscalers too
    return RoomObjects(group=path, resource="capacitybuffers", writer=writer, namespaces=namespaces)


def _template_path(template: Json) -> str:
    metadata = template["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/podtemplates/{metadata['name']}"


def _standing(buffers: list[Json]) -> PoolTold:
    """By the conditions that the autoscaler sets: ReadyForProvisioning, Provisioning, LimitedByQuotas."""
    wanted = sum(int(each["spec"].get("replicas", 0)) for each in buffers)
    for each in buffers:
        conditions = {one["type"]: one for one in (each.get("status") or {}).get("conditions") or ()}
        name = f"CapacityBuffer {each['metadata']['namespace']}/{each['metadata']['name']}"
        if not each["spec"].get("replicas"):
            continue
        if _is(conditions, "LimitedByQuotas", "True"):
            return PoolTold(state="QuotaExceeded", message=f"{name}: {conditions['LimitedByQuotas']['message']}")
        for kind in ("ReadyForProvisioning", "Provisioning"):
            if _is(conditions, kind, "False"):
                return PoolTold(
                    state="Resizing", message=f"{name} is not {kind}: {conditions[kind].get('message', '')}"
                )
        if not conditions:
            return PoolTold(state="Resizing", message=f"{name}: no node autoscaler has taken it up yet")
    return PoolTold(state="Idle", message=f"{wanted} pieces of room are asked for")


def _is(conditions: Json, kind: str, status: str) -> bool:
    return kind in conditions and conditions[kind].get("status") == status
