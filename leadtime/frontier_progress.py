"""How far the counting of demands is: a bar on a terminal, a line now and then elsewhere. All of it on stderr."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

_LINE_EVERY_SECONDS = 30.0


class CountProgress:
    """One bar for each demand and pass over it."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._tasks: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, demand: str, doing: str, done_seconds: float, total_seconds: float) -> None:
        """So many seconds of a demand are done."""
        text = f"{demand}: {doing}"
        if text not in self._tasks:
            self._tasks[text] = self._bar.add_task(text, total=total_seconds)
        self._bar.update(self._bar.task_ids[self._tasks[text]], completed=done_seconds)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _LINE_EVERY_SECONDS:
            self._last_line = now
            self._console.print(f"{text}, {done_seconds / total_seconds:.0%}", highlight=False, markup=False)
