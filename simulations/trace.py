"""Recorded demand: when requests arrived, and how many tokens each read and wrote."""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from policies.errors import BadInput
from policies.snapshot import NS_PER_SECOND

SHIPPED = Path(__file__).parent / "data" / "azure-2023-conv.csv.gz"

COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_MAX_TOKENS = 10_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests in order of arrival.

    start_ns: Unix ns of the run's second zero: the first arrival, rounded down to a whole second.
    arrival_seconds: seconds since `start_ns`, never decreasing, shape (requests,).
    prompt_tokens, output_tokens: tokens per request, at least 1, shape (requests,).
    """

    name: str
    start_ns: int
    arrival_seconds: NDArray[np.float64]
    prompt_tokens: NDArray[np.int32]
    output_tokens: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.arrival_seconds)

    @property
    def duration_seconds(self) -> float:
        """From second zero to the last arrival."""
        return float(self.arrival_seconds[-1])

    def first(self, seconds: float) -> "Trace":
        """The requests of the first `seconds`."""
        kept = int(np.searchsorted(self.arrival_seconds, seconds, side="right"))
        return Trace(
            self.name,
            self.start_ns,
            self.arrival_seconds[:kept],
            self.prompt_tokens[:kept],
            self.output_tokens[:kept],
        )


def read_azure_csv(path: Path) -> Trace:
    """Read an AzureLLMInferenceTrace CSV (plain or .gz): TIMESTAMP (UTC), ContextTokens, GeneratedTokens.

    A request that generated 0 tokens counts as 1: a server always writes the token that ends the answer.
    Raises BadInput naming file, line, field and value; nothing is skipped silently.
    """
    times_ns: list[int] = []
    prompts: list[int] = []
    outputs: list[int] = []
    with _opened(path) as file:
        rows = csv.reader(file)
        header = next(rows, None)
        if header is None:
            raise BadInput(f"{path}: was empty, must start with the header {','.join(COLUMNS)}")
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise BadInput(
                f"{path}:1: column {missing[0]} is missing (header was {','.join(header)!r}); "
                f"must have {','.join(COLUMNS)}"
            )
        at = [header.index(column) for column in COLUMNS]
        for row in rows:
            where = f"{path}:{rows.line_num}"
            if len(row) != len(header):
                raise BadInput(
                    f"{where}: has {len(row)} fields, must have {len(header)} as in the header; mend or remove the line"
                )
            time_ns = _time_ns(row[at[0]], where)
            if times_ns and time_ns < times_ns[-1]:
                raise BadInput(
                    f"{where}: TIMESTAMP was {row[at[0]]!r}, must not be earlier than the line before; "
                    "sort the trace by time"
                )
            times_ns.append(time_ns)
            prompts.append(_tokens(row[at[1]], COLUMNS[1], 1, where))
            outputs.append(max(1, _tokens(row[at[2]], COLUMNS[2], 0, where)))
    if not times_ns:
        raise BadInput(f"{path}: has a header and no requests, must have at least 1")
    start_ns = times_ns[0] // NS_PER_SECOND * NS_PER_SECOND
    return Trace(
        path.name,
        start_ns,
        (np.array(times_ns, np.int64) - start_ns) / NS_PER_SECOND,
        np.array(prompts, np.int32),
        np.array(outputs, np.int32),
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
        raise BadInput(f"trace: {path} cannot be read ({error}); must be CSV in UTF-8, plain or .gz") from None


def _time_ns(text: str, where: str) -> int:
    """Unix ns of `2023-11-16 18:15:46.6805900`; up to 9 digits of fraction, UTC unless an offset is given."""
    whole, dot, rest = text.strip().partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        moment = datetime.fromisoformat(whole + rest[len(digits) :])
    except ValueError:
        moment = None
    if moment is None or (dot and not 1 <= len(digits) <= 9):
        raise BadInput(
            f"{where}: TIMESTAMP was {text!r}, must be a time such as 2023-11-16 18:15:46.680; mend the line"
        )
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * NS_PER_SECOND + int(digits.ljust(9, "0") or 0)


def _tokens(text: str, column: str, low: int, where: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = -1
    if not low <= value <= _MAX_TOKENS:
        raise BadInput(
            f"{where}: {column} was {text!r}, must be a whole number in [{low}, {_MAX_TOKENS}]; mend the line"
        )
    return value
