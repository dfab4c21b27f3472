"""`leadtime frontier`: what attainment costs with each policy, tuned on one part of a demand and judged on the rest."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from leadtime import scenario as options
from leadtime.frontier_check import (
    Checked,
    check_cells,
    check_table,
    order_changes,
    run_check_cell,
)
from leadtime.frontier_plan import CountedDemand, Task, cells, counted, not_applicable
from leadtime.frontier_progress import CountProgress
from leadtime.frontier_ranges import RANGES
from leadtime.frontier_results import DemandFrontier, document, frontier_table
from leadtime.frontier_runs import frontiers_of, run_cells
from leadtime.frontier_task import run_frontier_cell
from leadtime.outcome import console_for_tables
from leadtime.output import made_folders, write_json, write_text
from leadtime.sweep_task import code_fingerprint
from policies import registry
from policies.capacity.profile import profile_named
from policies.errors import BadInput
from simulations.report.demand_frontiers import demand_frontiers_html
from simulations.report.page import table
from simulations.slo import SLO
from simulations.sweep.processes import available_cores

DOCUMENT, PAGE = "frontier.json", "frontier.html"
_QUICK_SETTINGS, _QUICK_DAYS = 6, 0.25


def frontier_command(
    *,
    demand: Annotated[
        list[str],
        typer.Option(metavar="DEMAND", help="A recording, a ServeGen prefix or a generator. Repeat for more."),
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the results; the same one again resumes.")],
    train_days: Annotated[
        float,
        typer.Option(help="Days on which settings are chosen; the rest is judged. Demands under two days: half."),
    ] = 7.0,
    lead_time: Annotated[
        str, typer.Option(metavar="SECONDS", help="From asking for a pod to serving with it, medians: 120,300,600.")
    ] = "300",
    slo: Annotated[str, typer.Option(metavar="TTFT,TPOT", help="What users were promised, seconds.")] = "2,0.075",
    policies: Annotated[str, typer.Option(help="all, or names from `leadtime policies`, separated by commas.")] = "all",
    profile: Annotated[str, typer.Option(help="Model and GPU.")] = options.DEFAULT_PROFILE,
    phase_seed: Annotated[
        str, typer.Option(metavar="SEEDS", help="Of what is drawn, rate tables' phases too; several: 1,2.")
    ] = "1",
    peak_replicas: Annotated[
        float, typer.Option(help="Requests are thinned until the busiest 5 minutes need about so many.")
    ] = 60.0,
    max_replicas: Annotated[
        int | None, typer.Option(help="maxReplicas of all policies.", show_default="4 times the peak")
    ] = None,
    settings: Annotated[int, typer.Option(help="Settings of each policy that are tried.")] = 30,
    days: Annotated[float | None, typer.Option(help="Only the first days of each demand.", show_default=False)] = None,
    price_per_gpu_hour: options.PriceOption = 0.71,
    check: Annotated[
        int, typer.Option(metavar="N", help="Run N chosen settings of each policy in the full simulator as well.")
    ] = 0,
    check_hours: Annotated[float, typer.Option(help="Length of each of the 3 slices that are checked.")] = 3.0,
    jobs: Annotated[int | None, typer.Option(help="Processes; all cores by default.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Of the pods' lead times.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help=f"{_QUICK_SETTINGS} settings, the first {_QUICK_DAYS * 24:g} hours.")
    ] = False,
) -> None:
    """Tune every policy on the first days of a demand, judge it on the rest, beside a clairvoyant."""
    for name, value, low, high in (
        ("train-days", train_days, 0.01, 400.0),
        ("peak-replicas", peak_replicas, 1.0, 10_000.0),
        ("max-replicas", max_replicas, 1, 100_000),
        ("settings", settings, 1, 100_000),
        ("days", days, 0.02, 400.0),
        ("price-per-gpu-hour", price_per_gpu_hour, 0.0, 1_000.0),
        ("check", check, 0, 1_000),
        ("check-hours", check_hours, 0.1, 24.0),
        ("jobs", jobs, 1, 1_024),
        ("seed", seed, 0, 2**32 - 1),
    ):
        options.in_range(name, value, low, high)
    ttft, tpot = options.numbers("slo", slo, 0.001, 3_600.0, count=2)
    leads = options.numbers("lead-time", lead_time, 1.0, 7_200.0)
    phases = [int(value) for value in options.numbers("phase-seed", phase_seed, 0, 2**32 - 1)]
    names = _policies(policies)
    task = Task(
        profile=profile_named(profile),
        slo=SLO(ttft_seconds=ttft, tpot_seconds=tpot),
        train_days=train_days,
        days=_QUICK_DAYS if quick and days is None else days,
        peak_replicas=peak_replicas,
        max_replicas=max_replicas,
        settings=_QUICK_SETTINGS if quick else settings,
        seed=seed,
        is_quick=quick,
    )
    folders = {name: out / name for name in ("counts", "cells", "slices")}
    console = console_for_tables()
    with made_folders("--out", *folders.values()), CountProgress() as progress:
        demands = [
            counted(source, phase, task, folders["counts"], partial(progress.update, source))
            for source in demand
            for phase in phases
        ]
    for each in demands:
        console.print(_described(each), highlight=False, markup=False, soft_wrap=True)
    code = code_fingerprint()
    workers = jobs or available_cores()
    planned = {(each, lead): list(cells(each, lead, names, task, code)) for each in demands for lead in leads}
    outcomes = run_cells(
        run_frontier_cell, [cell for own in planned.values() for cell in own], folders["cells"], workers, console
    )
    frontiers = [
        DemandFrontier(
            demand=each,
            lead_seconds=lead,
            policies=frontiers_of(own, outcomes),
            not_applicable=not_applicable(each, names),
        )
        for (each, lead), own in planned.items()
    ]
    for frontier in frontiers:
        console.print()
        console.print(frontier_table(frontier, price_per_gpu_hour))
    checked = _checked(frontiers, check, check_hours, task, folders, code, workers, console) if check else []
    documents = [document(each, price_per_gpu_hour) for each in frontiers]
    facts = _facts(task, leads)
    write_json(
        out / DOCUMENT,
        {
            **facts,
            "frontiers": documents,
            "check": [asdict(each) for each in checked],
            "order_changes": order_changes(checked),
        },
    )
    write_text(
        out / PAGE,
        demand_frontiers_html({name: str(value) for name, value in facts.items()}, documents, _html(checked)),
    )
    for file in (DOCUMENT, PAGE):
        console.print(f"{file.rpartition('.')[2]}: {out / file}", highlight=False, soft_wrap=True)


def _policies(text: str) -> list[str]:
    if text == "all":
        return list(RANGES)
    names = [registry.named(name.strip()).name for name in text.split(",")]
    for name in names:
        if name not in RANGES:
            raise BadInput(f"--policies: {name} has no search ranges, must be one of {', '.join(RANGES)}")
    return list(dict.fromkeys(names))


def _described(each: CountedDemand) -> str:
    days = each.counts.duration_seconds / 86_400
    judged = days * (1 - each.train_bins / each.counts.bins)
    return (
        f"{each.label}: {each.counts.requests.sum():,.0f} requests kept of {1 / each.keep:.4g} times as many, peak "
        f"{each.peak:.1f} replicas; {days - judged:.2f} days to train, {judged:.2f} to judge"
    )


def _checked(
    frontiers: Sequence[DemandFrontier],
    count: int,
    hours: float,
    task: Task,
    folders: Mapping[str, Path],
    code: str,
    workers: int,
    console: Console,
) -> list[Checked]:
    wanted = [cell for each in frontiers for cell in check_cells(each, count, hours, task, folders["slices"], code)]
    outcomes = run_cells(run_check_cell, wanted, folders["cells"], workers, console)
    checked = [
        Checked(
            policy=cell.content["policy"],
            parameters=cell.content["parameters"],
            start_seconds=cell.content["start_seconds"],
            lead_seconds=cell.content["lead_seconds"],
            demand=cell.content["demand"],
            **figures,
        )
        for cell in wanted
        if (figures := outcomes[cell.key].figures) is not None
    ]
    if checked:
        console.print()
        console.print(check_table(checked))
        changes = order_changes(checked)
        console.print(f"order changed in {len(changes):,} pairs of runs on one slice", highlight=False)
        for first, second, start in changes[:10]:
            console.print(f"  {first} and {second} from {start:,.0f} s", highlight=False, markup=False)
    return checked


def _facts(task: Task, leads: Sequence[float]) -> dict[str, Any]:
    return {
        "profile": task.profile.name,
        "slo": str(task.slo),
        "lead_seconds": list(leads),
        "settings": task.settings,
        "seed": task.seed,
    }


def _html(checked: Sequence[Checked]) -> str:
    if not checked:
        return ""
    titles = ["Policy", "Slice from (s)", "Attainment, counts", "full", "GPU-hours, counts", "full", "error"]
    rows = [
        [
            each.policy,
            f"{each.start_seconds:,.0f}",
            f"{each.count_attainment:.2%}",
            f"{each.full_attainment:.2%}",
            f"{each.count_gpu_hours:,.1f}",
            f"{each.full_gpu_hours:,.1f}",
            f"{each.gpu_hours_error:+.1%}",
        ]
        for each in checked
        if not math.isnan(each.count_attainment)
    ]
    return f"<section><h2>Count-level model against the full simulator</h2>{table(titles, rows)}</section>"
