"""Runs one after the other, each behind the view of its progress."""

import re
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from leadtime.output import check_folder
from leadtime.scenario_build import Run
from leadtime.view import view_for
from simulations.results import Result
from simulations.results.parquet import RequestFile, write_intervals
from simulations.simulate import simulate_together


def run_all(console: Console, runs: Iterable[Run], parquet: Path | None = None) -> list[list[Result]]:
    """The results of each run, one for each of its workloads.

    parquet: a folder for their tables, NN-POLICY-requests.parquet and NN-POLICY-intervals.parquet; requests are
    written as they end, so that a run of any length may be kept.
    """
    results: list[list[Result]] = []
    number = 0
    for run in runs:
        paths = []
        for _, policy in run.parts if parquet is not None else ():
            number += 1
            assert parquet is not None, "else there is nothing to go through"
            paths.append(parquet / f"{number:02d}-{_file_name(policy.name)}")
        with ExitStack() as stack:
            files = [
                stack.enter_context(RequestFile(path.with_name(f"{path.name}-requests.parquet"), scenario.slo))
                for path, (scenario, _) in zip(paths, run.parts, strict=False)
            ]
            view = stack.enter_context(view_for(console))
            results.append(simulate_together(run.parts, on_sync=view.update, files=files or None))
        for path, result in zip(paths, results[-1], strict=False):
            write_intervals(path.with_name(f"{path.name}-intervals.parquet"), result.intervals, result.moments)
    return results


def check_parquet(parquet: Path | None) -> None:
    """Make the folder, or refuse it before anything is run."""
    if parquet is not None:
        check_folder("--parquet", parquet)


def _file_name(policy: str) -> str:
    return re.sub(r"[^A-Za-z0-9._=-]+", "-", policy).strip("-")[:80]
