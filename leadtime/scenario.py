"""The scenario of a run as flags: one set of options for every command that simulates.

A flag sets one field of a scenario file (leadtime.scenario_file); the same checks hold for both.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from leadtime.output import check_writable
from leadtime.scenario_build import scenario_of
from leadtime.scenario_file import DEFAULT_PROFILE as DEFAULT_PROFILE
from leadtime.scenario_file import ScenarioDraft
from leadtime.scenario_sections import SLOSection
from policies.capacity.profile import PROFILES
from policies.errors import BadInput
from simulations.scenario import Scenario
from simulations.sweep.space import scalar

QUICK_MINUTES = 10.0

_PROFILE_HELP = f"Model and GPU that are simulated: a profile in YAML, or {', '.join(PROFILES)}."
_MAX_HELP = "maxReplicas of every policy that is not from a file."
_SEED_HELP = "Of the pods' lead times."
_PRICE_HELP = "US dollars; 0.71 is one L4 in g2-standard-4, on demand."
_TTFT_HELP = "TTFT that users were promised."
_TPOT_HELP = "TPOT that users were promised."
_MINUTES_HELP = "Only the first minutes of the demand."

TraceArgument = Annotated[Path, typer.Argument(help="Azure or plain CSV, or Mooncake JSONL; .gz too.")]
ProfileOption = Annotated[str, typer.Option(help=_PROFILE_HELP)]
TtftOption = Annotated[float, typer.Option(help=_TTFT_HELP)]
TpotOption = Annotated[float, typer.Option(help=_TPOT_HELP)]
InitialReplicasOption = Annotated[int, typer.Option(help="Ready at the start.")]
MaxReplicasOption = Annotated[int, typer.Option(help=_MAX_HELP)]
PriceOption = Annotated[float, typer.Option(help=_PRICE_HELP)]
MinutesOption = Annotated[float | None, typer.Option(help=_MINUTES_HELP)]
QuickOption = Annotated[bool, typer.Option("--quick", help=f"The first {QUICK_MINUTES:g} minutes.")]
SeedOption = Annotated[int, typer.Option(help=_SEED_HELP)]
ReportOption = Annotated[Path, typer.Option(help="HTML report to write.")]
JsonOption = Annotated[Path | None, typer.Option("--json", metavar="PATH", help="Write the table's figures as JSON.")]
ParquetOption = Annotated[
    Path | None,
    typer.Option("--parquet", metavar="DIR", help="Write each run's tables there, per request and per minute."),
]

# The same where a scenario file may say otherwise: what is not given is the file's.
ScenarioArgument = Annotated[
    str,
    typer.Argument(
        metavar="SCENARIO",
        help="A scenario in YAML, or a demand: a recording (Azure or plain CSV, Mooncake JSONL; .gz too), a ServeGen "
        "prefix, a generator.",
    ),
]
PoliciesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--policy",
        help="A name from `leadtime policies`, with parameters as NAME:key=value,key=value, or a manifest "
        "(PredictiveAutoscaler, HPA, KEDA ScaledObject, Knative or KServe) as it stands. Repeat for more.",
        show_default="the scenario's, or leadtime",
    ),
]
GivenProfileOption = Annotated[str | None, typer.Option("--profile", help=_PROFILE_HELP, show_default=DEFAULT_PROFILE)]
GivenTtftOption = Annotated[float | None, typer.Option("--ttft-slo-seconds", help=_TTFT_HELP, show_default="2.0")]
GivenTpotOption = Annotated[float | None, typer.Option("--tpot-slo-seconds", help=_TPOT_HELP, show_default="0.075")]
GivenInitialOption = Annotated[
    int | None, typer.Option("--initial-replicas", help="Ready at the start.", show_default="4")
]
GivenMaxOption = Annotated[int | None, typer.Option("--max-replicas", help=_MAX_HELP, show_default="20")]
GivenPriceOption = Annotated[float | None, typer.Option("--price-per-gpu-hour", help=_PRICE_HELP, show_default="0.71")]
GivenMinutesOption = Annotated[float | None, typer.Option("--minutes", help=_MINUTES_HELP, show_default=False)]
GivenSeedOption = Annotated[int | None, typer.Option("--seed", help=_SEED_HELP, show_default="1")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Any field of the scenario: replicas.min=2. Repeat for more."),
]
SkipBadRowsOption = Annotated[
    bool, typer.Option("--skip-bad-rows", help="Leave corrupt rows of a recording out, and count them.")
]
PrintScenarioOption = Annotated[
    bool, typer.Option("--print-scenario", help="Print the whole scenario as YAML, defaults included, and stop.")
]

DEFAULT_SLO = SLOSection()

_FIELDS = {
    "policies": ("--policy", "policies"),
    "profile": ("--profile", "profile"),
    "ttft_slo_seconds": ("--ttft-slo-seconds", "slo.ttft_seconds"),
    "tpot_slo_seconds": ("--tpot-slo-seconds", "slo.tpot_seconds"),
    "initial_replicas": ("--initial-replicas", "replicas.initial"),
    "max_replicas": ("--max-replicas", "replicas.max"),
    "price_per_gpu_hour": ("--price-per-gpu-hour", "price_per_gpu_hour"),
    "minutes": ("--minutes", "demand.minutes"),
    "seed": ("--seed", "seed"),
    "skip_bad_rows": ("--skip-bad-rows", "demand.skip_bad_rows"),
}
"""A command's parameter -> the flag, and the field that it sets."""


