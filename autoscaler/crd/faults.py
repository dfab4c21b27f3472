"""What pydantic found wrong with a spec, in words: field, value, range, remedy."""

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from autoscaler.crd.rule import BrokenRules
from autoscaler.crd.schema import Json
from autoscaler.crd.words import takes

Location = tuple[int | str, ...]

_SHOWN_CHARACTERS = 80
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_./-]+")


def faults(error: ValidationError, schema: Json, root: str) -> Iterator[str]:
    """One line for each fault. schema: structural, of what was checked. root: its path, `spec`."""
    for fault in error.errors(include_url=False):
        location: Location = fault["loc"]
        path = dotted(root, location)
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, BrokenRules):
            yield from (f"{path}.{field}: {message}" for field, message in inner.faults)
        elif fault["type"] == "value_error":
            yield f"{path}: {inner}"
        elif fault["type"] == "extra_forbidden":
            yield f"{path}: is no field; {_instead(str(location[-1]), node_at(schema, location[:-1]))}"
        elif fault["type"] == "missing":
            yield f"{path}: was not given, must be {takes(node_at(schema, location))}; add it"
        else:
            node = node_at(schema, location)
            default = f", or leave it out for {json.dumps(node['default'])}" if "default" in node else ""
            yield f"{path}: was {_shown(fault['input'])}, must be {takes(node)}; correct it{default}"


def dotted(root: str, location: Location) -> str:
    """`spec.nodePools[0].minNodes`; a name that is no word, which could break the line, as JSON: `spec["\\n"]`."""
    return root + "".join(map(_step, location))


def node_at(schema: Json, location: Location) -> Json:
    """The schema of one field of what `schema` describes."""
    for part in location:
        if isinstance(part, int):
            schema = schema["items"]
        else:
            schema = schema["properties"][part] if "properties" in schema else schema["additionalProperties"]
    return schema


def _step(part: int | str) -> str:
    if isinstance(part, str) and _PLAIN_NAME.fullmatch(part):
        return f".{part}"
    return f"[{part}]" if isinstance(part, int) else f"[{_shown(part)}]"


def _instead(name: str, node: Json) -> str:
    fields = list(node["properties"])
    near = difflib.get_close_matches(name, fields, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"remove it, or use one of {', '.join(fields)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."
