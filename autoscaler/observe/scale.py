"""The scale subresource of any workload: a Deployment, a StatefulSet, a LeaderWorkerSet, a kind of somebody's own."""

from dataclasses import dataclass

from adapter.sources.kubernetes.api import ApiError, ApiReader, Json
from adapter.sources.kubernetes.label_selector import BadSelector, LabelSelector
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.observe.resources import Resource, Resources
from autoscaler.observe.selector_text import parse_selector_text
from autoscaler.observe.target_error import TargetError, target_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """As it was read. replicas: spec.replicas, asked for. status_replicas: pods that exist.

    selector: of the workload's pods; selector_text: as the status has it. path: of the subresource,
    `/apis/apps/v1/namespaces/llm/deployments/vllm/scale`. resource: of the workload, `deployments.apps`.
    """

    replicas: int
    status_replicas: int
    selector: LabelSelector
    selector_text: str
    resource_version: str
    path: str
    resource: str


class ScaleReader:
    """Reads it from the API server, within timeout_seconds for each of at most two requests."""

    def __init__(self, client: ApiReader, resources: Resources | None = None, *, timeout_seconds: float = 5.0) -> None:
        self._client = client
        self._resources = resources or Resources(client, timeout_seconds=timeout_seconds)
        self._timeout_seconds = timeout_seconds

    async def read(self, namespace: str, ref: ScaleTargetRef) -> Scale:
        """Raises TargetError."""
        resource = await self._resources.find(ref)
        what = f"{ref.kind} {namespace}/{ref.name}"
        if not resource.has_scale:
            raise TargetError(
                "NoScaleSubresource",
                f"{what} has no scale subresource; name the workload that has one in spec.scaleTargetRef, or add "
                f"subresources.scale to the CustomResourceDefinition of {resource.qualified}",
            )
        path = f"{resource.path(namespace, ref.name)}/scale"
        try:
            answer = await self._client.get(path, timeout_seconds=self._timeout_seconds)
        except ApiError as error:
            if error.status == 404:
                self._resources.forget(ref.api_version)
            raise target_error(error, what, group=resource.group, resource=f"{resource.plural}/scale") from error
        return _scale(answer, what, path, resource)


def _scale(answer: Json, what: str, path: str, resource: Resource) -> Scale:
    """From a Scale of autoscaling/v1, which leaves out what is 0."""
    spec, status = answer.get("spec") or {}, answer.get("status") or {}
    text = status.get("selector") or ""
    if not text:
        raise TargetError(
            "InvalidSelector",
            f"{what}: status.selector of its scale is empty, must select its pods; a custom kind names it by "
            "labelSelectorPath in its CustomResourceDefinition",
        )
    try:
        selector = parse_selector_text(text)
    except BadSelector as error:
        raise TargetError("InvalidSelector", f"{what}: {error}") from error
    return Scale(
        replicas=int(spec.get("replicas") or 0),
        status_replicas=int(status.get("replicas") or 0),
        selector=selector,
        selector_text=text,
        resource_version=str((answer.get("metadata") or {}).get("resourceVersion", "")),
        path=path,
        resource=resource.qualified,
    )
