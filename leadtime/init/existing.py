"""What an HPA or a ScaledObject says that a PredictiveAutoscaler takes over. Pure.

Source: kubernetes/api autoscaling/v2/types.go, v1.36; kedacore/keda apis/keda/v1alpha1/scaledobject_types.go and
pkg/scalers/cron_scaler.go, v2.18, with their defaults.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.errors import BadInput

Json = Mapping[str, Any]

_HPA_MIN, _KEDA_MIN, _KEDA_MAX = 1, 0, 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Existing:
    """kind: HPA or ScaledObject. behavior, metrics: as they stand there, None and empty where it has none.

    schedules: entries of spec.schedules, from KEDA's cron triggers. left: what was not taken over, and why.
    """

    kind: str
    namespace: str | None
    name: str
    target: dict[str, str]
    min_replicas: int
    max_replicas: int
    behavior: dict[str, Any] | None = None
    metrics: tuple[dict[str, Any], ...] = ()
    schedules: tuple[dict[str, Any], ...] = ()
    left: tuple[str, ...] = ()


def existing(scaler: Json) -> Existing:
    """Raises BadInput where it is not one of the two, or belongs to another, or lacks what is needed."""
    kind, group = scaler.get("kind"), str(scaler.get("apiVersion", "")).partition("/")[0]
    if (group, kind) == ("autoscaling", "HorizontalPodAutoscaler"):
        return _of_hpa(scaler)
    if (group, kind) == ("keda.sh", "ScaledObject"):
        return _of_scaled_object(scaler)
    raise BadInput(f"kind: was {kind!r} of {group!r}, must be a HorizontalPodAutoscaler or a ScaledObject; give one")


def _of_hpa(hpa: Json) -> Existing:
    metadata, spec = hpa.get("metadata") or {}, hpa.get("spec") or {}
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("kind") == "ScaledObject":
            raise BadInput(
                f"HPA {metadata.get('name')}: belongs to ScaledObject {owner.get('name')}, which writes it; begin from "
                f"that: leadtime init scaledobject/{owner.get('name')}"
            )
    return Existing(
        kind="HPA",
        namespace=metadata.get("namespace"),
        name=_text(metadata, "name", "metadata"),
        target=_target(spec, "apps/v1"),
        min_replicas=_count(spec, "minReplicas", _HPA_MIN),
        max_replicas=_count(spec, "maxReplicas", None),
        behavior=_mapping(spec.get("behavior")),
        metrics=tuple(dict(each) for each in spec.get("metrics") or () if isinstance(each, Mapping)),
    )


def _of_scaled_object(scaled: Json) -> Existing:
    metadata, spec = scaled.get("metadata") or {}, scaled.get("spec") or {}
    config = (spec.get("advanced") or {}).get("horizontalPodAutoscalerConfig") or {}
    max_replicas = _count(spec, "maxReplicaCount", _KEDA_MAX)
    triggers = [each for each in spec.get("triggers") or () if isinstance(each, Mapping)]
    schedules, left = [], []
    for number, trigger in enumerate(triggers):
        told = trigger.get("metadata") or {}
        replicas = str(told.get("desiredReplicas", ""))
        if trigger.get("type") == "cron" and replicas.isascii() and replicas.isdecimal() and int(replicas) > 0:
            schedules.append(
                {
                    "name": _label(str(trigger.get("name") or f"cron-{number}")),
                    "start": str(told.get("start", "")),
                    "end": str(told.get("end", "")),
                    "timeZone": str(told.get("timezone", "UTC")),
                    "minReplicas": min(int(replicas), max_replicas),
                }
            )
        else:
            left.append(f"trigger {number} of type {trigger.get('type')}: {_why_left(trigger)}")
    return Existing(
        kind="ScaledObject",
        namespace=metadata.get("namespace"),
        name=_text(metadata, "name", "metadata"),
        target=_target(spec, "apps/v1"),
        min_replicas=_count(spec, "minReplicaCount", _KEDA_MIN),
        max_replicas=max_replicas,
        behavior=_mapping(config.get("behavior")),
        schedules=tuple(schedules),
        left=(*left, *_further(spec)),
    )


def _why_left(trigger: Json) -> str:
    if trigger.get("type") in ("cpu", "memory"):
        return "write it as an entry of type Resource under metrics"
    return "KEDA alone serves its value; leadtime scales by the servers' own counters instead"


def _further(spec: Json) -> Iterator[str]:
    if "idleReplicaCount" in spec:
        yield "idleReplicaCount: leadtime keeps minReplicas, because the first request after zero waits a lead time"
    if "fallback" in spec:
        replicas = (spec["fallback"] or {}).get("replicas")
        yield f"fallback.replicas of {replicas}: here nothing is scaled down for not knowing; see spec.fallback"


def _target(spec: Json, default_version: str) -> dict[str, str]:
    reference = spec.get("scaleTargetRef") or {}
    return {
        "apiVersion": str(reference.get("apiVersion") or default_version),
        "kind": str(reference.get("kind") or "Deployment"),
        "name": _text(reference, "name", "spec.scaleTargetRef"),
    }


def _text(section: Json, key: str, where: str) -> str:
    value = section.get(key)
    if not isinstance(value, str) or not value:
        raise BadInput(f"{where}.{key}: was {value!r}, must be a name; give the object as the cluster has it")
    return value


def _count(spec: Json, key: str, default: int | None) -> int:
    value = spec.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 100_000:
        raise BadInput(f"spec.{key}: was {value!r}, must be a whole number in [0, 100000]; correct it")
    return value


def _mapping(value: Any) -> dict[str, Any] | None:
    return dict(value) if isinstance(value, Mapping) and value else None


def _label(text: str) -> str:
    """A DNS label near the text."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-") or "cron"
