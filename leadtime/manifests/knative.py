"""Knative Service and PodAutoscaler -> the KPA's spec.

Source: knative/serving pkg/reconciler/autoscaling/resources/target.go (ResolveMetricTarget): the annotation's
target or container-concurrency-target-default, never above the hard limit, times the target utilization.
Accepted without effect: initial-scale, the size of a new revision before it scales, and target-burst-capacity,
which says where requests queue.
"""

from dataclasses import dataclass, field
from typing import Any

from leadtime.manifests.annotations import HPA_CLASS, KPA_CLASS, PREFIX, Annotations
from leadtime.manifests.document import Document
from leadtime.manifests.fields import Fields
from leadtime.manifests.pod_spec import POD_SPEC
from policies.baselines.knative_kpa import KnativeSpec, knative_policy
from policies.errors import BadInput
from policies.policy import Policy


@dataclass(slots=True)
class Settings:
    """What a manifest says about scaling: annotations, and the hard limit of requests in one pod."""

    annotations: Annotations = field(default_factory=Annotations)
    container_concurrency: int = 0


def service_policy(document: Document) -> Policy[Any, Any]:
    """A Knative Service: its revision template carries the annotations."""
    top = Fields.of(document)
    top.accept("apiVersion", "kind", "status")
    settings = Settings()
    outer = top.metadata()
    for key in outer.texts() if outer is not None else ():
        if outer is not None and key.startswith(PREFIX):
            outer.problem(key, "has no effect here; move it to spec.template.metadata.annotations")
    spec = top.child("spec", required=True)
    if spec is not None:
        spec.accept("traffic")
        template = spec.child("template", required=True)
        if template is not None:
            settings.annotations.read(template.metadata())
            _read_pod_spec(template.child("spec"), settings)
            template.done()
        spec.done()
    top.done()
    return kpa_policy(document, top, settings)


def pod_autoscaler_policy(document: Document) -> Policy[Any, Any]:
    """Knative's own PodAutoscaler, which a Service generates."""
    top = Fields.of(document)
    top.accept("apiVersion", "kind", "status")
    settings = Settings()
    settings.annotations.read(top.metadata())
    spec = top.child("spec")
    if spec is not None:
        spec.accept("protocolType", "reachability", "scaleTargetRef")
        settings.container_concurrency = spec.integer("containerConcurrency", default=0) or 0
        spec.done()
    top.done()
    return kpa_policy(document, top, settings)


def kpa_policy(document: Document, top: Fields, settings: Settings) -> Policy[Any, Any]:
    """The KPA with these settings; what is not said has Knative's defaults."""
    given = settings.annotations
    if given.get("class", KPA_CLASS) == HPA_CLASS:
        top.problem("", f"class {HPA_CLASS} is not supported: give the HorizontalPodAutoscaler that Knative generates")
    elif given.get("metric", "concurrency") != "concurrency":
        top.problem("", f"metric {given.get('metric')} is not supported: the KPA here scales on concurrency")
    top.problems.raise_any()
    plain = KnativeSpec()
    limit = settings.container_concurrency
    target = given.get("target", limit or plain.target_concurrency)
    utilization = given.get("target-utilization-percentage")
    spec = KnativeSpec(
        target_concurrency=min(target, limit) if limit else target,
        target_utilization=plain.target_utilization if utilization is None else utilization / 100,
        min_replicas=given.get("min-scale", plain.min_replicas),
        max_replicas=given.get("max-scale", plain.max_replicas),
        stable_window_seconds=int(given.get("window", plain.stable_window_seconds)),
        panic_window_percentage=given.get("panic-window-percentage", plain.panic_window_percentage),
        panic_threshold_percentage=given.get("panic-threshold-percentage", plain.panic_threshold_percentage),
        scale_down_delay_seconds=int(given.get("scale-down-delay", plain.scale_down_delay_seconds)),
        activation_scale=given.get("activation-scale", plain.activation_scale),
        scale_to_zero_pod_retention_period_seconds=int(
            given.get("scale-to-zero-pod-retention-period", plain.scale_to_zero_pod_retention_period_seconds)
        ),
        aggregation=given.get("metric-aggregation-algorithm", plain.aggregation),
    )
    try:
        return knative_policy(spec, document.name or document.path.stem)
    except BadInput as error:
        raise BadInput(f"{document.path}:{document.line}: {error}") from error


def _read_pod_spec(fields: Fields | None, settings: Settings) -> None:
    if fields is None:
        return
    fields.accept(*POD_SPEC, "timeoutSeconds", "responseStartTimeoutSeconds", "idleTimeoutSeconds")
    settings.container_concurrency = fields.integer("containerConcurrency", default=0) or 0
    fields.done()
