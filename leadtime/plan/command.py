"""`leadtime plan`: the command line."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from leadtime import scenario as options
from leadtime.outcome import console_for_tables
from leadtime.output import check_folder, write_json, write_text
from leadtime.plan.answer import Plan
from leadtime.plan.document import document
from leadtime.plan.manifests import manifests
from leadtime.plan.node_pools import config_connector, gcloud
from leadtime.plan.options import request_of
from leadtime.plan.plan import make_plan
from leadtime.plan.progress import PlanProgress
from leadtime.plan.request import DEFAULT_POLICIES
from leadtime.plan.tables import print_plan
from policies.errors import BadInput
from simulations.report.plan_page import plan_html
from simulations.sweep.processes import available_cores

DOCUMENT, PAGE = "plan.json", "plan.html"


def plan_command(
    *,
    demand: Annotated[str, typer.Option(metavar="DEMAND", help="A recording, a ServeGen prefix or a generator.")],
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
) -> None:
    """Which GPU, how many, which node pools, what quota and when, and what it costs: found by simulation."""
    options.in_range("jobs", jobs, 1, 1_024)
    request = request_of(
        demand=demand,
        model=model,
        gpus=gpus,
        profiles=tuple(profile or ()),
        slo=slo,
        attainment=attainment,
        policies=policies,
        lead_time=lead_time,
        days=days,
        growth=growth,
        peak_factor=peak_factor,
        quota=quota,
        machines=machine,
        spot=spot,
        prices=prices,
        region=region,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        seeds=seeds,
        months=months,
        growth_per_month=growth_per_month,
        start=_day(start),
        target=target,
    )
    check_folder("--out", out)
    with PlanProgress() as progress:
        plan = make_plan(request, out, workers=jobs or available_cores(), on_progress=progress)
    console = console_for_tables()
    print_plan(console, plan)
    _write(plan, out, console)


def files_of(plan: Plan) -> dict[str, str]:
    """Name -> text of all that is to be applied."""
    return {**manifests(plan), "node-pools.sh": gcloud(plan), "node-pools.yaml": config_connector(plan)}


def _write(plan: Plan, out: Path, console: Console) -> None:
    figures, files = document(plan), files_of(plan)
    write_json(out / DOCUMENT, figures)
    write_text(out / PAGE, plan_html(figures, files))
    for name, text in files.items():
        write_text(out / name, text)
    console.print()
    for name in (PAGE, DOCUMENT, *files):
        console.print(f"{name.rpartition('.')[2]}: {out / name}", highlight=False, soft_wrap=True)


def _day(text: str | None) -> date:
    if text is None:
        return datetime.now(UTC).date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--start: was {text!r}, must be a day as YYYY-MM-DD") from None
