"""One line, or all lines, of a metrics page: the Prometheus text format and OpenMetrics.

Sources: prometheus/docs instrumenting/exposition_formats.md (text format 0.0.4: timestamps are integers of
milliseconds); prometheus/OpenMetrics specification 1.0 (timestamps are seconds, a sample may end in an exemplar
`# {labels} value`, a page ends in `# EOF`). Both allow a quoted metric name as the first term within the braces.
"""

import math
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

NS_PER_MS = 1_000_000
NS_PER_SECOND = 1_000_000_000
LabelPairs: TypeAlias = tuple[tuple[str, str], ...]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_TEXT = r'"([^"\\]*(?:\\.[^"\\]*)*)"'  # a quoted string; written so that it cannot backtrack
_TERM = re.compile(rf"[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)|{_TEXT})[ \t]*(=[ \t]*{_TEXT})?[ \t]*([,}}])")
_END = re.compile(r"[ \t]*}")
_ESCAPE = re.compile(r'\\[\\n"]')
_UNESCAPED = {"\\\\": "\\", "\\n": "\n", '\\"': '"'}
_MILLISECONDS = re.compile(r"-?[0-9]{1,15}")
_SHAPE = re.compile(
    r"(?:[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]+|[a-zA-Z_:][a-zA-Z0-9_:]*[ \t]*\{.*\}[ \t]*|\{.*\}[ \t]*)"
    r"[-+.0-9a-zA-Z]+(?:[ \t]+[-+.0-9eE]+)?(?:[ \t]*#[ \t]*\{.*)?"
)


class MalformedPage(ValueError):
    """A page that is not in the format. A retry helps only when the exporter was caught mid-start."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of a page.

    value: in the exporter's unit; None where the page says NaN or an infinity, which are no values.
    at_ns: the line's own timestamp, nanoseconds since the Unix epoch; None where it has none.
    """

    name: str
    labels: Mapping[str, str]
    value: float | None
    at_ns: int | None


@dataclass(frozen=True, slots=True)
class Line:
    """A sample line taken apart. head: its text up to the value, without the blank between. value: may be NaN."""

    head: str
    name: str
    labels: LabelPairs
    value: float
    at_ns: int | None


def parse_exposition(page: str, *, names: Container[str] | None = None) -> list[Sample]:
    """Every sample of the page in its order, names verbatim, or only those of the given names.

    For whole pages at hand; pages from the network go through PageParser. All lines are checked for their
    shape; only the wanted ones are taken apart. Raises MalformedPage with the line's number and text.
    """
    return list(_samples(page, names))


def parse_line(line: str, *, openmetrics: bool = False) -> Line:
    """A sample line taken apart; not a comment, not blank. Raises ValueError."""
    line = line.strip(" \t\r")
    name = bare_name(line)
    at = len(name)
    labels: LabelPairs = ()
    opening = at
    while line[opening : opening + 1] in (" ", "\t"):
        opening += 1
    if line[opening : opening + 1] == "{":
        name, labels, at = _labels(line, opening + 1, name)
    if not name:
        raise ValueError("has no name")
    tail = line[at:]
    if openmetrics:
        tail = tail.partition("#")[0]
    fields = tail.split()
    if not 1 <= len(fields) <= 2:
        raise ValueError("has no value, or more than a value and a timestamp")
    at_ns = None if len(fields) == 1 else timestamp_ns(fields[1], openmetrics=openmetrics)
    return Line(line[:at], name, labels, number(fields[0]), at_ns)


def number(text: str) -> float:
    """The value of a sample; NaN and infinities too. Raises ValueError."""
    if "_" in text or not text.isascii():  # which float() would take
        raise ValueError(f"{text!r} is no number")
    return float(text)


def timestamp_ns(text: str, *, openmetrics: bool) -> int:
    """A line's timestamp in nanoseconds since the epoch, 0 at the least. Raises ValueError."""
    if openmetrics:
        seconds = number(text)
        if not abs(seconds) < 1e12:  # the year 33658; NaN fails too
            raise ValueError(f"{text!r} is no timestamp in seconds")
        return max(0, round(seconds * 1000) * NS_PER_MS)
    if not _MILLISECONDS.fullmatch(text):
        raise ValueError(f"{text!r} is no timestamp in milliseconds")
    return max(0, int(text) * NS_PER_MS)


def bare_name(line: str) -> str:
    """The metric's name that a line begins with; "" where it is quoted, or there is none."""
    named = _NAME.match(line)
    return named[0] if named else ""


def has_shape(line: str) -> bool:
    """Whether a line, blanks around it removed, looks like a sample from outside: name, {...}, number, ..."""
    return _SHAPE.fullmatch(line) is not None


def malformed(number: int, line: str) -> MalformedPage:
    return MalformedPage(
        f'line {number}: was {line.strip()[:80]!r}, must be `name{{label="value"}} number [timestamp]`'
    )


def _labels(line: str, at: int, name: str) -> tuple[str, LabelPairs, int]:
    """The metric's name, its labels, and where the braces end, from just behind the opening one."""
    labels: dict[str, str] = {}
    while (end := _END.match(line, at)) is None:
        term = _TERM.match(line, at)
        if term is None:
            raise ValueError(f"has no label at {line[at : at + 20]!r}")
        bare, quoted, assigned, value, closing = term.groups()
        key = bare if quoted is None else _unescape(quoted)
        if assigned is None:
            if quoted is None or name:
                raise ValueError(f"{key!r} has no value")
            name = key
        elif key in labels:
            raise ValueError(f"label {key!r} is there twice")
        else:
            labels[key] = _unescape(value)
        at = term.end()
        if closing == "}":
            return name, tuple(labels.items()), at
    return name, tuple(labels.items()), end.end()


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda found: _UNESCAPED[found[0]], text) if "\\" in text else text


def _samples(page: str, names: Container[str] | None) -> Iterator[Sample]:
    for position, raw in enumerate(page.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not has_shape(line):
            raise malformed(position, line)
        name = bare_name(line)
        if names is not None and name and name not in names:
            continue
        try:
            found = parse_line(line)
        except ValueError as error:
            raise malformed(position, line) from error
        if names is None or found.name in names:
            value = found.value if math.isfinite(found.value) else None
            yield Sample(found.name, dict(found.labels), value, found.at_ns)
