"""Strict reading of a manifest: every field is read, accepted by name, or a named problem.

Problems are collected, so that one error names all of them.
"""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from leadtime.manifests.document import Document, Located
from policies.errors import BadInput
from policies.hpa.milli_value import milli

Built = TypeVar("Built")

METADATA = (
    *("name", "generateName", "namespace", "labels", "annotations", "uid", "resourceVersion", "generation"),
    *("creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "finalizers", "managedFields"),
    *("ownerReferences", "selfLink"),
)
"""ObjectMeta: none of it changes a decision, except annotations, which their readers look at."""


@dataclass(slots=True)
class Problems:
    """What is wrong with one document, in the order in which it was found."""

    path: Path
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line: int, text: str) -> None:
        self.found.append((line, text))

    def raise_any(self) -> None:
        """One BadInput with every problem, one a line, each with its file and line."""
        if self.found:
            lines = [f"{self.path}:{line}: {text}" for line, text in sorted(self.found, key=lambda each: each[0])]
            raise BadInput("\n".join(lines))


class Fields:
    """One mapping of a manifest. Ask for its fields, then call `done`: what nobody asked for is unknown."""

    def __init__(self, content: Mapping[Any, Any], path: str, line: int, problems: Problems) -> None:
        self.path = path
        self.line = line
        self.problems = problems
        self._content = content
        self._known: set[str] = set()

    @classmethod
    def of(cls, document: Document) -> "Fields":
        """A document's top level, with problems of its own."""
        return cls(document.content, "", document.line, Problems(document.path))

    def has(self, key: str) -> bool:
        """Whether the field is there and not null."""
        return self._content.get(key) is not None

    def raw(self, key: str) -> Any:
        """The value as YAML gave it, None where it is missing."""
        self._known.add(key)
        return self._content.get(key)

    def accept(self, *keys: str) -> None:
        """Fields that do not change the decision."""
        self._known.update(keys)

    def refuse(self, why: str, *keys: str) -> None:
        """Fields that exist and would change the decision, which cannot be run here."""
        for key in keys:
            self._known.add(key)
            if self.has(key):
                self.problem(key, f"is not supported: {why}")

    def problem(self, key: str, text: str) -> None:
        """Note what is wrong with a field of this mapping, or with the mapping itself for key ''."""
        lines = self._content.lines if isinstance(self._content, Located) else {}
        self.problems.add(lines.get(key, self.line), f"{self.at(key)}: {text}")

    def at(self, key: str) -> str:
        """The path of a field from the document's top."""
        if not key:
            return self.path or "document"
        if any(character in key for character in "./"):
            return f"{self.path}[{key!r}]"
        return f"{self.path}.{key}" if self.path else key

    def text(self, key: str, *, required: bool = False, default: str = "") -> str:
        value = self._typed(key, (str,), "a text", required=required)
        return default if value is None else str(value)

    def choice(self, key: str, allowed: Sequence[str], *, required: bool = False, default: str = "") -> str:
        value = self.text(key, required=required, default=default)
        if self.has(key) and isinstance(self.raw(key), str) and value not in allowed:
            self.problem(key, f"was {value!r}, must be one of {', '.join(allowed)}")
            return default
        return value

    def integer(self, key: str, *, required: bool = False, default: int | None = None) -> int | None:
        value = self._typed(key, (int,), "a whole number", required=required)
        return default if value is None else int(value)

    def boolean(self, key: str, *, default: bool = False) -> bool:
        value = self.raw(key)
        if value is not None and not isinstance(value, bool):
            self.problem(key, f"was {value!r}, must be true or false")
            return default
        return default if value is None else value

    def quantity_text(self, key: str) -> str | None:
        """A quantity as its canonical text: the API takes a number as well as a text."""
        value = self._typed(key, (str, int, float), "a quantity such as 10, 0.5, 500m or 2Gi")
        return None if value is None else str(value)

    def quantity_milli(self, key: str) -> int | None:
        """A quantity in milli-units, rounded up as Kubernetes does."""
        text = self.quantity_text(key)
        return None if text is None else self.checked(key, lambda: milli(text))

    def checked(self, key: str, build: Callable[[], Built]) -> Built | None:
        """What `build` gives, or None with its BadInput noted against the field."""
        try:
            return build()
        except BadInput as error:
            self.problem(key, str(error))
            return None

    def child(self, key: str, *, required: bool = False) -> "Fields | None":
        """A mapping inside; None where it is missing or no mapping."""
        value = self._typed(key, (dict,), "a mapping", required=required)
        return None if value is None else Fields(value, self.at(key), self.line_of(key), self.problems)

    def children(self, key: str) -> "list[Fields] | None":
        """The mappings of a list; None where there is no list."""
        value = self._typed(key, (list,), "a list")
        if value is None:
            return None
        inner = []
        for index, each in enumerate(value):
            if isinstance(each, dict):
                inner.append(self._item(each, key, f"{self.at(key)}[{index}]"))
            else:
                self.problem(key, f"[{index}] was {each!r}, must be a mapping")
        return inner

    def metadata(self) -> "Fields | None":
        """Read `metadata` and give its annotations, for those who know what they mean."""
        metadata = self.child("metadata")
        if metadata is None:
            return None
        metadata.accept(*METADATA)
        annotations = metadata.child("annotations")
        metadata.done()
        return annotations

    def texts(self) -> Mapping[str, str]:
        """Every field of the mapping, each of which must be a text, as annotations and labels must."""
        return {key: self.text(key) for key in self._content}

    def line_of(self, key: str) -> int:
        return self._content.lines.get(key, self.line) if isinstance(self._content, Located) else self.line

    def done(self) -> None:
        """Note each field that was neither read nor accepted."""
        for key in self._content:
            if key not in self._known:
                near = difflib.get_close_matches(str(key), sorted(self._known), n=1, cutoff=0.6)
                self.problem(str(key), "unknown field" + (f"; did you mean {near[0]}?" if near else ""))

    def _item(self, value: Mapping[Any, Any], key: str, path: str) -> "Fields":
        """One mapping of a list, which has no key of its own: its first line is where it starts."""
        lines = value.lines.values() if isinstance(value, Located) else ()
        return Fields(value, path, min(lines, default=self.line_of(key)), self.problems)

    def _typed(self, key: str, types: tuple[type, ...], what: str, *, required: bool = False) -> Any:
        value = self.raw(key)
        if value is None:
            if required:
                self.problem(key, f"was not given, must be {what}")
            return None
        if not isinstance(value, types) or isinstance(value, bool):
            self.problem(key, f"was {value!r}, must be {what}")
            return None
        return value
