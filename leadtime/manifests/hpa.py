"""HorizontalPodAutoscaler (autoscaling/v2) -> HPASpec, as the API server would default and store it.

Source: kubernetes/api autoscaling/v2/types.go; defaults of pkg/apis/autoscaling/v2/defaults.go
(SetDefaults_HorizontalPodAutoscaler), v1.36.3.
"""

from typing import Literal, cast

from leadtime.manifests.document import Document
from leadtime.manifests.fields import Fields
from policies.errors import BadInput
from policies.hpa import (
    Behavior,
    HPASpec,
    MetricSpec,
    ScalingPolicy,
    ScalingRules,
    default_behavior,
    scale_down_rules,
    scale_up_rules,
    validate,
)
from policies.hpa.milli_value import stored_quantity
from policies.hpa.spec import PolicyType, SelectPolicy
from policies.snapshot import MetricType

_DEFAULT_CPU = MetricSpec(type="Resource", name="cpu", average_utilization=80)
"""What the API server puts where an HPA lists no metrics."""

_SOURCES: dict[str, MetricType] = {
    "resource": "Resource",
    "containerResource": "ContainerResource",
    "pods": "Pods",
    "object": "Object",
    "external": "External",
}


def hpa_spec(document: Document) -> HPASpec:
    """The spec of an HPA. Raises one BadInput that names every field that cannot be run."""
    top = Fields.of(document)
    _check_version(top)
    top.metadata()
    top.accept("kind", "status")
    fields = top.child("spec", required=True)
    top.done()
    spec = None if fields is None else spec_fields(fields)
    top.problems.raise_any()
    assert spec is not None, "without a problem there is a spec"
    try:
        validate(spec)
    except BadInput as error:
        assert fields is not None, "there was a spec"
        raise BadInput(f"{document.path}:{fields.line}: spec.{error}") from error
    return spec


def spec_fields(fields: Fields) -> HPASpec | None:
    """`spec`, not yet validated; None where a field without a default is missing."""
    target = fields.child("scaleTargetRef", required=True)
    if target is not None:
        target.accept("apiVersion")
        target.text("kind", required=True)
        target.text("name", required=True)
        target.done()
    min_replicas = fields.integer("minReplicas", default=1)
    max_replicas = fields.integer("maxReplicas", required=True)
    listed = fields.children("metrics")
    metrics = [_DEFAULT_CPU] if not listed else [_metric(each) for each in listed]
    behavior = behavior_fields(fields.child("behavior"))
    fields.done()
    known = [metric for metric in metrics if metric is not None]
    if max_replicas is None or min_replicas is None or len(known) < len(metrics):
        return None
    return HPASpec(min_replicas=min_replicas, max_replicas=max_replicas, metrics=tuple(known), behavior=behavior)


def behavior_fields(fields: Fields | None) -> Behavior | None:
    """`behavior` with the API server's defaults for what it leaves out; None where there is none."""
    if fields is None:
        return None
    up, down = fields.child("scaleUp"), fields.child("scaleDown")
    fields.done()
    return default_behavior(
        scale_up=None if up is None else _rules(up, "up"),
        scale_down=None if down is None else _rules(down, "down"),
    )


def _check_version(top: Fields) -> None:
    version = top.text("apiVersion", required=True)
    if version and version != "autoscaling/v2":
        top.problem(
            "apiVersion",
            f"was {version!r}, must be autoscaling/v2; `kubectl get hpa.v2.autoscaling NAME -o yaml` prints it so",
        )


def _rules(fields: Fields, direction: Literal["up", "down"]) -> ScalingRules:
    listed = fields.children("policies")
    tolerance = fields.quantity_text("tolerance")
    select = fields.choice("selectPolicy", ("Max", "Min", "Disabled"))
    window = fields.integer("stabilizationWindowSeconds")
    policies = None if listed is None else tuple(_scaling_policy(each) for each in listed)
    fields.done()
    make = scale_up_rules if direction == "up" else scale_down_rules
    return make(
        stabilization_window_seconds=window,
        select_policy=cast("SelectPolicy", select) if select else None,
        policies=policies,
        tolerance=None if tolerance is None else fields.checked("tolerance", lambda: stored_quantity(tolerance)),
    )


