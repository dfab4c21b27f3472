"""When to collect."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Protocol, Self

from apscheduler.schedulers.asyncio import AsyncIOScheduler


class Trigger(Protocol):
    """An async iterable: each item asks for one collection, and its end shuts the adapter down.

    It is resumed when that collection is complete, so whoever drives it knows that the values are in.
    """

    def __aiter__(self) -> AsyncIterator[object]: ...


class IntervalTrigger:
    """Ask at once, then every `seconds`; an async context manager that holds the schedule.

    A collection longer than the interval is followed by one more at once, however many it missed.
    """

    def __init__(self, seconds: float) -> None:
        self._due = asyncio.Event()
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_job(
            self._ask,
            "interval",
            seconds=seconds,
            next_run_time=datetime.now(UTC),
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )

    async def __aenter__(self) -> Self:
        self._scheduler.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scheduler.shutdown(wait=False)
        await asyncio.sleep(0)  # the scheduler shuts down in a callback of the loop

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> None:
        await self._due.wait()
        self._due.clear()

    async def _ask(self) -> None:  # a coroutine, or the scheduler would run it in a thread
        self._due.set()
