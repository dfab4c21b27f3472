"""The configuration file: YAML into settings, or one line that says what is wrong and where."""

from pathlib import Path

from pydantic import ValidationError

from adapter.sources.faults import first_fault
from adapter.sources.located import BadYaml, Located, read_yaml
from autoscaler.settings import ControllerSettings
from policies.errors import BadInput


def read_configuration(path: Path) -> ControllerSettings:
    """The file's settings; what it leaves out has its default. Raises BadInput with file, line and field."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(
            f"config: was {str(path)!r}, must be a readable UTF-8 file ({error}); correct the path"
        ) from error
    return parse_configuration(text, str(path))


def parse_configuration(text: str, file: str) -> ControllerSettings:
    """file: how messages call it. Raises BadInput."""
    try:
        document = read_yaml(text)
    except BadYaml as error:
        raise BadInput(f"{file}:{error.line}: {error}") from error
    if document.value is None:
        document = Located({}, {})
    try:
        return ControllerSettings.model_validate(document.value)
    except ValidationError as error:
        line, sentence = first_fault(error, document, ControllerSettings)
        raise BadInput(f"{file}:{line}: {sentence}") from error
