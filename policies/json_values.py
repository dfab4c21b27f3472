"""Frozen dataclasses as JSON and back, exactly: what decisions are replayed from (snapshot_json, combined/state_json).

The types of the fields say how each value is written:

    dataclass          object of its fields; one that has its default is left out
    A | B of those     the same with `kind`, the class's name
    float              number; what JSON has no number for is "NaN", "Infinity" or "-Infinity"
    Mapping, str keys  object; with other keys a list of [key, value]
    tuple              list
    numpy array        {"dtype", "shape", "base64"}, its bytes in little-endian order

A name or a value that does not fit raises BadInput with its place, since logs are files that people carry about.
"""

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from policies.errors import BadInput

Value = TypeVar("Value")

_Write = Callable[[Any], Any]
_Read = Callable[[Any, str], Any]

_UNSET = object()  # never what a field holds: such a field is always written
_NO_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_PLAIN = (NoneType, bool, int, float, str)


def to_json(value: Any) -> dict[str, Any]:
    """One dataclass as what `json.dumps` takes."""
    kind: Any = type(value)
    written: dict[str, Any] = _codec(kind)[0](value)
    return written


def from_json(cls: type[Value], data: Any, where: str) -> Value:
    """The value that `to_json` was given. where: what an error calls it. Raises BadInput."""
    kind: Any = cls
    read: Value = _codec(kind)[1](data, where)
    return read


