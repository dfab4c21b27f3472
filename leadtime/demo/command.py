"""`leadtime demo`: the command line of the demo."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from leadtime import scenario as options
from leadtime.demo.policies import POLICIES, demo_policy
from leadtime.demo.run import run_over_http
from leadtime.outcome import console_for_tables, present
from leadtime.view import view_for
from simulations.results import Result
from simulations.trace import SHIPPED


def demo(
    *,
    trace: options.TraceArgument = SHIPPED,
    policies: Annotated[
        str, typer.Option(help=f"Comma-separated, run one after the other: {', '.join(POLICIES)}.")
    ] = ",".join(POLICIES),
    profile: options.ProfileOption = options.DEFAULT_PROFILE,
    ttft_slo_seconds: options.TtftOption = options.DEFAULT_SLO.ttft_seconds,
    tpot_slo_seconds: options.TpotOption = options.DEFAULT_SLO.tpot_seconds,
    initial_replicas: options.InitialReplicasOption = 4,
    max_replicas: options.MaxReplicasOption = 20,
    price_per_gpu_hour: options.PriceOption = 0.71,
    minutes: options.MinutesOption = None,
    quick: options.QuickOption = False,
    seed: options.SeedOption = 1,
    port: Annotated[int, typer.Option(help="The adapter's HTTPS port; 0 takes a free one.")] = 0,
    report: options.ReportOption = Path("leadtime-demo.html"),
    json: options.JsonOption = None,
) -> None:
    """Recorded demand on simulated vLLM pods, scaled by the stock HPA and by leadtime, over real interfaces."""
    options.in_range("port", port, 0, 65_535)
    options.check_outputs(report, json)
    scenario = options.read_scenario(
        trace=trace,
        profile=profile,
        ttft_slo_seconds=ttft_slo_seconds,
        tpot_slo_seconds=tpot_slo_seconds,
        initial_replicas=initial_replicas,
        max_replicas=max_replicas,
        price_per_gpu_hour=price_per_gpu_hour,
        minutes=minutes,
        quick=quick,
        seed=seed,
    )
    chosen = [demo_policy(name.strip(), scenario, max_replicas) for name in policies.split(",")]
    console = console_for_tables()
    console.print(
        f"{scenario.trace.expected_requests:,.0f} requests in {scenario.trace.duration_seconds / 60:.0f} min "
        f"({trace.name}), {scenario.profile.model} on {scenario.profile.gpu}; "
        "metrics over HTTP and HTTPS, virtual time",
        highlight=False,
        soft_wrap=True,
    )
    results: list[Result] = []
    for policy in chosen:
        with view_for(console) as view:
            results.append(asyncio.run(run_over_http(scenario, policy, port=port, on_sync=view.update)))
    present(console, results, report, json)
