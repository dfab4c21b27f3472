"""The CustomResourceDefinition: structural, complete, and the file that is shipped."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoscaler.crd.custom_resource import custom_resource_definition, manifest, object_schema
from autoscaler.crd.reference import reference
from autoscaler.crd.schema import Json, ranges_in_cel, structural
from autoscaler.crd.section import CrdSection
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.crd.words import takes

ROOT = Path(__file__).parents[3]
VERSION = custom_resource_definition()["spec"]["versions"][0]


def nodes(path: str, node: Json) -> Iterator[tuple[str, Json]]:
    """Every part of a schema with its path."""
    yield path, node
    for name, each in node.get("properties", {}).items():
        yield from nodes(f"{path}.{name}", each)
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            yield from nodes(f"{path}[]", node[key])


NODES = dict(nodes("", object_schema()))


def test_the_manifest_is_what_the_models_say() -> None:
    file = ROOT / "manifests" / "controller" / "base" / "crd.yaml"
    assert file.read_text(encoding="utf-8") == manifest(), "write it anew: python -m autoscaler.crd > FILE"
    assert yaml.safe_load(manifest()) == custom_resource_definition()


def test_the_reference_is_what_the_models_say() -> None:
    file = ROOT / "docs" / "reference" / "predictiveautoscaler.md"
    assert file.read_text(encoding="utf-8") == reference(), "write it anew: python -m autoscaler.crd.reference > FILE"


def test_nothing_that_a_structural_schema_forbids_is_left() -> None:
    forbidden = {"$ref", "$defs", "anyOf", "allOf", "oneOf", "title", "const", "prefixItems"}
    assert {path: forbidden & node.keys() for path, node in NODES.items() if forbidden & node.keys()} == {}
    untyped = [path for path, node in NODES.items() if "type" not in node]
    assert untyped == [path for path, node in NODES.items() if node.get("x-kubernetes-int-or-string")]
    assert not [path for path, node in NODES.items() if node.get("additionalProperties") is False]


def test_every_field_says_what_it_means_in_one_line() -> None:
    names = [path for path in NODES if path.startswith((".spec", ".status")) and not path.endswith("[]")]
    assert [path for path in names if not NODES[path].get("description")] == []
    assert [path for path in names if "\n" in NODES[path]["description"]] == []


def test_everything_of_the_spec_that_a_rule_may_read_is_bounded() -> None:
    """An unbounded list or text makes a rule's estimated cost exceed what the API server allows."""
    spec = {path: node for path, node in NODES.items() if path.startswith(".spec")}
    unbounded = [
        path
        for path, node in spec.items()
        if (node.get("type") == "array" and "maxItems" not in node)
        or ((node.get("type") == "string" or "x-kubernetes-int-or-string" in node) and "maxLength" not in node)
        or ("additionalProperties" in node and "maxProperties" not in node)
    ]
    assert unbounded == []


def test_a_section_that_may_be_left_out_is_filled_in() -> None:
    spec = NODES[".spec"]["properties"]
    assert [name for name in ("cost", "leadTime", "behavior", "fallback") if spec[name].get("default") != {}] == []
    assert NODES[".spec.behavior.scaleDown.stabilizationWindowSeconds"]["default"] == 300
    assert NODES[".spec.behavior.scaleUp.policies"]["default"][0] == {"type": "Pods", "value": 4, "periodSeconds": 15}


def test_every_rule_of_every_section_is_in_the_schema() -> None:
    ours = {rule.cel for section in sections(CrdSection) for rule in section.rules}
    shipped = {each["rule"] for node in NODES.values() for each in node.get("x-kubernetes-validations", ())}
    assert ours
    assert ours <= shipped


def test_a_range_with_a_fraction_is_a_rule_because_the_api_server_cuts_fractions_off_in_its_message() -> None:
    attainment = NODES[".spec.slo.attainment"]
    assert "maximum" not in attainment
    assert attainment["x-kubernetes-validations"] == [
        {
            "rule": "self >= 0.5 && self <= 0.9999",
            "messageExpression": '"was %s, must be in [0.5, 0.9999]; correct it".format([self])',
        }
    ]
    fractions = [
        (path, bound) for path, node in NODES.items() for bound in ("minimum", "maximum") if node.get(bound, 0) % 1 > 0
    ]
    assert fractions == []


def test_columns_show_fields_that_exist() -> None:
    paths = [column["jsonPath"] for column in VERSION["additionalPrinterColumns"]]
    assert [path for path in paths if path not in NODES and not path.startswith(".metadata")] == []
    kinds = {column["jsonPath"]: column["type"] for column in VERSION["additionalPrinterColumns"]}
    assert {path: kind for path, kind in kinds.items() if path in NODES and NODES[path]["type"] != kind} == {}


def test_the_columns_that_a_narrow_terminal_shows() -> None:
    shown = [column["name"] for column in VERSION["additionalPrinterColumns"] if "priority" not in column]
    assert shown == ["Target", "Mode", "Desired", "Replicas", "Ready", "Demand", "Reason", "Age"]


def test_entries_with_a_name_are_merged_by_it() -> None:
    by_key = {
        path: node["x-kubernetes-list-map-keys"] for path, node in NODES.items() if "x-kubernetes-list-type" in node
    }
    assert (
        by_key.items()
        >= {
            ".spec.schedules": ["name"],
            ".spec.nodePools": ["name"],
            ".status.conditions": ["type"],
            ".status.nodePools": ["name"],
        }.items()
    )
    assert all(set(keys) <= set(NODES[f"{path}[]"]["required"]) for path, keys in by_key.items())


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 100_000}, "a whole number in [1, 100000]"),
        ({"type": "number", "minimum": 0.5, "maximum": 0.9999}, "a number in [0.5, 0.9999]"),
        ({"type": "integer", "minimum": 0}, "a whole number, at least 0"),
        ({"type": "number"}, "a number"),
        ({"type": "string", "enum": ["Max", "Min", "Disabled"]}, "Max, Min or Disabled"),
        ({"type": "string", "enum": ["In"]}, "In"),
        ({"type": "string", "minLength": 1, "maxLength": 63}, "a text of 1 to 63 characters"),
        ({"type": "string", "maxLength": 63, "pattern": "^a$"}, "a text of up to 63 characters: `^a$`"),
        ({"type": "string", "format": "date-time"}, "a time"),
        ({"type": "array", "minItems": 1, "maxItems": 1}, "a list of exactly 1"),
        ({"type": "array"}, "a list"),
        ({"type": "boolean"}, "true or false"),
        ({"type": "object"}, "a mapping"),
        ({"x-kubernetes-int-or-string": True}, "a whole number or a quantity in quotes"),
    ],
)
def test_what_a_field_takes_in_words(node: dict[str, Any], words: str) -> None:
    assert takes(node) == words


def test_ranges_of_whole_numbers_stay_as_they_are() -> None:
    schema = structural(PredictiveAutoscalerSpec)
    assert ranges_in_cel(schema)["properties"]["maxReplicas"] == schema["properties"]["maxReplicas"]


def test_messages_of_rules_name_the_remedy() -> None:
    told = [each["messageExpression"] for node in NODES.values() for each in node.get("x-kubernetes-validations", ())]
    assert [text for text in told if "must " not in text] == []


def sections(section: type[CrdSection]) -> Iterator[type[CrdSection]]:
    for each in section.__subclasses__():
        yield each
        yield from sections(each)
