"""The runs of a frontier: on all cores, each kept in a file of its own, and what became of each policy's settings."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console

from leadtime.frontier_plan import CLAIRVOYANT
from leadtime.frontier_results import PolicyFrontier, Setting
from leadtime.sweep_progress import SweepProgress
from policies.errors import BadInput
from simulations.sweep.cells import Cell, CellFolder, Content, Outcome
from simulations.sweep.processes import run_on_processes


def run_cells(
    task: Callable[[Content], Mapping[str, Any]], wanted: Sequence[Cell], folder: Path, workers: int, console: Console
) -> dict[str, Outcome]:
    """Every cell's outcome by key, finished ones from the folder."""
    kept = CellFolder(folder)
    outcomes: dict[str, Outcome] = {}
    missing = []
    for cell in wanted:
        figures = kept.read(cell.key)
        if figures is None:
            missing.append(cell)
        else:
            outcomes[cell.key] = Outcome(figures=figures)
    console.print(f"{len(wanted):,} runs: {len(outcomes):,} finished before, {len(missing):,} to do", highlight=False)
    if missing:
        running = run_on_processes(task, missing, min(workers, len(missing)))
        with closing(running), SweepProgress(len(missing)) as progress:
            for cell, outcome in running:
                if outcome.figures is not None:
                    kept.write(cell, outcome.figures)
                outcomes[cell.key] = outcome
                progress.update(outcome.error is not None)
    return outcomes


def frontiers_of(wanted: Sequence[Cell], outcomes: Mapping[str, Outcome]) -> list[PolicyFrontier]:
    """One a policy, in the order of the cells. Raises BadInput where the clairvoyant itself could not run."""
    frontiers = []
    for name in dict.fromkeys(str(cell.content["policy"]) for cell in wanted):
        own = [(cell.content, outcomes[cell.key]) for cell in wanted if cell.content["policy"] == name]
        good = [
            Setting(parameters=content["parameters"], train=outcome.figures["train"], judged=outcome.figures["judged"])
            for content, outcome in own
            if outcome.figures is not None
        ]
        errors = [outcome.error for _, outcome in own if outcome.error is not None]
        if name == CLAIRVOYANT and not good:
            raise BadInput(errors[0])
        frontiers.append(PolicyFrontier(policy=name, settings=good, errors=errors))
    return frontiers
