"""The summaries of several runs as table columns: text for each figure, and which figures are worth a column."""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from simulations.results import Summary


@dataclass(frozen=True, slots=True)
class Column:
    """title: of the column. text: a summary's cell, HTML. always: shown even where every run has nothing to say."""

    title: str
    text: Callable[[Summary], str]
    always: bool = True


def columns_for(summaries: Sequence[Summary]) -> list[Column]:
    """Those that are always shown, and those where a run has something other than nothing to show."""
    return [each for each in _COLUMNS if each.always or any(each.text(row) not in _NOTHING for row in summaries)]


def seconds(value: float) -> str:
    return "-" if value != value else f"{value:.2f} s"


def milliseconds(value: float) -> str:
    return "-" if value != value else f"{value * 1000:.0f} ms"


_NOTHING = {"-", "0", "0.0%"}

_COLUMNS = (
    Column("Policy", lambda row: html.escape(row.policy)),
    Column("SLO attainment", lambda row: f"{row.slo_attainment:.2%}"),
    Column("TTFT p50", lambda row: seconds(row.ttft_p50_seconds)),
    Column("TTFT p99", lambda row: seconds(row.ttft_p99_seconds)),
    Column("TPOT p50", lambda row: milliseconds(row.tpot_p50_seconds)),
    Column("TPOT p99", lambda row: milliseconds(row.tpot_p99_seconds)),
    Column("ITL p99", lambda row: milliseconds(row.itl_p99_seconds), always=False),
    Column("E2E p50", lambda row: seconds(row.e2e_p50_seconds)),
    Column("E2E p99", lambda row: seconds(row.e2e_p99_seconds)),
    Column("Goodput", lambda row: f"{row.goodput_requests_per_second:.2f} req/s"),
    Column("GPU-hours", lambda row: f"{row.gpu_hours:.2f}"),
    Column("Node-hours", lambda row: "-" if row.node_hours is None else f"{row.node_hours:.2f}", always=False),
    Column("Cost", lambda row: f"${row.cost_usd:,.2f}"),
    Column("Rescales", lambda row: str(row.rescales)),
    Column("Cold starts", lambda row: str(row.cold_starts), always=False),
    Column("Cached prompt tokens", lambda row: f"{row.cached_token_share:.1%}", always=False),
    Column("Preemptions", lambda row: str(row.preemptions)),
    Column("Rejected", lambda row: str(row.rejected_requests), always=False),
    Column("Timed out", lambda row: str(row.timed_out_requests), always=False),
    Column("Aborted", lambda row: str(row.aborted_requests), always=False),
    Column("Failed", lambda row: str(row.failed_requests), always=False),
    Column("Unfinished", lambda row: str(row.unfinished_requests), always=False),
)
