"""docs/reference/predictiveautoscaler.md, from the CRD's own schema: `python -m autoscaler.crd.reference > FILE`."""

import json
import sys
from collections.abc import Iterator

from autoscaler.crd.custom_resource import API_VERSION
from autoscaler.crd.schema import Json, structural
from autoscaler.crd.spec import PredictiveAutoscalerSpec
from autoscaler.crd.status import PredictiveAutoscalerStatus
from autoscaler.crd.words import takes

_HEAD = f"""\
# PredictiveAutoscaler, field by field

`{API_VERSION}`, short name `pa`. Kubernetes 1.30 or newer checks every range and rule of
this page when an object is applied, and fills in the defaults. Cron expressions, time zones and profiles are checked by
the controller: an object that names a wrong one gets a condition that says so, and its workload is left as it is.

This page is written from the code: `python -m autoscaler.crd.reference > docs/reference/predictiveautoscaler.md`.
"""


def reference() -> str:
    """The page in Markdown. Sections that are alike share a chapter."""
    chapters: dict[str, list[str]] = {}
    for name, model in (("spec", PredictiveAutoscalerSpec), ("status", PredictiveAutoscalerStatus)):
        for path, node in _sections(name, structural(model)):
            chapters.setdefault(_chapter(node), []).append(path)
    titled = (f"\n## {', '.join(f'`{path}`' for path in paths)}\n\n{text}" for text, paths in chapters.items())
    return _HEAD + "".join(titled)


def _sections(path: str, node: Json) -> Iterator[tuple[str, Json]]:
    """Every section with its path, an outer one before those in it."""
    yield path, node
    for name, field in node["properties"].items():
        if "properties" in field:
            yield from _sections(f"{path}.{name}", field)
        elif "properties" in field.get("items", {}):
            yield from _sections(f"{path}.{name}[]", field["items"])


def _chapter(node: Json) -> str:
    required = node.get("required", ())
    rows = (
        f"| `{name}` | {_cell(takes(field))} | {_default(field, name in required)} | {_cell(field['description'])} |\n"
        for name, field in node["properties"].items()
    )
    table = "| field | takes | default | meaning |\n|---|---|---|---|\n" + "".join(rows)
    rules = "".join(f"- `{each['rule']}`\n" for each in node.get("x-kubernetes-validations", ()))
    return f"{node['description']}\n\n{table}" + (f"\nRules between fields:\n\n{rules}" if rules else "")


def _default(field: Json, is_required: bool) -> str:
    if is_required:
        return "required"
    if "default" not in field:
        return ""
    default = field["default"]
    if default == {}:
        return "its defaults"
    return f"`{default:g}`" if isinstance(default, float) else f"`{json.dumps(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(reference())
