"""KEDA ScaledObject -> the spec of the KEDA policy.

Source: kedacore/keda apis/keda/v1alpha1/{scaledobject,withtriggers}_types.go, pkg/scalers/{prometheus,cron}_scaler.go.

A trigger's query is a series or its sum, with matchers that choose the workload: any other PromQL expression would
need a Prometheus. What the policy cannot run is refused by name: other triggers, scalingModifiers.
"""

import re
from dataclasses import dataclass, field
from typing import Any

from leadtime.manifests.document import Document
from leadtime.manifests.fields import Fields
from leadtime.manifests.hpa import behavior_fields
from policies.baselines.keda import KedaSpec, keda_policy
from policies.baselines.keda_triggers import PrometheusTrigger
from policies.baselines.schedule import Window
from policies.errors import BadInput
from policies.hpa import default_behavior, scale_down_rules, scale_up_rules
from policies.policy import Policy

_PREFIX = "autoscaling.keda.sh/"
_FLAGS = {
    "paused": "paused",
    "paused-scale-in": "paused_scale_in",
    "paused-scale-out": "paused_scale_out",
    "force-activation": "force_activation",
}
_FALSE = {"0", "f", "F", "FALSE", "false", "False"}  # Go's strconv.ParseBool; what is no boolean counts as true

_QUERY = re.compile(
    r"(?P<sum>sum\s*\(\s*)?(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<matchers>[^}]*)\})?\s*(?(sum)\))"
)
_MATCHER = re.compile(r"\s*(?P<label>[a-zA-Z_][a-zA-Z0-9_]*)\s*=~?\s*\"[^\"]*\"\s*")
_WORKLOAD_LABELS = (
    *("app", "cluster", "container", "deployment", "exported_namespace", "exported_pod", "inference_pool", "instance"),
    *("job", "model_name", "name", "namespace", "pod", "pool", "service", "target_model_name"),
)
"""Matchers on these choose the workload, which is the only one where the policy runs."""
_HOW_TO_ASK = (
    *("serverAddress", "metricName", "namespace", "authModes", "unsafeSsl", "timeout", "customHeaders"),
    *("cortexOrgID", "awsRegion", "azureManagedPrometheus", "identityOwner"),
)
"""Of a prometheus trigger: where and as whom to ask, not what."""


@dataclass(slots=True)
class _Triggers:
    prometheus: list[PrometheusTrigger] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    ignore_null_values: set[bool] = field(default_factory=set)
    time_zones: set[str] = field(default_factory=set)


def scaled_object_policy(document: Document) -> Policy[Any, Any]:
    """The policy of a ScaledObject. Raises one BadInput that names every field that cannot be run."""
    top = Fields.of(document)
    top.accept("apiVersion", "kind", "status")
    values = _annotations(top.metadata())
    spec = top.child("spec", required=True)
    top.done()
    if spec is not None:
        values |= _spec(spec)
    top.problems.raise_any()
    assert spec is not None, "without a problem there is a spec"
    try:
        return keda_policy(KedaSpec(**values), document.name or document.path.stem)
    except BadInput as error:
        raise BadInput(f"{document.path}:{spec.line}: spec: {error}") from error


def _spec(spec: Fields) -> dict[str, Any]:
    """KedaSpec's fields, only those that are given."""
    target = spec.child("scaleTargetRef", required=True)
    if target is not None:
        target.accept("apiVersion", "kind", "envSourceContainerName")
        target.text("name", required=True)
        target.done()
    values: dict[str, Any] = {
        "polling_interval_seconds": spec.integer("pollingInterval"),
        "cooldown_seconds": spec.integer("cooldownPeriod"),
        "initial_cooldown_seconds": spec.integer("initialCooldownPeriod"),
        "idle_replicas": spec.integer("idleReplicaCount"),
        "min_replicas": spec.integer("minReplicaCount"),
        "max_replicas": spec.integer("maxReplicaCount"),
    }
    fallback = spec.child("fallback")
    if fallback is not None:
        values["fallback_failure_threshold"] = fallback.integer("failureThreshold", required=True)
        values["fallback_replicas"] = fallback.integer("replicas", required=True)
        behaviors = ("static", "currentReplicas", "currentReplicasIfHigher", "currentReplicasIfLower")
        values["fallback_behavior"] = fallback.choice("behavior", behaviors) or None
        fallback.done()
    values |= _advanced(spec.child("advanced"))
    triggers = _Triggers()
    listed = spec.children("triggers")
    if not listed:
        spec.problem("triggers", "was empty, must hold at least one trigger of type prometheus")
    for each in listed or ():
        _trigger(each, triggers)
    spec.done()
    values |= _trigger_values(spec, triggers, known=bool(listed))
    return {key: value for key, value in values.items() if value is not None}


def _trigger_values(spec: Fields, triggers: _Triggers, *, known: bool) -> dict[str, Any]:
    if len(triggers.ignore_null_values) > 1:
        spec.problem("triggers", "ignoreNullValues differs between triggers; give all the same")
    if len(triggers.time_zones) > 1:
        spec.problem("triggers", "timezone differs between cron triggers; write all in one time zone")
    values: dict[str, Any] = {
        "ignore_null_values": next(iter(triggers.ignore_null_values), None),
        "cron_triggers": tuple(triggers.windows),
        "time_zone": next(iter(triggers.time_zones), None),
    }
    if triggers.prometheus:
        first, *more = triggers.prometheus
        values |= {"query": first.query, "threshold": first.threshold, "more_triggers": tuple(more)}
        values["activation_threshold"] = first.activation_threshold
    elif known and not spec.problems.found:
        spec.problem("triggers", "must hold a trigger of type prometheus beside those of type cron")
    return values


