"""Requests counted as they pass give the figures of requests kept: counts exactly, percentiles within 0.5 %."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.latency_buckets import RELATIVE_ERROR
from simulations.request_rows import NEVER_SENT, ROW, SERVED, Rows
from simulations.results.collector import MOST_KEPT_REQUESTS, Collector, collector_for
from simulations.results.intervals import Intervals
from simulations.results.percentiles import Percentiles
from simulations.results.stream import RequestStream
from simulations.results.table import RequestTable
from simulations.results.totals import RequestTotals
from simulations.slo import SLO

RandomRows = Callable[[int, int, float], Rows]
SLOS = (SLO(ttft_seconds=0.5, tpot_seconds=0.08), SLO(ttft_seconds=2.0, tpot_seconds=0.1, e2e_seconds=8.0))


def collected(collector: Collector, rows: Rows, pieces: int) -> Collector:
    for piece in np.array_split(rows, pieces):
        collector.add(piece)
    return collector


def assert_same(streamed: RequestTotals, kept: RequestTotals) -> None:
    for field in fields(RequestTotals):
        one, other = getattr(streamed, field.name), getattr(kept, field.name)
        if isinstance(one, Percentiles):
            for level in fields(Percentiles):
                tolerance = 1e-9 if level.name == "mean" else RELATIVE_ERROR * (1 + 1e-9)
                expected = pytest.approx(getattr(other, level.name), rel=tolerance, nan_ok=True)
                assert getattr(one, level.name) == expected, f"{field.name} {level.name}"
        else:
            assert one == other, field.name


def assert_same_minutes(streamed: Intervals, kept: Intervals) -> None:
    for field in fields(Intervals):
        one, other = getattr(streamed, field.name), getattr(kept, field.name)
        if field.name in {"ttft", "tpot", "e2e"}:
            np.testing.assert_allclose(one, other, rtol=RELATIVE_ERROR * (1 + 1e-9), err_msg=field.name)
        else:
            np.testing.assert_array_equal(one, other, err_msg=field.name)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 400),
    minutes=st.sampled_from([0.5, 3.0, 400.0]),
    pieces=st.integers(1, 5),
    slo=st.sampled_from(SLOS),
)
def test_both_collectors_agree_however_the_requests_are_cut(
    random_rows: RandomRows, seed: int, count: int, minutes: float, pieces: int, slo: SLO
) -> None:
    """The stream keeps only 10 minutes open here, so that it closes most of 400."""
    rows = random_rows(seed, count, 60 * minutes)
    stream, table = RequestStream(slo, open_minutes=10), RequestTable(slo)
    collected(stream, rows, pieces)
    collected(table, rows, 1)
    assert_same(stream.totals(), table.totals())
    assert_same_minutes(stream.intervals(), table.intervals())
    assert stream.late_requests == 0


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(1, 400))
def test_minutes_add_up_to_the_whole(random_rows: RandomRows, seed: int, count: int) -> None:
    rows = random_rows(seed, count, 600.0)
    stream = collected(RequestStream(SLOS[0]), rows, 3)
    totals, minutes = stream.totals(), stream.intervals()
    assert sum(totals.outcomes) == count
    assert totals.sent == minutes.arrivals.sum() == (rows["outcome"] != NEVER_SENT).sum()
    assert totals.good == minutes.good.sum() <= totals.count("served")
    assert totals.count("served") == minutes.finished.sum()
    assert totals.prompt_tokens == minutes.prompt_tokens.sum()
    assert totals.output_tokens == minutes.output_tokens.sum()
    assert totals.served_output_tokens + totals.lost_output_tokens == minutes.generation_tokens.sum()


def test_turns_out_of_order_within_a_piece_land_in_their_own_minutes(random_rows: RandomRows) -> None:
    rows = random_rows(7, 300, 7_200.0)
    shuffled = np.random.default_rng(1).permutation(rows)
    stream = collected(RequestStream(SLOS[0], open_minutes=5), shuffled, 1)
    assert_same_minutes(stream.intervals(), collected(RequestTable(SLOS[0]), rows, 1).intervals())


def test_a_request_that_comes_a_window_late_counts_everywhere_but_in_its_minutes_percentiles() -> None:
    rows = np.zeros(3, ROW)
    rows["arrival"] = [0.0, 3_600.0, 30.0]
    rows["first_token"] = rows["arrival"] + [1.0, 1.0, 9.0]
    rows["finish"] = rows["first_token"]
    rows["output_tokens"] = 1
    rows["outcome"] = SERVED
    rows["e2e_limit"] = np.nan
    stream = RequestStream(SLOS[0], open_minutes=5)
    stream.add(rows[:2])
    stream.add(rows[2:])
    minutes = stream.intervals()
    assert stream.late_requests == 1
    assert minutes.arrivals[0] == 2
    assert minutes.ttft[0] == pytest.approx([1.0, 1.0, 1.0], rel=0.006)
    assert stream.totals().ttft.p99 > 8.0


def test_a_minute_without_requests_has_no_percentiles_and_zero_counts() -> None:
    rows = np.zeros(2, ROW)
    rows["arrival"] = rows["first_token"] = rows["finish"] = [10.0, 200.0]
    rows["output_tokens"] = 1
    rows["outcome"] = SERVED
    for collector in (RequestStream(SLOS[0]), RequestTable(SLOS[0])):
        minutes = collected(collector, rows, 1).intervals()
        assert minutes.arrivals.tolist() == [1, 0, 0, 1]
        assert np.isnan(minutes.ttft[1:3]).all()
        assert not np.isnan(minutes.ttft[[0, 3]]).any()


def test_no_requests_at_all() -> None:
    for collector in (RequestStream(SLOS[0]), RequestTable(SLOS[0])):
        totals = collector.totals()
        assert totals.sent == 0
        assert np.isnan(totals.e2e.p99)
        assert len(collector.intervals()) == 0


def test_the_collector_takes_any_layout_and_more_fields(random_rows: RandomRows) -> None:
    """The engine's own records are wider, in another order, with wider integers."""
    rows = random_rows(3, 200, 300.0)
    wide = np.zeros(len(rows), [("row", np.int32), *((name, ROW[name]) for name in reversed(ROW.names or ()))])
    for name in ROW.names or ():
        wide[name] = rows[name]
    expected = collected(RequestTable(SLOS[0]), rows, 2).totals()
    assert collected(RequestTable(SLOS[0]), wide, 2).totals() == expected
    assert_same(collected(RequestStream(SLOS[0]), wide, 2).totals(), expected)


def test_memory_given_to_a_collector_may_be_reused(random_rows: RandomRows) -> None:
    rows = random_rows(5, 100, 60.0)
    expected = collected(RequestTable(SLOS[0]), rows, 1).totals()
    table, scratch = RequestTable(SLOS[0]), rows.copy()
    table.add(scratch)
    scratch["outcome"] = 0
    assert table.totals() == expected


def test_the_size_chooses_and_a_person_may_overrule() -> None:
    assert isinstance(collector_for(MOST_KEPT_REQUESTS, SLOS[0]), RequestTable)
    assert isinstance(collector_for(MOST_KEPT_REQUESTS + 1, SLOS[0]), RequestStream)
    assert isinstance(collector_for(1e9, SLOS[0], keep=True), RequestTable)
    assert isinstance(collector_for(1, SLOS[0], keep=False), RequestStream)
