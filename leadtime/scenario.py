"""The scenario of a run as people type it: one set of options for every command that simulates."""

from pathlib import Path
from typing import Annotated

import typer

from leadtime.output import check_writable
from policies.capacity.profile import PROFILES, profile_named
from policies.errors import BadInput
from simulations.scenario import Scenario
from simulations.slo import SLO
from simulations.trace_files import read_trace

QUICK_MINUTES = 10.0

TraceArgument = Annotated[Path, typer.Argument(help="Azure or plain CSV, or Mooncake JSONL; .gz too.")]
ProfileOption = Annotated[str, typer.Option(help=f"Model and GPU that are simulated: {', '.join(PROFILES)}.")]
TtftOption = Annotated[float, typer.Option(help="TTFT that users were promised.")]
TpotOption = Annotated[float, typer.Option(help="TPOT that users were promised.")]
InitialReplicasOption = Annotated[int, typer.Option(help="Ready at the start.")]
MaxReplicasOption = Annotated[int, typer.Option(help="maxReplicas of every policy that is not from a file.")]
PriceOption = Annotated[float, typer.Option(help="US dollars; 0.71 is one L4 in g2-standard-4, on demand.")]
MinutesOption = Annotated[float | None, typer.Option(help="Only the first minutes of the trace.")]
QuickOption = Annotated[bool, typer.Option("--quick", help=f"The first {QUICK_MINUTES:g} minutes.")]
SeedOption = Annotated[int, typer.Option(help="Of the pods' lead times.")]
ReportOption = Annotated[Path, typer.Option(help="HTML report to write.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="PATH", help="Write the table's figures as JSON.")]

DEFAULT_PROFILE = "llama-3.1-8b-fp8-l4"
DEFAULT_SLO = SLO(ttft_seconds=2.0, tpot_seconds=0.075)


def read_scenario(
    *,
    trace: Path,
    profile: str,
    ttft_slo_seconds: float,
    tpot_slo_seconds: float,
    initial_replicas: int,
    max_replicas: int,
    price_per_gpu_hour: float,
    minutes: float | None,
    quick: bool,
    seed: int,
) -> Scenario:
    """The scenario, or BadInput naming the first option that is wrong."""
    in_range("minutes", minutes, 1, 10_080)
    in_range("seed", seed, 0, 2**32 - 1)
    in_range("max-replicas", max_replicas, 1, 1_000)
    in_range("initial-replicas", initial_replicas, 1, max_replicas)
    in_range("price-per-gpu-hour", price_per_gpu_hour, 0, 1_000)
    in_range("ttft-slo-seconds", ttft_slo_seconds, 0.001, 3_600)
    in_range("tpot-slo-seconds", tpot_slo_seconds, 0.001, 3_600)
    demand = read_trace(trace)
    if quick or minutes is not None:
        demand = demand.first(60 * (QUICK_MINUTES if minutes is None else minutes))
    return Scenario(
        trace=demand,
        profile=profile_named(profile),
        slo=SLO(ttft_seconds=ttft_slo_seconds, tpot_seconds=tpot_slo_seconds),
        initial_replicas=initial_replicas,
        seed=seed,
        price_per_gpu_hour=price_per_gpu_hour,
    )


def check_outputs(report: Path, json: Path | None) -> None:
    """Refuse early what could not be written after the run."""
    check_writable("--report", report)
    if json is not None:
        check_writable("--json", json)


def in_range(option: str, value: float | None, low: float, high: float) -> None:
    """Raise BadInput naming the option, its value and the range; None was not given."""
    if value is not None and not low <= value <= high:
        raise BadInput(f"--{option}: was {value:g}, must be in [{low:g}, {high:g}]")
