"""An answer of Prometheus' HTTP API, taken apart in small steps.

Shape: {"status": "success", "data": {"resultType": ..., "result": [...]}, "warnings": [...], "infos": [...]}
(prometheus.io/docs/prometheus/latest/querying/api, "Format overview"). The rows are read one by one, with pauses:
decoding 16 MiB in one call would hold the interpreter for a fifth of a second, and every HPA's request with it.
"""

import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from adapter.sources.in_threads import unhurried
from adapter.sources.prometheus.labels import LabelCache, RowLabels
from adapter.sources.source import SourceUnavailable

_RESULT = re.compile(r'"result"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
_PLAIN_ROW = re.compile(
    r'\{"metric":(\{[^{}]*\}),'
    r'(?:"value":\[|"values":\[(?:\[[^\[\]]*\],)*\[)([0-9.eE+-]+),"([^"\\]+)"\]\]?\}'
)
"""As Prometheus writes it; its labels, and the time and value of its (newest) sample. Rows of another spelling, or with
braces in a label, are read the slow way."""
_DECODER = json.JSONDecoder()
_ROWS_AT_A_TIME = 100
"""Some 5 us each: half a millisecond."""


class Row(NamedTuple):
    """at_ms: the sample's time, Unix milliseconds."""

    labels: RowLabels
    at_ms: int
    value: float


@dataclass(frozen=True, slots=True)
class Answer:
    """rows: of a vector, or the newest sample of each of a matrix. malformed: how many were neither.
    warnings: what the backend said about it, that it is partial for one."""

    rows: Sequence[Row]
    malformed: int = 0
    warnings: Sequence[str] = ()


class QueryRefused(SourceUnavailable):
    """The backend is well and this one query is not: a retry does not help until the rule is changed."""


def parse_answer(body: bytes, labels: LabelCache, *, where: str) -> Answer:
    """The rows of a successful answer. Raises SourceUnavailable: encoding, truncated, malformed."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SourceUnavailable("encoding", f"{where}: answer was not UTF-8 ({error})") from error
    start = _RESULT.search(text)
    rows: list[Row] = []
    malformed, end = 0, 0
    try:
        if start is not None:
            malformed, end = _read_rows(text, start.end(), labels, rows)
        envelope = json.loads(text if start is None else f"{text[: start.end()]}{text[end:]}")
    except ValueError as error:
        reason = "malformed" if text.rstrip().endswith("}") else "truncated"
        raise SourceUnavailable(
            reason, f"{where}: answer of {len(body)} bytes was not JSON ({error}), ended {text[-20:]!r}"
        ) from error
    data = envelope.get("data") if isinstance(envelope, dict) else None
    if not isinstance(data, dict) or envelope.get("status") != "success" or start is None:
        raise SourceUnavailable("malformed", f'{where}: answer began {text[:80]!r}, must be {{"status":"success",...}}')
    if data.get("resultType") not in ("vector", "matrix"):
        kind = data.get("resultType")
        raise QueryRefused("malformed", f"{where}: result was a {kind}, must be a vector; correct the rule's query")
    return Answer(rows, malformed, _texts(envelope, "warnings"))


def error_of(body: bytes) -> str:
    """What a refusal says, one line: "bad_data: invalid parameter ..."."""
    try:
        document = json.loads(body)
        return f"{document['errorType']}: {document['error']}"[:300]
    except (ValueError, KeyError, TypeError):
        return " ".join(body[:200].decode("utf-8", "replace").split())


def _read_rows(text: str, at: int, labels: LabelCache, rows: list[Row]) -> tuple[int, int]:
    """Add the items from `at` on; returns how many were malformed, and where the closing bracket is."""
    malformed = 0
    for _ in unhurried(itertools.count(), every=_ROWS_AT_A_TIME):
        between = _BETWEEN.match(text, at)
        at = at if between is None else between.end()
        if text.startswith("]", at):
            break
        plain = _PLAIN_ROW.match(text, at)
        if plain is not None:
            at = plain.end()
            row = _row(labels.of(plain[1]), plain[2], plain[3])
        else:
            item, at = _DECODER.raw_decode(text, at)
            row = _slow_row(item, labels)
        if row is None:
            malformed += 1
        else:
            rows.append(row)
    return malformed, at


def _slow_row(item: Any, labels: LabelCache) -> Row | None:
    try:
        at, value = item["value"] if "value" in item else item["values"][-1]
        return _row(labels.of(json.dumps(item["metric"])), at, value)
    except (KeyError, TypeError, ValueError, IndexError):
        return None


def _row(labels: RowLabels | None, at: Any, value: Any) -> Row | None:
    """None for what is no row."""
    try:
        return None if labels is None else Row(labels, round(float(at) * 1000), float(value))
    except (TypeError, ValueError, OverflowError):
        return None


def _texts(envelope: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = envelope.get(key) or ()
    return tuple(str(text) for text in value) if isinstance(value, list | tuple) else (str(value),)
