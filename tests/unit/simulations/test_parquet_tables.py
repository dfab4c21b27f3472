"""Parquet files: what was collected comes back, described column by column, and a file is whole or not there."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from policies.decision import Decision
from policies.errors import BadInput
from simulations.request_rows import NEVER_SENT, OUTCOMES, SERVED, Rows
from simulations.results import Moment, parquet
from simulations.results.parquet import RequestFile, interval_table, request_table, write_intervals
from simulations.results.parquet_schema import INTERVALS, REQUESTS
from simulations.results.table import RequestTable
from simulations.slo import SLO

RandomRows = Callable[[int, int, float], Rows]
SLO_ = SLO(ttft_seconds=0.5, tpot_seconds=0.08)
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "parquet.md"


def moment(second: float, replicas: int, nodes: int | None = None) -> Moment:
    return Moment(
        second=second,
        replicas=replicas,
        ready_replicas=replicas,
        starting_replicas=0,
        running=5,
        waiting=3,
        gateway_queue=1,
        gpus=2 * replicas,
        nodes=nodes,
        decision=Decision(desired_replicas=replicas, reason="ReadyForNewScale", message="as asked"),
    )


def test_requests_come_back_as_they_were_in_groups(
    random_rows: RandomRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 100)
    rows = random_rows(1, 450, 300.0)
    path = tmp_path / "requests.parquet"
    with RequestFile(path, SLO_) as file:
        for piece in np.array_split(rows, 7):
            file.add(piece)
        assert not path.exists(), "it appears when it is whole"
    table = RequestTable(SLO_)
    table.add(rows)
    kept = table.kept()
    read = pq.read_table(path)
    assert pq.ParquetFile(path).metadata.num_row_groups == 5
    assert list(tmp_path.iterdir()) == [path]
    assert read["good"].to_pylist() == kept.good.tolist()
    assert read["outcome"].to_pylist() == [OUTCOMES[code] for code in rows["outcome"]]
    for name, values in (
        ("ttft_seconds", kept.ttft_seconds),
        ("tpot_seconds", kept.tpot_seconds),
        ("e2e_seconds", kept.e2e_seconds),
        ("finish_seconds", rows["finish"]),
    ):
        assert read[name].to_pylist() == [None if math.isnan(value) else value for value in values]
    assert read["prompt_tokens"].to_pylist() == rows["prompt_tokens"].tolist()
    served = rows["outcome"] == SERVED
    assert read["generated_tokens"].to_numpy()[served].tolist() == rows["output_tokens"][served].tolist()


def test_what_never_happened_is_null_and_not_a_number(random_rows: RandomRows) -> None:
    rows = random_rows(2, 300, 300.0)
    table = request_table(rows, SLO_)
    for name, missing in (
        ("arrival_seconds", rows["outcome"] == NEVER_SENT),
        ("lora", rows["lora"] < 0),
        ("replica", rows["replica"] < 0),
        ("cached_tokens", rows["cached_tokens"] < 0),
    ):
        assert missing.any(), f"the rows should have some without {name}"
        assert table[name].is_null().to_pylist() == missing.tolist()


def test_minutes_hold_what_arrived_and_how_the_last_sync_left_the_fleet(
    random_rows: RandomRows, tmp_path: Path
) -> None:
    table = RequestTable(SLO_)
    table.add(random_rows(3, 300, 230.0))
    intervals = table.intervals()
    moments = [moment(65.0, 2), moment(110.0, 3), moment(180.0, 4)]
    write_intervals(tmp_path / "minutes.parquet", intervals, moments)
    read = pq.read_table(tmp_path / "minutes.parquet").to_pydict()
    assert read["start_seconds"][:3] == [0.0, 60.0, 120.0]
    assert read["arrivals"] == intervals.arrivals.tolist()
    assert read["replicas"][:4] == [None, 3, 3, 4]
    assert read["gpus"][:4] == [None, 6, 6, 8]
    assert set(read["nodes"]) == {None}
    assert read["ttft_p99_seconds"][0] == pytest.approx(intervals.ttft[0, 2])


def test_nodes_are_written_where_they_are_simulated(random_rows: RandomRows) -> None:
    table = RequestTable(SLO_)
    table.add(random_rows(3, 50, 50.0))
    assert interval_table(table.intervals(), [moment(5.0, 2, nodes=1)])["nodes"].to_pylist()[0] == 1


def test_a_failed_run_leaves_the_old_file_and_no_rubbish(random_rows: RandomRows, tmp_path: Path) -> None:
    path = tmp_path / "requests.parquet"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError):
        _run_that_fails(path, random_rows(4, 10, 60.0))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def _run_that_fails(path: Path, rows: Rows) -> None:
    with RequestFile(path, SLO_) as file:
        file.add(rows)
        raise ZeroDivisionError


def test_paths_that_cannot_be_written_are_refused_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a directory"):
        RequestFile(tmp_path, SLO_)
    with pytest.raises(BadInput, match="cannot be written"):
        RequestFile(tmp_path / "missing" / "requests.parquet", SLO_)


@pytest.mark.parametrize("schema", [pytest.param(REQUESTS, id="requests"), pytest.param(INTERVALS, id="intervals")])
def test_the_page_describes_every_column_as_the_file_does(schema: pa.Schema) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) ?\| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    described = {(name, kind, unit, meaning) for name, kind, unit, meaning in rows}
    for field in schema:
        unit, meaning = (field.metadata[key].decode() for key in (b"unit", b"meaning"))
        assert (field.name, str(field.type), unit, meaning) in described
    assert len(rows) == len(REQUESTS) + len(INTERVALS)
