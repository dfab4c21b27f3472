"""Every manifest of a kind that Kubernetes itself defines uses fields that it knows, of the type that it wants.

The fields are those of the `kubernetes` package's models, which are generated from the API server's OpenAPI.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes.client.models as models
import pytest
import yaml

MANIFESTS = Path(__file__).parents[3] / "manifests"
OTHERS = {  # not Kubernetes' own, by group
    "adapter.leadtime.dev",
    "autoscaling.leadtime.dev",
    "cert-manager.io",
    "controller.leadtime.dev",
    "kustomize.config.k8s.io",
    "monitoring.coreos.com",
    "monitoring.googleapis.com",
}

_PLAIN = {"str": str, "bytes": str, "int": int, "bool": bool, "float": int | float}


def documents() -> Iterator[Any]:
    for path in sorted(MANIFESTS.rglob("*.yaml")):
        for number, content in enumerate(yaml.safe_load_all(path.read_text())):
            group = content.get("apiVersion", "").rpartition("/")[0]
            if "apiVersion" in content and group not in OTHERS:
                yield pytest.param(content, id=f"{path.relative_to(MANIFESTS)}#{number}")


@pytest.mark.parametrize("content", list(documents()))
def test_fields_are_known(content: dict[str, Any]) -> None:
    version = content["apiVersion"].rpartition("/")[2]
    model = f"{version.capitalize()}{content['kind']}"
    assert hasattr(models, model), f"{content['apiVersion']} {content['kind']}"
    assert list(faults(content, model, content["kind"])) == []


def test_an_unknown_field_and_a_wrong_type_are_found() -> None:
    wrong = {"spec": {"minAvailable": 1, "maxUnavialable": 1, "selector": {"matchLabels": ["a"]}}}
    assert list(faults(wrong, "V1PodDisruptionBudget", "it")) == [
        "it.spec.maxUnavialable: is no field of V1PodDisruptionBudgetSpec",
        "it.spec.selector.matchLabels: is list, must be Dict[str, str]",
    ]


def faults(value: Any, kind: str, path: str) -> Iterator[str]:
    """What is wrong with a value of a type as the models spell it: `str`, `List[V1Volume]`, `Dict[str, str]`."""
    if value is None or kind in ("object", "datetime"):
        return
    if inner := re.fullmatch(r"List\[(.+)\]", kind):
        if not isinstance(value, list):
            yield f"{path}: is {type(value).__name__}, must be {kind}"
            return
        for index, each in enumerate(value):
            yield from faults(each, inner[1], f"{path}[{index}]")
    elif inner := re.fullmatch(r"Dict\[str, (.+)\]", kind):
        if not isinstance(value, dict):
            yield f"{path}: is {type(value).__name__}, must be {kind}"
            return
        for key, each in value.items():
            yield from faults(each, inner[1], f"{path}.{key}")
    elif (wanted := _PLAIN.get(kind)) is not None:
        if not isinstance(value, wanted):
            yield f"{path}: is {type(value).__name__}, must be {kind}"
    else:
        model = getattr(models, kind)
        names = {wire: name for name, wire in model.attribute_map.items()}
        for key, each in value.items():
            if key not in names:
                yield f"{path}.{key}: is no field of {kind}"
            else:
                yield from faults(each, model.openapi_types[names[key]], f"{path}.{key}")
