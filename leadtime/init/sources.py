"""Where init reads the autoscaler and its workload: from a cluster, or from manifests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adapter.sources.kubernetes.api import ApiError, ApiReader
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.observe.resources import Resources
from autoscaler.observe.scale import ScaleReader
from autoscaler.observe.target_error import TargetError
from leadtime.init.existing import Existing, existing
from leadtime.manifests.document import read_documents
from policies.errors import BadInput

Json = Mapping[str, Any]

PATHS = {
    "hpa": "/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers/{name}",
    "scaledobject": "/apis/keda.sh/v1alpha1/namespaces/{namespace}/scaledobjects/{name}",
}
SHORT = {"horizontalpodautoscaler": "hpa", "horizontalpodautoscalers": "hpa", "so": "scaledobject"}
_KINDS = ("HorizontalPodAutoscaler", "ScaledObject")
_MOST_PODS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """found: the autoscaler. workload, pods: None and empty where they could not be seen; notes say why.

    node_labels: of a node that one of the pods runs on.
    """

    found: Existing
    workload: Json | None = None
    pods: tuple[Json, ...] = ()
    node_labels: Mapping[str, str] | None = None
    notes: tuple[str, ...] = ()


async def from_cluster(client: ApiReader, kind: str, name: str, namespace: str) -> Seen:
    """kind: hpa or scaledobject. The autoscaler must be there; without the rest less is guessed. Raises ApiError,
    BadInput."""
    try:
        scaler = await client.get(PATHS[kind].format(namespace=namespace, name=name))
    except ApiError as error:
        if error.status == 404:
            raise BadInput(
                f"{kind}/{name} in namespace {namespace}: is not there; `kubectl get {kind} -A` lists them"
            ) from error
        raise
    found = existing(scaler)
    resources = Resources(client)
    reference = ScaleTargetRef(
        api_version=found.target["apiVersion"], kind=found.target["kind"], name=found.target["name"]
    )
    notes: list[str] = []
    workload: Json | None = None
    pods: tuple[Json, ...] = ()
    labels: Mapping[str, str] | None = None
    try:
        workload = await client.get((await resources.find(reference)).path(namespace, reference.name))
        scale = await ScaleReader(client, resources).read(namespace, reference)
        selected = {"labelSelector": scale.selector_text, "limit": str(_MOST_PODS)}
        pods = tuple((await client.get(f"/api/v1/namespaces/{namespace}/pods", selected)).get("items") or ())
        node = next((pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")), None)
        if node is not None:
            labels = (await client.get(f"/api/v1/nodes/{node}"))["metadata"].get("labels")
    except (ApiError, TargetError) as error:
        notes.append(str(error))
    return Seen(found=found, workload=workload, pods=pods, node_labels=labels, notes=tuple(notes))


def from_manifests(paths: Sequence[Path]) -> Seen:
    """The one HPA or ScaledObject in the files, and its workload where they hold it. Raises BadInput."""
    objects = [each for path in paths for each in manifest_objects(path)]
    scalers = [each for each in objects if each.get("kind") in _KINDS]
    if len(scalers) != 1:
        names = ", ".join(f"{each['kind']} {_name(each)}" for each in scalers) or "none"
        raise BadInput(
            f"{', '.join(map(str, paths))}: held {names}, must hold one HorizontalPodAutoscaler or ScaledObject; "
            "give its file and its workload's"
        )
    found = existing(scalers[0])
    return Seen(found=found, workload=_target_among(objects, found))


def manifest_objects(path: Path) -> list[Json]:
    """Every object of a file, those of a List one by one."""
    objects: list[Json] = []
    for document in read_documents(path):
        content = document.content
        listed = content.get("items") if document.kind.endswith("List") else None
        objects += [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else [content]
    return objects


def _target_among(objects: Iterable[Json], found: Existing) -> Json | None:
    for each in objects:
        if each.get("kind") == found.target["kind"] and _name(each) == found.target["name"]:
            return each
    return None


def _name(each: Json) -> str:
    return str((each.get("metadata") or {}).get("name", "without name"))
