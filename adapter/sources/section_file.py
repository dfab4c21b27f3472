"""A file with one Section: YAML into settings, or one line that says what is wrong and where."""

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from adapter.sources.faults import first_fault
from adapter.sources.located import BadYaml, Located, read_yaml
from adapter.sources.section import Section

Settings = TypeVar("Settings", bound=Section)


class BadFile(ValueError):
    """A file that cannot be used: names file, line and field, the value and what is allowed."""


def read_section(path: Path, kind: type[Settings]) -> Settings:
    """The file's settings; what it leaves out has its default. Raises BadFile."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadFile(
            f"config: was {str(path)!r}, must be a readable UTF-8 file ({error}); correct the path"
        ) from error
    return parse_section(text, str(path), kind)


def parse_section(text: str, file: str, kind: type[Settings]) -> Settings:
    """file: how messages call it. Raises BadFile."""
    try:
        document = read_yaml(text)
    except BadYaml as error:
        raise BadFile(f"{file}:{error.line}: {error}") from error
    if document.value is None:
        document = Located({}, {})
    try:
        return kind.model_validate(document.value)
    except ValidationError as error:
        line, sentence = first_fault(error, document, kind)
        raise BadFile(f"{file}:{line}: {sentence}") from error
