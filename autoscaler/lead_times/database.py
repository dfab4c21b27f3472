"""The SQLite file: opened, put aside where it cannot be used, and noticed when it is taken away while it is open."""

import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from policies.snapshot import NS_PER_SECOND

SCHEMA_VERSION = 2
_PAGE_BYTES = 16_384  # an hour of minutes is 720 bytes: in pages of 4 KiB a tenth of the file would be their ends
_BUSY_SECONDS = 2.0

_SCHEMA = """
CREATE TABLE workload (id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (namespace, name));
CREATE TABLE lead_time (
    workload INTEGER NOT NULL, pod_uid TEXT NOT NULL, pod TEXT NOT NULL, created_ns INTEGER NOT NULL,
    node TEXT NOT NULL, image TEXT NOT NULL, spot INTEGER NOT NULL, is_returning INTEGER NOT NULL,
    ask_seconds REAL NOT NULL, node_seconds REAL NOT NULL, pull_seconds REAL NOT NULL, start_seconds REAL NOT NULL,
    load_seconds REAL NOT NULL, zone TEXT NOT NULL, ordinal INTEGER, revision TEXT NOT NULL,
    PRIMARY KEY (workload, pod_uid)
) WITHOUT ROWID;
CREATE TABLE load_hour (id INTEGER PRIMARY KEY, minutes BLOB NOT NULL);
CREATE TABLE learned (workload INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, json TEXT NOT NULL);
"""


@dataclass(slots=True)
class Database:
    """An open file. identity: device and inode, by which a file that took its place is told apart.

    notice: what was found and done while it was opened; "" where nothing was.
    """

    path: Path
    connection: sqlite3.Connection
    identity: tuple[int, int]
    notice: str = ""

    def is_in_place(self) -> bool:
        """Whether the path still leads to the open file."""
        return _identity(self.path) == self.identity

    def close(self) -> None:
        self.connection.close()


def open_database(path: Path, *, max_bytes: int, now_ns: int) -> Database:
    """The file, made where there is none. One that is no database, damaged, or of another version is kept beside as
    NAME.corrupt-TIME and begun anew. Raises sqlite3.Error, OSError where that is not possible.
    """
    notice = ""
    try:
        connection = _connect(path, max_bytes)
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        kept = put_aside(path, now_ns)
        notice = f"{path}: could not be used ({error}); it was kept as {kept.name} and begun anew"
        connection = _connect(path, max_bytes)
    identity = _identity(path)
    if identity is None:
        connection.close()
        raise FileNotFoundError(f"{path}: was gone as soon as it was made")
    return Database(path, connection, identity, notice)


def restore(lost: Database, *, max_bytes: int, now_ns: int) -> Database:
    """After the file was deleted: a new one with all that the open one still holds; where another file has taken its
    place, that one. The lost one stays open. Raises sqlite3.Error, OSError."""
    is_deleted = _identity(lost.path) is None
    for leftover in _companions(lost.path):
        leftover.unlink(missing_ok=True)  # the WAL of the lost file would be read as the new one's
    found = open_database(lost.path, max_bytes=max_bytes, now_ns=now_ns)
    if not is_deleted:
        found.notice = f"{lost.path}: was replaced while it was open; the new file is used"
        return found
    try:
        lost.connection.backup(found.connection)
        found.notice = f"{lost.path}: was deleted while it was open; all of it was written anew"
    except sqlite3.Error as error:
        found.close()
        put_aside(lost.path, now_ns)
        found = open_database(lost.path, max_bytes=max_bytes, now_ns=now_ns)
        found.notice = f"{lost.path}: was deleted while it was open, and begun anew ({error})"
    return found


def put_aside(path: Path, now_ns: int) -> Path:
    """Rename the file, with its WAL, to NAME.corrupt-TIME. Raises OSError."""
    at = datetime.fromtimestamp(now_ns / NS_PER_SECOND, UTC)
    kept = path.with_name(f"{path.name}.corrupt-{at:%Y%m%dT%H%M%SZ}")
    path.replace(kept)
    for companion in _companions(path):
        if companion.exists():
            companion.replace(companion.with_name(kept.name + companion.name.removeprefix(path.name)))
    return kept


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file itself is at fault, rather than a full disk, a lock or missing rights."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, WrongSchema | Damaged) or (
        code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    )


class WrongSchema(sqlite3.DatabaseError):
    """A database of something else, or of another version of this one."""


class Damaged(sqlite3.DatabaseError):
    """What SQLite's own check found wrong with the pages: 0.2 s for the 290 MB of 1,000 workloads."""


def _connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")  # a power cut loses the last writes, never the file
        connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // _PAGE_BYTES)}")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if version == 0 and tables == 0:
            connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise WrongSchema(f"its schema is version {version}, must be {SCHEMA_VERSION}")  # noqa: TRY301
        elif (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise Damaged(str(found))  # noqa: TRY301
    except BaseException:
        connection.close()
        raise
    return connection


def _companions(path: Path) -> tuple[Path, Path]:
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_dev, stat.st_ino
