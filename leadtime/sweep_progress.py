"""How far a sweep is: a bar with the time left on a terminal, a line now and then elsewhere. All of it on stderr."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_SECONDS = 30.0


class SweepProgress:
    """Counts finished and failed cells."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._total = total
        self._done = 0
        self._failed = 0
        self._started = self._last_line = time.monotonic()
        self._bar = Progress(
            TextColumn("cells"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[failed]} failed"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            transient=True,
        )
        self._task = self._bar.add_task("cells", total=total, failed=0)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, has_failed: bool) -> None:
        """One more cell is over."""
        self._done += 1
        self._failed += has_failed
        self._bar.update(self._task, completed=self._done, failed=self._failed)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._last_line >= _LINE_EVERY_SECONDS:
            self._last_line = now
            left = (now - self._started) / self._done * (self._total - self._done)
            self._console.print(
                f"{self._done:,} of {self._total:,} cells, {self._failed:,} failed, about {left / 60:.0f} min left",
                highlight=False,
            )
