"""Everything that the checks look at, as it was read from a cluster or from manifests."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from autoscaler.autoscaler import Autoscaler
from autoscaler.crd.parse import parse_spec
from autoscaler.crd.spec import ScaleTargetRef
from autoscaler.observe.autoscaler_object import autoscaler_of
from autoscaler.observe.hpa_seen import HpaSeen, TargetName, hpa_seen, target_name
from autoscaler.observe.scaled_object import ScaledObjectSeen, scaled_object_seen

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One thing that the controller's ServiceAccount must be allowed to do. namespace: "" for everywhere."""

    group: str
    resource: str
    verb: str
    subresource: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        resource = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        group = f".{self.group}" if self.group else ""
        return f"{self.verb} {resource}{group}" + (f" in {self.namespace}" if self.namespace else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricAnswer:
    """What the metrics APIs said to one entry of an object's metrics. age_seconds: of the oldest sample."""

    autoscaler: str
    metric: str
    error: str = ""
    age_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """server_seconds: the API server's Date header, read while our own clock showed own_seconds; both Unix."""

    server_seconds: float
    own_seconds: float


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """autoscalers, hpas, scaled_objects: raw objects with a namespace. workloads: those that are scaled, by target.

    None: not looked for, or not readable; unread says why, by what was to be read.
    rights: whether each needed one is there. load_seconds: from a server's start to Ready, as learned, by
    namespace and name of the object.
    """

    source: Literal["cluster", "manifests"]
    autoscalers: tuple[Json, ...] = ()
    hpas: tuple[Json, ...] = ()
    scaled_objects: tuple[Json, ...] = ()
    workloads: Mapping[TargetName, Json] = field(default_factory=dict)
    quotas: tuple[Json, ...] = ()
    priority_classes: frozenset[str] | None = None
    crd: Json | None = None
    api_groups: frozenset[str] | None = None
    api_services: Mapping[str, Json] | None = None
    controller: Json | None = None
    lease: Json | None = None
    clocks: Clocks | None = None
    rights: Mapping[Right, bool] = field(default_factory=dict)
    metrics: tuple[MetricAnswer, ...] = ()
    load_seconds: Mapping[tuple[str, str], float] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def objects(self) -> tuple[Autoscaler, ...]:
        """The PredictiveAutoscalers with their specs read; one that cannot be used has a fault."""
        return tuple(autoscaler_of(dict(each), parse_spec, None) for each in self.autoscalers)

    def hpas_on(self, target: TargetName) -> tuple[HpaSeen, ...]:
        return tuple(hpa for hpa in self._hpas if hpa.target == target)

    def scaled_objects_on(self, target: TargetName) -> tuple[ScaledObjectSeen, ...]:
        return tuple(each for each in self._scaled_objects if each.target == target)

    def targets(self) -> Iterator[tuple[Autoscaler, TargetName]]:
        """Of the objects that can be used."""
        for each in self.objects:
            if each.spec is not None:
                yield each, target_of(each.key.namespace, each.spec.scale_target_ref)

    @cached_property
    def _hpas(self) -> tuple[HpaSeen, ...]:
        return tuple(_readable(hpa_seen, self.hpas))

    @cached_property
    def _scaled_objects(self) -> tuple[ScaledObjectSeen, ...]:
        return tuple(_readable(scaled_object_seen, self.scaled_objects))


def target_of(namespace: str, reference: ScaleTargetRef) -> TargetName:
    return target_name(namespace, {"apiVersion": reference.api_version, "kind": reference.kind, "name": reference.name})


def label(autoscaler: Autoscaler) -> str:
    """`serving/chat`"""
    return f"{autoscaler.key.namespace}/{autoscaler.key.name}"


def _readable(read: Any, objects: tuple[Json, ...]) -> Iterator[Any]:
    for each in objects:
        try:
            yield read(dict(each))
        except (KeyError, ValueError, TypeError):
            continue  # in a file: the API server would refuse it
