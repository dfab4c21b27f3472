"""What a field takes, in words, from its structural schema: for messages and for the reference."""

from collections.abc import Sequence
from typing import Any

from autoscaler.crd.names import DNS_LABEL, DNS_SUBDOMAIN
from autoscaler.crd.schema import Json

_PATTERNS = {
    DNS_LABEL: "lower-case letters, digits and -",
    DNS_SUBDOMAIN: "lower-case letters, digits, - and .",
}
_KINDS = {"boolean": "true or false", "object": "a mapping"}


def takes(node: Json) -> str:
    """`a whole number in [1, 100000]`, `Max, Min or Disabled`, `a text of 1 to 63 characters`."""
    if node.get("x-kubernetes-int-or-string"):
        return "a whole number or a quantity in quotes"
    if "enum" in node:
        return _one_of(node["enum"])
    kind = node["type"]
    if kind in ("integer", "number"):
        return ("a whole number" if kind == "integer" else "a number") + _range(
            node.get("minimum"), node.get("maximum")
        )
    if kind == "array":
        return "a list" + _count(node.get("minItems", 0), node.get("maxItems"), "entries")
    if kind == "string":
        if node.get("format") == "date-time":
            return "a time"
        pattern = node.get("pattern")
        of = "" if pattern is None else f": {_PATTERNS.get(pattern, f'`{pattern}`')}"
        return "a text" + _count(node.get("minLength", 0), node.get("maxLength"), "characters") + of
    return _KINDS[kind]


def _one_of(choices: Sequence[Any]) -> str:
    *rest, last = map(str, choices)
    return f"{', '.join(rest)} or {last}" if rest else last


def _range(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f" in [{low:.10g}, {high:.10g}]"
    return "" if low is None else f", at least {low:.10g}"


def _count(low: int, high: int | None, what: str) -> str:
    if high is None:
        return ""
    if low == high:
        return f" of exactly {high}"
    return f" of {f'{low} to' if low else 'up to'} {high} {what}"
