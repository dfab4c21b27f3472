"""A metrics page in the Prometheus text format, as samples.

Source: prometheus/docs, instrumenting/exposition_formats.md, text format 0.0.4.
"""

import math
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

NS_PER_MS = 1_000_000
_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)?(?:\{.*\})?[ \t]+[^\s{]+(?:[ \t]+-?\d+)?")


class MalformedPage(ValueError):
    """A page that is not in the text format. A retry helps only when the exporter was caught mid-start."""


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


def parse_exposition(page: str, *, names: Container[str] | None = None) -> list[Sample]:
    """Every sample of the page in its order, names verbatim, or only those of the given names.

    All lines are checked for their shape; only the wanted ones are taken apart, because that costs 40 times
    as much and of a vLLM page nine lines in ten are histogram buckets.

    Raises MalformedPage with the line's number and text.
    """
    return list(_samples(page, names))


def _samples(page: str, names: Container[str] | None) -> Iterator[Sample]:
    for number, raw in enumerate(page.split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        shape = _LINE.fullmatch(line)
        if shape is None:
            raise MalformedPage(_where(number, line))
        if names is not None and shape[1] not in names:
            continue
        try:
            # Without its TYPE line, or the parser would append _total to counters that lack it.
            (family,) = text_string_to_metric_families(line)
            (parsed,) = family.samples
            at_ns = None if parsed.timestamp is None else round(float(parsed.timestamp) * 1000) * NS_PER_MS
            yield Sample(parsed.name, parsed.labels, _finite(parsed.value), at_ns)
        except (ValueError, IndexError, KeyError, TypeError) as error:
            raise MalformedPage(_where(number, line)) from error


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _where(number: int, line: str) -> str:
    return f'line {number}: was {line[:80]!r}, must be `name{{label="value"}} number [milliseconds]`'
