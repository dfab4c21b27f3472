"""Measured runs as a CSV file: one row a run, the columns of docs/reference/profiles.md."""

import csv
import difflib
import math
import re
from collections.abc import Mapping
from pathlib import Path

from policies.errors import BadInput
from simulations.calibration.measured_run import MeasuredRun

REQUIRED = ("model", "gpu", "tp", "input_tokens", "output_tokens")
OPTIONAL = (
    "source",
    "qps",
    "ttft_ms",
    "tpot_ms",
    "e2e_ms",
    "throughput_tok_s",
    "cached_tokens",
    "max_num_batched_tokens",
    "experiment",
    "notes",
)

_MILLISECONDS = 1e-3


def read_measured_runs(path: Path) -> list[MeasuredRun]:
    """The rows of a CSV file. BadInput names file, line, column, value and what is allowed."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read as text ({error}); give a CSV file of measured runs") from None
    rows = csv.DictReader(text.splitlines())
    _check_columns(path, rows.fieldnames or ())
    runs = [_run(f"{path}:{rows.line_num}", rows.line_num, row) for row in rows]
    if not runs:
        raise BadInput(f"{path}: has no rows, must have one measured run or more")
    return runs


def _check_columns(path: Path, columns: object) -> None:
    given = tuple(columns) if isinstance(columns, list | tuple) else ()
    for column in given:
        if column not in REQUIRED + OPTIONAL:
            near = difflib.get_close_matches(str(column), REQUIRED + OPTIONAL, n=1, cutoff=0.0)[0]
            raise BadInput(f"{path}:1: unknown column {column!r}; the nearest known one is {near!r}")
    missing = [column for column in REQUIRED if column not in given]
    if missing:
        raise BadInput(f"{path}:1: lacks the column {missing[0]!r}; needed are {', '.join(REQUIRED)}")


def _run(where: str, line: int, row: Mapping[str, str | None]) -> MeasuredRun:
    if None in row or None in row.values():
        raise BadInput(f"{where}: has {'more' if None in row else 'fewer'} fields than the header; quote commas")
    notes = row.get("notes") or ""
    input_tokens = _needed(where, row, "input_tokens")
    output_tokens = _needed(where, row, "output_tokens")
    rate = _number(where, row, "qps")
    throughput = _number(where, row, "throughput_tok_s")
    if rate is None and throughput is not None:
        rate = throughput / output_tokens
    e2e_ms = _number(where, row, "e2e_ms")
    noted_e2e = re.search(r"\be2e_mean (\d+(?:\.\d+)?) ms", notes)
    if e2e_ms is None and noted_e2e:
        e2e_ms = float(noted_e2e[1])
    budget = _number(where, row, "max_num_batched_tokens")
    noted_budget = re.search(r"\bmax_num_batched_tokens (\d+)", notes)
    if budget is None and noted_budget:
        budget = float(noted_budget[1])
    return MeasuredRun(
        line=line,
        experiment=_experiment(row, notes),
        model=_text(where, row, "model"),
        gpu=_text(where, row, "gpu"),
        tensor_parallel_size=int(_needed(where, row, "tp")),
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cached_tokens=_cached_tokens(where, row, notes, input_tokens),
        requests_per_second=rate,
        max_num_batched_tokens=None if budget is None else int(budget),
        itl_seconds=_scaled(_number(where, row, "tpot_ms")),
        e2e_seconds=_scaled(e2e_ms),
        ttft_seconds=_scaled(_number(where, row, "ttft_ms")),
    )


def _experiment(row: Mapping[str, str | None], notes: str) -> str:
    """The column, else `exp N` of the notes, else the source, else the pair: rows without a name belong together."""
    noted = re.search(r"\bexp (\w+)", notes)
    pair = f"{row['model']} {row['gpu']} {row['tp']}"
    return row.get("experiment") or (noted[1] if noted else None) or row.get("source") or pair


def _cached_tokens(where: str, row: Mapping[str, str | None], notes: str, input_tokens: float) -> float:
    """Prompt tokens found in the prefix cache: the column, else the whole prompt of a `shared-prefix` data set.

    inference-perf's shared_prefix generator draws a fixed set of prompts once and sends them in turn (the recorded
    runs: num_groups 10 x num_prompts_per_group 10), so after the first round the server knows every whole prompt.
    """
    cached = _number(where, row, "cached_tokens", zero=True)
    if cached is None:
        return input_tokens if "shared-prefix" in notes else 0.0
    if cached > input_tokens:
        raise BadInput(f"{where}: cached_tokens: was {cached:g}, must be in [0, {input_tokens:g}], the input_tokens")
    return cached


def _needed(where: str, row: Mapping[str, str | None], column: str) -> float:
    value = _number(where, row, column)
    if value is None:
        raise BadInput(f"{where}: {column}: is empty, must be a number above 0")
    return value


def _number(where: str, row: Mapping[str, str | None], column: str, *, zero: bool = False) -> float | None:
    """The column's number; None when the column is absent or empty."""
    text = (row.get(column) or "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
        raise BadInput(f"{where}: {column}: was {text!r}, must be a number {'of 0 or more' if zero else 'above 0'}")
    return value


def _text(where: str, row: Mapping[str, str | None], column: str) -> str:
    text = (row.get(column) or "").strip()
    if not text:
        raise BadInput(f"{where}: {column}: is empty, must be a name")
    return text


def _scaled(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds * _MILLISECONDS
