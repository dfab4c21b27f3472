"""YAML into plain values that know their lines."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from policies.errors import BadInput


class Located(dict[str, Any]):
    """A mapping with the line of each key, counted from 1."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[str, int] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One document of a file that is a mapping."""

    path: Path
    line: int
    content: Located

    @property
    def kind(self) -> str:
        return str(self.content.get("kind") or "without kind")

    @property
    def api_group(self) -> str:
        """The part of apiVersion before the slash."""
        return str(self.content.get("apiVersion") or "").partition("/")[0]

    @property
    def name(self) -> str | None:
        metadata = self.content.get("metadata")
        name = metadata.get("name") if isinstance(metadata, dict) else None
        return name if isinstance(name, str) and name else None


def read_documents(path: Path, wanted: str = "a mapping with a kind") -> list[Document]:
    """Every document of the file; empty ones are left out. Raises BadInput that names file and line.

    wanted: what each document must be, for messages.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}; give a YAML manifest") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is not UTF-8 text ({error.reason} at byte {error.start})") from None
    loader: _Loader | None = None
    documents: list[Document] = []
    try:
        loader = _Loader(text)
        while loader.check_node():
            node = loader.get_node()
            assert node is not None, "check_node said that there is one"
            line = node.start_mark.line + 1
            content = loader.construct_document(node)
            if isinstance(content, Located):
                documents.append(Document(path=path, line=line, content=content))
            elif content is not None:
                raise BadInput(f"{path}:{line}: was a {type(content).__name__}, must be {wanted}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        problem = error.problem or error.context or "cannot be parsed"
        raise BadInput(f"{where}: is not YAML: {problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"{path}: is not YAML: {str(error).splitlines()[0]}") from None
    finally:
        if loader is not None:
            loader.dispose()
    return documents


class _Loader(yaml.SafeLoader):
    """The safe loader, with lines, and without keys that are given twice (the last one would win silently)."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    located = Located()
    yield located
    loader.flatten_mapping(node)
    for key_node, value_node in node.value:
        key = _text_key(loader.construct_object(key_node, deep=True))
        if key is None:
            raise yaml.constructor.ConstructorError(None, None, "a key must be a text", key_node.start_mark)
        if key in located:
            raise yaml.constructor.ConstructorError(None, None, f"{key!r} is given twice", key_node.start_mark)
        located[key] = loader.construct_object(value_node, deep=True)
        located.lines[key] = key_node.start_mark.line + 1


def _text_key(key: Any) -> str | None:
    """The key as kubectl makes JSON of it: 1 is "1", on is "true"; None for what is no key there."""
    if isinstance(key, bool):
        return str(key).lower()
    return str(key) if isinstance(key, str | int | float | date) else None


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