def _scaling_policy(fields: Fields) -> ScalingPolicy:
    policy = ScalingPolicy(
        type=cast("PolicyType", fields.choice("type", ("Pods", "Percent"), required=True)),
        value=fields.integer("value", required=True) or 0,
        period_seconds=fields.integer("periodSeconds", required=True) or 0,
    )
    fields.done()
    return policy


def _metric(fields: Fields) -> MetricSpec | None:
    """One entry of `metrics`: the block that its type names, and no other."""
    kind = fields.choice("type", tuple(_SOURCES.values()), required=True)
    source = next((key for key, value in _SOURCES.items() if value == kind), "")
    for key in _SOURCES:
        if key != source and kind and fields.has(key):
            fields.problem(key, f"must be left out for type {kind}")
    block = fields.child(source, required=True) if source else None
    fields.accept(*_SOURCES)
    fields.done()
    if block is None:
        return None
    name, object_name = "", ""
    selector: tuple[tuple[str, str], ...] = ()
    if kind in {"Resource", "ContainerResource"}:
        name = block.text("name", required=True)
    else:
        name, selector = _identifier(block.child("metric", required=True))
    container = block.text("container", required=True) if kind == "ContainerResource" else ""
    if kind == "Object":
        object_name = _described_object(block.child("describedObject", required=True))
    target = block.child("target", required=True)
    block.done()
    if target is None:
        return None
    utilization, average, value = _target(target, kind)
    return MetricSpec(
        type=cast("MetricType", kind),
        name=name,
        container=container,
        object_name=object_name,
        selector=selector,
        average_utilization=utilization,
        average_value_milli=average,
        value_milli=value,
    )


def _target(fields: Fields, kind: str) -> tuple[int | None, int | None, int | None]:
    """(averageUtilization, averageValue, value), the last two in milli-units."""
    given = fields.choice("type", ("Utilization", "Value", "AverageValue"), required=True)
    utilization = fields.integer("averageUtilization")
    average, value = fields.quantity_milli("averageValue"), fields.quantity_milli("value")
    fields.done()
    # The controller goes by the value that is set; only for Object does it also want the type to agree.
    if kind == "Object" and {"Value": value, "AverageValue": average}.get(given) is None:
        fields.problem("type", f"was {given}, must agree with the value that is set; the controller fails otherwise")
    return utilization, average, value


def _identifier(fields: Fields | None) -> tuple[str, tuple[tuple[str, str], ...]]:
    """`metric`: its name, and its selector as sorted equalities."""
    if fields is None:
        return "", ()
    name = fields.text("name", required=True)
    selector = fields.child("selector")
    fields.done()
    return name, () if selector is None else _selector(selector)


def _selector(fields: Fields) -> tuple[tuple[str, str], ...]:
    labels = fields.child("matchLabels")
    pairs = dict(labels.texts()) if labels is not None else {}
    for expression in fields.children("matchExpressions") or []:
        key, operator = expression.text("key", required=True), expression.text("operator", required=True)
        values = expression.raw("values")
        expression.done()
        if operator == "In" and isinstance(values, list) and len(values) == 1:
            pairs[key] = str(values[0])
        else:
            expression.problem("operator", "is not supported: only In with one value, which is an equality")
    fields.done()
    return tuple(sorted(pairs.items()))


def _described_object(fields: Fields | None) -> str:
    if fields is None:
        return ""
    fields.accept("apiVersion")
    kind, name = fields.text("kind", required=True), fields.text("name", required=True)
    fields.done()
    return f"{kind}/{name}"
