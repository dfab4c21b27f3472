"""What pydantic found wrong with a scenario, as the one line that people get: file, field, value, range, remedy."""

import difflib
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from leadtime.manifests.document import Located
from policies.errors import BadInput

Path = tuple[int | str, ...]

_KINDS = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}

_OUT_OF_RANGE = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def first_fault(
    error: ValidationError, model: type[BaseModel], content: Any, file: str, flags: Mapping[str, str]
) -> str:
    """The first fault in words.

    file: what to put before a fault of the file, empty for none. flags: dotted field -> the flag that set it, which
    is named in its stead, without the file.
    """
    fault = error.errors(include_url=False)[0]
    loc: Path = fault["loc"]
    inner = fault.get("ctx", {}).get("error")
    if isinstance(inner, BadInput):  # a rule between fields: it names the field within its section
        key, _, text = str(inner).partition(": ")
        loc = (*loc, key)
    elif fault["type"] == "extra_forbidden":
        section = model_at(model, loc[:-1])
        text = f"unknown field; {_nearest(str(loc[-1]), list(section.model_fields) if section else [])}"
    elif fault["type"] == "missing":
        text = f"was not given, must be {_allowed(model, loc)}"
    else:
        is_number = isinstance(fault["input"], int | float) and not isinstance(fault["input"], bool)
        wanted = _allowed(model, loc)
        if is_number and fault["type"] in _OUT_OF_RANGE:
            wanted = wanted.removeprefix("a whole number ").removeprefix("a number ")
        text = f"was {_shown(fault['input'])}, must be {wanted}"
    dotted = ".".join(map(str, loc))
    if dotted in flags:
        return f"{flags[dotted]}: {text}"
    line = line_of(content, loc)
    where = "".join([f"{file}:" if file else "", f"{line}:" if line is not None else ""])
    return f"{where} {dotted or 'scenario'}: {text}".lstrip()


def line_of(content: Any, loc: Sequence[int | str]) -> int | None:
    """The line of a field in the file, or of the nearest mapping around it; None for what was never in a file."""
    line = None
    for part in loc:
        if isinstance(content, Located) and part in content.lines:
            line = content.lines[str(part)]
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):  # no such field: what is around it must do
            break
    return line


def model_at(model: type[BaseModel], loc: Path) -> type[BaseModel] | None:
    """The section at that place; None where there is none."""
    current: type[BaseModel] | None = model
    for part in loc:
        if isinstance(part, int) or current is None:
            continue
        field = current.model_fields.get(part)
        current = next((each for each in _types(field) if issubclass(each, BaseModel)), None) if field else None
    return current


def allowed(field: FieldInfo) -> str:
    """What a field takes, in words: `a number in [0, 1]`, `one of a, b`, `a mapping with x, y`."""
    types = _types(field)
    literals = [each for each in _leaves(field.annotation) if get_origin(each) is Literal]
    null = " or null" if type(None) in types else ""
    if literals:
        return f"one of {', '.join(get_args(literals[0]))}{null}"
    kind = next((each for each in types if each is not type(None)), str)
    if issubclass(kind, BaseModel):
        return _mapping(kind) + null
    return _KINDS.get(kind, kind.__name__) + _range(field) + null


def _allowed(model: type[BaseModel], loc: Path) -> str:
    names = [part for part in loc if isinstance(part, str)]
    section = model_at(model, tuple(names[:-1]))
    field = section.model_fields.get(names[-1]) if section and names else None
    if field is None:
        return _mapping(section or model)
    if isinstance(loc[-1], int):  # an item of a list
        items = [argument for leaf in _leaves(field.annotation) for argument in get_args(leaf)]
        item = items[0] if items else str
        if isinstance(item, type) and issubclass(item, BaseModel):
            return _mapping(item)
        return _KINDS.get(item, "a value that the field takes")
    return allowed(field)


def _mapping(section: type[BaseModel]) -> str:
    return f"{getattr(section, 'shorthand', '')}a mapping with {', '.join(section.model_fields)}"


def _range(field: FieldInfo) -> str:
    """` in [low, high]`, a round bracket where the end is not allowed; empty where there is no range."""
    ends: dict[str, float] = {}
    for rule in field.metadata:
        for name in ("ge", "gt", "le", "lt", "min_length"):
            if (end := getattr(rule, name, None)) is not None:
                ends[name] = end
    if "min_length" in ends:
        return " that is not empty"
    low, high = ends.get("ge", ends.get("gt")), ends.get("le", ends.get("lt"))
    if low is None or high is None:
        return ""
    return f" in {'[' if 'ge' in ends else '('}{low:.10g}, {high:.10g}{']' if 'le' in ends else ')'}"


def _types(field: FieldInfo | None) -> list[type]:
    """The classes that an annotation names, those of a list's items after it."""
    found = []
    for leaf in _leaves(field.annotation) if field else []:
        origin = get_origin(leaf)
        found += [
            each for each in (leaf, origin, *get_args(leaf)) if isinstance(each, type) and get_origin(each) is None
        ]
    return found


def _leaves(annotation: Any) -> list[Any]:
    """The members of a union, or the annotation itself."""
    if get_origin(annotation) in {Union, UnionType}:
        return list(get_args(annotation))
    return [annotation]


def _nearest(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"must be one of {', '.join(known)}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.10g}"
    text = repr(dict(value) if isinstance(value, Located) else value)
    return text if len(text) <= 80 else text[:77] + "..."
