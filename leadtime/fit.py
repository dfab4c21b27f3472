"""`leadtime fit`: latency profiles from measured runs, written as YAML that `--profile` reads."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from leadtime.outcome import console_for_tables
from leadtime.output import check_writable, write_text
from leadtime.validate import MeasuredArgument, SeedOption, followed
from policies.capacity.gpus import GPUS
from policies.capacity.measured import Pair
from policies.capacity.models import MODELS
from policies.capacity.profile import NOT_VALIDATED, Profile, profile_name
from policies.errors import BadInput
from simulations.calibration.fitting import Fit, fit_runs, why_not_fitted
from simulations.calibration.measured_csv import read_measured_runs
from simulations.calibration.measured_run import MeasuredRun
from simulations.calibration.profile_file import profile_yaml
from simulations.calibration.validation import by_pair, held_out, leave_one_experiment_out


def fit_command(
    *,
    measured: MeasuredArgument,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write: a .yaml file for one profile, else a folder with one file each."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Write this profile only, by its name; repeat for more.")
    ] = None,
    seed: SeedOption = 1,
) -> None:
    """Fit latency profiles to measured runs: one a model, GPU and tensor parallel size."""
    runs = read_measured_runs(measured)
    skipped = {run.line: reason for run in runs if (reason := why_not_fitted(run)) is not None}
    fit = fit_runs(runs, seed=seed)
    chosen = _chosen(fit, only)
    if out is not None:
        _check_out(out, len(chosen))
    console = console_for_tables()
    source = _source(measured, runs, len(skipped))
    errors = _held_out_errors(console, runs, seed)
    profiles = [
        replace(
            fit.profile(MODELS[pair[0]], GPUS[pair[1]], pair[2]),
            source=source,
            validation=errors.get(pair, NOT_VALIDATED),
        )
        for pair in chosen
    ]
    _print(console, fit, profiles)
    for line, reason in skipped.items():
        console.print(f"line {line} not fitted: {reason}", highlight=False, soft_wrap=True)
    if out is not None:
        for path in _written(out, profiles):
            console.print(f"profile: {path}", highlight=False, soft_wrap=True)


def _chosen(fit: Fit, only: list[str] | None) -> list[Pair]:
    """The pairs to write, in the fit's order."""
    names = {profile_name(*pair): pair for pair in fit.corrections}
    for name in only or ():
        if name not in names:
            raise BadInput(f"--only: was {name!r}, must be one of the fitted profiles: {', '.join(names)}")
    return [pair for name, pair in names.items() if not only or name in only]


def _check_out(out: Path, profiles: int) -> None:
    if out.suffix not in {".yaml", ".yml"}:
        if out.exists() and not out.is_dir():
            raise BadInput(f"--out: {out} is a file, must be a folder or end in .yaml")
        check_writable("--out", out / "profile.yaml" if out.is_dir() else out)
    elif profiles > 1:
        raise BadInput(f"--out: {out} is one file for {profiles} profiles; give a folder, or choose one with --only")
    else:
        check_writable("--out", out)


def _source(measured: Path, runs: list[MeasuredRun], skipped: int) -> str:
    experiments = len({run.experiment for run in runs if why_not_fitted(run) is None})
    return (
        f"leadtime fit {measured.name}: {len(runs) - skipped} runs of {experiments} experiment"
        f"{'s' if experiments > 1 else ''}; physical model of policies/capacity/step_time.py"
    )


def _held_out_errors(console: Console, runs: list[MeasuredRun], seed: int) -> Mapping[Pair, str]:
    """What each pair's profile says of its validation; nothing where one experiment cannot be judged by others."""
    fitted = [run for run in runs if why_not_fitted(run) is None]
    if len({run.experiment for run in fitted}) < 2:
        return {}
    judged = followed(console, leave_one_experiment_out(fitted, seed=seed), len(fitted), "validating")
    return {pair: str(held_out(rows)) for pair, rows in by_pair(judged).items()}


def _print(console: Console, fit: Fit, profiles: list[Profile]) -> None:
    console.print("shared efficiencies", style="bold")
    for name, value in asdict(fit.efficiency).items():
        console.print(f"  {name} = {value:.4g}", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    table.add_column("\nprofile", no_wrap=True)
    for title in ("correction of\nbase", "\ngrowth", "\noverhead", "base\nms", "µs per\ndecode", "ns per\nKV token"):
        table.add_column(title, justify="right", no_wrap=True)
    for profile in profiles:
        correction = fit.corrections[_pair_named(fit, profile.name)]
        table.add_row(
            profile.name,
            f"{correction.base:.3f}",
            f"{correction.growth:.3f}",
            f"{correction.overhead:.3f}",
            f"{1e3 * profile.base_seconds:.2f}",
            f"{1e6 * profile.per_decode_seq_seconds:.1f}",
            f"{1e9 * profile.per_kv_token_seconds:.0f}",
        )
    console.print()
    console.print(table)
    console.print()
    for profile in profiles:
        console.print(f"{profile.name}: {profile.validation}", highlight=False, soft_wrap=True)


def _pair_named(fit: Fit, name: str) -> Pair:
    return next(pair for pair in fit.corrections if profile_name(*pair) == name)


def _written(out: Path, profiles: list[Profile]) -> list[Path]:
    if out.suffix in {".yaml", ".yml"}:
        paths = [out]
    else:
        out.mkdir(exist_ok=True)
        paths = [out / f"{profile.name}.yaml" for profile in profiles]
    for path, profile in zip(paths, profiles, strict=True):
        write_text(path, profile_yaml(profile))
    return paths
