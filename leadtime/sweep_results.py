"""What a sweep leaves: rows for programs as JSON lines and CSV, the frontier as a page, a short table."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from leadtime.output import write_text
from leadtime.sweep_plan import PlannedRow
from simulations.report import frontier_html
from simulations.report.frontier import undominated
from simulations.sweep.cells import Outcome

Row = Mapping[str, Any]

JSON_LINES = "results.jsonl"
CSV = "results.csv"
PAGE = "frontier.html"


def result_rows(planned: Sequence[PlannedRow], outcomes: Mapping[str, Outcome]) -> list[dict[str, Any]]:
    """One row for each planned one that has an outcome, in the plan's order: the figures, or `error`."""
    rows = []
    for each in planned:
        head = {
            "cell": each.cell.key if each.cell else None,
            "policy": each.policy,
            "phase_seed": each.phase_seed,
            "parameters": dict(each.settings),
        }
        outcome = outcomes.get(each.cell.key) if each.cell else Outcome(error=each.error)
        if outcome is not None:
            rows.append({**head, "error": outcome.error, **(outcome.figures or {}), "policy": each.policy})
    return rows


def write_rows(folder: Path, rows: Sequence[Row]) -> None:
    """results.jsonl and results.csv; in the CSV, each varied field is a column."""
    write_text(folder / JSON_LINES, "".join(json.dumps(row) + "\n" for row in rows))
    fields = list(dict.fromkeys(field for row in rows for field in row["parameters"]))
    names = list(dict.fromkeys(name for row in rows for name in row if name != "parameters"))
    front = ("cell", "policy", "phase_seed", "error")
    columns = [*front, *fields, *(name for name in names if name not in front)]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({**row["parameters"], **{name: row[name] for name in row if name != "parameters"}} for row in rows)
    write_text(folder / CSV, text.getvalue())


def frontier(rows: Iterable[Row]) -> list[Row]:
    """The rows that no other beats in both SLO attainment and GPU-hours, cheapest first; those with errors left out."""
    known = [row for row in rows if row.get("slo_attainment") is not None]
    return [known[index] for index in undominated([(row["gpu_hours"], row["slo_attainment"]) for row in known])]


def frontier_table(rows: Sequence[Row], limit: int = 20) -> Table:
    """The frontier, at most `limit` rows of it."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1), title="frontier", title_justify="left")
    table.add_column("policy", overflow="fold")
    table.add_column("settings", overflow="fold")
    for title in ("SLO attainment", "GPU-hours", "cost"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in rows[:limit]:
        settings = ", ".join(f"{field}={value}" for field, value in row["parameters"].items() if field[:7] != "policy.")
        phase = [] if row["phase_seed"] is None else [f"phase {row['phase_seed']}"]
        table.add_row(
            str(row["policy"]).replace("[", r"\["),
            ", ".join([*([settings] if settings else []), *phase]).replace("[", r"\["),
            f"{row['slo_attainment']:.2%}",
            f"{row['gpu_hours']:.2f}",
            f"${row['cost_usd']:.2f}",
        )
    if len(rows) > limit:
        table.caption = f"{len(rows) - limit} more are in {CSV}"
    return table


def write_frontier(path: Path, rows: Sequence[Row]) -> None:
    """The rows as one self-contained page; the phase is one of the parameters there."""
    write_text(path, frontier_html([_with_phase(row) for row in rows]))


def _with_phase(row: Row) -> Row:
    phase = {} if row["phase_seed"] is None else {"phase_seed": row["phase_seed"]}
    return {**row, "parameters": {**row["parameters"], **phase}}
