"""ServeGen's tables on disk, as they are: who asked how much when, and how long the requests were.

PREFIX-rates.csv.gz: client, window_start_s, rate_rps, cv, family, shape, scale_s. A missing row is a rate of 0.
PREFIX-lengths.csv.gz: client, block_start_s, field, lower_tokens, upper_tokens, probability.

Source: ServeGen (Alibaba; Xiang et al. 2025, arXiv:2505.09999), condensed. `scale_s` is not used: the rate fixes the
mean gap. `reason_ratio` is not used either: it is the share of `output_tokens` that a reasoning model thought before it
answered; both parts are generated alike, and `output_tokens` holds both.
"""

import csv
import gzip
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from policies.errors import BadInput
from simulations.demand.gaps import POISSON, Gaps

RATE_COLUMNS = ("client", "window_start_s", "rate_rps", "cv", "family", "shape")
LENGTH_COLUMNS = ("client", "block_start_s", "field", "lower_tokens", "upper_tokens", "probability")
FIELDS = ("input_tokens", "output_tokens")
BLOCK_SECONDS = 21_600.0
MAX_TOKENS = 10_000_000

_MAX_SECONDS = 400 * 86_400
_LARGEST_NUMBER = 1e12


class Window(NamedTuple):
    """One client in one window of time."""

    client: int
    start_seconds: float
    rps: float
    gaps: Gaps


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """histograms: (client, block's start in seconds, field) -> (lower, upper edge in tokens) -> probability."""

    name: str
    windows: tuple[Window, ...]
    histograms: dict[tuple[int, float, str], dict[tuple[float, float], float]]


def rates_file(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}-rates.csv.gz")


def lengths_file(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}-lengths.csv.gz")


def read_tables(prefix: Path) -> Tables:
    """Both tables of a model. Raises BadInput with file, line, field and value."""
    windows = tuple(_window(fields) for fields in _rows(rates_file(prefix), RATE_COLUMNS))
    if not any(window.rps > 0 for window in windows):
        raise BadInput(f"{rates_file(prefix)}: has no rate above 0, must have at least 1")
    seen: set[tuple[int, float]] = set()
    for window in windows:
        key = (window.client, window.start_seconds)
        if key in seen:
            raise BadInput(
                f"{rates_file(prefix)}: client {window.client} has two rows for window_start_s "
                f"{window.start_seconds:g}; remove one"
            )
        seen.add(key)
    histograms: dict[tuple[int, float, str], dict[tuple[float, float], float]] = {}
    for fields in _rows(lengths_file(prefix), LENGTH_COLUMNS):
        if fields.text("field") not in FIELDS:
            continue
        lower = fields.number("lower_tokens", 0, MAX_TOKENS)
        upper = fields.number("upper_tokens", 0, MAX_TOKENS)
        if upper <= lower:
            raise fields.wrong("upper_tokens", f"must be above lower_tokens, {lower:g}")
        key_of_block = (fields.client(), fields.number("block_start_s", 0, _MAX_SECONDS), fields.text("field"))
        bins = histograms.setdefault(key_of_block, {})
        bins[lower, upper] = bins.get((lower, upper), 0.0) + fields.number("probability", 0, 1)
    histograms = {key: bins for key, bins in histograms.items() if math.fsum(bins.values()) > 0}
    for field in FIELDS:
        if not any(key[2] == field for key in histograms):
            raise BadInput(f"{lengths_file(prefix)}: has no histogram of {field}, must have at least 1")
    return Tables(name=prefix.name, windows=windows, histograms=histograms)


class _Fields(NamedTuple):
    """One row. place: column -> where it is in `values`."""

    path: Path
    line: int
    place: dict[str, int]
    values: list[str]

    def text(self, column: str) -> str:
        return self.values[self.place[column]]

    def wrong(self, column: str, must: str) -> BadInput:
        return BadInput(f"{self.path}:{self.line}: {column} was {self.text(column)!r}, {must}; mend the line")

    def number(self, column: str, low: float, high: float) -> float:
        try:
            value = float(self.values[self.place[column]])
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise self.wrong(column, f"must be a number in [{low:g}, {high:g}]")
        return value

    def client(self) -> int:
        value = self.number("client", 0, 1e9)
        if value != int(value):
            raise self.wrong("client", "must be a whole number")
        return int(value)


def _window(fields: _Fields) -> Window:
    return Window(
        client=fields.client(),
        start_seconds=fields.number("window_start_s", 0, _MAX_SECONDS),
        rps=fields.number("rate_rps", 0, 1e7),
        gaps=_gaps(fields),
    )


def _gaps(fields: _Fields) -> Gaps:
    """The family with its shape. Without a shape, Gamma's is 1 / cv^2; without a family, arrivals are Poisson."""
    family = fields.text("family")
    if family == "":
        return POISSON
    if family not in {"Gamma", "Weibull"}:
        raise fields.wrong("family", "must be Gamma, Weibull or empty")
    if fields.text("shape") != "":
        shape = fields.number("shape", 0, _LARGEST_NUMBER)
        if shape > 0:
            return Gaps.gamma(shape) if family == "Gamma" else Gaps.weibull(shape)
        raise fields.wrong("shape", "must be above 0, or empty")
    if family == "Weibull" or fields.text("cv") == "":
        return POISSON
    cv = fields.number("cv", 1e-6, _LARGEST_NUMBER)
    return Gaps.gamma(1.0 / cv**2)


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[_Fields]:
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            missing = [column for column in columns if column not in header]
            if missing:
                raise BadInput(
                    f"{path}:1: column {missing[0]} is missing (header was {','.join(header)!r}); "
                    f"must have {','.join(columns)}"
                )
            place = {column: header.index(column) for column in columns}
            for fields in reader:
                if len(fields) != len(header):
                    raise BadInput(
                        f"{path}:{reader.line_num}: has {len(fields)} fields, must have {len(header)} as in the "
                        "header; mend the line"
                    )
                yield _Fields(path, reader.line_num, place, fields)
    except FileNotFoundError:
        raise BadInput(
            f"servegen: {path} does not exist; give the part of the path before -rates.csv.gz, "
            "beside which there is a -lengths.csv.gz"
        ) from None
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"servegen: {path} cannot be read ({error}); must be CSV in UTF-8, compressed by gzip") from None
