"""A HorizontalPodAutoscaler as the API server shows it: what it scales by, between which bounds, and who keeps it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from adapter.sources.kubernetes.api import Json
from autoscaler.cluster import Key
from policies.hpa import (
    Behavior,
    MetricSpec,
    ScalingPolicy,
    ScalingRules,
    default_behavior,
    scale_down_rules,
    scale_up_rules,
)
from policies.hpa.milli_value import milli, stored_quantity
from policies.hpa.spec import TargetType
from policies.snapshot import ConditionStatus, MetricType

PATH = "/apis/autoscaling/v2"

_BLOCKS: Mapping[MetricType, str] = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}
_KEDA_LABEL = "scaledobject.keda.sh/name"
_KEEPERS = (
    ("Argo CD application", "argocd.argoproj.io/instance"),
    ("Argo CD application", "argocd.argoproj.io/tracking-id"),
    ("Flux Kustomization", "kustomize.toolkit.fluxcd.io/name"),
    ("Flux HelmRelease", "helm.toolkit.fluxcd.io/name"),
    ("Helm release", "meta.helm.sh/release-name"),
)
"""(what, label or annotation by which it marks its objects): argo-cd.readthedocs.io "Resource Tracking",
fluxcd.io "Kustomization" and "HelmRelease", helm.sh "Labels and Annotations"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetName:
    """Whom an HPA or a ScaledObject scales. The version does not tell two objects apart; group: "" for core/v1."""

    namespace: str
    group: str
    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaCondition:
    """One of status.conditions. type: AbleToScale, ScalingActive, ScalingLimited."""

    type: str
    status: ConditionStatus
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaSeen:
    """One HPA. owner: who writes it: `ScaledObject/vllm`, `Argo CD application/serving`; "" where nothing says.

    managers: field managers that own spec.minReplicas: a GitOps tool without marks is seen by these.
    behavior: with the API server's defaults; None where it has none. desired_replicas: its own last word.
    metrics: those that can be read as policies.hpa has them; unread: why others are left out.
    """

    key: Key
    uid: str
    resource_version: str
    target: TargetName
    min_replicas: int
    max_replicas: int
    owner: str
    managers: tuple[str, ...]
    metrics: tuple[MetricSpec, ...]
    unread: tuple[str, ...]
    behavior: Behavior | None
    desired_replicas: int | None
    conditions: tuple[HpaCondition, ...]

    @property
    def name(self) -> str:
        return self.key.name

    @property
    def is_of_keda(self) -> bool:
        """KEDA writes the whole object again: its bounds are changed in the ScaledObject only."""
        return self.owner.startswith("ScaledObject/")


def hpa_seen(hpa: Json) -> HpaSeen:
    """From its JSON, autoscaling/v2. Raises KeyError, ValueError, TypeError for what is none."""
    metadata, spec, status = hpa["metadata"], hpa["spec"], hpa.get("status") or {}
    key = Key(metadata["namespace"], metadata["name"])
    metrics: list[MetricSpec] = []
    unread: list[str] = []
    for entry in spec.get("metrics") or ():
        try:
            metrics.append(_metric(entry))
        except (KeyError, ValueError, TypeError) as error:
            unread.append(f"{entry.get('type')}: {error}")
    behavior = spec.get("behavior")
    return HpaSeen(
        key=key,
        uid=metadata.get("uid", ""),
        resource_version=metadata.get("resourceVersion", ""),
        target=target_name(key.namespace, spec["scaleTargetRef"]),
        min_replicas=spec.get("minReplicas", 1),
        max_replicas=spec["maxReplicas"],
        owner=_owner(metadata),
        managers=tuple(sorted(set(_managers(metadata.get("managedFields") or ())))),
        metrics=tuple(metrics),
        unread=tuple(unread),
        behavior=None
        if behavior is None
        else default_behavior(
            scale_up=_rules(behavior.get("scaleUp"), up=True), scale_down=_rules(behavior.get("scaleDown"), up=False)
        ),
        desired_replicas=status.get("desiredReplicas"),
        conditions=tuple(
            HpaCondition(
                type=each["type"],
                status=each["status"],
                reason=each.get("reason", ""),
                message=each.get("message", ""),
            )
            for each in status.get("conditions") or ()
        ),
    )


def target_name(namespace: str, ref: Mapping[str, Any]) -> TargetName:
    """Of a scaleTargetRef; without an apiVersion it is of the core group, as for the HPA controller."""
    group, slash, _ = str(ref.get("apiVersion") or "").partition("/")
    return TargetName(namespace=namespace, group=group if slash else "", kind=ref["kind"], name=ref["name"])


def _owner(metadata: Json) -> str:
    for reference in metadata.get("ownerReferences") or ():
        if reference.get("controller") or reference.get("kind") == "ScaledObject":
            return f"{reference['kind']}/{reference['name']}"
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    if name := labels.get(_KEDA_LABEL):
        return f"ScaledObject/{name}"
    for what, mark in _KEEPERS:
        if name := labels.get(mark) or annotations.get(mark):
            return f"{what}/{name.partition(':')[0]}"  # a tracking id is APPLICATION:GROUP/KIND:NAMESPACE/NAME
    return ""


def _managers(entries: Sequence[Json]) -> Iterator[str]:
    for entry in entries:
        if "f:minReplicas" in ((entry.get("fieldsV1") or {}).get("f:spec") or {}):
            yield entry.get("manager", "")


def _metric(entry: Json) -> MetricSpec:
    kind: MetricType = entry["type"]
    block = entry[_BLOCKS[kind]]
    target = block["target"]
    of_resource = kind in ("Resource", "ContainerResource")
    described = block.get("describedObject")
    average, value = target.get("averageValue"), target.get("value")
    return MetricSpec(
        type=kind,
        name=block["name"] if of_resource else block["metric"]["name"],
        container=block.get("container", ""),
        object_name=f"{described['kind']}/{described['name']}" if described else "",
        selector=() if of_resource else _equalities(block["metric"].get("selector") or {}),
        target_type=cast("TargetType", target["type"]),
        average_utilization=target.get("averageUtilization"),
        average_value_milli=None if average is None else milli(str(average)),
        value_milli=None if value is None else milli(str(value)),
    )


def _equalities(selector: Json) -> tuple[tuple[str, str], ...]:
    pairs = dict(selector.get("matchLabels") or {})
    for each in selector.get("matchExpressions") or ():
        if each.get("operator") != "In" or len(each.get("values") or ()) != 1:
            raise ValueError("a selector other than an equality is not read")
        pairs[each["key"]] = each["values"][0]
    return tuple(sorted(pairs.items()))


def _rules(rules: Json | None, *, up: bool) -> ScalingRules | None:
    if rules is None:
        return None
    make = scale_up_rules if up else scale_down_rules
    listed, tolerance = rules.get("policies"), rules.get("tolerance")
    return make(
        stabilization_window_seconds=rules.get("stabilizationWindowSeconds"),
        select_policy=rules.get("selectPolicy"),
        policies=None
        if listed is None
        else tuple(
            ScalingPolicy(type=each["type"], value=each["value"], period_seconds=each["periodSeconds"])
            for each in listed
        ),
        tolerance=None if tolerance is None else stored_quantity(str(tolerance)),
    )
