"""A ScaledObject of KEDA: it keeps an HPA of its own, whose bounds it writes again whenever they differ."""

from dataclasses import dataclass

from adapter.sources.kubernetes.api import Json
from autoscaler.cluster import Key
from autoscaler.observe.hpa_seen import TargetName, target_name

PATH = "/apis/keda.sh/v1alpha1"
_DEFAULTS = {"apiVersion": "apps/v1", "kind": "Deployment"}
"""keda.sh/docs, "ScaledObject specification"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledObjectSeen:
    """hpa_name: of the HPA that it keeps. paused: by its annotation, so that KEDA scales nothing."""

    key: Key
    target: TargetName
    min_replicas: int
    max_replicas: int
    hpa_name: str
    paused: bool


def scaled_object_seen(scaled_object: Json) -> ScaledObjectSeen:
    """From its JSON. Raises KeyError, ValueError, TypeError for what is none."""
    metadata, spec = scaled_object["metadata"], scaled_object["spec"]
    key = Key(metadata["namespace"], metadata["name"])
    ref = {**_DEFAULTS, **{name: value for name, value in spec["scaleTargetRef"].items() if value}}
    annotations = metadata.get("annotations") or {}
    status = scaled_object.get("status") or {}
    return ScaledObjectSeen(
        key=key,
        target=target_name(key.namespace, ref),
        min_replicas=int(spec.get("minReplicaCount", 0)),
        max_replicas=int(spec.get("maxReplicaCount", 100)),
        hpa_name=status.get("hpaName") or f"keda-hpa-{key.name}",
        paused=annotations.get("autoscaling.keda.sh/paused") == "true"
        or "autoscaling.keda.sh/paused-replicas" in annotations,
    )