def _trigger(fields: Fields, triggers: _Triggers) -> None:
    fields.accept("name", "authenticationRef")
    kind = fields.text("type", required=True)
    metric_type = fields.text("metricType", default="AverageValue")
    if metric_type != "AverageValue":
        fields.problem("metricType", f"was {metric_type!r}, must be AverageValue; the others are not supported")
    if fields.boolean("useCachedMetrics"):
        fields.problem("useCachedMetrics", "is not supported; leave it out")
    metadata = fields.child("metadata", required=True)
    fields.done()
    if metadata is None:
        return
    if kind == "prometheus":
        _prometheus(metadata, triggers)
    elif kind == "cron":
        _cron(metadata, triggers)
    else:
        fields.problem("type", f"was {kind!r}, must be prometheus or cron; the others are not supported")


def _prometheus(metadata: Fields, triggers: _Triggers) -> None:
    metadata.accept(*_HOW_TO_ASK)
    metadata.refuse("it changes what the query sees", "queryParameters")
    query = metadata.text("query", required=True).strip()
    if query:
        query = _plain_query(metadata, query)
    threshold = _number(metadata, "threshold", required=True)
    activation = _number(metadata, "activationThreshold")
    ignore = metadata.text("ignoreNullValues", default="true")
    metadata.done()
    triggers.ignore_null_values.add(ignore not in _FALSE)
    trigger = PrometheusTrigger(query=query, threshold=threshold, activation_threshold=activation)
    triggers.prometheus.append(trigger)


def _plain_query(metadata: Fields, query: str) -> str:
    """NAME or sum(NAME), without the matchers that only choose the workload."""
    found = _QUERY.fullmatch(query)
    if found is None:
        metadata.problem(
            "query",
            f"was {query!r}, must be a series or its sum, such as sum(vllm:num_requests_waiting); "
            "record the expression under a name and query that",
        )
        return query
    for matcher in found["matchers"].rstrip(", ").split(",") if (found["matchers"] or "").strip() else ():
        named = _MATCHER.fullmatch(matcher)
        if named is None or named["label"] not in _WORKLOAD_LABELS:
            metadata.problem("query", f"the matcher {matcher.strip()!r} is not supported; record the series it selects")
    return f"sum({found['name']})" if found["sum"] else found["name"]


def _cron(metadata: Fields, triggers: _Triggers) -> None:
    start, end = metadata.text("start", required=True), metadata.text("end", required=True)
    zone = metadata.text("timezone", required=True)
    replicas = metadata.text("desiredReplicas", required=True)
    metadata.done()
    if replicas and not (replicas.isascii() and replicas.isdecimal()):
        metadata.problem("desiredReplicas", f"was {replicas!r}, must be a whole number as a text")
        replicas = "0"
    triggers.time_zones.add(zone)
    triggers.windows.append(Window(start=start, end=end, replicas=int(replicas or 0)))


def _number(metadata: Fields, key: str, *, required: bool = False) -> float:
    """A float in a text, as all trigger metadata is."""
    text = metadata.text(key, required=required, default="0")
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 <= value < float("inf"):
        metadata.problem(key, f"was {text!r}, must be a number >= 0 as a text")
        return 0.0
    return value


def _advanced(advanced: Fields | None) -> dict[str, Any]:
    """The generated HPA's behavior, as windows where it holds nothing else; the API server fills in its defaults."""
    if advanced is None:
        return {}
    advanced.accept("restoreToOriginalReplicaCount")
    advanced.refuse("it replaces the triggers by a formula", "scalingModifiers")
    config = advanced.child("horizontalPodAutoscalerConfig")
    advanced.done()
    if config is None:
        return {}
    config.accept("name")
    behavior = behavior_fields(config.child("behavior"))
    config.done()
    if behavior is None:
        return {}
    up, down = behavior.scale_up.stabilization_window_seconds, behavior.scale_down.stabilization_window_seconds
    plain = default_behavior(
        scale_up=scale_up_rules(stabilization_window_seconds=up),
        scale_down=scale_down_rules(stabilization_window_seconds=down),
    )
    if behavior != plain:
        return {"behavior": behavior}
    return {"scale_up_window_seconds": up, "scale_down_window_seconds": down}


def _annotations(annotations: Fields | None) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for full, text in annotations.texts().items() if annotations is not None else ():
        key = full.removeprefix(_PREFIX)
        if annotations is None or key == full:
            continue
        if key in _FLAGS:
            values[_FLAGS[key]] = text not in _FALSE
        elif key == "paused-replicas" and text.isascii() and text.isdecimal():
            values["paused_replicas"] = int(text)
        elif key == "paused-replicas":
            annotations.problem(full, f"was {text!r}, must be a whole number")
        else:
            annotations.problem(full, f"unknown annotation; must be one of {', '.join((*_FLAGS, 'paused-replicas'))}")
    return values
