"""A fault in what people typed, in one line: where, what was there, what is allowed, what to do."""

import difflib
from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from adapter.sources.located import Located, Path

_SHOWN = 60
_SHAPES = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "finite_number": "finite",
}


def first_fault(error: ValidationError, document: Located, model: type[BaseModel]) -> tuple[int, str]:
    """Of a document's faults the one that stands first: its line, and what it says.

    An unknown key says more than what is missing for its sake, so of two in one place it counts.
    """
    faults = [
        (document.line(_path(one, document)), one["type"] != "extra_forbidden", _sentence(one, document, model))
        for one in error.errors(include_url=False)
    ]
    line, _, sentence = min(faults, key=lambda fault: fault[:2])
    return line, sentence


def _path(fault: ErrorDetails, document: Located) -> Path:
    """The fault's place. A single name written without its list has no [0] in the text."""
    path: Path = tuple(fault["loc"])
    if path and path[-1] == 0 and path not in document.lines and path[:-1] in document.lines:
        return path[:-1]
    return path


def _sentence(fault: ErrorDetails, document: Located, model: type[BaseModel]) -> str:
    path = _path(fault, document)
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".") or "file"
    match fault["type"]:
        case "extra_forbidden":
            known = _keys(_model_at(model, path[:-1]))
            near = difflib.get_close_matches(str(path[-1]).lower(), [key.lower() for key in known], n=1)
            meant = next((key for key in known if near and key.lower() == near[0]), None)
            remedy = f"did you mean {meant}?" if meant else f"must be one of {', '.join(known)}; remove it"
            return f"{field}: was not expected, {remedy}"
        case "missing":
            return f"{field}: was absent, must be given; add it"
        case "value_error" if not isinstance(fault["input"], str):  # of a whole section: names its own field
            message = fault["msg"].removeprefix("Value error, ")
            return f"{field}{message}" if message.startswith(":") else f"{field}.{message}"
        case kind:
            allowed = _allowed(kind, fault, model, path)
            return f"{field}: was {_shown(fault['input'])}, {allowed}; correct it"


def _allowed(kind: str, fault: ErrorDetails, model: type[BaseModel], path: Path) -> str:
    if kind in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return f"must be in {_range(model, path)}"
    if kind == "literal_error":
        return f"must be one of {fault['ctx']['expected'].replace(chr(39), '').replace(' or ', ', ')}"
    if kind in _SHAPES:
        return f"must be {_SHAPES[kind]}"
    if kind == "string_pattern_mismatch":
        return f"must match {fault['ctx']['pattern']}"
    message = fault["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _range(model: type[BaseModel], path: Path) -> str:
    """The field's bounds, as (0, 1) or [15, 3600]."""
    section = _model_at(model, path[:-1])
    metadata: Sequence[Any] = _field(section, path[-1]).metadata if section is not None else ()
    low, high = "(-inf", "inf)"
    for one in metadata:
        if (bound := getattr(one, "ge", None)) is not None:
            low = f"[{bound:g}"
        if (bound := getattr(one, "gt", None)) is not None:
            low = f"({bound:g}"
        if (bound := getattr(one, "le", None)) is not None:
            high = f"{bound:g}]"
        if (bound := getattr(one, "lt", None)) is not None:
            high = f"{bound:g})"
    return f"{low}, {high}"


def _keys(model: type[BaseModel] | None) -> list[str]:
    return [] if model is None else [field.alias or name for name, field in model.model_fields.items()]


def _field(model: type[BaseModel], key: str | int) -> Any:
    return next(field for name, field in model.model_fields.items() if key in (name, field.alias))


def _model_at(model: type[BaseModel] | None, path: Path) -> type[BaseModel] | None:
    """The section that stands at a place in a document of the model."""
    for part in path:
        if model is None:
            return None
        if isinstance(part, str):
            model = _section_in(_field(model, part).annotation)
    return model


def _section_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Literal:
        return None
    return next((found for part in get_args(annotation) if (found := _section_in(part)) is not None), None)
