"""Recordings that were uploaded: bounded, in a temporary folder of this server's."""

import re
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from policies.errors import BadInput

MOST_BYTES = 200 * 10**6
MOST_KEPT = 10
SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz")

_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """key: what the form holds of it, unguessable. name: of the file as the browser told it, made harmless."""

    key: str
    name: str
    path: Path
    bytes: int


class Uploads:
    """folder: theirs alone. most_bytes: of each."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._kept: dict[str, Upload] = {}

    async def keep(self, name: str, pieces: AsyncIterator[bytes]) -> Upload:
        """Write it. Raises BadInput where its name, its length or the number of them is not allowed."""
        safe = _ODD.sub("-", name).lstrip(".-")[-_LONGEST_NAME:]
        if not safe.casefold().endswith(SUFFIXES):
            raise BadInput(f"--demand: was a file {name[:80]!r}, must end in {', '.join(SUFFIXES)}; convert it")
        if len(self._kept) >= MOST_KEPT:
            raise BadInput(
                f"--demand: {len(self._kept)} recordings were uploaded, the most that are kept; name a path instead, "
                "or start the page anew"
            )
        key = secrets.token_urlsafe(12)
        path = self._folder / key / safe
        path.parent.mkdir(mode=0o700)
        length = 0
        try:
            with path.open("xb") as file:
                async for piece in pieces:
                    length += len(piece)
                    self.check_length(name, length)
                    file.write(piece)
        except BaseException:
            path.unlink(missing_ok=True)
            path.parent.rmdir()
            raise
        kept = self._kept[key] = Upload(key=key, name=safe, path=path, bytes=length)
        return kept

    def check_length(self, name: str, length: int) -> None:
        """Raises BadInput where so many bytes are too many."""
        if length > self._most_bytes:
            raise BadInput(
                f"--demand: {name[:80]!r} is larger than {self._most_bytes / 1e6:g} MB, the most that is uploaded; "
                "give its path on this machine instead, or pack it with gzip"
            )

    @property
    def most_bytes(self) -> int:
        return self._most_bytes

    def find(self, key: str) -> Upload | None:
        return self._kept.get(key)
