"""Results as Parquet: a row a request, written as the run goes on, and a row a minute.

docs/reference/parquet.md describes the columns. Files appear whole: they are written under a temporary name in the
same folder and renamed at the end.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from policies.errors import BadInput
from simulations.request_rows import NEVER_SENT, OUTCOMES, ROW, SERVED, Rows, latencies
from simulations.results.intervals import Intervals
from simulations.results.moment import Moment
from simulations.results.parquet_schema import INTERVALS, REQUESTS
from simulations.results.timeline import timeline
from simulations.slo import SLO

ROW_GROUP_ROWS = 1 << 18
"""Requests buffered before they are written: 20 MB."""

_REPEATED = ["cached_tokens", "preemptions", "priority", "lora", "replica", "outcome"]


class RequestFile:
    """One Parquet file of requests, with REQUESTS as its schema. Use it as a context manager.

    Raises BadInput at once when the file could not be written. An exception within leaves no file.
    """

    def __init__(self, path: Path, slo: SLO) -> None:
        self._slo = slo
        self._output = _Output(path)
        self._writer = pq.ParquetWriter(
            self._output.temporary,
            REQUESTS,
            compression="zstd",
            use_dictionary=_REPEATED,  # looking for repeated instants took four times as long as all the rest
            use_byte_stream_split=[field.name for field in REQUESTS if field.type == pa.float64()],
        )
        self._buffer = np.empty(ROW_GROUP_ROWS, ROW)
        self._filled = 0

    def add(self, rows: Rows) -> None:
        """Write requests; the caller may reuse the memory."""
        taken = 0
        while taken < len(rows):
            count = min(len(rows) - taken, ROW_GROUP_ROWS - self._filled)
            for name in ROW.names or ():
                self._buffer[name][self._filled : self._filled + count] = rows[name][taken : taken + count]
            self._filled += count
            taken += count
            if self._filled == ROW_GROUP_ROWS:
                self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._filled:
                self._flush()
            self._writer.close()
        except BaseException:
            self._output.discard()
            raise
        if error is None:
            self._output.publish()
        else:
            self._output.discard()

    def _flush(self) -> None:
        self._writer.write_table(request_table(self._buffer[: self._filled], self._slo), ROW_GROUP_ROWS)
        self._filled = 0


def request_table(rows: Rows, slo: SLO) -> pa.Table:
    """Requests as REQUESTS describes them; what never happened is null."""
    seen = latencies(rows)
    served = rows["outcome"] == SERVED
    good = served & slo.met(*seen, e2e_limit=rows["e2e_limit"])
    outcome = pa.DictionaryArray.from_arrays(rows["outcome"].astype(np.int8), pa.array(OUTCOMES))
    columns = {
        "arrival_seconds": _known(np.where(rows["outcome"] == NEVER_SENT, np.nan, rows["arrival"])),
        "enqueued_seconds": _known(rows["enqueued"]),
        "first_token_seconds": _known(rows["first_token"]),
        "finish_seconds": _known(rows["finish"]),
        "ttft_seconds": _known(seen.ttft),
        "tpot_seconds": _known(seen.tpot),
        "e2e_seconds": _known(seen.e2e),
        "e2e_limit_seconds": _known(rows["e2e_limit"]),
        "prompt_tokens": pa.array(rows["prompt_tokens"]),
        "output_tokens": pa.array(rows["output_tokens"]),
        "generated_tokens": pa.array(np.where(served, rows["output_tokens"], rows["generated"])),
        "cached_tokens": pa.array(rows["cached_tokens"], mask=rows["cached_tokens"] < 0),
        "preemptions": pa.array(rows["preemptions"]),
        "priority": pa.array(rows["priority"]),
        "lora": pa.array(rows["lora"], mask=rows["lora"] < 0),
        "replica": pa.array(rows["replica"], mask=rows["replica"] < 0),
        "outcome": outcome,
        "good": pa.array(good),
    }
    return _table(columns, REQUESTS)


def interval_table(intervals: Intervals, moments: Sequence[Moment]) -> pa.Table:
    """Minutes as INTERVALS describes them; the fleet's columns are null before the first sync."""
    columns: dict[str, pa.Array] = {
        "start_seconds": pa.array(intervals.start_seconds),
        "arrivals": pa.array(intervals.arrivals),
        "finished": pa.array(intervals.finished),
        "good": pa.array(intervals.good),
        "prompt_tokens": pa.array(intervals.prompt_tokens),
        "output_tokens": pa.array(intervals.output_tokens),
        "generation_tokens": pa.array(intervals.generation_tokens),
    }
    for name in ("ttft", "tpot", "e2e"):
        for column, level in enumerate(("p50", "p90", "p99")):
            columns[f"{name}_{level}_seconds"] = _known(getattr(intervals, name)[:, column])
    columns |= {name: pa.array(values, pa.int32()) for name, values in timeline(moments, len(intervals)).items()}
    return _table(columns, INTERVALS)


def write_intervals(path: Path, intervals: Intervals, moments: Sequence[Moment]) -> None:
    """Write `interval_table` whole. Raises BadInput when the file cannot be written."""
    output = _Output(path)
    try:
        pq.write_table(interval_table(intervals, moments), output.temporary, compression="zstd")
        output.publish()
    except BaseException:
        output.discard()
        raise


class _Output:
    """A temporary file beside `path`, which becomes `path` or disappears."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if path.is_dir():
            raise BadInput(f"{path}: is a directory, must be a file; add a file name")
        try:
            handle, name = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}.")
        except OSError as error:
            raise BadInput(
                f"{path}: cannot be written ({error.strerror}); choose a folder that exists and is yours"
            ) from None
        os.close(handle)
        self.temporary = Path(name)

    def publish(self) -> None:
        self.temporary.chmod(0o644)
        self.temporary.replace(self._path)

    def discard(self) -> None:
        self.temporary.unlink(missing_ok=True)


def _known(values: Any) -> pa.Array:
    return pa.array(values, from_pandas=True)  # NaN becomes null


def _table(columns: Mapping[str, pa.Array], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_arrays([columns[field.name] for field in schema], schema=schema)
