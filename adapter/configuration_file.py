"""The configuration file: YAML into settings, or one line that says what is wrong and where."""

from pathlib import Path

from pydantic import ValidationError

from adapter.errors import BadInput
from adapter.settings import AdapterSettings
from adapter.sources.faults import first_fault
from adapter.sources.located import BadYaml, Located, read_yaml


def read_configuration(path: Path) -> AdapterSettings:
    """The file's settings; what it leaves out has its default. Raises BadInput with file, line and field."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"config: was {str(path)!r}, must be a readable UTF-8 file ({error}); correct the path"
        ) from error
    return parse_configuration(text, str(path))


def parse_configuration(text: str, file: str) -> AdapterSettings:
    """file: how messages call it. Raises BadInput."""
    try:
        document = read_yaml(text)
    except BadYaml as error:
        raise BadInput(f"{file}:{error.line}: {error}") from error
    return _settings(document if document.value is not None else Located({}, {}), file)


def _settings(document: Located, file: str) -> AdapterSettings:
    try:
        return AdapterSettings.model_validate(document.value)
    except ValidationError as error:
        line, sentence = first_fault(error, document, AdapterSettings)
        raise BadInput(f"{file}:{line}: {sentence}") from error
