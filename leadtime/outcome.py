"""What a command shows and writes when its runs are over: the table, the HTML report, the figures as JSON."""

import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from leadtime.output import write_json, write_text
from simulations.report import report_html
from simulations.results import Result, Summary

_TITLES = (
    "SLO\nattainment",
    "TTFT\np50",
    "TTFT\np99",
    "TPOT\np50",
    "TPOT\np99",
    "\nGPU-hours",
    "\ncost",
    "\nrescales",
)


def console_for_tables() -> Console:
    """As wide as the terminal; 120 columns in a file or a pipe, where nothing is narrow."""
    return Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)


def present(console: Console, results: Sequence[Result], report: Path, json: Path | None) -> None:
    """Write the files, then print the table and where the files are."""
    write_text(report, report_html(results))
    if json is not None:
        write_json(json, document(results))
    console.print()
    console.print(summary_table([result.summary for result in results]))
    console.print(f"\nreport: {report}", highlight=False, soft_wrap=True)
    if json is not None:
        console.print(f"json: {json}", highlight=False, soft_wrap=True)


def document(results: Sequence[Result]) -> dict[str, Any]:
    """The figures of the table, as docs/reference/json.md describes them."""
    scenario = results[0].scenario
    return {
        "trace": scenario.trace.name,
        "profile": scenario.profile.name,
        "slo": asdict(scenario.slo),
        "lead_time": asdict(scenario.lead_time),
        "initial_replicas": scenario.initial_replicas,
        "price_per_gpu_hour": scenario.price_per_gpu_hour,
        "seed": scenario.seed,
        "policies": [result.summary.as_dict() for result in results],
    }


def summary_table(summaries: Sequence[Summary]) -> Table:
    """A row per policy."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    table.add_column("\npolicy", overflow="fold")
    for title in _TITLES:
        table.add_column(title, justify="right", no_wrap=True)
    for row in summaries:
        table.add_row(
            row.policy,
            f"{row.slo_attainment:.2%}",
            f"{row.ttft_p50_seconds:.2f} s",
            f"{row.ttft_p99_seconds:.2f} s",
            _milliseconds(row.tpot_p50_seconds),
            _milliseconds(row.tpot_p99_seconds),
            f"{row.gpu_hours:.2f}",
            f"${row.cost_usd:.2f}",
            str(row.rescales),
        )
    return table


def _milliseconds(seconds: float) -> str:
    """A dash where no request had one: servers that answer in batches have no TPOT."""
    return "-" if math.isnan(seconds) else f"{seconds * 1000:.0f} ms"
