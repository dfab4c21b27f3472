"""How far a plan is, on stderr: a line for each stage that is over, a bar on a terminal or a line now and then."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from leadtime.plan.runs import Progress

_LINE_EVERY_SECONDS = 30.0


class PlanProgress:
    """Called with each `Progress`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("plan", total=None)
        self._last: Progress | None = None
        self._begun = self._line = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish()
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._last is not None and self._last.stage != progress.stage:
            self._finish()
            self._begun = self._line = now
        self._last = progress
        self._bar.update(self._task, description=progress.stage, completed=progress.done, total=progress.total)
        if not self._console.is_terminal and now - self._line >= _LINE_EVERY_SECONDS:
            self._line = now
            self._print(f"{progress.stage}: {progress.done:,} of {progress.total:,} so far")

    def _finish(self) -> None:
        """Say what the stage that is over took."""
        if self._last is None or self._last.total == 0:
            return
        kept = f", {self._last.kept:,} of them kept from before" if self._last.kept else ""
        seconds = time.monotonic() - self._begun
        self._print(f"{self._last.stage}: {self._last.done:,}{kept}, {seconds:.1f} s")

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)
