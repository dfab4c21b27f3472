"""What a run shows while it runs: a live panel on a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from itertools import pairwise
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from simulations.results import Moment, Recorder

_BARS = "▁▂▃▄▅▆▇█"
_COLUMNS = 60
_REDRAW_SECONDS = 0.125
"""Drawing costs time in proportion to the run so far: a run of weeks has 80,000 decisions."""
_SHOW_LEFT_SECONDS = 10.0
"""A run that is nearly over needs no estimate."""


class View(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def update(self, recorder: Recorder) -> None:
        """A decision was made."""
        ...


def view_for(console: Console) -> View:
    """A live panel where the output is a terminal, plain lines where it is a file or a pipe."""
    return LiveView(console) if console.is_terminal else PlainView(console)


class LiveView:
    """Redraws one panel: progress, replicas, queue, the last decisions in words."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=8, transient=True)
        self._started = time.monotonic()
        self._next_draw = 0.0

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, recorder: Recorder) -> None:
        if time.monotonic() < self._next_draw:
            return
        moments, total = recorder.moments, recorder.scenario.trace.duration_seconds
        now = moments[-1]
        grid = Table.grid(padding=(0, 2))
        left = time_left(time.monotonic() - self._started, now.second, total)
        grid.add_row(
            "time", ProgressBar(total=total, completed=min(now.second, total), width=_COLUMNS), f"{clock(now)}{left}"
        )
        for name, values, shown in (
            ("ready", [moment.ready_replicas for moment in moments], f"{now.ready_replicas} replicas"),
            (
                "starting",
                [moment.starting_replicas for moment in moments],
                f"{now.starting_replicas} replicas",
            ),
            ("running", [moment.running for moment in moments], f"{now.running} requests"),
            ("waiting", [moment.waiting for moment in moments], f"{now.waiting} requests"),
        ):
            grid.add_row(name, Text(sparkline(values), style="cyan"), shown)
        changes = [
            Text(f"{clock(moment)}  {moment.decision.message}", overflow="ellipsis", no_wrap=True)
            for moment in _changes(moments)[-4:]
        ]
        self._live.update(Panel(Group(grid, Text(), *changes), title=f"policy {recorder.policy}"))
        self._next_draw = time.monotonic() + _REDRAW_SECONDS


class PlainView:
    """One line per five minutes of virtual time, or per twelfth of a long run."""

    _EVERY_SECONDS = 300.0
    _LINES = 12

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_second = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def update(self, recorder: Recorder) -> None:
        now, total = recorder.moments[-1], recorder.scenario.trace.duration_seconds
        if len(recorder.moments) == 1:
            self._next_second = 0.0
            self._started = time.monotonic()
        if now.second >= self._next_second:
            self._next_second += max(self._EVERY_SECONDS, total / self._LINES)
            left = time_left(time.monotonic() - self._started, now.second, total)
            self._console.print(
                f"{recorder.policy:>10} {clock(now)}{left}  ready {now.ready_replicas:2d}  starting "
                f"{now.starting_replicas:2d}  running {now.running:4d}  waiting {now.waiting:4d}  "
                f"{now.decision.message}",
                highlight=False,
                soft_wrap=True,
            )


def time_left(elapsed_seconds: float, second: float, total_seconds: float) -> str:
    """`, about 3 min left`, at the pace so far; empty near both ends of the run."""
    left = elapsed_seconds * (total_seconds / second - 1) if second > 0 else 0.0
    if left < _SHOW_LEFT_SECONDS:
        return ""
    return f", about {left / 60:.0f} min left" if left >= 90 else f", about {left:.0f} s left"


def sparkline(values: Sequence[int]) -> str:
    """The run so far in one line of bars, scaled to its own highest value."""
    step = max(1, -(-len(values) // _COLUMNS))
    shown = [max(values[start : start + step]) for start in range(0, len(values), step)]
    top = max(max(shown), 1)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1))] for value in shown)


def clock(moment: Moment) -> str:
    """Minutes and seconds since the start."""
    return f"{int(moment.second) // 60:02d}:{int(moment.second) % 60:02d}"


def _changes(moments: Sequence[Moment]) -> list[Moment]:
    return [now for before, now in pairwise(moments) if now.replicas != before.replicas]