def scenario_draft(
    argument: str, *, settings: Sequence[str] | None = None, quick: bool = False, **flags: Any
) -> ScenarioDraft:
    """The scenario or demand that was named, with the flags that were given. settings: FIELD=VALUE each.

    None, False and no policies were not given.
    """
    draft = ScenarioDraft.of(argument)
    if quick:
        draft.set("demand.minutes", QUICK_MINUTES, "--quick")
    for name, value in flags.items():
        flag, field = _FIELDS[name]
        if not (value is None or value is False or value == []):  # 0 was given
            draft.set(field, value, flag)
    for text in settings or ():
        field, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"--set {text}: must be FIELD=VALUE, such as replicas.min=2")
        draft.set(field.strip(), scalar(value.strip()), f"--set {field.strip()}")
    return draft


def read_scenario(*, trace: Path, quick: bool, **flags: Any) -> Scenario:
    """The scenario of a command that has flags only, or BadInput naming the first that is wrong."""
    in_range("initial-replicas", flags["initial_replicas"], 1, flags["max_replicas"])
    draft = ScenarioDraft({"demand": {"source": str(trace)}})
    if quick and flags["minutes"] is None:
        draft.set("demand.minutes", QUICK_MINUTES, "--quick")
    for name, value in flags.items():
        flag, field = _FIELDS[name]
        draft.set(field, value, flag)
    file = draft.checked()
    return scenario_of(file, None)


def check_outputs(report: Path, json: Path | None) -> None:
    """Refuse early what could not be written after the run."""
    check_writable("--report", report)
    if json is not None:
        check_writable("--json", json)


def in_range(option: str, value: float | None, low: float, high: float) -> None:
    """Raise BadInput naming the option, its value and the range; None was not given."""
    if value is not None and not low <= value <= high:
        raise BadInput(f"--{option}: was {value:g}, must be in [{low:g}, {high:g}]")


def numbers(option: str, text: str, low: float, high: float, count: int | None = None) -> list[float]:
    """Numbers separated by commas, each in [low, high]; so many where count is given. Raises BadInput."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(low <= value <= high for value in values) or len(values) != (count or len(values)):
        many = f"{count} numbers" if count else "numbers"
        raise BadInput(f"--{option}: was {text}, must be {many} in [{low:g}, {high:g}], separated by commas")
    return values
