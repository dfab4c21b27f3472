"""Results of whole runs: kept or counted, written or not, they say the same."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from policies.capacity.profile import PROFILES
from policies.decision import Decision
from simulations.fleet import Fleet
from simulations.latency_buckets import RELATIVE_ERROR
from simulations.report.time_plots import time_plots
from simulations.results import Recorder, Result
from simulations.results.collector import Collector
from simulations.results.parquet import RequestFile
from simulations.results.stream import RequestStream
from simulations.results.table import RequestTable
from simulations.scenario import Scenario
from simulations.slo import SLO
from simulations.trace import SHIPPED
from simulations.trace_files import read_trace

TRACE = read_trace(SHIPPED).first(600)
SCENARIO = Scenario(
    trace=TRACE,
    profile=PROFILES["llama-3.1-8b-fp8-l4"],
    slo=SLO(ttft_seconds=0.5, tpot_seconds=0.06),
    initial_replicas=4,
)


def finished(collector: Collector, file: RequestFile | None = None) -> Result:
    """Four replicas, one more after a minute, and requests handed over in three pieces."""
    fleet = Fleet(SCENARIO)
    recorder = Recorder(SCENARIO, "by hand", fleet, collector=collector, file=file)
    for second, replicas in ((60.0, 5), (400.0, 5), (3_000.0, 5)):
        fleet.advance(second)
        fleet.scale(replicas)
        recorder.record(Decision(desired_replicas=replicas, reason="ReadyForNewScale", message=f"{replicas} asked"))
    for piece in np.array_split(np.concatenate(list(fleet.take())), 3):
        recorder.take(piece)
    return recorder.result()


def test_a_run_that_was_counted_has_the_figures_of_one_that_was_kept() -> None:
    counted, kept = finished(RequestStream(SCENARIO.slo)), finished(RequestTable(SCENARIO.slo))
    assert counted.kept is None
    assert counted.moments == kept.moments
    figures = kept.summary.as_dict()
    for name, value in counted.summary.as_dict().items():
        if name.endswith(("p50_seconds", "p90_seconds", "p95_seconds", "p99_seconds", "mean_seconds")):
            assert value == pytest.approx(figures[name], rel=RELATIVE_ERROR, nan_ok=True), name
        else:
            assert value == figures[name], name
    assert 0 < counted.summary.slo_attainment < 1


def test_requests_of_a_counted_run_are_asked_for_in_vain_and_it_says_why() -> None:
    with pytest.raises(AssertionError, match="counted, not kept"):
        _ = finished(RequestStream(SCENARIO.slo)).ttft_seconds


def test_a_counted_run_has_the_same_plots() -> None:
    """Where percentiles are drawn they differ by less than a line's width; demand and goodput are the same."""
    counted, kept = (
        {plot.name: plot.figure.to_plotly_json()["data"] for plot in time_plots([finished(collector)])}
        for collector in (RequestStream(SCENARIO.slo), RequestTable(SCENARIO.slo))
    )
    assert counted.keys() == kept.keys()
    for name, lines in counted.items():
        for line, other in zip(lines, kept[name], strict=True):
            np.testing.assert_allclose(
                plotted(line["y"]), plotted(other["y"]), rtol=RELATIVE_ERROR, err_msg=f"{name}: {line['name']}"
            )


def plotted(values: Any) -> NDArray[np.float64]:
    """A line's numbers, which plotly keeps as a list or as base64."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).astype(np.float64)
    return np.array(values, np.float64)


def test_the_cold_start_is_counted_from_the_ask() -> None:
    summary = finished(RequestTable(SCENARIO.slo)).summary
    assert summary.cold_starts == 1
    assert summary.cold_start_mean_seconds is not None
    assert 111.0 < summary.cold_start_mean_seconds < 500.0
    assert summary.rescales == 1
    assert 4 * 600 / 3600 < summary.gpu_hours < 5 * 600 / 3600


def test_a_run_written_as_it_goes_has_every_request_once(tmp_path: Path) -> None:
    path = tmp_path / "requests.parquet"
    with RequestFile(path, SCENARIO.slo) as file:
        result = finished(RequestStream(SCENARIO.slo), file)
    table = pq.read_table(path)
    assert len(table) == result.summary.requests == len(TRACE)
    assert table["arrival_seconds"].to_pylist() == TRACE.arrival_seconds.tolist()
    assert sum(table["good"].to_pylist()) == result.requests.good
