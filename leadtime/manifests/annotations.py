"""Knative's autoscaling annotations, each checked as Knative checks it.

Source: knative/serving pkg/apis/autoscaling/register.go (the keys and their camelCase predecessors) and
annotation_validation.go (types and ranges).
"""

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from leadtime.manifests.fields import Fields

PREFIX = "autoscaling.knative.dev/"
KPA_CLASS = "kpa.autoscaling.knative.dev"
HPA_CLASS = "hpa.autoscaling.knative.dev"

MAX_INT32 = 2**31 - 1
_WINDOW_MAX_SECONDS = 3600.0

_DURATION_PART = re.compile(r"(?P<number>\d+\.?\d*|\.\d+)(?P<unit>ns|us|µs|ms|s|m|h)", re.ASCII)
_UNIT_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class NotOfTheType(ValueError):
    """The text of an annotation cannot be used; the message says what it must be."""


def duration_seconds(text: str) -> float:
    """Go's time.ParseDuration: `90s`, `1m30s`, `0`. Raises NotOfTheType."""
    if text.lstrip("+") == "0":
        return 0.0
    rest, total = text.lstrip("+"), 0.0
    while (part := _DURATION_PART.match(rest)) is not None:
        total += float(part["number"]) * _UNIT_SECONDS[part["unit"]]
        rest = rest[part.end() :]
    if rest or not text:
        raise NotOfTheType("must be a duration such as 60s or 1m30s")
    return total


def _whole(low: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not low <= int(text) <= MAX_INT32:
            raise NotOfTheType(f"must be a whole number in [{low}, {MAX_INT32}]")
        return int(text)

    return parse


def _number(low: float, high: float = math.inf) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high or math.isinf(value):
            raise NotOfTheType(f"must be a number in [{low:g}, {high:g}]")
        return value

    return parse


def _span(low: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        seconds = duration_seconds(text)
        if not low <= seconds <= _WINDOW_MAX_SECONDS or seconds != round(seconds):
            raise NotOfTheType(f"must be whole seconds in [{low:g}s, {_WINDOW_MAX_SECONDS:g}s]")
        return seconds

    return parse


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in allowed:
            raise NotOfTheType(f"must be one of {', '.join(allowed)}")
        return text

    return parse


_PARSERS: dict[str, Callable[[str], Any]] = {
    "class": _one_of(KPA_CLASS, HPA_CLASS),
    "metric": _one_of("concurrency", "rps", "cpu", "memory"),
    "target": _number(0.01),
    "target-utilization-percentage": _number(1, 100),
    "min-scale": _whole(0),
    "max-scale": _whole(0),
    "initial-scale": _whole(0),
    "activation-scale": _whole(1),
    "window": _span(6),
    "panic-window-percentage": _number(1, 100),
    "panic-threshold-percentage": _number(110, 1000),
    "scale-to-zero-pod-retention-period": _span(0),
    "scale-down-delay": _span(0),
    "metric-aggregation-algorithm": _one_of("linear", "weighted-exponential"),
    "target-burst-capacity": _number(-1),  # where requests queue, not how many pods are wanted
}

_ALIASES = {
    re.sub(r"-(\w)", lambda match: match[1].upper(), key): key
    for key in _PARSERS
    if key not in {"activation-scale", "scale-down-delay", "metric-aggregation-algorithm"}
}
"""minScale for min-scale, and so on: keys from before 1.0, which Knative still reads."""


@dataclass(slots=True)
class Annotations:
    """The settings found so far, by their present key; a later source overrides an earlier one."""

    values: dict[str, Any] = field(default_factory=dict)

    def read(self, fields: Fields | None) -> None:
        """Take over the autoscaling annotations of one mapping; wrong and unknown ones become problems."""
        if fields is None:
            return
        for full, text in fields.texts().items():
            if not full.startswith(PREFIX):
                continue
            typed = full.removeprefix(PREFIX)
            key = _ALIASES.get(typed, typed)
            if key not in _PARSERS:
                near = difflib.get_close_matches(typed, _PARSERS, n=1, cutoff=0.6)
                hint = f"; did you mean {PREFIX}{near[0]}?" if near else ""
                fields.problem(full, f"unknown annotation{hint}")
                continue
            self.set(key, text, fields, full)

    def set(self, key: str, text: str, fields: Fields, at: str) -> None:
        """One setting from its text, which stands in the field `at`."""
        try:
            self.values[key] = _PARSERS[key](text)
        except NotOfTheType as error:
            fields.problem(at, f"was {text!r}, {error}")

    def get(self, key: str, default: Any = None) -> Any:
        return self.values.get(key, default)
