"""One cell of a sweep: what is run, known by a hash of it, and kept in a file of its own when it is finished.

A file a cell, written whole under another name, synced and renamed, rather than one growing file of lines: a kill at
any instant leaves finished cells and no torn line, several sweeps may share a folder, and a cell that two sweeps have
in common is run once. Failed cells are not kept: the next run tries them again.
"""

import hashlib
import json
import os
import traceback
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from policies.errors import BadInput

Content = Mapping[str, Any]
"""All that a result depends on, in JSON's types."""

Task = Callable[[Content], Mapping[str, Any]]
"""Runs one cell: a function at the top of a module, so that another process finds it. Its answer is in JSON's types."""

KEY_CHARACTERS = 20
"""80 bits: a collision among a million cells has probability 4e-13."""


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One run to do. key: of its content."""

    key: str
    content: Content

    @classmethod
    def of(cls, content: Content) -> "Cell":
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return cls(hashlib.sha256(text.encode()).hexdigest()[:KEY_CHARACTERS], content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a cell: figures, or an error in one line. is_bad_input: the error is the input's."""

    figures: Mapping[str, Any] | None = None
    error: str | None = None
    is_bad_input: bool = False


Outcomes = Generator[tuple[Cell, Outcome], None, None]
"""Cells as they finish. Closing it ends what still runs."""


def attempt(task: Task, content: Content) -> Outcome:
    """Run one cell here; whatever goes wrong becomes its outcome."""
    try:
        return Outcome(figures=task(content))
    except BadInput as error:
        return Outcome(error=one_line(str(error)), is_bad_input=True)
    except Exception as error:  # a cell that fails must not take the sweep with it
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        return Outcome(error=one_line(f"{type(error).__name__} at {where}: {error}"))


def one_line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())


class CellFolder:
    """Finished cells on disk, `KEY.json` each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Mapping[str, Any] | None:
        """The figures of a finished cell; None if it is not there or is no whole cell."""
        try:
            document = json.loads(self._path(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        figures = document.get("figures") if isinstance(document, dict) and document.get("cell") == key else None
        return figures if isinstance(figures, dict) else None

    def write(self, cell: Cell, figures: Mapping[str, Any]) -> None:
        """Keep a finished cell, durably: after this returns, a kill or a crash of the machine does not lose it."""
        path = self._path(cell.key)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        document = {"cell": cell.key, "content": cell.content, "figures": figures}
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"
