"""The configuration file as settings, or one line that says what is wrong and where."""

from pathlib import Path

from adapter.sources.section_file import BadFile, parse_section, read_section
from autoscaler.settings import ControllerSettings
from policies.errors import BadInput


def read_configuration(path: Path) -> ControllerSettings:
    """The file's settings; what it leaves out has its default. Raises BadInput with file, line and field."""
    try:
        return read_section(path, ControllerSettings)
    except BadFile as error:
        raise BadInput(str(error)) from error


def parse_configuration(text: str, file: str) -> ControllerSettings:
    """file: how messages call it. Raises BadInput."""
    try:
        return parse_section(text, file, ControllerSettings)
    except BadFile as error:
        raise BadInput(str(error)) from error
