"""Label selectors, as in a `labelSelector=` parameter.

Source: apimachinery v0.36 pkg/labels/selector.go (grammar, operators, matching) and pkg/api/validate/content (keys and
values). Values are label values there too, so a model name with a slash cannot be selected. A key has at most one
slash; dots are legal in the part behind it, so the Stackdriver adapter's `resource.labels.container_name` is a key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Operator = Literal["Equals", "In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
_TOKEN = re.compile(r"[ \t\r\n]*(!=|==|=|!|\(|\)|,|<|>|[^ \t\r\n(),!=<>]+)")
_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"
_KEY = re.compile(rf"(?:(?=[^/]{{1,253}}/){_DNS_LABEL}(?:\.{_DNS_LABEL})*/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_MAX_REQUIREMENTS = 100
"""Of one selector, each of which is matched with thousands of series; people write three."""
_SIGNS = ("=", "==", "!=", "!", "(", ")", ",", "<", ">", "")


class BadSelector(ValueError):
    """A selector that cannot be parsed; the message says where."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `a != b` is `a notin (b)`: both match where the label is absent.

    Gt and Lt compare integers; a label that is absent or no integer does not match.
    """

    key: str
    operator: Operator
    values: tuple[str, ...] = ()
    _among: frozenset[str | None] = field(init=False, repr=False, compare=False)  # 30,000 values fit into a request

    def __post_init__(self) -> None:
        object.__setattr__(self, "_among", frozenset(self.values))

    def matches(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case "Exists":
                return self.key in labels
            case "DoesNotExist":
                return self.key not in labels
            case "NotIn":
                return labels.get(self.key) not in self._among
            case "Equals" | "In":
                return labels.get(self.key) in self._among
            case "Gt" | "Lt":
                value, bound = _integer(labels.get(self.key, "")), _integer(self.values[0])
                if value is None or bound is None:
                    return False
                return value > bound if self.operator == "Gt" else value < bound


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold; none matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(requirement.matches(labels) for requirement in self.requirements)

    def as_label_selector(self) -> dict[str, object] | None:
        """A metav1.LabelSelector in JSON, None for everything."""
        if not self.requirements:
            return None
        equal: dict[str, str] = {}
        others: list[dict[str, object]] = []
        for one in self.requirements:
            if one.operator == "Equals" and equal.setdefault(one.key, one.values[0]) == one.values[0]:
                continue
            operator = "In" if one.operator == "Equals" else one.operator  # a=b,a=c: a key holds one value
            values = {"values": list(one.values)} if one.values else {}
            others.append({"key": one.key, "operator": operator, **values})
        shape = {"matchLabels": equal, "matchExpressions": others}
        return {key: part for key, part in shape.items() if part}


def parse_selector(text: str) -> Selector:
    """Parse `a=b,c!=d,e in (f,g),h notin (i),j,!k,l>1,m<2`; the empty text selects everything. Raises BadSelector."""
    tokens = _Tokens(text)
    if tokens.peek() == "":
        return Selector()
    requirements = [_requirement(tokens)]
    while (separator := tokens.take()) == ",":
        requirements.append(_requirement(tokens))
        if len(requirements) > _MAX_REQUIREMENTS:
            raise BadSelector(f"selector: had over {_MAX_REQUIREMENTS} requirements, must have at most so many")
    if separator != "":
        raise tokens.error(separator, "',' or the end")
    return Selector(tuple(requirements))


class _Tokens:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text.rstrip(" \t\r\n"))  # blanks before no token would be tried from each one on
        self._next = 0

    def peek(self) -> str:
        """The next token, "" at the end."""
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self._next += 1
        return token

    def error(self, found: str, wanted: str) -> BadSelector:
        return BadSelector(f"unable to parse requirement: {self._text!r}: found {found!r}, expected: {wanted}")


def _requirement(tokens: _Tokens) -> Requirement:
    absent = tokens.peek() == "!"
    if absent:
        tokens.take()
    key = tokens.take()
    if not _KEY.fullmatch(key):
        raise tokens.error(key, "a label key")
    if absent:
        return Requirement(key, "DoesNotExist")
    match tokens.peek():
        case "" | ",":
            return Requirement(key, "Exists")
        case "=" | "==":
            tokens.take()
            return Requirement(key, "Equals", (_value(tokens),))
        case "!=":
            tokens.take()
            return Requirement(key, "NotIn", (_value(tokens),))
        case ">" | "<" as sign:
            tokens.take()
            return Requirement(key, "Gt" if sign == ">" else "Lt", (_bound(tokens),))
        case "in" | "notin" as word:
            tokens.take()
            return Requirement(key, "In" if word == "in" else "NotIn", _set(tokens))
        case other:
            raise tokens.error(other, "one of =, ==, !=, >, <, in, notin, ',' or the end")


def _value(tokens: _Tokens, empty_before: tuple[str, ...] = ("", ",")) -> str:
    """One value, which may be empty: `a=` and `a=,b`, and in a set `(,b)` and `(b,)`."""
    if tokens.peek() in empty_before:
        return ""
    value = tokens.take()
    if value in _SIGNS or not _VALUE.fullmatch(value):
        raise tokens.error(value, "a label value of at most 63 of A-Z, a-z, 0-9, -, _ and .")
    return value


def _bound(tokens: _Tokens) -> str:
    value = _value(tokens)
    if _integer(value) is None:
        raise tokens.error(value, "an integer of 64 bits")
    return value


def _set(tokens: _Tokens) -> tuple[str, ...]:
    if (opening := tokens.take()) != "(":
        raise tokens.error(opening, "'('")
    values = [_value(tokens, (",", ")"))]
    while (separator := tokens.take()) == ",":
        values.append(_value(tokens, (",", ")")))
    if separator != ")":
        raise tokens.error(separator, "',' or ')'")
    return tuple(sorted(set(values)))


def _integer(text: str) -> int | None:
    """As Go's strconv.ParseInt(text, 10, 64)."""
    if not _INTEGER.fullmatch(text) or not -(2**63) <= (number := int(text)) < 2**63:
        return None
    return number
