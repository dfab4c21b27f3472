"""Recordings on disk, plain or .gz: which format a file has is seen from its first line.

- Azure CSV (AzureLLMInferenceTrace 2023, 2024): TIMESTAMP (UTC), ContextTokens, GeneratedTokens.
- Plain CSV: arrival_seconds, prompt_tokens, output_tokens; seconds since any start. Optional: lora, priority,
  e2e_limit_seconds, session. Further columns are ignored.
- Mooncake JSONL (FAST'25 release): timestamp (ms), input_length, output_length; optional hash_ids, one for each 512
  tokens of the prompt.

Every wrong line is one BadInput with file, line, field and value; nothing is skipped unless asked for, and then
counted.
"""

import csv
import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from policies.errors import BadInput
from simulations.demand.csv_columns import read_columns
from simulations.demand.csv_rows import AZURE_COLUMNS, Header, csv_rows
from simulations.demand.mooncake_rows import MOONCAKE_BLOCK_TOKENS, mooncake_rows
from simulations.demand.rows import Row, Skipped, Skips, trace_of
from simulations.trace import Trace


@dataclass(frozen=True, slots=True)
class Recording:
    """What a file holds, and which of its rows were left out."""

    trace: Trace
    skipped: Skipped


def read_trace(path: Path) -> Trace:
    """Read a recording in any of the formats above. Raises BadInput at the first wrong row."""
    return read_recording(path).trace


def read_recording(path: Path, *, skip_bad_rows: bool = False) -> Recording:
    """Read a recording in any of the formats above. Raises BadInput.

    skip_bad_rows: leave wrong rows out and count them, instead of raising; the header must be right all the same.
    """
    with _opened(path) as file:
        first = file.readline()
        if not first.strip():
            raise BadInput(f"{path}: was empty, must start with the header {','.join(AZURE_COLUMNS)} or a JSON object")
        header = None if first.lstrip().startswith("{") else Header.parse(path, first)
        # Most files are right: read them in one go, and row by row only where something has to be named.
        trace = None if header is None else read_columns(path.name, header, file)
    if trace is not None:
        return Recording(trace, Skipped(rows=len(trace)))
    with _opened(path) as file:
        skips = Skips(path, collects=skip_bad_rows)
        rows: Iterator[Row]
        if header is None:
            rows = mooncake_rows(file, skips)
        else:
            file.readline()
            rows = csv_rows(header, file, skips)
        trace = trace_of(path, rows, skips, MOONCAKE_BLOCK_TOKENS)
        return Recording(trace, skips.skipped())


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
