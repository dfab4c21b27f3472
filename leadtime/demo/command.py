"""`leadtime demo`: the command line of the demo."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from leadtime.demo.policies import POLICIES, demo_policy
from leadtime.demo.run import run_over_http
from leadtime.demo.view import summary_table, view_for
from leadtime.output import check_writable, write_json, write_text
from policies.capacity.profile import profile_named
from policies.errors import BadInput
from simulations.report import report_html
from simulations.results import Result
from simulations.simulate import Scenario
from simulations.slo import SLO
from simulations.trace import SHIPPED, read_azure_csv

_QUICK_MINUTES = 10.0


def demo(
    *,
    trace: Annotated[
        Path, typer.Argument(help="CSV (or .csv.gz) with TIMESTAMP,ContextTokens,GeneratedTokens.")
    ] = SHIPPED,
    policies: Annotated[
        str, typer.Option(help=f"Comma-separated, run one after the other: {', '.join(POLICIES)}.")
    ] = ",".join(POLICIES),
    profile: Annotated[str, typer.Option(help="Model and GPU that are simulated.")] = "llama-3.1-8b-fp8-l4",
    ttft_slo_seconds: Annotated[float, typer.Option(help="TTFT that users were promised.")] = 2.0,
    tpot_slo_seconds: Annotated[float, typer.Option(help="TPOT that users were promised.")] = 0.075,
    initial_replicas: Annotated[int, typer.Option(help="Ready at the start.")] = 4,
    max_replicas: Annotated[int, typer.Option(help="maxReplicas of every policy.")] = 20,
    price_per_gpu_hour: Annotated[
        float, typer.Option(help="US dollars; 0.71 is one L4 in g2-standard-4, on demand.")
    ] = 0.71,
    minutes: Annotated[float | None, typer.Option(help="Only the first minutes of the trace.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help=f"The first {_QUICK_MINUTES:g} minutes.")] = False,
    seed: Annotated[int, typer.Option(help="Of the pods' lead times.")] = 1,
    port: Annotated[int, typer.Option(help="The adapter's HTTPS port; 0 takes a free one.")] = 0,
    report: Annotated[Path, typer.Option(help="HTML report to write.")] = Path("leadtime-demo.html"),
    json: Annotated[Path | None, typer.Option(help="Write the table's figures as JSON.")] = None,
) -> None:
    """Recorded demand on simulated vLLM pods, scaled by the stock HPA and by leadtime, over real interfaces."""
    _check("minutes", minutes, 1, 10_080)
    _check("seed", seed, 0, 2**32 - 1)
    _check("port", port, 0, 65_535)
    _check("max-replicas", max_replicas, 1, 1_000)
    _check("initial-replicas", initial_replicas, 1, max_replicas)
    _check("price-per-gpu-hour", price_per_gpu_hour, 0, 1_000)
    _check("ttft-slo-seconds", ttft_slo_seconds, 0.001, 3_600)
    _check("tpot-slo-seconds", tpot_slo_seconds, 0.001, 3_600)
    check_writable("--report", report)
    if json is not None:
        check_writable("--json", json)
    demand = read_azure_csv(trace)
    if quick or minutes is not None:
        demand = demand.first(60 * (_QUICK_MINUTES if minutes is None else minutes))
    scenario = Scenario(
        trace=demand,
        profile=profile_named(profile),
        slo=SLO(ttft_seconds=ttft_slo_seconds, tpot_seconds=tpot_slo_seconds),
        initial_replicas=initial_replicas,
        seed=seed,
        price_per_gpu_hour=price_per_gpu_hour,
    )
    chosen = [demo_policy(name.strip(), scenario, max_replicas) for name in policies.split(",")]
    console = Console()
    console.print(
        f"{len(demand):,} requests in {demand.duration_seconds / 60:.0f} min ({trace.name}), "
        f"{scenario.profile.model} on {scenario.profile.gpu}; metrics over HTTP and HTTPS, virtual time",
        highlight=False,
        soft_wrap=True,
    )
    results: list[Result] = []
    for policy in chosen:
        with view_for(console) as view:
            results.append(asyncio.run(run_over_http(scenario, policy, port=port, on_sync=view.update)))
    write_text(report, report_html(results))
    if json is not None:
        write_json(json, _document(scenario, results))
    console.print()
    console.print(summary_table([result.summary for result in results]))
    console.print(f"\nreport: {report}", highlight=False, soft_wrap=True)
    if json is not None:
        console.print(f"json: {json}", highlight=False, soft_wrap=True)


def _check(option: str, value: float | None, low: float, high: float) -> None:
    if value is not None and not low <= value <= high:
        raise BadInput(f"--{option}: was {value:g}, must be in [{low:g}, {high:g}]")


def _document(scenario: Scenario, results: list[Result]) -> dict[str, object]:
    """The figures of the table, as docs/reference/json.md describes them."""
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