@lru_cache(maxsize=1024)
def _codec(kind: Any) -> tuple[_Write, _Read]:
    """How values of this type are written and read."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {Union, UnionType}:
        return _of_union(arguments)
    if origin is Literal:
        return _same, partial(_read_one_of, arguments)
    if origin is tuple:
        return _of_tuple(arguments)
    if origin is np.ndarray:
        return _write_array, _read_array
    if origin is not None and issubclass(origin, Mapping):
        return _of_mapping(*arguments)
    if is_dataclass(kind):
        return _of_dataclass(kind)
    if kind is float:
        return _write_float, _read_float
    assert kind in _PLAIN, f"{kind}: no way to write it"
    return _same, partial(_read_plain, kind)


def _of_dataclass(kind: Any) -> tuple[_Write, _Read]:
    hints = get_type_hints(kind)
    codecs = {each.name: _codec(hints[each.name]) for each in fields(kind)}
    defaults = {each.name: _default(each) for each in fields(kind)}

    def write(value: Any) -> dict[str, Any]:
        written = {}
        for name, (write_field, _) in codecs.items():
            field_value, default = getattr(value, name), defaults[name]
            if type(field_value) is not type(default) or field_value != default:
                written[name] = write_field(field_value)
        return written

    def read(data: Any, where: str) -> Any:
        given = _object(data, where)
        for name in given:
            if name not in codecs:
                raise BadInput(f"{where}.{name}: was not expected; read it with the version that wrote it")
        for name, default in defaults.items():
            if name not in given and default is MISSING:
                raise BadInput(f"{where}.{name}: was missing, must be given; read it with the version that wrote it")
        return kind(**{name: codecs[name][1](value, f"{where}.{name}") for name, value in given.items()})

    return write, read


def _default(each: Any) -> Any:
    """MISSING where it must be given; _UNSET where there is one that values cannot be compared with."""
    if each.default_factory is MISSING:
        return each.default
    made = each.default_factory()
    return made if isinstance(made, tuple | dict) and not made else _UNSET


def _of_union(arguments: tuple[Any, ...]) -> tuple[_Write, _Read]:
    optional = NoneType in arguments
    members = [argument for argument in arguments if argument is not NoneType]
    if len(members) == 1:
        inner_write, inner_read = _codec(members[0])
        return (
            lambda value: None if value is None else inner_write(value),
            lambda data, where: None if data is None else inner_read(data, where),
        )
    assert not optional, f"{arguments}: no way to write it"
    assert all(is_dataclass(member) for member in members), f"{arguments}: no way to write it"
    codecs = {member.__name__: _codec(member) for member in members}

    def write(value: Any) -> dict[str, Any]:
        name = type(value).__name__
        return {"kind": name, **codecs[name][0](value)}

    def read(data: Any, where: str) -> Any:
        rest = dict(_object(data, where))
        name = _read_one_of(tuple(codecs), rest.pop("kind", None), f"{where}.kind")
        return codecs[name][1](rest, where)

    return write, read


def _of_tuple(arguments: tuple[Any, ...]) -> tuple[_Write, _Read]:
    if arguments[-1] is Ellipsis:
        write_each, read_each = _codec(arguments[0])
        return (
            lambda value: [write_each(each) for each in value],
            lambda data, where: tuple(
                read_each(each, f"{where}[{index}]") for index, each in enumerate(_list(data, where))
            ),
        )
    codecs = [_codec(argument) for argument in arguments]

    def write(value: Any) -> list[Any]:
        return [write_each(each) for (write_each, _), each in zip(codecs, value, strict=True)]

    def read(data: Any, where: str) -> Any:
        given = _list(data, where)
        if len(given) != len(codecs):
            raise BadInput(f"{where}: was a list of {len(given)}, must be one of {len(codecs)}")
        pairs = enumerate(zip(codecs, given, strict=True))
        return tuple(read_each(each, f"{where}[{index}]") for index, ((_, read_each), each) in pairs)

    return write, read


def _of_mapping(key: Any, value: Any) -> tuple[_Write, _Read]:
    write_value, read_value = _codec(value)
    if key is str:
        return (
            lambda mapping: {name: write_value(each) for name, each in mapping.items()},
            lambda data, where: {
                name: read_value(each, f"{where}.{name}") for name, each in _object(data, where).items()
            },
        )
    write_pairs, read_pairs = _of_tuple((tuple[key, value], Ellipsis))
    return (lambda mapping: write_pairs(mapping.items()), lambda data, where: dict(read_pairs(data, where)))


def _same(value: Any) -> Any:
    return value


def _write_float(value: float) -> float | str:
    if math.isfinite(value):
        return float(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _read_float(data: Any, where: str) -> float:
    if isinstance(data, str) and data in _NO_NUMBERS:
        return _NO_NUMBERS[data]
    if isinstance(data, bool) or not isinstance(data, int | float):
        raise BadInput(f"{where}: was {_shown(data)}, must be a number, NaN, Infinity or -Infinity")
    return float(data)


def _read_plain(kind: type, data: Any, where: str) -> Any:
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise BadInput(f"{where}: was {_shown(data)}, must be of type {kind.__name__}")
    return data


def _read_one_of(allowed: tuple[Any, ...], data: Any, where: str) -> Any:
    if data not in allowed:
        raise BadInput(f"{where}: was {_shown(data)}, must be one of {', '.join(map(str, allowed))}")
    return data


def _write_array(value: Any) -> dict[str, Any]:
    ordered = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
    text = base64.b64encode(ordered.tobytes()).decode("ascii")
    return {"dtype": value.dtype.name, "shape": list(value.shape), "base64": text}


def _read_array(data: Any, where: str) -> Any:
    given = _object(data, where)
    try:
        dtype = np.dtype(given["dtype"]).newbyteorder("<")
        raw = base64.b64decode(given["base64"], validate=True)
        return np.frombuffer(raw, dtype).reshape(given["shape"]).astype(dtype.newbyteorder("="))
    except (KeyError, TypeError, ValueError, binascii.Error) as error:
        raise BadInput(f"{where}: was {_shown(data)}, must be an array's dtype, shape and base64 ({error})") from error


def _object(data: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(data, dict):
        raise BadInput(f"{where}: was {_shown(data)}, must be an object")
    return data


def _list(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise BadInput(f"{where}: was {_shown(data)}, must be a list")
    return data


def _shown(data: Any) -> str:
    text = repr(data)
    return text if len(text) <= 60 else f"{text[:57]}..."
