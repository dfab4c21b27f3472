"""KServe InferenceService -> the KPA's spec, or the HPA that KServe generates in RawDeployment (Standard) mode.

Sources: kserve/kserve pkg/controller/v1beta1/inferenceservice/reconcilers, knative/ksvc_reconciler.go (which field
becomes which annotation; minReplicas is 1 where it is not given) and hpa/hpa_reconciler.go (createHPA).
"""

from dataclasses import dataclass
from typing import Any

from leadtime.manifests.document import Document
from leadtime.manifests.fields import Fields
from leadtime.manifests.knative import Settings, kpa_policy
from leadtime.manifests.pod_spec import INFERENCE_PREDICTOR, POD_SPEC
from policies.errors import BadInput
from policies.hpa import HPASpec, MetricSpec, default_behavior, hpa_policy
from policies.policy import Policy

_PREFIX = "serving.kserve.io/"
_READ = ("autoscalerClass", "deploymentMode", "metrics", "targetUtilizationPercentage")
_DEFAULT_UTILIZATION = 80


def inference_service_policy(document: Document) -> Policy[Any, Any]:
    """A KServe InferenceService: the KPA, or in RawDeployment (Standard) mode the HPA that KServe generates."""
    top = Fields.of(document)
    top.accept("apiVersion", "kind", "status")
    settings = Settings()
    outer = top.metadata()
    kserve = _kserve_annotations(outer)
    settings.annotations.read(outer)
    spec = top.child("spec", required=True)
    predictor = None if spec is None else spec.child("predictor", required=True)
    if spec is not None:
        spec.refuse(
            "each of them scales on its own; give a manifest with the predictor only", "transformer", "explainer"
        )
        spec.done()
    top.done()
    scaling = _Predictor() if predictor is None else _read_predictor(predictor, settings)
    is_raw = kserve.get("deploymentMode") in {"RawDeployment", "Standard"}
    autoscaler_class = kserve.get("autoscalerClass", "hpa" if is_raw else "kpa")
    if outer is not None and autoscaler_class not in ({"hpa"} if is_raw else {"hpa", "kpa"}):
        outer.problem(
            f"{_PREFIX}autoscalerClass",
            f"was {autoscaler_class!r}, which scales by a manifest of its own; give that one",
        )
    if is_raw:
        return _kserve_hpa(document, top, kserve, scaling)
    if predictor is not None:
        values = {
            "min-scale": "1" if scaling.min_replicas is None else str(scaling.min_replicas),
            "max-scale": str(scaling.max_replicas) if scaling.max_replicas else "",
            "target": "" if scaling.scale_target is None else str(scaling.scale_target),
            "metric": scaling.scale_metric,
        }
        at = {"min-scale": "minReplicas", "max-scale": "maxReplicas", "target": "scaleTarget", "metric": "scaleMetric"}
        for key, text in values.items():
            if text:
                settings.annotations.set(key, text, predictor, at[key])
    return kpa_policy(document, top, settings)


@dataclass(slots=True)
class _Predictor:
    min_replicas: int | None = None
    max_replicas: int = 0
    scale_target: int | None = None
    scale_metric: str = ""


def _read_predictor(predictor: Fields, settings: Settings) -> _Predictor:
    predictor.accept(*POD_SPEC, *INFERENCE_PREDICTOR)
    predictor.refuse("an autoScaling block configures KEDA or an HPA of its own", "autoScaling", "scaleMetricType")
    settings.annotations.read(predictor.child("annotations"))
    settings.container_concurrency = predictor.integer("containerConcurrency", default=0) or 0
    read = _Predictor(
        min_replicas=predictor.integer("minReplicas"),
        max_replicas=predictor.integer("maxReplicas", default=0) or 0,
        scale_target=predictor.integer("scaleTarget"),
        scale_metric=predictor.choice("scaleMetric", ("cpu", "memory", "concurrency", "rps")),
    )
    predictor.done()
    return read


def _kserve_annotations(fields: Fields | None) -> dict[str, str]:
    """KServe's annotations that say who scales; its others are about models and routing."""
    if fields is None:
        return {}
    found = {key.removeprefix(_PREFIX): text for key, text in fields.texts().items() if key.startswith(_PREFIX)}
    return {key: text for key, text in found.items() if key in _READ}


def _kserve_hpa(document: Document, top: Fields, kserve: dict[str, str], scaling: _Predictor) -> Policy[Any, Any]:
    """createHPA: one Resource metric, minReplicas at least 1, maxReplicas at least minReplicas, behavior: {}."""
    metric = scaling.scale_metric or kserve.get("metrics", "cpu")
    if metric not in {"cpu", "memory"}:
        top.problem("spec", f"scaleMetric was {metric!r}, must be cpu or memory with KServe's HPA")
    text = kserve.get("targetUtilizationPercentage", str(_DEFAULT_UTILIZATION))
    if scaling.scale_target is None and not text.isdecimal():
        top.problem("metadata", f"annotation targetUtilizationPercentage was {text!r}, must be a whole number")
    top.problems.raise_any()
    least = max(1, scaling.min_replicas or 1)
    target = int(text) if scaling.scale_target is None else scaling.scale_target
    spec = HPASpec(
        min_replicas=least,
        max_replicas=max(least, scaling.max_replicas),
        metrics=(MetricSpec(type="Resource", name=metric, average_utilization=target),),
        behavior=default_behavior(),
    )
    try:
        return hpa_policy(spec, document.name or document.path.stem)
    except BadInput as error:
        raise BadInput(f"{document.path}:{document.line}: {error}") from error
