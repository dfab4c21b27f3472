"""docs/reference/adapter.md says of every field of the configuration what the code says.

LEADTIME_WRITE_REFERENCE=1 writes the file anew from the sections' fields and docstrings.
"""

import ast
import importlib
import inspect
import json
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adapter
from adapter.sources.section import Section

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "adapter.md"
HEAD = """\
# The adapter's configuration, field by field

The file that `leadtime adapter serve --config` takes, and files of rules: [adapter.md](../adapter.md) says what the
sections are for. A key that is not known, or a value out of its range, ends the start with one line that names it.

This page is written from the code: `LEADTIME_WRITE_REFERENCE=1 pytest tests/unit/manifests/test_adapter_reference.py`.
"""
TITLES = {  # class -> where it stands in a file, in the order of the page
    "AdapterSettings": "The configuration file",
    "ServerSettings": "`server`",
    "HttpLimits": "`server.http`",
    "ServingCertificateSettings": "`servingCertificate`",
    "AuthenticationSettings": "`authentication`",
    "AuthorizationSettings": "`authorization`",
    "DiscoverySettings": "`discovery`",
    "KubernetesSettings": "`discovery.kubernetes`",
    "PageSettings": "`discovery.kubernetes.pages[]`",
    "SourceSettings": "`sources[]`",
    "ScrapeSettings": "`sources[].scrape`",
    "PrometheusSettings": "`sources[].prometheus`",
    "CloudMonitoringSettings": "`sources[].cloudMonitoring`",
    "OnDemandSettings": "`onDemand`",
    "TenancySettings": "`tenancy`",
    "CrossNamespace": "`tenancy.crossNamespace[]`",
    "PassThroughSettings": "`passThrough`",
    "PlaceSettings": "`place`",
    "RulesDocument": "A file of rules",
    "RuleSection": "`rules[]`",
    "LatestSection": "`rules[].latest`",
    "RateSection": "`rules[].rate`",
    "RatioSection": "`rules[].ratio`",
    "QuantileSection": "`rules[].quantile`",
    "ShareSection": "`rules[].share`",
    "TotalSection": "`rules[].total`",
    "WhenStaleSection": "`rules[].whenStale`, `rules[].whenStaleSummed`",
    "ObjectSection": "`rules[].objects[]`",
    "PrometheusSection": "`rules[].prometheus`",
    "CloudMonitoringSection": "`rules[].cloudMonitoring`",
}


def test_the_reference_is_what_the_code_says() -> None:
    text = reference()
    if os.environ.get("LEADTIME_WRITE_REFERENCE"):
        REFERENCE.write_text(text, encoding="utf-8")
    assert REFERENCE.read_text(encoding="utf-8") == text, "write it anew: LEADTIME_WRITE_REFERENCE=1 pytest, this file"


def test_every_section_has_its_place_and_every_field_of_the_configuration_says_what_it_means() -> None:
    """Rules' sections may leave it to the form: `series` of a rate says all."""
    assert [section.__name__ for section in sections()] == list(TITLES)
    silent = {
        f"{section.__name__}.{name}"
        for section in sections()
        if not section.__name__.endswith(("Section", "Document"))
        for name in rows(section)
        if not rows(section)[name][2] and name not in ("apiVersion", "kind")
    }
    assert silent == set()


def reference() -> str:
    return HEAD + "".join(chapter(section) for section in sections())


def sections() -> list[type[Section]]:
    """Every section that the adapter has, those of the page's order first."""
    found: dict[str, type[Section]] = {}
    package = Path(adapter.__path__[0])
    for path in sorted(package.rglob("*.py")):
        if "(Section)" in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
            for value in vars(importlib.import_module(name)).values():
                if inspect.isclass(value) and issubclass(value, Section) and value.__module__ == name:
                    found[value.__name__] = value
    order = list(TITLES)
    return sorted(found.values(), key=lambda each: order.index(each.__name__) if each.__name__ in order else -1)


def chapter(section: type[Section]) -> str:
    """The section's own sentence, then a row for each field."""
    about = one_line(inspect.cleandoc(section.__doc__ or ""))
    title = TITLES.get(section.__name__, f"`{section.__name__}`")
    lines = [f"| `{key}` | {' | '.join(cells)} |" for key, cells in rows(section).items()]
    table = "\n".join(["| field | takes | default | meaning |", "|---|---|---|---|", *lines])
    return f"\n## {title}\n\n{escaped(about)}\n\n{table}\n"


def rows(section: type[Section]) -> dict[str, tuple[str, str, str]]:
    """Field, as it is typed -> what it takes, its default, what it means."""
    schema = section.model_json_schema(by_alias=True)
    said = meanings(section)
    found = {}
    for name, field in section.model_fields.items():
        key = field.alias or name
        takes = schema["properties"][key]
        default = shown(field.get_default(call_default_factory=True)) if key not in schema.get("required", ()) else ""
        found[key] = (form(takes, schema), default or "required", said.get(name) or inner_docstring(takes, schema))
    return found


def meanings(section: type[Section]) -> dict[str, str]:
    """Field -> the text that stands below it in the class, as one line of Markdown."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for field, below in zip(tree.body, tree.body[1:], strict=False):
        is_field = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if is_field and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[field.target.id] = escaped(one_line(str(below.value.value)))
    return found


def inner_docstring(schema: dict[str, Any], root: dict[str, Any]) -> str:
    """Of a field that is a section, or a list of them, what that section is; "" for others."""
    names = re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema))
    return escaped(one_line(root["$defs"][names[0]].get("description", ""))) if names else ""


def form(schema: dict[str, Any], root: dict[str, Any]) -> str:
    """What a field takes, in words, from its JSON schema."""
    return " or ".join(dict.fromkeys(forms(schema, root)))


def forms(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rpartition("/")[2]]
        yield from ["a mapping"] if target.get("type") == "object" else forms(target, root)
    elif "allOf" in schema:
        yield from forms(schema["allOf"][0], root)
    elif "anyOf" in schema:
        for each in schema["anyOf"]:
            if each.get("type") != "null":
                yield from forms(each, root)
    elif "enum" in schema:
        yield ", ".join(f"`{each}`" for each in schema["enum"])
    elif "const" in schema:
        yield f"`{schema['const']}`"
    else:
        kind = schema.get("type")
        names = {"integer": "a whole number", "number": "a number", "boolean": "true or false", "object": "a mapping"}
        if kind in ("integer", "number"):
            yield names[kind] + limits(schema)
        elif kind == "array":
            yield "a list" + (f", up to {schema['maxItems']}" if "maxItems" in schema else "")
        else:
            yield names.get(str(kind), "a path" if schema.get("format") == "path" else "a text")


def limits(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" in [{number(low)}, {number(high)}]"
    if above is not None and below is not None:
        return f" between {number(above)} and {number(below)}"
    return f", at least {number(low)}" if low is not None else ""


def number(value: float) -> str:
    return f"{value:,.10g}"


def shown(value: Any) -> str:
    """A default as YAML would have it."""
    if value is None or value in ((), {}, ""):
        return "none"
    if isinstance(value, Section):
        value = told(value)
        if not value:
            return "its defaults"
    if isinstance(value, tuple):
        value = [told(each) if isinstance(each, Section) else each for each in value]
    return f"`{json.dumps(value, default=str)}`"


def told(section: Section) -> dict[str, Any]:
    """What was set, as it is typed: the rest has its default."""
    return section.model_dump(by_alias=True, mode="json", exclude_unset=True)


def one_line(text: str) -> str:
    return " ".join(text.split())


def escaped(text: str) -> str:
    return text.replace("|", "\\|")
