"""Every policy by name, and how people configure one in text: on a command line, in a study's file.

`hpa` is listed with a spec of its own, one metric and one target, because a list of metrics and a behavior do
not fit on a command line: an HPA with those comes as the manifest that it is (leadtime.manifests).
"""

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from policies.baselines import (
    aibrix,
    dynamo_planner,
    hpa_presets,
    keda,
    knative_kpa,
    llmd_keda_epp,
    phpa,
    schedule,
    static,
    wva_saturation,
)
from policies.capacity.profile import Profile, profile_named
from policies.entry import PolicyEntry, parameters
from policies.errors import BadInput
from policies.policy import Policy
from policies.predictive import decide as predictive


def _by_name(entries: Iterable[PolicyEntry]) -> dict[str, PolicyEntry]:
    listed: dict[str, PolicyEntry] = {}
    for entry in entries:
        assert entry.name not in listed, f"two policies are called {entry.name}"
        listed[entry.name] = entry
    return listed


ENTRIES: dict[str, PolicyEntry] = _by_name(
    (
        predictive.ENTRY,
        *hpa_presets.ENTRIES,
        *llmd_keda_epp.ENTRIES,
        keda.ENTRY,
        knative_kpa.ENTRY,
        *phpa.ENTRIES,
        *aibrix.ENTRIES,
        wva_saturation.ENTRY,
        *dynamo_planner.ENTRIES,
        static.ENTRY,
        schedule.ENTRY,
    )
)
"""Name -> entry, in the order in which they are listed."""


def named(name: str) -> PolicyEntry:
    """The entry of that name, or BadInput with the nearest names."""
    if name not in ENTRIES:
        near = difflib.get_close_matches(name, ENTRIES, n=3, cutoff=0.5)
        raise BadInput(f"policy: was {name!r}, " + _suggestion(near, ENTRIES))
    return ENTRIES[name]


def required(entry: PolicyEntry) -> tuple[str, ...]:
    """The parameters without a default: they must be given."""
    return tuple(
        each.name for each in fields(entry.spec) if each.default is MISSING and each.default_factory is MISSING
    )


def configured(name: str, values: Mapping[str, str], fitting: Mapping[str, Any] | None = None) -> Policy[Any, Any]:
    """A policy from what a person typed: parameter -> text; the rest has its defaults. Raises BadInput.

    The parts of a tuple are separated by semicolons, numbers by commas as well; an empty text is None or ().
    fitting: parameter -> value of its type, used where the policy has that parameter and `values` does not give it.
    """
    entry = named(name)
    types = get_type_hints(entry.spec)
    known = {each.name: types[each.name] for each in parameters(entry)}
    given: dict[str, Any] = {field: value for field, value in (fitting or {}).items() if field in known}
    for field, text in values.items():
        if field not in known:
            near = difflib.get_close_matches(field, known, n=1, cutoff=0.4)
            raise BadInput(f"{name}.{field}: unknown parameter; " + _suggestion(near, known))
        given[field] = _value(text.strip(), known[field], f"{name}.{field}")
    for each in parameters(entry):
        if each.name not in given and each.name in required(entry):
            raise BadInput(f"{name}.{each.name}: was not given ({each.help}, {each.unit}); set it")
    try:
        return entry.build(entry.spec(**given))
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from error


def _suggestion(near: list[str], known: Iterable[str]) -> str:
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"must be one of {', '.join(known)}"


def _value(text: str, kind: Any, field: str) -> Any:
    """The text as a value of the field's type."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        if NoneType in parts and text in {"", "none"}:
            return None
        (kind,) = (part for part in parts if part is not NoneType)
        return _value(text, kind, field)
    if origin is Literal:
        return _choice(text, parts, field)
    if origin is tuple:
        return tuple(_value(part.strip(), parts[0], field) for part in _split(text, parts[0]))
    if kind is bool:
        return _choice(text.lower(), ("true", "false"), field) == "true"
    if kind in {int, float}:
        return _number(text, kind, field)
    if kind is str:
        return text
    parse = profile_named if kind is Profile else getattr(kind, "parse", None)
    if parse is not None:
        try:
            return parse(text)
        except BadInput as error:
            raise BadInput(f"{field}: {error}") from error
    raise BadInput(f"{field}: cannot be set in text; leave it at its default")


def _split(text: str, kind: Any) -> list[str]:
    parts = text.replace(",", ";") if kind in {int, float} else text
    return [part for part in parts.split(";") if part.strip()]


def _choice(text: str, allowed: Iterable[str], field: str) -> str:
    if text not in allowed:
        raise BadInput(f"{field}: was {text!r}, must be one of {', '.join(allowed)}")
    return text


def _number(text: str, kind: type[Any], field: str) -> Any:
    try:
        value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise BadInput(f"{field}: was {text!r}, must be {what}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{field}: was {text!r}, must be a finite number")
    return value
