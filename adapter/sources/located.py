"""YAML that remembers its lines, so that a fault deep in a file can be found."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_BYTES = 1_048_576
"""A ConfigMap holds no more than 1 MiB."""
MAX_NODES = 100_000
"""Values in one file, aliases counted each time: what a few lines of nested aliases unfold to must stay small."""
MAX_DEPTH = 50

Path = tuple[str | int, ...]
"""Where in a document: ("rules", 2, "maxAgeSeconds")."""


class BadYaml(ValueError):
    """A text that is not one YAML document of plain values. line counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True, slots=True)
class Located:
    """value: plain values; None for an empty document. lines: where each part begins; of a mapping's entry its key."""

    value: object
    lines: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """The line of the part, or of the nearest part around it that is written down."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_yaml(text: str) -> Located:
    """Parse one document. Raises BadYaml: for syntax, a key given twice (YAML keeps the last), and sizes."""
    if len(text) > MAX_BYTES:
        raise BadYaml(1, f"file: was {len(text)} characters, must be at most {MAX_BYTES}; split it")
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Located(None, MappingProxyType({}))
        lines: dict[Path, int] = {}
        _walk(node, (), lines, _line(node))
        return Located(loader.construct_document(node), MappingProxyType(lines))
    except BadYaml:
        raise
    except RecursionError as error:  # PyYAML descends by recursion, before anything here can count
        raise BadYaml(1, f"file: was nested deeper than {MAX_DEPTH}, must be flatter; correct it") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadYaml(line, f"file: was not YAML (character {error.character:#04x}); remove it") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = error.problem or error.context or "not YAML"
        raise BadYaml(mark.line + 1 if mark else 1, f"file: was not YAML ({what}); correct it") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: such as the date 2026-13-01
        raise BadYaml(1, f"file: was not YAML ({' '.join(str(error).split())}); correct it") from error


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _walk(node: Node, path: Path, lines: dict[Path, int], line: int) -> None:
    if len(lines) >= MAX_NODES:
        raise BadYaml(line, f"file: was more than {MAX_NODES} values, aliases unfolded, must be fewer; split it")
    if len(path) > MAX_DEPTH:
        raise BadYaml(line, f"file: was nested deeper than {MAX_DEPTH}, must be flatter; correct it")
    lines[path] = line
    if isinstance(node, SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines, _line(item))
    elif isinstance(node, MappingNode):
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise BadYaml(_line(key), "file: was a mapping with a key that is no text, must be text; correct it")
            inner = (*path, str(key.value))
            if inner in lines:
                raise BadYaml(
                    _line(key), f"{key.value}: was given twice, first in line {lines[inner]}, must be once; remove one"
                )
            _walk(value, inner, lines, _line(key))
