"""A recording's rows, one by one: what is right of them becomes a trace, what is wrong is named or counted."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import nan
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from policies.capacity.kv_cache import BLOCK_TOKENS
from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND
from simulations.demand.history import history_prefixes
from simulations.trace import Prefixes, Trace, offsets_of

MAX_TOKENS = 10_000_000
MAX_SECONDS = 10**9
_LINES_SHOWN = 3
_MAX_SESSION_BLOCKS = 2 * MAX_TOKENS // BLOCK_TOKENS + 1


class Row(NamedTuple):  # cheaper by a microsecond than a frozen dataclass, a million times
    """One request of a recording. time_text: as the recording writes it. Defaults: the recording says nothing of it.

    session: requests of one session continue each other. hash_ids: of the prompt's leading blocks.
    """

    line: int
    time_ns: int
    time_text: str
    prompt_tokens: int
    output_tokens: int
    lora: int | None = None
    priority: int | None = None
    e2e_limit_seconds: float | None = None
    session: str | None = None
    hash_ids: tuple[int, ...] | None = None


class BadRow(Exception):
    """A row is wrong. what: the field, or what is wrong with the row as a whole; it is counted under this."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedRows:
    """Rows that were left out for the same reason. lines: the first few of them."""

    reason: str
    count: int
    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Rows of a file, and which of them were left out, the most frequent reason first."""

    rows: int
    reasons: tuple[SkippedRows, ...] = ()

    @property
    def count(self) -> int:
        return sum(each.count for each in self.reasons)

    def __str__(self) -> str:
        """`skipped 3 of 12,034 rows: output_tokens 2 (lines 5, 9), number of fields 1 (line 12)`."""
        told = ", ".join(
            f"{each.reason} {each.count:,} ({'line' if each.count == 1 else 'lines'} "
            f"{', '.join(map(str, each.lines))}{', ...' if each.count > len(each.lines) else ''})"
            for each in self.reasons
        )
        return f"skipped {self.count:,} of {self.rows:,} rows" + (f": {told}" if told else "")


@dataclass(slots=True)
class Skips:
    """What to do with wrong rows: raise at the first, or collect them."""

    path: Path
    collects: bool
    rows: int = 0
    lines: dict[str, list[int]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, line: int, bad: BadRow) -> None:
        """Note a wrong row, or raise it as BadInput with file and line."""
        if not self.collects:
            raise BadInput(f"{self.path}:{line}: {bad}") from None
        self.counts[bad.what] = self.counts.get(bad.what, 0) + 1
        if len(lines := self.lines.setdefault(bad.what, [])) < _LINES_SHOWN:
            lines.append(line)

    def skipped(self) -> Skipped:
        return Skipped(
            rows=self.rows,
            reasons=tuple(
                SkippedRows(reason=reason, count=count, lines=tuple(self.lines[reason]))
                for reason, count in sorted(self.counts.items(), key=lambda pair: -pair[1])
            ),
        )


def trace_of(path: Path, rows: Iterable[Row], skips: Skips, hash_block_tokens: int) -> Trace:
    """The recording's rows as a trace. Raises BadInput where times go backwards or no row is left.

    A request that generated 0 tokens counts as 1: a server always writes the token that ends the answer.
    hash_block_tokens: tokens of one of a row's `hash_ids`.
    """
    kept: list[Row] = []
    for row in rows:
        if kept and row.time_ns < kept[-1].time_ns:
            message = (
                f"the time was {row.time_text!r}, must not be earlier than the line before; sort the trace by time"
            )
            skips.add(row.line, BadRow("time out of order", message))
            continue
        kept.append(row)
    if not kept:
        raise BadInput(f"{path}: has no requests, must have at least 1" + _why_none(skips))
    start_ns = kept[0].time_ns // NS_PER_SECOND * NS_PER_SECOND
    return Trace(
        path.name,
        start_ns,
        (np.array([row.time_ns for row in kept], np.int64) - start_ns) / NS_PER_SECOND,
        np.array([row.prompt_tokens for row in kept], np.int32),
        np.array([max(1, row.output_tokens) for row in kept], np.int32),
        prefixes=_prefixes(kept, hash_block_tokens),
        lora=_whole(_column(kept, "lora", -1)),
        priority=_whole(_column(kept, "priority", 0)),
        e2e_limit_seconds=_column(kept, "e2e_limit_seconds", nan),
    )


def _why_none(skips: Skips) -> str:
    return f" ({skips.skipped()})" if skips.counts else ""


def _column(rows: list[Row], name: str, missing: float) -> NDArray[np.float64] | None:
    """One value a row; None where no row has any. Whole numbers up to 2^53 stay exact."""
    values = [getattr(row, name) for row in rows]
    if all(value is None for value in values):
        return None
    return np.array([missing if value is None else value for value in values], np.float64)


def _whole(column: NDArray[np.float64] | None) -> NDArray[np.int32] | None:
    return None if column is None else column.astype(np.int32)


def _prefixes(rows: list[Row], hash_block_tokens: int) -> Prefixes | None:
    """From the rows' hash ids, or from their sessions: a session's n-th block has the same id in all its requests.

    A session's ids reach over a request's answer, which the next request of the session repeats in its prompt.
    """
    if any(row.hash_ids is not None for row in rows):
        hashes = [row.hash_ids or () for row in rows]
        counts = np.array([len(ids) for ids in hashes], np.int64)
        flat = np.fromiter((each for ids in hashes for each in ids), np.int64, int(counts.sum()))
        return Prefixes(block_tokens=hash_block_tokens, offsets=offsets_of(counts), ids=flat)
    if all(row.session is None for row in rows):
        return None
    number: dict[str, int] = {}
    sessions = np.array([-1 if row.session is None else number.setdefault(row.session, len(number)) for row in rows])
    tokens = np.array([row.prompt_tokens + row.output_tokens for row in rows], np.int64)
    return history_prefixes(sessions, np.where(sessions < 0, 0, tokens), blocks_per_session=_MAX_SESSION_BLOCKS)
