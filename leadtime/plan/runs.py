"""The runs of a plan: on all cores, each kept in a file of its own, so that the same plan goes on where it stopped."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from leadtime.plan.task import run_plan_cell
from simulations.sweep.cells import Cell, CellFolder, Content, Outcome, attempt
from simulations.sweep.processes import run_on_processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """stage: what is being done. done of total; total may grow while a search goes on. kept: done by an earlier run."""

    stage: str
    done: int
    total: int
    kept: int = 0


OnProgress = Callable[[Progress], None]


class Runs:
    """Runs cells once. workers: processes; 1 runs them in this one."""

    def __init__(self, folder: Path, workers: int, on_progress: OnProgress) -> None:
        self._folder = CellFolder(folder)
        self._workers = workers
        self._on_progress = on_progress
        self._known: dict[str, Outcome] = {}
        self._stage = ""
        self._done = self._total = self._kept = 0

    def begin(self, stage: str) -> None:
        """What follows is counted anew, under this name."""
        self._stage = stage
        self._done = self._total = self._kept = 0

    def outcomes(self, contents: Sequence[Content]) -> list[Outcome]:
        """Of each content, in order; equal ones are run once."""
        cells = [Cell.of(content) for content in contents]
        missing: dict[str, Cell] = {}
        for cell in cells:
            if cell.key in self._known or cell.key in missing:
                continue
            figures = self._folder.read(cell.key)
            if figures is None:
                missing[cell.key] = cell
            else:
                self._known[cell.key] = Outcome(figures=figures)
                self._kept += 1
                self._done += 1
        self._total = self._done + len(missing)
        self._tell()
        if missing:
            self._run(list(missing.values()))
        return [self._known[cell.key] for cell in cells]

    def _run(self, cells: list[Cell]) -> None:
        workers = min(self._workers, len(cells))
        running = (
            ((cell, attempt(run_plan_cell, cell.content)) for cell in cells)
            if workers == 1
            else run_on_processes(run_plan_cell, cells, workers)
        )
        with closing(running):
            for cell, outcome in running:
                if outcome.figures is not None:
                    self._folder.write(cell, outcome.figures)
                self._known[cell.key] = outcome
                self._done += 1
                self._tell()

    def _tell(self) -> None:
        self._on_progress(Progress(stage=self._stage, done=self._done, total=self._total, kept=self._kept))
