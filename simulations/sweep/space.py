"""Which values each field takes, and the points that follow: every combination, or a number of random ones.

replicas.max=10,20                   two values
policy.hpa-queue.target_requests=range(5,40,5)   5, 10, ... 35: the end is left out, as in Python
seed=1,2,range(10,13)                both
slo.ttft_seconds=0.5..4              anything between, uniform; whole numbers where both ends are
lead_time.load_median_seconds=30..600:log        the same, uniform in the logarithm
"""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from policies.errors import BadInput

Point = Mapping[str, Any]
"""Field -> value, in the order of the axes."""

MAX_POINTS = 1_000_000

_RANGE = re.compile(r"range\(([^()]*)\)")
_SPAN = re.compile(r"(?P<low>[-+0-9.eE]+?)\.\.(?P<high>[-+0-9.eE]+)(?P<log>:log)?")


@dataclass(frozen=True, slots=True)
class Choices:
    """Values that are listed."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Any value in [low, high]; whole ones only if is_whole; uniform in the logarithm if is_log."""

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def draw(self, rng: np.random.Generator) -> float | int:
        """One value, to 6 significant digits: a number that can be typed again gives the same run."""
        if self.is_log:
            value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        elif self.is_whole:
            return int(rng.integers(int(self.low), int(self.high), endpoint=True))
        else:
            value = float(rng.uniform(self.low, self.high))
        value = min(max(float(f"{value:.6g}"), self.low), self.high)
        return round(value) if self.is_whole else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One field and the values that it takes."""

    field: str
    values: Choices | Span


def parse_axis(text: str) -> Axis:
    """FIELD=VALUES as in the head of this file. Raises BadInput."""
    field, equals, values = text.partition("=")
    if not equals or not field.strip() or not values.strip():
        raise BadInput(f"--set {text}: must be FIELD=VALUES, such as replicas.max=10,20")
    parts = [part.strip() for part in split(values)]
    spans = [span for part in parts if (span := _span(text, part)) is not None]
    if spans and len(parts) > 1:
        raise BadInput(f"--set {text}: was a range lo..hi among other values, must be alone; use range(lo,hi,step)")
    if spans:
        return Axis(field=field.strip(), values=spans[0])
    listed = [value for part in parts for value in _values(text, part)]
    return Axis(field=field.strip(), values=Choices(tuple(listed)))


def grid(axes: Sequence[Axis]) -> Iterator[Point]:
    """Every combination, the last axis fastest. Raises BadInput where an axis lists no values."""
    listed: list[tuple[Any, ...]] = []
    for axis in axes:
        if isinstance(axis.values, Span):
            raise BadInput(
                f"--set {axis.field}: was a range lo..hi, which only --random N draws from; list values or use "
                "range(lo,hi,step)"
            )
        listed.append(axis.values.values)
    if (count := math.prod(map(len, listed))) > MAX_POINTS:
        raise BadInput(f"--set: gives {count:,} combinations, must be at most {MAX_POINTS:,}; use --random N")
    for values in itertools.product(*listed):
        yield dict(zip([axis.field for axis in axes], values, strict=True))


def random_points(axes: Sequence[Axis], count: int, seed: int) -> Iterator[Point]:
    """`count` points. The n-th depends on seed and n only, so that a larger count adds to what there is."""
    for number in range(count):
        rng = np.random.default_rng((seed, number))
        point = {}
        for axis in axes:
            if isinstance(axis.values, Span):
                point[axis.field] = axis.values.draw(rng)
            else:
                point[axis.field] = axis.values.values[int(rng.integers(len(axis.values.values)))]
        yield point


def scalar(text: str) -> Any:
    """A value as YAML reads it, and 1e-3 as the number that it is."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def split(text: str, separator: str = ",") -> list[str]:
    """Parts between separators, not counting those inside brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == separator and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _values(text: str, part: str) -> Sequence[Any]:
    match = _RANGE.fullmatch(part)
    if match is None:
        return [scalar(part)]
    numbers = [scalar(number.strip()) for number in match[1].split(",")]
    if len(numbers) not in {2, 3} or not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers
    ):
        raise BadInput(f"--set {text}: was {part!r}, must be range(low,high) or range(low,high,step)")
    low, high, step = (*numbers, 1)[:3]
    steps = math.ceil((high - low) / step - 1e-9) if step else 0
    if not 1 <= steps <= MAX_POINTS:
        raise BadInput(
            f"--set {text}: {part!r} gives {steps:,} values, must give 1 to {MAX_POINTS:,}, from low to high"
        )
    if all(isinstance(number, int) for number in (low, high, step)):
        return [low + step * index for index in range(steps)]
    return [float(f"{low + step * index:.12g}") for index in range(steps)]


def _span(text: str, part: str) -> Span | None:
    match = _SPAN.fullmatch(part)
    if match is None:
        return None
    low, high = scalar(match["low"]), scalar(match["high"])
    is_log = match["log"] is not None
    if not (isinstance(low, int | float) and isinstance(high, int | float) and low < high) or (is_log and low <= 0):
        raise BadInput(f"--set {text}: was {part!r}, must be lo..hi with {'0 < ' if is_log else ''}lo < hi")
    return Span(low=low, high=high, is_log=is_log, is_whole=isinstance(low, int) and isinstance(high, int))
