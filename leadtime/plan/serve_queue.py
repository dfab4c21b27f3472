"""Questions from the page, answered one at a time: a few may wait, each can be cancelled, all stay listed."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from leadtime.plan.files import DOCUMENT, PAGE
from leadtime.plan.runs import OnProgress, Progress
from policies.errors import BadInput

MOST_WAITING = 5
MOST_LISTED = 100
"""Runs of one session. Their files stay; only the list is bounded."""

_NUMBERED = re.compile(r"run-(\d+)")

State = Literal["waiting", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """values: of the form. demand: as the command takes it. name: what people call it. out: folder of the answer."""

    values: Mapping[str, str]
    demand: str
    name: str
    out: Path


class PlanFailed(Exception):
    """There is no answer; the text says why, in the command's own words."""


Planner = Callable[[Job, OnProgress], Coroutine[Any, Any, None]]
"""Writes the answer's files into the job's folder. Raises PlanFailed; ends its work where it is cancelled."""


@dataclass(slots=True, eq=False, kw_only=True)
class Run:
    """One question and what became of it. begun, ended: by the queue's clock, seconds; None: not yet."""

    number: int
    job: Job
    state: State = "waiting"
    progress: Progress | None = None
    begun: float | None = None
    ended: float | None = None
    error: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.state in ("done", "failed", "cancelled")


class PlanQueue:
    """folder: of all answers, each in run-N of it. clock: seconds, for how long a run has taken."""

    def __init__(self, plan: Planner, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._plan = plan
        self._folder = folder
        self._clock = clock
        self._runs: dict[int, Run] = {}
        self._last = max(
            (int(match[1]) for each in folder.glob("run-*") if (match := _NUMBERED.fullmatch(each.name))), default=0
        )
        self._current: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None

    def ask(self, values: Mapping[str, str], demand: str, name: str) -> Run:
        """Put a question at the end of the queue. Raises BadInput where too many wait."""
        waiting = sum(run.state == "waiting" for run in self._runs.values())
        if waiting >= MOST_WAITING:
            raise BadInput(f"plan: {waiting} questions wait already, the most that may; cancel one or wait")
        self._last += 1
        job = Job(values=values, demand=demand, name=name, out=self._folder / f"run-{self._last}")
        run = self._runs[self._last] = Run(number=self._last, job=job)
        self._forget_oldest()
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        self._asked.set()
        return run

    def cancel(self, run: Run) -> None:
        """End it, or take it out of the queue; nothing where it is over."""
        if run.state == "waiting":
            run.state = "cancelled"
        elif run.state == "running" and self._current is not None:
            self._current.cancel()

    def find(self, number: int) -> Run | None:
        return self._runs.get(number)

    def listed(self) -> list[Run]:
        """Newest first."""
        return list(reversed(self._runs.values()))

    def seconds(self, run: Run) -> float | None:
        """How long it has run."""
        if run.begun is None:
            return None
        return (self._clock() if run.ended is None else run.ended) - run.begun

    async def close(self) -> None:
        """End what runs, and wait until it has ended."""
        for task in (self._worker, self._current):  # in this order, or the next one would begin
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def _work(self) -> None:
        while True:
            run = next((each for each in self._runs.values() if each.state == "waiting"), None)
            if run is None:
                self._asked.clear()
                await self._asked.wait()
                continue
            run.state, run.begun = "running", self._clock()
            self._current = asyncio.create_task(self._answer(run))
            await asyncio.wait([self._current])
            if not run.is_over:  # cancelled before it had begun
                run.state, run.ended = "cancelled", self._clock()
            self._current = None

    async def _answer(self, run: Run) -> None:
        """Into `run`, whatever happens."""

        def on_progress(progress: Progress) -> None:
            run.progress = progress

        try:
            run.job.out.mkdir(parents=True)
            await self._plan(run.job, on_progress)
            text = await asyncio.to_thread((run.job.out / DOCUMENT).read_text, "utf-8")
            run.figures = _figures(json.loads(text))
            run.files = _names(run.job.out)
            run.state = "done"
        except asyncio.CancelledError:
            run.state = "cancelled"
            raise
        except PlanFailed as error:
            run.state, run.error = "failed", str(error)
        except Exception as error:  # the queue goes on, whatever a plan does
            run.state, run.error = "failed", f"plan: ended with {error!r}; see where the server runs"
        finally:
            run.ended = self._clock()

    def _forget_oldest(self) -> None:
        over = [number for number, run in self._runs.items() if run.is_over]
        for number in over[: max(0, len(self._runs) - MOST_LISTED)]:
            del self._runs[number]


def _figures(document: Mapping[str, Any]) -> dict[str, Any]:
    """What is compared on the page: the finalist's."""
    best = document["best"]
    names = ("candidate", "policy", "parameters", "max_replicas", "attainment", "replicas", "peak_replicas")
    return {
        **{name: best[name] for name in (*names, "usd_per_month", "spot_share")},
        "machine": best["machine"]["name"],
        "answer": document["answer"],
    }


def _names(folder: Path) -> tuple[str, ...]:
    """The page first, then the figures, then the manifests."""
    found = sorted(each.name for each in folder.iterdir() if each.is_file() and not each.name.startswith("."))
    first = [name for name in (PAGE, DOCUMENT) if name in found]
    return (*first, *(name for name in found if name not in first))
