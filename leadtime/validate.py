"""`leadtime validate`: measured runs against simulated ones, row by row."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from leadtime.outcome import console_for_tables
from leadtime.output import check_writable, write_json, write_text
from policies.errors import BadInput
from simulations.calibration.fitting import METRICS
from simulations.calibration.measured_csv import read_measured_runs
from simulations.calibration.profile_file import read_profile
from simulations.calibration.validation import (
    TITLES,
    Judged,
    given_profile,
    judge,
    leave_one_experiment_out,
    listed_profile,
    median_errors,
)
from simulations.calibration.validation_report import milliseconds, validation_html

MeasuredArgument = Annotated[Path, typer.Argument(help="CSV, one measured run a row; docs/reference/profiles.md.")]
SeedOption = Annotated[int, typer.Option(help="Of the simulated arrivals and prompt lengths.", min=0, max=2**32 - 1)]


def validate_command(
    *,
    measured: MeasuredArgument,
    profile: Annotated[
        list[str] | None,
        typer.Option("--profile", help="Simulate with this profile, a name or a YAML file; repeat for more pairs."),
    ] = None,
    leave_out: Annotated[
        bool,
        typer.Option(
            "--leave-one-experiment-out", help="Judge each experiment with profiles fitted to all the others."
        ),
    ] = False,
    seed: SeedOption = 1,
    report: Annotated[Path | None, typer.Option(help="HTML report to write.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="PATH", help="Write the table's figures.")] = None,
) -> None:
    """Simulate measured runs and compare: ITL, E2E and TTFT of every row, and their median errors."""
    for option, path in (("--report", report), ("--json", json)):
        if path is not None:
            check_writable(option, path)
    if leave_out and profile:
        raise BadInput("--profile: cannot be given with --leave-one-experiment-out, which fits its own; leave one out")
    runs = read_measured_runs(measured)
    if leave_out:
        how = "Profiles fitted to all other experiments (leave-one-experiment-out)."
        rows = leave_one_experiment_out(runs, seed=seed)
    elif profile:
        how = f"Profiles {', '.join(profile)}."
        rows = judge(runs, given_profile([read_profile(each) for each in profile]), seed=seed)
    else:
        how = "Built-in profiles, which were fitted to these or other runs; judge them with leave-one-experiment-out."
        rows = judge(runs, listed_profile, seed=seed)
    console = console_for_tables()
    judged = sorted(followed(console, rows, len(runs), "runs"), key=lambda row: row.run.line)
    console.print(_table(judged))
    _print_medians(console, judged, how)
    if report is not None:
        write_text(report, validation_html(judged, how))
        console.print(f"report: {report}", highlight=False, soft_wrap=True)
    if json is not None:
        write_json(json, _document(judged, how))
        console.print(f"json: {json}", highlight=False, soft_wrap=True)


def followed(console: Console, rows: Iterable[Judged], total: int, unit: str) -> list[Judged]:
    """The rows, with a progress bar on a terminal while they are made."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        return list(progress.track(rows, total=total, description=unit))


def _table(judged: Sequence[Judged]) -> Table:
    """Milliseconds, measured → simulated, and the error."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    table.add_column("exp", no_wrap=True)
    table.add_column("model on GPU", overflow="fold")
    table.add_column("req/s", justify="right")
    for metric in METRICS:
        table.add_column(f"{TITLES[metric]} ms", justify="right", no_wrap=True)
        table.add_column("error", justify="right", no_wrap=True)
    for row in judged:
        run = row.run
        ranks = run.tensor_parallel_size
        pair = f"{run.model.rsplit('/', 1)[-1]} on {f'{ranks} x ' if ranks > 1 else ''}{run.gpu}"
        rate = "" if run.requests_per_second is None else f"{run.requests_per_second:g}"
        if row.simulated is None:
            table.add_row(run.experiment, pair, rate, "not judged")
            continue
        cells = [run.experiment, pair, rate]
        for metric in METRICS:
            seen, error = getattr(run, metric), row.error(metric)
            simulated = milliseconds(getattr(row.simulated, metric))
            cells += [
                simulated if seen is None else f"{milliseconds(seen)} → {simulated}",
                "" if error is None else f"{100 * error:+.1f} %",
            ]
        table.add_row(*cells)
    return table


def _print_medians(console: Console, judged: Sequence[Judged], how: str) -> None:
    rows = [row for row in judged if row.simulated is not None]
    console.print()
    for row in judged:
        if row.simulated is None:
            console.print(f"line {row.run.line} not judged: {row.reason}", highlight=False, soft_wrap=True)
    console.print(how, highlight=False, soft_wrap=True)
    medians = median_errors(rows)
    text = ", ".join(f"{TITLES[metric]} {100 * medians[metric]:.1f} %" for metric in METRICS)
    console.print(f"median error: {text}; {len(rows)} of {len(judged)} rows judged", highlight=False, soft_wrap=True)


def _document(judged: Sequence[Judged], how: str) -> dict[str, Any]:
    """The figures, as docs/reference/profiles.md describes them."""
    return {
        "how": how,
        "median_errors": {metric.removesuffix("_seconds"): value for metric, value in median_errors(judged).items()},
        "rows": [_row(row) for row in judged],
    }


def _row(row: Judged) -> dict[str, Any]:
    return {
        "line": row.run.line,
        "experiment": row.run.experiment,
        "model": row.run.model,
        "gpu": row.run.gpu,
        "tensor_parallel_size": row.run.tensor_parallel_size,
        "requests_per_second": row.run.requests_per_second,
        "profile": row.profile,
        "not_judged": row.reason,
        "measured": {metric: getattr(row.run, metric) for metric in METRICS},
        "simulated": None
        if row.simulated is None
        else {metric: getattr(row.simulated, metric) for metric in (*METRICS, "ttft_p99_seconds")},
        "errors": {metric.removesuffix("_seconds"): row.error(metric) for metric in METRICS},
    }
