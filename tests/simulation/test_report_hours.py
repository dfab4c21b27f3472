"""A run by the hour adds up to the run, and the worst hour is the one with most misses."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from report_runs import SLO_OF_TESTS, run

from simulations.report.hours import HOUR_SECONDS, bin_seconds_for, hours_of, told
from simulations.report.hours_plots import worst_hours
from simulations.results import Result
from simulations.results.stream import RequestStream


@pytest.fixture(scope="module")
def result() -> Result:
    return run(4 * HOUR_SECONDS)


@pytest.mark.parametrize("bin_seconds", [60.0, 600.0, HOUR_SECONDS, 7 * HOUR_SECONDS])
def test_attainment_by_the_hour_weighted_by_requests_is_the_summarys(result: Result, bin_seconds: float) -> None:
    hours = hours_of(result, bin_seconds)
    assert hours.arrivals.sum() == result.summary.requests
    assert np.nansum(hours.attainment * hours.arrivals) / hours.arrivals.sum() == pytest.approx(
        result.summary.slo_attainment, rel=1e-12
    )
    assert 0 < result.summary.slo_attainment < 1, "else the hours could be anything"


def test_latencies_of_an_hour_are_over_its_requests(result: Result) -> None:
    """Once more from the requests themselves, one hour at a time."""
    hours = hours_of(result)
    assert hours.is_exact
    assert len(hours) == 4
    for place in range(4):
        own = (result.arrival_seconds >= 3_600 * place) & (result.arrival_seconds < 3_600 * (place + 1))
        for name, level in (("p50", 0.5), ("p99", 0.99)):
            assert getattr(hours, f"ttft_{name}")[place] == np.nanquantile(result.ttft_seconds[own], level)
            assert getattr(hours, f"tpot_{name}")[place] == np.nanquantile(result.tpot_seconds[own], level)


def test_a_counted_run_has_the_same_attainment_and_says_that_latencies_are_of_minutes(result: Result) -> None:
    stream = RequestStream(SLO_OF_TESTS)
    assert result.kept is not None
    stream.add(result.kept.rows)
    counted = hours_of(replace(result, kept=None, intervals=stream.intervals()))
    kept = hours_of(result)
    assert not counted.is_exact
    np.testing.assert_array_equal(counted.arrivals, kept.arrivals)
    np.testing.assert_array_equal(counted.good, kept.good)
    assert (counted.ttft_p99 >= 0.99 * kept.ttft_p99).all(), "the worst minute is no better than its hour"


def test_the_worst_hour_is_named_with_its_misses(result: Result) -> None:
    hours = hours_of(result)
    worst = hours.worst()[0]
    missed = hours.arrivals - hours.good
    assert missed[worst] == missed.max() > 0
    page = worst_hours([result], ["told"])
    assert f"{missed[worst]:,} of {hours.arrivals[worst]:,}" in page
    assert f"{worst} h to {worst + 1} h since the start (Thu 1970-01-01 0{worst}:00 UTC)" in page


def test_a_run_without_a_miss_says_so(result: Result) -> None:
    perfect = replace(result, intervals=replace(result.intervals, good=result.intervals.arrivals))
    assert hours_of(perfect).worst(3) == []
    assert "none missed the SLO" in worst_hours([perfect], ["told"])


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        pytest.param(1_800.0, 600.0, id="half-an-hour-by-ten-minutes"),
        pytest.param(3 * 3_600.0, 3_600.0, id="three-hours-by-the-hour"),
        pytest.param(14 * 86_400.0, 3_600.0, id="two-weeks-by-the-hour"),
    ],
)
def test_the_width_follows_the_demand(seconds: float, expected: float) -> None:
    assert bin_seconds_for(seconds) == expected


def test_an_hour_is_told_by_the_clock(result: Result) -> None:
    start_ns = 1_700_000_000 * 10**9  # 2023-11-14 22:13:20 UTC
    assert told(hours_of(result), 2, start_ns) == "2 h to 3 h since the start (Wed 2023-11-15 00:13 UTC)"


def test_an_hour_in_which_nothing_arrived_has_no_attainment(result: Result) -> None:
    intervals: Any = result.intervals
    empty = np.where(np.arange(len(intervals)) // 60 == 1, 0, 1)
    hours = hours_of(
        replace(
            result, intervals=replace(intervals, **{n: getattr(intervals, n) * empty for n in ("arrivals", "good")})
        )
    )
    assert np.isnan(hours.attainment).tolist() == [False, True, False, False]
