"""Recordings on disk, plain or .gz: which format a file has is seen from its first line.

- Azure CSV (AzureLLMInferenceTrace 2023, 2024): TIMESTAMP (UTC), ContextTokens, GeneratedTokens.
- Plain CSV: arrival_seconds, prompt_tokens, output_tokens; seconds since any start. Further columns are ignored.
- Mooncake JSONL (FAST'25 release): timestamp (ms), input_length, output_length; prefix blocks are not used yet.

Every wrong line is one BadInput with file, line, field and value; nothing is skipped silently.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND
from simulations.trace import Row, Trace, trace_of

AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
PLAIN_COLUMNS = ("arrival_seconds", "prompt_tokens", "output_tokens")
MOONCAKE_FIELDS = ("timestamp", "input_length", "output_length")

_MAX_TOKENS = 10_000_000
_MAX_SECONDS = 10**9


def read_trace(path: Path) -> Trace:
    """Read a recording in any of the formats above. Raises BadInput."""
    with _opened(path) as file:
        first = file.readline()
        if not first.strip():
            raise BadInput(f"{path}: was empty, must start with the header {','.join(AZURE_COLUMNS)} or a JSON object")
        rows = _mooncake_rows(path, first, file) if first.lstrip().startswith("{") else _csv_rows(path, first, file)
        return trace_of(path, rows)


def _csv_rows(path: Path, first: str, file: IO[str]) -> Iterator[Row]:
    header = next(csv.reader([first]))
    is_plain = PLAIN_COLUMNS[0] in header
    columns = PLAIN_COLUMNS if is_plain else AZURE_COLUMNS
    missing = [column for column in columns if column not in header]
    if missing:
        raise BadInput(
            f"{path}:1: column {missing[0]} is missing (header was {','.join(header)!r}); must have "
            f"{','.join(columns)}" + ("" if is_plain else f", or {','.join(PLAIN_COLUMNS)}")
        )
    at = [header.index(column) for column in columns]
    read_time = _seconds_ns if is_plain else _timestamp_ns
    reader = csv.reader(file)
    for fields in reader:
        where = f"{path}:{reader.line_num + 1}"
        if len(fields) != len(header):
            raise BadInput(
                f"{where}: has {len(fields)} fields, must have {len(header)} as in the header; mend or remove the line"
            )
        time, prompt, output = (fields[index] for index in at)
        yield Row(
            where=where,
            time_ns=read_time(time, columns[0], where),
            time_text=time,
            prompt_tokens=_tokens(prompt, columns[1], 1, where),
            output_tokens=_tokens(output, columns[2], 0, where),
        )


def _mooncake_rows(path: Path, first: str, file: IO[str]) -> Iterator[Row]:
    for number, line in enumerate([first, *file], start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            request = json.loads(line)
        except ValueError as error:
            raise BadInput(f"{where}: is not JSON ({error}); mend or remove the line") from None
        missing = [name for name in MOONCAKE_FIELDS if not isinstance(request, dict) or name not in request]
        if missing:
            raise BadInput(f"{where}: {missing[0]} is missing, must be an object with {', '.join(MOONCAKE_FIELDS)}")
        time, prompt, output = (request[name] for name in MOONCAKE_FIELDS)
        yield Row(
            where=where,
            time_ns=_number_ns(time, 1e-3, MOONCAKE_FIELDS[0], where),
            time_text=str(time),
            prompt_tokens=_tokens(prompt, MOONCAKE_FIELDS[1], 1, where),
            output_tokens=_tokens(output, MOONCAKE_FIELDS[2], 0, where),
        )


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    try:
        opener = gzip.open if path.suffix == ".gz" else open
        with opener(path, "rt", encoding="utf-8", newline="") as file:
            yield file
    except FileNotFoundError:
        raise BadInput(f"trace: {path} does not exist; give the path of a trace") from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"trace: {path} cannot be read ({error}); must be text in UTF-8, plain or .gz") from None


def _timestamp_ns(text: str, column: str, where: str) -> int:
    """Unix ns of `2023-11-16 18:15:46.6805900`; up to 9 digits of fraction, UTC unless an offset is given."""
    whole, dot, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    moment: datetime | None
    try:
        moment = datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError:
        moment = None
    if moment is None or (dot and not 1 <= len(digits) <= 9):
        raise BadInput(f"{where}: {column} was {text!r}, must be a time such as 2023-11-16 18:15:46.680; mend the line")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * NS_PER_SECOND + int(digits.ljust(9, "0") or 0)


def _seconds_ns(text: str, column: str, where: str) -> int:
    return _number_ns(text, 1.0, column, where)


def _number_ns(value: object, unit_seconds: float, column: str, where: str) -> int:
    """A number of seconds (or of another unit) since any start, as ns."""
    try:
        seconds = float(value) * unit_seconds  # type: ignore[arg-type] # what is no number is refused below
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= _MAX_SECONDS or isinstance(value, bool):
        raise BadInput(f"{where}: {column} was {value!r}, must be a number in [0, {_MAX_SECONDS / unit_seconds:g}]")
    return round(seconds * NS_PER_SECOND)


def _tokens(value: object, column: str, low: int, where: str) -> int:
    try:
        tokens = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else -1
    except ValueError:
        tokens = -1
    if not low <= tokens <= _MAX_TOKENS:
        raise BadInput(
            f"{where}: {column} was {value!r}, must be a whole number in [{low}, {_MAX_TOKENS}]; mend the line"
        )
    return tokens
