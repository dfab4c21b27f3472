"""The annotation that says which pods a scale-down takes: written where it differs, and nobody else's is touched.

By server-side apply without force, of exactly the pod that was seen: who else sets the annotation owns the field, and
keeps it. Karpenter does so by its feature gate PodDeletionCostManagement. Ours is given back by an apply without it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from adapter.sources.kubernetes.api import ApiError, Json
from autoscaler.act.writer import Writer
from autoscaler.observe.pod_seen import POD_DELETION_COST, PodSeen

MOST_WRITES = 50
"""Of one object in one step: each is an update that every watch of pods is told of."""
RIGHTS = (
    "kubectl apply -k manifests/controller/overlays/pod-deletion-cost, or add components/pod-deletion-cost to a "
    "kustomization of your own: it lets the controller patch pods"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostChange:
    """One pod's annotation; cost: None to take ours off."""

    pod: PodSeen
    cost: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CostsWritten:
    """written: changes that were made. taken: pods whose annotation turned out to be somebody else's.

    forbidden: what the API server said where the right is missing. error: what else failed last, "" for nothing.
    """

    written: int = 0
    taken: int = 0
    forbidden: str = ""
    error: str = ""


def cost_changes(pods: Iterable[PodSeen], costs: Mapping[str, int], field_manager: str) -> tuple[CostChange, ...]:
    """What is to be written, the pods that go first before the others. costs: of the pods that should have one, by
    name. field_manager: ours."""
    changes = [
        CostChange(pod=pod, cost=costs.get(pod.key.name))
        for pod in pods
        if not pod.pod.deleting
        and pod.pod.phase not in ("Succeeded", "Failed")
        and _is_due(pod, costs.get(pod.key.name), field_manager)
    ]
    return tuple(sorted(changes, key=lambda each: (each.cost or 0, each.pod.key)))


def is_somebody_elses(pod: PodSeen, field_manager: str) -> bool:
    """Whether it has the annotation, and not from us alone."""
    return pod.deletion_cost is not None and pod.deletion_cost.managers != (field_manager,)


async def write(changes: Sequence[CostChange], *, writer: Writer) -> CostsWritten:
    """At most MOST_WRITES of them. Ends at the first that shows that the others would fail too. Raises NotLeader."""
    written = taken = 0
    forbidden = error = ""
    for change in changes[:MOST_WRITES]:
        try:
            await writer.apply(_path(change.pod), _body(change), force=False, kind="pod-deletion-cost")
        except ApiError as fault:
            if fault.status == 409:  # owned by somebody else meanwhile, or not that pod any more
                taken += 1
            elif fault.status in (401, 403):
                forbidden = str(fault)
                break
            elif fault.status != 404:
                error = str(fault)
                if not 400 <= fault.status < 500 or fault.status == 429:
                    break
        else:
            written += 1
    return CostsWritten(written=written, taken=taken, forbidden=forbidden, error=error)


def _is_due(pod: PodSeen, cost: int | None, field_manager: str) -> bool:
    seen = pod.deletion_cost
    if seen is None:
        return cost is not None
    if cost is None:
        return field_manager in seen.managers
    return seen.managers == (field_manager,) and seen.value != str(cost)


def _path(pod: PodSeen) -> str:
    return f"/api/v1/namespaces/{pod.key.namespace}/pods/{pod.key.name}"


def _body(change: CostChange) -> Json:
    """With its uid, an apply makes no pod where that one is gone: it is a conflict."""
    key = change.pod.key
    metadata: Json = {"name": key.name, "namespace": key.namespace, "uid": change.pod.uid}
    if change.cost is not None:
        metadata["annotations"] = {POD_DELETION_COST: str(change.cost)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
