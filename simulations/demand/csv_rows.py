"""CSV recordings row by row: every wrong field is named with its value and range."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND
from simulations.demand.rows import MAX_SECONDS, MAX_TOKENS, BadRow, Row, Skips

AZURE_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
PLAIN_COLUMNS = ("arrival_seconds", "prompt_tokens", "output_tokens")
OPTIONAL_COLUMNS = ("lora", "priority", "e2e_limit_seconds", "session")
"""Of a plain CSV; an empty field says nothing of that request."""

MAX_ADAPTERS = 1_000_000
MAX_PRIORITY = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first line. required, optional: the columns that are read, and where they are."""

    names: tuple[str, ...]
    is_plain: bool
    required: tuple[tuple[str, int], ...]
    optional: tuple[tuple[str, int], ...]

    @classmethod
    def parse(cls, path: Path, line: str) -> "Header":
        """Raises BadInput where a column is missing or there twice."""
        names = tuple(next(csv.reader([line])))
        is_plain = PLAIN_COLUMNS[0] in names
        columns = PLAIN_COLUMNS if is_plain else AZURE_COLUMNS
        missing = [column for column in columns if column not in names]
        if missing:
            raise BadInput(
                f"{path}:1: column {missing[0]} is missing (header was {','.join(names)!r}); must have "
                f"{','.join(columns)}" + ("" if is_plain else f", or {','.join(PLAIN_COLUMNS)}")
            )
        known = columns + (OPTIONAL_COLUMNS if is_plain else ())
        twice = [column for column in known if names.count(column) > 1]
        if twice:
            raise BadInput(f"{path}:1: column {twice[0]} is there twice; remove or rename one of the two")
        return cls(
            names=names,
            is_plain=is_plain,
            required=tuple((column, names.index(column)) for column in columns),
            optional=tuple((column, names.index(column)) for column in known[3:] if column in names),
        )


def csv_rows(header: Header, file: IO[str], skips: Skips) -> Iterator[Row]:
    """The rows after the header; empty lines are none."""
    reader = csv.reader(file)
    for fields in reader:
        if not fields:
            continue
        skips.rows += 1
        line = reader.line_num + 1
        try:
            row = _row(header, fields, line)
        except BadRow as bad:
            skips.add(line, bad)
            continue
        yield row


def _row(header: Header, fields: list[str], line: int) -> Row:
    if len(fields) != len(header.names):
        raise BadRow(
            "number of fields",
            f"has {len(fields)} fields, must have {len(header.names)} as in the header; mend or remove the line",
        )
    (time_column, time_at), (prompt_column, prompt_at), (output_column, output_at) = header.required
    time = fields[time_at]
    further = {name: _PARSERS[name](fields[at], name) for name, at in header.optional if fields[at].strip()}
    return Row(
        line=line,
        time_ns=number_ns(time, 1.0, time_column) if header.is_plain else _timestamp_ns(time, time_column),
        time_text=time,
        prompt_tokens=whole_number(fields[prompt_at], prompt_column, 1, MAX_TOKENS),
        output_tokens=whole_number(fields[output_at], output_column, 0, MAX_TOKENS),
        **further,
    )


def _timestamp_ns(text: str, column: str) -> int:
    """Unix ns of `2023-11-16 18:15:46.6805900`; up to 9 digits of fraction, UTC unless an offset is given."""
    whole, dot, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    moment: datetime | None
    try:
        moment = datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError:
        moment = None
    if moment is None or (dot and not 1 <= len(digits) <= 9):
        raise BadRow(column, f"{column} was {text!r}, must be a time such as 2023-11-16 18:15:46.680; mend the line")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * NS_PER_SECOND + int(digits.ljust(9, "0") or 0)


def number_ns(value: object, unit_seconds: float, column: str) -> int:
    """A number of seconds (or of another unit) since any start, as ns."""
    try:
        seconds = float(value) * unit_seconds  # type: ignore[arg-type] # what is no number is refused below
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= MAX_SECONDS or isinstance(value, bool):
        raise BadRow(column, f"{column} was {value!r}, must be a number in [0, {MAX_SECONDS / unit_seconds:g}]")
    return round(seconds * NS_PER_SECOND)


def whole_number(value: object, column: str, low: int, high: int) -> int:
    try:
        number = int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not low <= number <= high:
        raise BadRow(column, f"{column} was {value!r}, must be a whole number in [{low}, {high}]; mend the line")
    return number


def _limit(text: str, column: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= MAX_SECONDS:
        raise BadRow(column, f"{column} was {text!r}, must be seconds in (0, {MAX_SECONDS}], or empty; mend the line")
    return seconds


_PARSERS: dict[str, Any] = {
    "lora": lambda text, column: whole_number(text, column, -1, MAX_ADAPTERS),
    "priority": lambda text, column: whole_number(text, column, -MAX_PRIORITY, MAX_PRIORITY),
    "e2e_limit_seconds": _limit,
    "session": lambda text, _: text.strip(),
}
