"""Replay of golden vectors: recorded calls of the real HPA controller, v1.36.3, with their answers.

A vector is {"id", "kind", "input", "want"}; `kind` is the upstream function that answered. Fields of `want`
listed in its `platformDefined` come from conversions that Go leaves to the platform, and are skipped. Of an
error only null or not null counts, and the numbers beside one mean nothing except in
`computeReplicasForMetrics` and `sequence`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from policies.errors import BadInput
from policies.hpa.errors import NoReplicaCount
from policies.hpa.golden_answers import ANSWERS

# Upstream's sentences are there for reading; reasons are compared, messages are not.
_NOT_COMPARED = {"message", "platformDefined"}
_NUMBERS_BESIDE_AN_ERROR = {"computeReplicasForMetrics", "sequence"}
_ABSENT = "(absent)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of the answer that is not as recorded; both values as JSON text."""

    path: str
    want: str
    got: str


def replay(vector: Mapping[str, Any]) -> list[str]:
    """One line per field that differs (path, want, got); empty where all is as recorded.

    Raises BadInput as `differences` does.
    """
    return [f"{each.path}: want {each.want}, got {each.got}" for each in differences(vector)]


def differences(vector: Mapping[str, Any]) -> list[Difference]:
    """Answer one vector and compare.

    Raises BadInput for a kind that is unknown, or a vector without the fields of its kind.
    """
    name, kind = vector.get("id", "(no id)"), vector.get("kind")
    answer = ANSWERS.get(kind) if isinstance(kind, str) else None
    if answer is None:
        raise BadInput(f"{name}: kind: was {kind!r}, must be one of {', '.join(sorted(ANSWERS))}")
    try:
        want = dict(vector["want"])
        got = {"error": None, **answer(vector["input"])}
    except NoReplicaCount as error:
        got = {"error": str(error)}
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise BadInput(f"{name}: {kind}: a field of this kind is missing or malformed: {error!r}") from error
    failed = want.get("error") is not None and got["error"] is not None
    if failed and kind not in _NUMBERS_BESIDE_AN_ERROR:
        return []
    skipped = tuple(want.get("platformDefined") or ())
    return [
        each
        for each in _differences("", want, got)
        if not any(each.path == field or each.path.startswith((f"{field}.", f"{field}[")) for field in skipped)
    ]


def _differences(path: str, want: object, got: object) -> Iterator[Difference]:
    """Every leaf that differs."""
    if path == "error" or path.endswith(".error"):
        if (want is None) != (got is None):
            yield Difference(path=path, want=_shown(want), got=_shown(got))
    elif isinstance(want, dict) and isinstance(got, dict):
        for key in [*want, *(key for key in got if key not in want)]:
            if key not in _NOT_COMPARED:
                inner = f"{path}.{key}" if path else str(key)
                yield from _differences(inner, want.get(key, _ABSENT), got.get(key, _ABSENT))
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for index, (wanted, actual) in enumerate(zip(want, got, strict=True)):
            yield from _differences(f"{path}[{index}]", wanted, actual)
    elif want != got or type(want) is not type(got):
        yield Difference(path=path, want=_shown(want), got=_shown(got))


def _shown(value: object) -> str:
    return value if value is _ABSENT else json.dumps(value)
