"""Demand as people type it: a file, ServeGen's tables, or a generator with its parameters.

- `trace.csv`: any recording that `simulations.trace_files` reads;
- `servegen/m-large`: ServeGen's tables, where servegen/m-large-rates.csv.gz is there;
- `rates.json`: a saved answer of Prometheus' /api/v1/query_range;
- `poisson:rate=5,minutes=60`: one of DEMAND_KINDS; what is not given has its default;
- `diurnal:rate=20 + batch:requests=1000`: several, laid over one another.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_type_hints

from policies.errors import BadInput
from simulations.demand.kinds import DEMAND_KINDS, DemandKind
from simulations.demand.merged import merged
from simulations.demand.rate_scaled import rate_scaled
from simulations.demand.rows import Skipped
from simulations.demand.servegen import is_file, is_servegen
from simulations.demand.transformations import sliced, thinned, time_warped
from simulations.trace import Demand
from simulations.trace_files import read_recording

_NAME = re.compile(r"[a-z][a-z-]*")


def demand_from(
    text: str | Path,
    *,
    seed: int = 1,
    start_seconds: float = 0.0,
    seconds: float | None = None,
    rate_factor: float = 1.0,
    keep: float = 1.0,
    time_factor: float = 1.0,
    skip_bad_rows: bool = False,
    on_skipped: Callable[[Skipped], None] = lambda _: None,
) -> Demand:
    """The demand that is meant, its rate scaled, then sliced, thinned and time-warped, in that order. Raises BadInput.

    seed: of what is drawn and does not give its own; the n-th of several parts takes the n-th after it. seconds: None
    for all. skip_bad_rows: leave a recording's wrong rows out, and tell `on_skipped` of each file where some were. The
    others: see `sliced`, `rate_scaled`, `thinned`, `time_warped`.
    """
    parts = enumerate(_parts(str(text)))
    # Each part has a seed of its own: with one seed, two equal generators would send every request twice.
    demand = merged([_one(part, seed + place, skip_bad_rows, on_skipped) for place, part in parts])
    demand = rate_scaled(demand, rate_factor, seed)
    if start_seconds or seconds is not None:
        demand = sliced(demand, start_seconds, demand.duration_seconds if seconds is None else seconds)
    return time_warped(thinned(demand, keep, seed), time_factor)


def _parts(text: str) -> list[str]:
    """What is laid over one another, separated by ` + `; a file of that name is one part."""
    if is_file(Path(text)):
        return [text]
    parts = [part.strip() for part in text.split(" + ")]
    if not all(parts):
        raise BadInput(f"demand: was {text!r}, must be a file, ServeGen's tables or one of {', '.join(DEMAND_KINDS)}")
    return parts


def _one(text: str, seed: int, skip_bad_rows: bool, on_skipped: Callable[[Skipped], None]) -> Demand:
    path = Path(text)
    if is_file(path):
        if path.suffix == ".json":
            return _built(DEMAND_KINDS["prometheus"], {"file": text}, seed)
        recording = read_recording(path, skip_bad_rows=skip_bad_rows)
        if recording.skipped.count:
            on_skipped(recording.skipped)
        return recording.trace
    if is_servegen(path):
        return _built(DEMAND_KINDS["servegen"], {"tables": text}, seed)
    name, colon, rest = text.partition(":")
    if name in DEMAND_KINDS:
        return _built(DEMAND_KINDS[name], _values(name, rest), seed)
    if colon and _NAME.fullmatch(name):
        raise BadInput(f"demand: was {name!r}, {_nearest(name, DEMAND_KINDS)}")
    near = difflib.get_close_matches(name, DEMAND_KINDS, n=1, cutoff=0.7)
    hint = f"; did you mean {near[0]}:...?" if near else ""
    raise BadInput(
        f"demand: {text} does not exist{hint}; give a recording, a prefix of ServeGen's tables, or one of "
        f"{', '.join(DEMAND_KINDS)}, as poisson:rate=5"
    )


def _values(name: str, text: str) -> dict[str, str]:
    """`rate=5,minutes=60`; a comma within brackets or quotes belongs to its value."""
    values: dict[str, str] = {}
    for item in _items(text):
        key, equals, value = item.partition("=")
        key = key.strip()
        if not equals or not key:
            raise BadInput(f"{name}: was {item.strip()!r}, must be key=value; several are separated by commas")
        if key in values:
            raise BadInput(f"{name}.{key}: was given twice; remove one")
        values[key] = value.strip()
    return values


def _items(text: str) -> list[str]:
    items, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        if letter == "," and not quote and depth <= 0:
            items.append("")
        else:
            items[-1] += letter
    return [item for item in items if item.strip()]


def _built(kind: DemandKind, values: dict[str, str], seed: int) -> Demand:
    """The kind's demand with these values. Raises BadInput naming kind and parameter."""
    types = get_type_hints(kind.spec)
    known = {each.name: each for each in fields(kind.spec)}
    given: dict[str, Any] = {"seed": seed} if "seed" in known else {}
    for key, text in values.items():
        if key not in known:
            raise BadInput(f"{kind.name}.{key}: unknown parameter; {_nearest(key, known)}")
        given[key] = _value(text, types[key], f"{kind.name}.{key}")
    for each in known.values():
        if each.name not in given and each.default is MISSING:
            unit = f", {each.metadata['unit']}" if each.metadata["unit"] else ""
            raise BadInput(f"{kind.name}.{each.name}: was not given ({each.metadata['help']}{unit}); set it")
    seed_given = given.get("seed", 0)
    if not 0 <= seed_given <= 2**32 - 1:
        raise BadInput(f"{kind.name}.seed: was {seed_given}, must be in [0, {2**32 - 1}]")
    try:
        return kind.build(kind.spec(**given))
    except BadInput as error:
        raise BadInput(f"{kind.name}: {error}") from error


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    return (f"did you mean {near[0]}? " if near else "") + f"must be one of {', '.join(known)}"


def _value(text: str, kind: type[Any], field: str) -> Any:
    if kind is str:
        return text.strip("'\"")
    try:
        value = kind(text)
    except ValueError:
        what = "a whole number" if kind is int else "a number"
        raise BadInput(f"{field}: was {text!r}, must be {what}") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise BadInput(f"{field}: was {text!r}, must be a finite number")
    return value
