"""The configuration file as settings, or one line that says what is wrong and where."""

from pathlib import Path

from adapter.errors import BadInput
from adapter.settings import AdapterSettings
from adapter.sources.section_file import BadFile, parse_section, read_section


def read_configuration(path: Path) -> AdapterSettings:
    """The file's settings; what it leaves out has its default. Raises BadInput with file, line and field."""
    try:
        return read_section(path, AdapterSettings)
    except BadFile as error:
        raise BadInput(str(error)) from error


def parse_configuration(text: str, file: str) -> AdapterSettings:
    """file: how messages call it. Raises BadInput."""
    try:
        return parse_section(text, file, AdapterSettings)
    except BadFile as error:
        raise BadInput(str(error)) from error
