"""pydantic models -> a structural OpenAPI v3 schema, as a CustomResourceDefinition takes it.

Source of what "structural" forbids ($ref, types within anyOf, additionalProperties beside properties):
apiextensions-apiserver pkg/apiserver/schema/validation.go (ValidateStructural), v1.36.3.
"""

from collections.abc import Mapping
from typing import Any

from autoscaler.crd.rule import cel_text, validation
from autoscaler.crd.section import CrdSection

Json = dict[str, Any]

_DROPPED = frozenset({"title", "default", "$ref", "anyOf", "allOf", "additionalProperties"})
"""Of pydantic's schema. Unknown fields are the API server's business: it refuses or prunes them."""


def structural(model: type[CrdSection]) -> Json:
    """The schema of one model, complete in itself; keys are the fields' aliases, texts one line each."""
    schema = model.model_json_schema(by_alias=True)
    return _converted(schema, schema.get("$defs", {}))


def ranges_in_cel(schema: Json) -> Json:
    """The schema with every range that has a fraction as a rule.

    Of `maximum: 0.9999` the API server's message says "should be less than or equal to 0": it cuts fractions off.
    """
    found = dict(schema)
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("type") == "number" and low is not None and high is not None and low % 1 + high % 1 > 0:
        del found["minimum"], found["maximum"]
        told = f"was %s, must be in [{low:.10g}, {high:.10g}]; correct it"
        rule = validation(f"self >= {float(low)!r} && self <= {float(high)!r}", f"{cel_text(told)}.format([self])")
        found["x-kubernetes-validations"] = [rule]
    if "properties" in schema:
        found["properties"] = {name: ranges_in_cel(each) for name, each in schema["properties"].items()}
    if "items" in schema:
        found["items"] = ranges_in_cel(schema["items"])
    return found


def _converted(schema: Json, definitions: Mapping[str, Json]) -> Json:
    whole = _resolved(schema, definitions)
    found: Json = {key: value for key, value in whole.items() if key not in _DROPPED and key != "$defs"}
    if "description" in found:
        found["description"] = " ".join(found["description"].split())
    if "properties" in whole:
        found["properties"] = {name: _converted(each, definitions) for name, each in whole["properties"].items()}
    if "items" in whole:
        found["items"] = _converted(whole["items"], definitions)
    if isinstance(whole.get("additionalProperties"), dict):
        found["additionalProperties"] = _converted(whole["additionalProperties"], definitions)
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if "enum" in found:
        found["maxLength"] = max(map(len, found["enum"]))  # bounds the cost of rules that compare it
    if (default := _default(schema, found)) is not None:
        found["default"] = default
    return found


def _resolved(schema: Json, definitions: Mapping[str, Json]) -> Json:
    """The schema with what it refers to in place; what is said of the field goes before what is said of its type.

    `X | None` is X: in a CRD a field that is null is a field that is not there.
    """
    if "$ref" in schema:
        target = _resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    elif "anyOf" in schema:
        one_of = [each for each in schema["anyOf"] if each.get("type") != "null"]
        assert len(one_of) == 1, f"a structural schema has no union: {schema}"
        target = _resolved(one_of[0], definitions)
    else:
        return schema
    return {**target, **schema}


def _default(schema: Json, converted: Json) -> Any:
    """What the API server fills in; None for nothing.

    Of a section {}: its own fields have defaults, which fill it. Of a list or a map that is empty nothing.
    """
    default = schema.get("default")
    if "properties" in converted and default is not None:
        assert not converted.get("required"), f"a section with a required field cannot have a default: {schema}"
        return {}
    return None if default in ([], {}) else default
