"""`metrics`: entries as in an HPA, field for field.

Source: kubernetes/api autoscaling/v2/types.go (MetricSpec and what it holds); the ranges are those of
pkg/apis/autoscaling/validation/validation.go; v1.36.3. Narrower than there in two things: `target.type` must name the
value that is set, and a selector holds equalities only (policies.hpa asks metrics by equalities).
"""

from typing import Literal

from pydantic import Field

from autoscaler.crd.names import Kind, LabelKey, Labels, LabelValue
from autoscaler.crd.quantity import PositiveQuantity
from autoscaler.crd.rule import Rule
from autoscaler.crd.section import CrdSection
from policies.hpa.go_numbers import MAX_INT32

_PATH_SEGMENT = r"^[^/%]+$"
"""As the API server asks of a metric's name: it becomes a part of a URL."""


class LabelSelectorRequirement(CrdSection):
    """An equality: `key` is the one of `values`."""

    key: LabelKey
    """The label."""
    operator: Literal["In"]
    """Only In: the other operators of a selector are no equality."""
    values: tuple[LabelValue, ...] = Field(strict=False, min_length=1, max_length=1)
    """Exactly one value."""


class LabelSelector(CrdSection):
    """Which series of the metric: those whose labels have these values. Empty or not given: all."""

    rules = (
        Rule(
            field="matchExpressions",
            cel="!has(self.matchExpressions) || !has(self.matchLabels) || "
            "self.matchExpressions.all(each, !(each.key in self.matchLabels))",
            holds=lambda self: not {each.key for each in self.match_expressions} & set(self.match_labels),
            message="named a key that matchLabels names too, must name others; remove one of the two",
        ),
    )

    match_labels: Labels = Field(default_factory=dict)
    """Label -> value, all of which must match; up to 20."""
    match_expressions: tuple[LabelSelectorRequirement, ...] = Field(
        (),
        strict=False,
        max_length=20,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["key"]},
    )
    """Further equalities, of other labels; up to 20."""


class MetricIdentifier(CrdSection):
    """Which metric, and which of its series."""

    name: str = Field(min_length=1, max_length=253, pattern=_PATH_SEGMENT)
    """The metric's name, as the metrics API knows it."""
    selector: LabelSelector | None = None


class DescribedObject(CrdSection):
    """The object that an Object metric describes, in the same namespace."""

    api_version: str | None = Field(None, min_length=1, max_length=317)
    """Its API version, such as networking.k8s.io/v1. May be left out, as in an HPA."""
    kind: Kind
    """Its kind, such as Service."""
    name: str = Field(min_length=1, max_length=253, pattern=_PATH_SEGMENT)
    """Its name."""


class ResourceTarget(CrdSection):
    """What to hold per pod: percent of its request, or an amount."""

    rules = (
        Rule(
            field="type",
            cel="has(self.averageUtilization) == (self.type == 'Utilization') && "
            "has(self.averageValue) == (self.type == 'AverageValue')",
            holds=lambda self: (
                (self.average_utilization is not None) == (self.type == "Utilization")
                and (self.average_value is not None) == (self.type == "AverageValue")
            ),
            message="was {type}, must name the one value that is set; set averageUtilization for Utilization or "
            "averageValue for AverageValue, and remove the other",
        ),
    )

    type: Literal["Utilization", "AverageValue"]
    """Which of the two is set."""
    average_utilization: int | None = Field(None, ge=1, le=MAX_INT32)
    """Percent of the pods' requests, on average, at least 1."""
    average_value: PositiveQuantity | None = None
    """Amount per pod, on average, above 0: 500m, 2Gi."""


class PodsTarget(CrdSection):
    """What to hold per pod."""

    type: Literal["AverageValue"]
    """Only AverageValue."""
    average_value: PositiveQuantity
    """Value per pod, on average, above 0."""


class ValueTarget(CrdSection):
    """What to hold in all, or per pod."""

    rules = (
        Rule(
            field="type",
            cel="has(self.value) == (self.type == 'Value') && has(self.averageValue) == (self.type == 'AverageValue')",
            holds=lambda self: (
                (self.value is not None) == (self.type == "Value")
                and (self.average_value is not None) == (self.type == "AverageValue")
            ),
            message="was {type}, must name the one value that is set; set value for Value or averageValue for "
            "AverageValue, and remove the other",
        ),
    )

    type: Literal["Value", "AverageValue"]
    """Which of the two is set."""
    value: PositiveQuantity | None = None
    """In all, above 0."""
    average_value: PositiveQuantity | None = None
    """In all, divided by the pods, above 0."""


class ResourceMetricSource(CrdSection):
    """For type Resource: a resource of the pods, by metrics.k8s.io."""

    name: str = Field(min_length=1, max_length=253)
    """cpu or memory."""
    target: ResourceTarget


class ContainerResourceMetricSource(CrdSection):
    """For type ContainerResource: a resource of one container of the pods, by metrics.k8s.io."""

    name: str = Field(min_length=1, max_length=253)
    """cpu or memory."""
    container: str = Field(min_length=1, max_length=63)
    """The container's name."""
    target: ResourceTarget


class PodsMetricSource(CrdSection):
    """For type Pods: a metric of each pod, by custom.metrics.k8s.io."""

    metric: MetricIdentifier
    target: PodsTarget


class ObjectMetricSource(CrdSection):
    """For type Object: a metric of one object, by custom.metrics.k8s.io."""

    described_object: DescribedObject
    metric: MetricIdentifier
    target: ValueTarget


class ExternalMetricSource(CrdSection):
    """For type External: a metric of no object, by external.metrics.k8s.io; its series are summed."""

    metric: MetricIdentifier
    target: ValueTarget


_BLOCKS = {
    "Resource": "resource",
    "ContainerResource": "containerResource",
    "Pods": "pods",
    "Object": "object",
    "External": "external",
}


class Metric(CrdSection):
    """A metric to hold at a target, as an entry of `metrics` in an HPA: its `type`, and the block of that type."""

    rules = (
        Rule(
            field="type",
            cel=" && ".join(f"has(self.{block}) == (self.type == '{kind}')" for kind, block in _BLOCKS.items()),
            holds=lambda self: self.blocks_set == (_BLOCKS[self.type],),
            message="was {type}, must be the type of the one block that is set; set "
            + ", ".join(f"`{block}` for {kind}" for kind, block in _BLOCKS.items())
            + ", and no other",
        ),
    )

    type: Literal["Resource", "ContainerResource", "Pods", "Object", "External"]
    """Which of the five blocks is set."""
    resource: ResourceMetricSource | None = None
    container_resource: ContainerResourceMetricSource | None = None
    pods: PodsMetricSource | None = None
    object: ObjectMetricSource | None = None
    external: ExternalMetricSource | None = None

    @property
    def blocks_set(self) -> tuple[str, ...]:
        """Names of the blocks that are there, as they are typed."""
        blocks = {
            "resource": self.resource,
            "containerResource": self.container_resource,
            "pods": self.pods,
            "object": self.object,
            "external": self.external,
        }
        return tuple(name for name, block in blocks.items() if block is not None)
