"""Files that a command writes: refused before the work starts, whole or not at all."""

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from policies.errors import BadInput


def check_writable(option: str, path: Path) -> None:
    """Raise BadInput when `path` could not be written at the end of a long run."""
    if path.is_dir():
        raise BadInput(f"{option}: {path} is a directory, must be a file; add a file name")
    folder = path.absolute().parent
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=f".{path.name}."):
            pass
    except OSError as error:
        raise BadInput(
            f"{option}: {path} cannot be written ({error.strerror}); choose a folder that exists and is yours"
        ) from None


def check_folder(option: str, folder: Path) -> None:
    """Make the folder, or raise BadInput when files could not be written into it at the end of a long run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{option}: {folder} cannot be made ({error.strerror}); choose a folder of yours") from None
    check_writable(option, folder / "file")


@contextmanager
def made_folders(option: str, *folders: Path) -> Iterator[None]:
    """Make the folders. Where what follows is refused, those that were made and are still empty are taken away again.

    Raises BadInput, as `check_folder` does.
    """
    new = [each for folder in folders for each in (*reversed(folder.parents), folder) if not each.exists()]
    try:
        for folder in folders:
            check_folder(option, folder)
        yield
    except BadInput:
        for folder in reversed(new):
            with suppress(OSError):
                folder.rmdir()
        raise


def write_text(path: Path, text: str) -> None:
    """Write a file whole: readers see the old one or the new one."""
    handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write figures for programs; NaN becomes null, because JSON has no NaN."""
    write_text(path, json.dumps(_without_nan(document), indent=2) + "\n")


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return value
