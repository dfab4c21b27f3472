"""`leadtime compare`: policies side by side, on one scenario or on several, with what each differs by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from leadtime import scenario as options
from leadtime.outcome import console_for_tables
from leadtime.output import write_json, write_text
from leadtime.run_all import check_parquet, run_all
from leadtime.scenario_build import Run, notes_of, runs_of
from leadtime.scenario_file import ScenarioFile
from policies.errors import BadInput
from simulations.report import comparison_html
from simulations.results import Result, Summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One finished run of a comparison.

    scenario: what was given on the command line. differs: the fields in which the scenarios are not all equal, and
    their values here. first: the summary that this one is compared to, of the same phase and workload.
    """

    scenario: str
    differs: Mapping[str, Any]
    phase_seed: int | None
    result: Result
    first: Summary


def compare_command(
    *,
    scenarios: Annotated[
        list[str],
        typer.Argument(metavar="SCENARIO...", help="Scenarios in YAML, or demands: each policy runs on each of them."),
    ],
    policy: options.PoliciesOption = None,
    profile: options.GivenProfileOption = None,
    ttft_slo_seconds: options.GivenTtftOption = None,
    tpot_slo_seconds: options.GivenTpotOption = None,
    initial_replicas: options.GivenInitialOption = None,
    max_replicas: options.GivenMaxOption = None,
    price_per_gpu_hour: options.GivenPriceOption = None,
    minutes: options.GivenMinutesOption = None,
    quick: options.QuickOption = False,
    skip_bad_rows: options.SkipBadRowsOption = False,
    seed: options.GivenSeedOption = None,
    set_: options.SetOption = None,
    report: options.ReportOption = Path("leadtime-compare.html"),
    json: options.JsonOption = None,
    parquet: options.ParquetOption = None,
) -> None:
    """Compare policies, or scenarios: a table with the difference to the first, an HTML report, JSON."""
    files = [
        options.scenario_draft(
            each,
            settings=set_,
            policies=policy,
            profile=profile,
            ttft_slo_seconds=ttft_slo_seconds,
            tpot_slo_seconds=tpot_slo_seconds,
            initial_replicas=initial_replicas,
            max_replicas=max_replicas,
            price_per_gpu_hour=price_per_gpu_hour,
            minutes=minutes,
            quick=quick,
            skip_bad_rows=skip_bad_rows,
            seed=seed,
        ).checked()
        for each in scenarios
    ]
    options.check_outputs(report, json)
    differing = differences(files)
    planned = [
        (name, differs, run)
        for name, file, differs in zip(scenarios, files, differing, strict=True)
        for run in runs_of(file)
    ]
    if len(planned) < 2:
        raise BadInput(
            f"compare: was given one run, {planned[0][2].parts[0][1].name} on {scenarios[0]}, must be at least 2; add "
            "--policy NAME or another scenario"
        )
    check_parquet(parquet)
    console = console_for_tables()
    for note in dict.fromkeys(note for file in files for note in notes_of(file)):
        console.print(note, highlight=False, markup=False, soft_wrap=True)
    results = run_all(console, [run for _, _, run in planned], parquet)
    compared = _compared(planned, results)
    write_text(report, comparison_html([each.result for each in compared]))
    if json is not None:
        write_json(json, document(files, compared))
    console.print()
    console.print(comparison_table(compared))
    console.print(f"\nreport: {report}", highlight=False, soft_wrap=True)
    if json is not None:
        console.print(f"json: {json}", highlight=False, soft_wrap=True)


def differences(files: Sequence[ScenarioFile]) -> list[dict[str, Any]]:
    """For each scenario, the fields `replicas.max` in which they are not all equal, policies apart."""
    flat = [_flat(file.model_dump(mode="json", exclude={"policies"})) for file in files]
    names = list(dict.fromkeys(name for each in flat for name in each))
    differing = [name for name in names if any(each.get(name) != flat[0].get(name) for each in flat)]
    return [{name: each.get(name) for name in differing} for each in flat]


def document(files: Sequence[ScenarioFile], compared: Sequence[Compared]) -> dict[str, Any]:
    """The figures of the table, as docs/reference/json.md describes them."""
    differing = set(compared[0].differs)
    common = _flat(files[0].model_dump(mode="json", exclude={"policies"}))
    return {
        "common": {name: value for name, value in common.items() if name not in differing},
        "runs": [
            {
                "scenario": each.scenario,
                "differs": dict(each.differs),
                "phase_seed": each.phase_seed,
                **each.result.summary.as_dict(),
                "difference": _difference(each.result.summary, each.first),
            }
            for each in compared
        ],
    }


def comparison_table(compared: Sequence[Compared]) -> Table:
    """A row per run; under each figure, how much more or less it is than the first's."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1), show_lines=False)
    differing = list(compared[0].differs)
    table.add_column("policy", overflow="fold")
    for name in differing:
        table.add_column(name, overflow="fold")
    for title in ("SLO attainment", "TTFT p99", "TPOT p99", "goodput", "GPU-hours", "cost", "rescales"):
        table.add_column(title, justify="right", overflow="fold")
    for each in compared:
        row, first = each.result.summary, each.first
        figures = (
            (f"{row.slo_attainment:.2%}", f"{100 * (row.slo_attainment - first.slo_attainment):+.2f} pp"),
            (f"{row.ttft_p99_seconds:.2f} s", f"{row.ttft_p99_seconds - first.ttft_p99_seconds:+.2f} s"),
            (
                f"{row.tpot_p99_seconds * 1000:.0f} ms",
                f"{(row.tpot_p99_seconds - first.tpot_p99_seconds) * 1000:+.0f} ms",
            ),
            (
                f"{row.goodput_requests_per_second:.2f}/s",
                _percent(row.goodput_requests_per_second, first.goodput_requests_per_second),
            ),
            (f"{row.gpu_hours:.2f}", _percent(row.gpu_hours, first.gpu_hours)),
            (f"${row.cost_usd:.2f}", _percent(row.cost_usd, first.cost_usd)),
            (str(row.rescales), f"{row.rescales - first.rescales:+d}"),
        )
        is_first = row is first
        cells = [value if is_first else f"{value}\n{change}" for value, change in figures]
        own = [str(each.differs[name]).replace("[", r"\[") for name in differing]
        table.add_row(row.policy.replace("[", r"\["), *own, *cells)
    return table


def _compared(
    planned: Sequence[tuple[str, Mapping[str, Any], Run]], results: Sequence[Sequence[Result]]
) -> list[Compared]:
    """Each result beside the first one of its phase and workload: the same demand, as far as scenarios share it."""
    first: dict[tuple[int | None, str], Summary] = {}
    compared = []
    for (name, differs, run), workloads in zip(planned, results, strict=True):
        for result in workloads:
            before = first.setdefault((run.phase_seed, result.scenario.name), result.summary)
            compared.append(
                Compared(scenario=name, differs=differs, phase_seed=run.phase_seed, result=result, first=before)
            )
    return compared


def _difference(row: Summary, first: Summary) -> dict[str, float]:
    """Each figure less the first's."""
    before = first.as_dict()
    return {
        name: value - other
        for name, value in row.as_dict().items()
        if isinstance(value, int | float) and isinstance(other := before[name], int | float)
    }


def _percent(value: float, first: float) -> str:
    return f"{100 * (value / first - 1):+.1f} %" if first else "-"


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted fields."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
