"""The schemas of both groups' types.

Source: metrics pkg/apis/custom_metrics/{v1beta1,v1beta2}/types.go, pkg/apis/external_metrics/v1beta1/types.go;
apimachinery pkg/apis/meta/v1/types.go, pkg/api/resource/quantity.go; api core/v1/types.go (ObjectReference).
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

_CUSTOM = "custom.metrics.k8s.io"


def list_type(group: str, version: str) -> tuple[str, str]:
    """The kind of a group's list of values, and the name of its schema, which is upstream's."""
    kind = "MetricValueList" if group == _CUSTOM else "ExternalMetricValueList"
    return kind, f"{_package(group, version)}.{kind}"


def types(group: str, version: str, reference: str) -> dict[str, Schema]:
    """Name -> schema of every type of the group. reference: what a `$ref` begins with."""
    kind, list_name = list_type(group, version)
    package = _package(group, version)
    value_name = f"{package}.{kind.removesuffix('List')}"
    schemas: dict[str, Schema] = {
        list_name: {
            **_object(
                {
                    **_TYPE_META,
                    "metadata": _LIST_META,
                    "items": {"type": "array", "items": {"$ref": reference + value_name}},
                },
                required=("items",),
                description="values of a metric",
            ),
            "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
        }
    }
    if group != _CUSTOM:
        schemas[value_name] = _object(
            {
                **_TYPE_META,
                "metricName": _STRING,
                "metricLabels": {"type": "object", "additionalProperties": {"type": "string"}},
                "timestamp": _TIME,
                "window": _WINDOW,
                "value": _QUANTITY,
            },
            required=("metricName", "metricLabels", "timestamp", "value"),
            description="the value of one series of a metric",
        )
    elif version == "v1beta1":
        schemas[value_name] = _object(
            {
                **_TYPE_META,
                "describedObject": _OBJECT_REFERENCE,
                "metricName": _STRING,
                "timestamp": _TIME,
                "window": _WINDOW,
                "value": _QUANTITY,
                "selector": _LABEL_SELECTOR,
            },
            required=("describedObject", "metricName", "timestamp", "value"),
            description="the value of a metric of one object",
        )
    else:
        identifier = f"{package}.MetricIdentifier"
        schemas[identifier] = _object(
            {"name": _STRING, "selector": _LABEL_SELECTOR},
            required=("name",),
            description="a metric by its name, and by the labels of its series",
        )
        schemas[value_name] = _object(
            {
                **_TYPE_META,
                "describedObject": _OBJECT_REFERENCE,
                "metric": {"$ref": reference + identifier},
                "timestamp": _TIME,
                "windowSeconds": _WINDOW,
                "value": _QUANTITY,
            },
            required=("describedObject", "metric", "timestamp", "value"),
            description="the value of a metric of one object",
        )
    return schemas


def _package(group: str, version: str) -> str:
    return f"io.k8s.metrics.pkg.apis.{group.split('.')[0]}_metrics.{version}"


def _object(properties: Mapping[str, Schema], required: tuple[str, ...] = (), description: str = "") -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = list(required)
    if description:
        schema["description"] = description
    return schema


_STRING: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time", "description": "when the value was true"}
_QUANTITY: Schema = {"type": "string", "description": "a quantity: 12500m is 12.5"}
_WINDOW: Schema = {
    "type": "integer",
    "format": "int64",
    "description": "seconds before the timestamp that a rate or quantile looks back over, 0 for an instantaneous value",
}
_TYPE_META: Mapping[str, Schema] = {"apiVersion": _STRING, "kind": _STRING}
_LIST_META = _object(
    {
        "continue": _STRING,
        "remainingItemCount": {"type": "integer", "format": "int64"},
        "resourceVersion": _STRING,
        "selfLink": _STRING,
    }
)
_OBJECT_REFERENCE = _object(
    dict.fromkeys(("apiVersion", "fieldPath", "kind", "name", "namespace", "resourceVersion", "uid"), _STRING),
    description="the object that the value describes",
)
_LABEL_SELECTOR = _object(
    {
        "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}},
        "matchExpressions": {
            "type": "array",
            "items": _object(
                {"key": _STRING, "operator": _STRING, "values": {"type": "array", "items": _STRING}},
                required=("key", "operator"),
            ),
        },
    },
    description="the labels of the series that the value is made of",
)
