"""`leadtime sweep`: a scenario with any of its fields varied, on all cores or on a Ray cluster, resumable."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from leadtime import scenario as options
from leadtime.outcome import console_for_tables
from leadtime.output import check_folder
from leadtime.sweep_plan import PlannedRow, plan
from leadtime.sweep_progress import SweepProgress
from leadtime.sweep_results import CSV, PAGE, frontier, frontier_table, result_rows, write_frontier, write_rows
from leadtime.sweep_task import run_cell, run_cell_elsewhere
from policies.errors import BadInput
from simulations.sweep.cells import Cell, CellFolder, Outcome
from simulations.sweep.on_ray import run_on_ray
from simulations.sweep.processes import available_cores, run_on_processes
from simulations.sweep.space import Point, grid, parse_axis, random_points

CELLS = "cells"
_ERRORS_SHOWN = 20


def sweep_command(
    *,
    scenario: options.ScenarioArgument,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="FIELD=VALUES",
            help="A field of the scenario, or policy.NAME.PARAMETER, and its values: 1,2,5 or range(5,40,5), or lo..hi "
            "and lo..hi:log with --random. Repeat for more.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results; the same one again resumes.")],
    policy: options.PoliciesOption = None,
    minutes: options.GivenMinutesOption = None,
    quick: options.QuickOption = False,
    random: Annotated[
        int | None, typer.Option(metavar="N", help="N random points instead of every combination.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random points; the runs' own is the scenario's `seed`.")] = 1,
    workers: Annotated[int | None, typer.Option(help="Processes; all cores by default.", show_default=False)] = None,
    ray: Annotated[
        str | None,
        typer.Option("--ray", metavar="ADDRESS", help="Run on this Ray cluster instead; auto finds a local one."),
    ] = None,
    report: Annotated[bool, typer.Option("--report", help=f"Also write DIR/{PAGE}.")] = False,
) -> None:
    """Run a scenario with its fields varied. A cell that fails is reported; a killed sweep resumes."""
    options.in_range("random", random, 1, 1_000_000)
    options.in_range("seed", seed, 0, 2**32 - 1)
    options.in_range("workers", workers, 1, 1_024)
    draft = options.scenario_draft(scenario, policies=policy, minutes=minutes, quick=quick)
    axes = [parse_axis(text) for text in set_]
    points: Iterator[Point] = grid(axes) if random is None else random_points(axes, random, seed)
    planned = plan(draft, points)
    folder = _cell_folder(out)
    outcomes, missing = _finished(planned, folder)
    console = console_for_tables()
    console.print(
        f"{len(planned):,} cells: {len(outcomes):,} finished before, {len(missing):,} to run", highlight=False
    )
    try:
        _run(missing, folder, outcomes, ray, workers or available_cores())
    except KeyboardInterrupt:
        left = len(missing) - sum(cell.key in outcomes for cell in missing)
        console.print(f"stopped: {left:,} cells are left; the same command again runs them", highlight=False)
        raise typer.Exit(130) from None
    _refuse_if_nothing_could_run(planned, outcomes)
    rows = result_rows(planned, outcomes)
    write_rows(out, rows)
    console.print(frontier_table(frontier(rows)))
    console.print(f"\nresults: {out / CSV}", highlight=False, soft_wrap=True)
    if report:
        write_frontier(out / PAGE, rows)
        console.print(f"report: {out / PAGE}", highlight=False, soft_wrap=True)
    failed = [row for row in rows if row["error"] is not None]
    for row in failed[:_ERRORS_SHOWN]:
        settings = " ".join(f"{field}={value}" for field, value in row["parameters"].items())
        console.print(
            f"failed: {row['policy']} {settings}: {row['error']}", highlight=False, markup=False, soft_wrap=True
        )
    if failed:
        console.print(f"{len(failed):,} of {len(rows):,} cells failed; the same command again retries them")
        raise typer.Exit(1)


def _cell_folder(out: Path) -> CellFolder:
    cells = out / CELLS
    check_folder("--out", cells)
    return CellFolder(cells)


def _finished(planned: list[PlannedRow], folder: CellFolder) -> tuple[dict[str, Outcome], list[Cell]]:
    """What was finished before, by key, and the cells that were not."""
    outcomes: dict[str, Outcome] = {}
    missing = []
    for cell in (row.cell for row in planned if row.cell is not None):
        figures = folder.read(cell.key)
        if figures is None:
            missing.append(cell)
        else:
            outcomes[cell.key] = Outcome(figures=figures)
    return outcomes, missing


def _run(missing: list[Cell], folder: CellFolder, outcomes: dict[str, Outcome], ray: str | None, workers: int) -> None:
    """Run the cells; each finished one is on disk before it counts."""
    if not missing:
        return
    if ray is None:
        running = run_on_processes(run_cell, missing, min(workers, len(missing)))
    else:
        running = run_on_ray(run_cell_elsewhere, missing, ray)
    with closing(running), SweepProgress(len(missing)) as progress:
        for cell, outcome in running:
            if outcome.figures is not None:
                folder.write(cell, outcome.figures)
            outcomes[cell.key] = outcome
            progress.update(outcome.error is not None)


def _refuse_if_nothing_could_run(planned: list[PlannedRow], outcomes: dict[str, Outcome]) -> None:
    """Where every cell is refused as bad input, it is the command's: exit code 2, as for any other command."""
    refused = [outcome for outcome in outcomes.values() if outcome.is_bad_input]
    if refused and len(refused) == sum(row.cell is not None for row in planned):
        raise BadInput(refused[0].error)
