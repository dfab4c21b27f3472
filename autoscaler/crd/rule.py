"""What must hold between fields, said once: CEL for the API server, Python for who reads an object, one message."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from string import Formatter
from typing import Any

from pydantic.alias_generators import to_snake

from adapter.sources.section import Section

Holds = Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of one section.

    field: who is blamed, as a camelCase path below the section: `minReplicas`, `fallback.replicas`.
    cel, holds: the rule over `self`, in CEL and in Python.
    message: follows the field's path; names value, allowed range and remedy. `{fallback.replicas}` stands for the
        value of that field, `{name}` for what `values` says it is.
    values: name -> its CEL expression, and the same in Python.
    """

    field: str
    cel: str
    holds: Holds
    message: str
    values: Mapping[str, tuple[str, Callable[[Any], object]]] = dataclass_field(default_factory=dict)

    def told(self, section: Section) -> str:
        """The message for a section that breaks the rule."""
        return "".join(
            text + ("" if name is None else _shown(self._value(section, name))) for text, name in _parts(self.message)
        )

    def validation(self) -> dict[str, str]:
        """The entry of `x-kubernetes-validations`."""
        return validation(self.cel, self._message_expression(), self.field)

    def _message_expression(self) -> str:
        """By format(), whose estimated cost is bounded; a sum of texts with string() of a number is not."""
        template, arguments = "", []
        for text, name in _parts(self.message):
            template += text.replace("%", "%%")
            if name is not None:
                template += "%s"
                arguments.append(self.values.get(name, (f"self.{name}", None))[0])
        return f"{cel_text(template)}.format([{', '.join(arguments)}])" if arguments else cel_text(self.message)

    def _value(self, section: Section, name: str) -> object:
        if name in self.values:
            return self.values[name][1](section)
        value: object = section
        for part in name.split("."):
            value = getattr(value, to_snake(part))
        return value


def validation(cel: str, message_expression: str, field_path: str = "") -> dict[str, str]:
    """An entry of `x-kubernetes-validations`."""
    entry = {"rule": cel, "messageExpression": message_expression}
    return entry | ({"fieldPath": f".{field_path}"} if field_path else {})


def cel_text(text: str) -> str:
    """A text as a literal of CEL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class BrokenRules(ValueError):
    """A section breaks rules. faults: (field below the section, message) of each."""

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{field}: {message}" for field, message in faults))
        self.faults = faults


def _parts(message: str) -> Iterator[tuple[str, str | None]]:
    """(text, the placeholder after it or None) in order."""
    for text, name, _, _ in Formatter().parse(message):
        yield text, name


def _shown(value: object) -> str:
    """As CEL's string() has it: 5.0 is `5`."""
    return f"{value:.15g}" if isinstance(value, float) else str(value)
