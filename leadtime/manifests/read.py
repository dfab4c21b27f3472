"""A manifest file -> the policy that it configures, whatever autoscaler it is written for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from leadtime.manifests.document import Document, read_documents
from leadtime.manifests.hpa import hpa_spec
from leadtime.manifests.keda import scaled_object_policy
from leadtime.manifests.knative import pod_autoscaler_policy, service_policy
from leadtime.manifests.kserve import inference_service_policy
from leadtime.manifests.predictive_autoscaler import predictive_autoscaler_policy
from policies.errors import BadInput
from policies.hpa import hpa_policy
from policies.policy import Policy


def read_policy(path: Path) -> Policy[Any, Any]:
    """The policy of the one autoscaler in the file; other documents (the Deployment) are passed over.

    Raises BadInput: one that lists the autoscalers found unless there is exactly one, or one that names every
    field that cannot be run as it stands.
    """
    documents = read_documents(path)
    found = [document for document in documents if _reader(document) is not None]
    if len(found) != 1:
        raise BadInput(f"{path}: {_listed(documents, found)}")
    reader = _reader(found[0])
    assert reader is not None, "it was found by its reader"
    return reader(found[0])


def _hpa(document: Document) -> Policy[Any, Any]:
    return hpa_policy(hpa_spec(document), document.name or document.path.stem)


Reader = Callable[[Document], Policy[Any, Any]]

_READERS: dict[tuple[str, str], Reader] = {
    ("autoscaling", "HorizontalPodAutoscaler"): _hpa,
    ("autoscaling.leadtime.dev", "PredictiveAutoscaler"): predictive_autoscaler_policy,
    ("keda.sh", "ScaledObject"): scaled_object_policy,
    ("serving.knative.dev", "Service"): service_policy,
    ("autoscaling.internal.knative.dev", "PodAutoscaler"): pod_autoscaler_policy,
    ("serving.kserve.io", "InferenceService"): inference_service_policy,
}


def _reader(document: Document) -> Reader | None:
    return _READERS.get((document.api_group, document.kind))


def _listed(documents: list[Document], found: list[Document]) -> str:
    kinds = ", ".join(sorted({kind for _, kind in _READERS}))
    if found:
        names = ", ".join(f"{each.kind} {each.name or 'without name'} (line {each.line})" for each in found)
        return f"holds {len(found)} autoscalers, must hold one: {names}; put each into a file of its own"
    others = ", ".join(f"{each.kind} (line {each.line})" for each in documents)
    return f"holds no autoscaler, must hold one of {kinds}; found {others or 'nothing'}"
