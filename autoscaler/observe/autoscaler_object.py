"""A PredictiveAutoscaler's JSON as an Autoscaler: its spec is read once a generation, a bad one is a fault."""

from collections.abc import Callable, Mapping
from typing import Any

from adapter.sources.kubernetes.api import Json
from autoscaler.autoscaler import Autoscaler
from autoscaler.cluster import Key
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.lead_times.kube_time import instant_ns

PATH = "/apis/autoscaling.leadtime.dev/v1alpha1"
RESOURCE = "predictiveautoscalers"

Parse = Callable[[Mapping[str, Any]], PredictiveAutoscalerSpec]
"""The value of `spec` as the model has it; raises ValueError (BadInput) with one sentence."""


def autoscaler_of(item: Json, parse: Parse, before: Autoscaler | None) -> Autoscaler:
    """From its JSON. before: the same object as it was last seen. Raises KeyError for what has no name."""
    metadata = item["metadata"]
    uid, generation = str(metadata.get("uid", "")), int(metadata.get("generation", 0))
    spec: PredictiveAutoscalerSpec | None
    if before is not None and (before.uid, before.generation) == (uid, generation):
        spec, fault = before.spec, before.fault
    else:
        try:
            spec, fault = parse(item.get("spec") or {}), ""
        except ValueError as error:
            spec, fault = None, str(error)
    return Autoscaler(
        key=Key(metadata["namespace"], metadata["name"]),
        uid=uid,
        generation=generation,
        resource_version=str(metadata.get("resourceVersion", "")),
        spec=spec,
        fault=fault,
        annotations=metadata.get("annotations") or {},
        status=item.get("status") or {},
        created_ns=instant_ns(metadata.get("creationTimestamp")) or 0,
    )


def asks_for_the_same(before: Autoscaler | None, after: Autoscaler | None) -> bool:
    """Whether nothing changed that a decision goes by: a written status is no reason for another step."""
    if before is None or after is None:
        return before is after
    return (before.uid, before.generation, before.annotations) == (after.uid, after.generation, after.annotations)
