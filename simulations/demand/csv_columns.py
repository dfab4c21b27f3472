"""CSV recordings in one go, column by column: about a second for a million rows, but only where all of them are right.

What is odd in any way, wrong or not, is left to the row-wise reader, which names it.
"""

import warnings
from typing import IO

import numpy as np
from numpy.typing import NDArray

from policies.snapshot import NS_PER_SECOND
from simulations.demand.csv_rows import MAX_ADAPTERS, MAX_PRIORITY, Header
from simulations.demand.rows import MAX_SECONDS, MAX_TOKENS
from simulations.trace import Trace

_TIME_TEXT = "S30"
"""Longer than the longest time without offset, 2023-11-16 18:15:46.123456789."""

_RANGES = {"lora": (-1, MAX_ADAPTERS), "priority": (-MAX_PRIORITY, MAX_PRIORITY), "e2e_limit_seconds": (0, MAX_SECONDS)}


def read_columns(name: str, header: Header, file: IO[str]) -> Trace | None:
    """The rows after the header as a trace; None where any of them needs a closer look."""
    optional = [column for column, _ in header.optional]
    if "session" in optional:
        return None
    (time, _), (prompt, _), (output, _) = header.required
    kinds = {time: "f8" if header.is_plain else _TIME_TEXT, prompt: "i8", output: "i8"}
    kinds |= {column: "f8" if column == "e2e_limit_seconds" else "i8" for column in optional}
    # A column that is not read takes one letter of memory, whatever it holds.
    dtype = np.dtype([(f"{index}", kinds.get(column, "S1")) for index, column in enumerate(header.names)])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = np.loadtxt(file, dtype, delimiter=",", comments=None, quotechar='"', ndmin=1)
            columns = {column: table[f"{header.names.index(column)}"] for column in kinds}
            times_ns = _seconds_ns(columns[time]) if header.is_plain else _timestamps_ns(columns[time])
    except (ValueError, UserWarning, DeprecationWarning):
        return None
    if times_ns is None or not len(times_ns) or (np.diff(times_ns) < 0).any():
        return None
    prompts, outputs = columns[prompt], columns[output]
    if not (_within(prompts, 1, MAX_TOKENS) and _within(outputs, 0, MAX_TOKENS)):
        return None
    if not all(_within(columns[column], *_RANGES[column]) for column in optional):
        return None
    limits = columns.get("e2e_limit_seconds")
    if limits is not None and not (limits > 0).all():
        return None
    start_ns = int(times_ns[0]) // NS_PER_SECOND * NS_PER_SECOND
    return Trace(
        name,
        start_ns,
        (times_ns - start_ns) / NS_PER_SECOND,
        prompts.astype(np.int32),
        np.maximum(outputs, 1).astype(np.int32),
        lora=columns["lora"].astype(np.int32) if "lora" in columns else None,
        priority=columns["priority"].astype(np.int32) if "priority" in columns else None,
        e2e_limit_seconds=None if limits is None else limits.copy(),
    )


def _within(values: NDArray[np.int64] | NDArray[np.float64], low: float, high: float) -> bool:
    return bool(((values >= low) & (values <= high)).all())


def _seconds_ns(seconds: NDArray[np.float64]) -> NDArray[np.int64] | None:
    if not _within(seconds, 0, MAX_SECONDS):
        return None
    return np.rint(seconds * NS_PER_SECOND).astype(np.int64)


def _timestamps_ns(texts: NDArray[np.bytes_]) -> NDArray[np.int64] | None:
    """Of `2023-11-16 18:15:46` with 0 or 1 to 9 digits of fraction; None for any other form, such as an offset."""
    letters = texts.view(np.uint8) if texts.flags.c_contiguous else np.ascontiguousarray(texts).view(np.uint8)
    letters = letters.reshape(len(texts), -1)
    lengths = np.char.str_len(texts)
    plain = (lengths == 19) | ((lengths >= 21) & (lengths <= 29))
    separated = (letters[:, 10] == ord(" ")) | (letters[:, 10] == ord("T"))
    if not (plain & separated).all():
        return None
    return texts.astype("U").astype("datetime64[ns]").astype(np.int64)
