"""The one row of a run: what is divided by what, and every figure described on its page."""

import math
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from simulations.latency_buckets import counts_of
from simulations.results import Summary
from simulations.results.fleet_readings import FleetTotals
from simulations.results.percentiles import Percentiles
from simulations.results.summary import summarize
from simulations.results.totals import RequestTotals

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "json.md"
NOTHING = Percentiles.of_nothing()


def totals(**changed: object) -> RequestTotals:
    given: dict[str, object] = {
        "outcomes": (1, 90, 3, 2, 2, 2, 7),
        "good": 80,
        "prompt_tokens": 10_000,
        "output_tokens": 2_000,
        "served_prompt_tokens": 8_000,
        "served_output_tokens": 1_800,
        "lost_output_tokens": 50,
        "cached_tokens": 2_000,
        "preemptions": 4,
        "ttft": Percentiles.of_values(np.array([1.0, 2.0, 3.0])),
        "tpot": NOTHING,
        "e2e": NOTHING,
    }
    return RequestTotals(**{**given, **changed})  # type: ignore[arg-type]


def fleet(*, cold: tuple[float, ...] = (), node_seconds: float | None = None) -> FleetTotals:
    return FleetTotals(
        gpu_seconds=7_200.0,
        node_seconds=node_seconds,
        cost_usd=3.5,
        cold_start_seconds=cold,
        preemptions=4,
        itl_counts=None,
    )


def summary(requests: RequestTotals, used: FleetTotals, itl: Percentiles = NOTHING) -> Summary:
    return summarize("p", requests, used, itl, seconds=40.0, rescales=2)


def test_attainment_is_over_all_that_were_sent_and_goodput_per_second_of_demand() -> None:
    row = summary(totals(), fleet())
    assert row.requests == 100, "the seven that were never sent are nobody's failure"
    assert row.slo_attainment == pytest.approx(0.8)
    assert row.goodput_requests_per_second == pytest.approx(2.0)
    assert row.cached_token_share == pytest.approx(0.25)
    ends = ("served", "rejected", "timed_out", "aborted", "failed", "unfinished")
    assert sum(getattr(row, f"{end}_requests") for end in ends) == row.requests


def test_hours_are_hours() -> None:
    row = summary(totals(), fleet(node_seconds=1_800.0))
    assert (row.gpu_hours, row.node_hours) == (2.0, 0.5)


def test_cold_starts_are_counted_and_averaged_and_missing_is_none() -> None:
    row = summary(totals(), fleet(cold=(200.0, 260.0)))
    assert (row.cold_starts, row.cold_start_mean_seconds) == (2, 230.0)
    none = summary(totals(), fleet())
    assert (none.cold_starts, none.cold_start_mean_seconds, none.node_hours) == (0, None, None)


def test_percentiles_take_their_names() -> None:
    itl = Percentiles.of_counts(counts_of(np.array([0.05] * 99 + [0.5])), mean=0.0545)
    row = summary(totals(), fleet(), itl)
    assert (row.ttft_p50_seconds, row.ttft_mean_seconds) == (2.0, 2.0)
    assert row.itl_p50_seconds == pytest.approx(0.05, rel=0.006)
    assert row.itl_mean_seconds == 0.0545
    assert math.isnan(row.tpot_p99_seconds)


def test_a_run_without_requests_has_no_attainment() -> None:
    row = summary(totals(outcomes=(0,) * 7, good=0, served_prompt_tokens=0, cached_tokens=0), fleet())
    assert math.isnan(row.slo_attainment)
    assert math.isnan(row.cached_token_share)
    assert row.goodput_requests_per_second == 0.0


def test_the_page_describes_every_field() -> None:
    """A latency's percentiles are described with its p50."""
    described = set(re.findall(r"`(\w+)`", PAGE.read_text(encoding="utf-8")))
    names = {re.sub(r"_(p\d\d|mean)_seconds$", "_p50_seconds", field.name) for field in fields(Summary)}
    names = {"cold_start_mean_seconds" if name == "cold_start_p50_seconds" else name for name in names}
    assert names <= described, names - described
