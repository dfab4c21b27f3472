"""One file of rules: its text to rules, or to one line that says what is wrong and where."""

from dataclasses import dataclass

from pydantic import ValidationError

from adapter.rules.faults import BadRules
from adapter.rules.schema import RulesDocument
from adapter.sources.faults import first_fault
from adapter.sources.located import BadYaml, read_yaml
from adapter.sources.rule import Rule


@dataclass(frozen=True, slots=True)
class Disabled:
    """A rule that is switched off by name. at: FILE:LINE."""

    name: str
    at: str


@dataclass(frozen=True, slots=True)
class RulesFile:
    """What one file says. overriding: names of its rules that may take names from built-in ones."""

    rules: tuple[Rule, ...] = ()
    overriding: frozenset[str] = frozenset()
    disabled: tuple[Disabled, ...] = ()


def parse_rules(text: str, file: str) -> RulesFile:
    """file: how messages call it. Raises BadRules with its first fault."""
    try:
        document = read_yaml(text)
    except BadYaml as error:
        raise BadRules(f"{file}:{error.line}: {error}") from error
    if document.value is None:
        return RulesFile()
    try:
        parsed = RulesDocument.model_validate(document.value)
    except ValidationError as error:
        line, sentence = first_fault(error, document, RulesDocument)
        raise BadRules(f"{file}:{line}: {sentence}") from error
    return RulesFile(
        rules=tuple(
            section.to_rule(f"{file}:{document.line(('rules', index))}") for index, section in enumerate(parsed.rules)
        ),
        overriding=frozenset(section.name for section in parsed.rules if section.override),
        disabled=tuple(
            Disabled(name, f"{file}:{document.line(('disable', index))}") for index, name in enumerate(parsed.disable)
        ),
    )
