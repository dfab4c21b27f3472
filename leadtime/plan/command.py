"""`leadtime plan`: the command line."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from leadtime import scenario as options
from leadtime.outcome import console_for_tables
from leadtime.plan.answer import Plan
from leadtime.plan.files import write_plan
from leadtime.plan.options import day_of, request_of
from leadtime.plan.plan import make_plan
from leadtime.plan.progress import PlanProgress
from leadtime.plan.request import DEFAULT_POLICIES
from leadtime.plan.tables import print_plan
from policies.errors import BadInput
from simulations.sweep.processes import available_cores

PORT = 8_765


def plan_command(
    *,
    demand: Annotated[
        str, typer.Option(metavar="DEMAND", help="A recording, a ServeGen prefix or a generator.", show_default=False)
    ] = "",
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the answer; the same one again resumes.")] = Path(
        "leadtime-plan"
    ),
    model: Annotated[
        str | None, typer.Option(help="Short name or Hugging Face id, see docs/reference/profiles.md.")
    ] = None,
    gpus: Annotated[str, typer.Option(metavar="GPUS", help="Candidates: l4,l40s,a100; h100-tp2 for 2 a replica.")] = "",
    profile: Annotated[
        list[str] | None, typer.Option(help="A candidate by profile name or YAML file. Repeat for more.")
    ] = None,
    slo: Annotated[str, typer.Option(metavar="TTFT,TPOT", help="What users were promised, seconds.")] = "2,0.075",
    attainment: Annotated[float, typer.Option(help="Share of requests that is to meet both.")] = 0.99,
    policies: Annotated[
        str, typer.Option(help="Names from `leadtime policies`, or all.", show_default=",".join(DEFAULT_POLICIES))
    ] = "",
    lead_time: Annotated[
        str, typer.Option(metavar="SECONDS", help="Ask to ready, median; or gke-l4-recorded, nim-l4.")
    ] = "300",
    days: Annotated[float | None, typer.Option(help="Only the first days of the demand.", show_default=False)] = None,
    growth: Annotated[float, typer.Option(help="Factor on all of the demand, now: 1.5 is half as much again.")] = 1.0,
    peak_factor: Annotated[float, typer.Option(help="Factor on its busiest hour besides.")] = 1.0,
    months: Annotated[int, typer.Option(help="How many months ahead.")] = 6,
    growth_per_month: Annotated[float, typer.Option(help="Factor from each month to the next.")] = 1.0,
    quota: Annotated[str, typer.Option(metavar="GPU=N", help="GPUs that the project may have: l4=40,a100=8.")] = "",
    spot: Annotated[
        str | None,
        typer.Option(
            metavar="RATES",
            help="Allow spot nodes: preemptions per node and hour[,zone events per hour[,zones]].",
            show_default=False,
        ),
    ] = None,
    machine: Annotated[
        str, typer.Option(metavar="GPU=NAME", help="Machine types, where not the cheapest: l4=g2-standard-12.")
    ] = "",
    prices: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Machines and prices of your own, YAML.", show_default=False)
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Only machines with a price there.", show_default="each machine's own")
    ] = None,
    min_replicas: Annotated[int, typer.Option(help="minReplicas of every policy.")] = 1,
    max_replicas: Annotated[
        int | None, typer.Option(help="maxReplicas of every policy.", show_default="twice the peak's need")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Of lead times, noise and drawn demand; the first searches.")] = "1,2,3",
    start: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="The day of month 0.", show_default="today, UTC")
    ] = None,
    target: Annotated[
        str, typer.Option(metavar="KIND/NAME", help="The workload, for the manifests.")
    ] = "Deployment/vllm",
    jobs: Annotated[int | None, typer.Option(help="Processes; all cores by default.", show_default=False)] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Ask on a page instead, on this machine only; the rest fills its form.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of the page; 0 for any that is free.")] = PORT,
) -> None:
    """Which GPU, how many, which node pools, what quota and when, and what it costs: found by simulation."""
    options.in_range("jobs", jobs, 1, 1_024)
    options.in_range("port", port, 0, 65_535)
    given: dict[str, Any] = {
        "demand": demand,
        "model": model,
        "gpus": gpus,
        "slo": slo,
        "attainment": attainment,
        "policies": policies,
        "lead_time": lead_time,
        "days": days,
        "growth": growth,
        "peak_factor": peak_factor,
        "quota": quota,
        "machines": machine,
        "spot": spot,
        "prices": prices,
        "region": region,
        "min_replicas": min_replicas,
        "max_replicas": max_replicas,
        "seeds": seeds,
        "months": months,
        "growth_per_month": growth_per_month,
        "target": target,
    }
    if serve:
        from leadtime.plan.serve import serve_planner  # only here: a plan on the command line needs no server
        from leadtime.plan.serve_form import defaults_of

        defaults = defaults_of(**given, profiles=",".join(profile or ()), start=start)
        serve_planner(defaults, out, port=port, workers=jobs or available_cores())
        return
    if not demand:
        raise BadInput("--demand: was not given; name a recording or a generator, or ask on a page with --serve")
    request = request_of(**given, profiles=tuple(profile or ()), start=day_of(start), today=day_of(None))
    with PlanProgress() as progress:
        plan = make_plan(request, out, workers=jobs or available_cores(), on_progress=progress)
    console = console_for_tables()
    print_plan(console, plan)
    _write(plan, out, console)


def _write(plan: Plan, out: Path, console: Console) -> None:
    names = write_plan(plan, out)
    console.print()
    for name in names:
        console.print(f"{name.rpartition('.')[2]}: {out / name}", highlight=False, soft_wrap=True)
