"""When each object has its step: each period, spread over it; at once when its spec changes; never twice at a time.

The clockwork is APScheduler's; this says what is due, and keeps slow targets from delaying the others.
"""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from autoscaler.clock import Clock
from autoscaler.cluster import Key
from policies.snapshot import NS_PER_SECOND

_log = logging.getLogger(__name__)
_PLACE_SECONDS = 1.0
_SLOW_SHARE = 4
"""Objects whose last step took too long have a quarter as many places of their own, and take nobody else's."""

Work = Callable[[], Awaitable[object]]


class Scheduler(Protocol):
    """What of APScheduler's AsyncIOScheduler is used."""

    def add_job(self, func: Callable[..., Any], trigger: Any = None, **options: Any) -> Any: ...
    def remove_job(self, job_id: str) -> None: ...


def scheduler() -> AsyncIOScheduler:
    """One run of a job at a time, missed ones made up for once, however late."""
    return AsyncIOScheduler(
        timezone=UTC, job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )


class StepLoop:
    """Steps of all objects. step: of one; whether it kept to its time. is_ready: whether the cluster is in sight: until
    then nothing is decided."""

    def __init__(
        self,
        jobs: Scheduler,
        *,
        step: Callable[[Key], Awaitable[bool]],
        is_ready: Callable[[], bool],
        clock: Clock,
        period_seconds: float,
        concurrency: int,
    ) -> None:
        self._jobs = jobs
        self._step = step
        self._is_ready = is_ready
        self._clock = clock
        self._period_seconds = period_seconds
        self._places = asyncio.Semaphore(concurrency)
        self._slow_places = asyncio.Semaphore(max(1, concurrency // _SLOW_SHARE))
        self._slow: set[Key] = set()
        self._under_way: set[Key] = set()
        self._again: set[Key] = set()
        self._waiting: set[Key] = set()
        self._keys: set[Key] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_stopped = False

    def follow(self, keys: Iterable[Key]) -> None:
        """Exactly these objects from now on; those that are new at the next of their instants."""
        wanted = set(keys)
        for key in self._keys - wanted:
            self._jobs.remove_job(_job(key))
            self._slow.discard(key)
        for key in wanted - self._keys:
            self._jobs.add_job(
                self.due,
                "interval",
                args=[key],
                id=_job(key),
                seconds=self._period_seconds,
                next_run_time=self._first(key),
            )
        self._keys = wanted

    def changed(self, key: Key) -> None:
        """Something that a decision goes by is another: one step at once, or right after the one that is under way."""
        if key in self._under_way:
            self._again.add(key)
        else:
            self._jobs.add_job(self.due, args=[key])

    async def due(self, key: Key) -> None:
        """One step, unless one is under way; then another where that was asked for meanwhile."""
        if self._is_stopped or key in self._under_way:
            return
        if not self._is_ready():
            self._waiting.add(key)
            return
        self._waiting.discard(key)
        self._under_way.add(key)
        self._idle.clear()
        try:
            while True:
                self._again.discard(key)
                await self._in_place(key)
                if key not in self._again or self._is_stopped:
                    return
        finally:
            self._again.discard(key)
            self._under_way.discard(key)
            if not self._under_way:
                self._idle.set()

    async def catch_up(self) -> None:
        """Once the cluster is in sight, a step at once for those whose turn came before: a restart costs no period."""
        if self._is_ready():
            for key in self._waiting & self._keys:
                self._jobs.add_job(self.due, args=[key])
            self._waiting.clear()

    async def stop(self) -> None:
        """Begin nothing more, and wait for what is under way."""
        self._is_stopped = True
        await self._idle.wait()

    async def _in_place(self, key: Key) -> None:
        """One step, in a place that it holds for a second at most: what takes longer waits at nobody's cost."""
        places = self._slow_places if key in self._slow else self._places
        async with places:
            if self._is_stopped:
                return
            step = asyncio.ensure_future(self._step(key))
            try:
                await asyncio.wait([step], timeout=_PLACE_SECONDS)
            except asyncio.CancelledError:
                step.cancel()
                raise
        if await step:
            self._slow.discard(key)
        else:
            self._slow.add(key)

    def _first(self, key: Key) -> datetime:
        """The next of its instants: each object has its own part of the period, the same after every restart."""
        period_ns = round(self._period_seconds * NS_PER_SECOND)
        share = zlib.crc32(f"{key.namespace}/{key.name}".encode()) / 2**32
        now_ns = self._clock.now_ns()
        wait_ns = (round(share * period_ns) - now_ns) % period_ns
        return datetime.now(UTC) + timedelta(microseconds=wait_ns // 1000)


def every(jobs: Scheduler, seconds: float, work: Work, *, name: str) -> None:
    """Do the work at once, and again every so many seconds; a run that fails is logged and the next one comes."""

    async def guarded() -> None:
        try:
            await work()
        except Exception:
            _log.exception("%s failed; it comes again in %g s", name, seconds)

    jobs.add_job(guarded, "interval", id=name, name=name, seconds=seconds, next_run_time=datetime.now(UTC))


def _job(key: Key) -> str:
    return f"step {key.namespace}/{key.name}"
