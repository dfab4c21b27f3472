"""What was learned, in an SQLite file of this replica's own, written in a thread apart from the event loop.

Nothing that goes wrong with the file reaches the caller: `faults` says it, everything stays in memory, and the next
flush tries again. What is missing is learned anew from the cluster.
"""

import asyncio
import logging
import sqlite3
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from adapter.sources.in_threads import DaemonThreads
from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.lead_times.database import Database, is_corrupt, open_database, put_aside, restore
from autoscaler.lead_times.lead_time import LeadTime
from autoscaler.lead_times.minutes import F4, HOUR_NS, MINUTE_NS, HourOfMinutes, samples_of
from autoscaler.lead_times.rows import LOAD_DAYS, Batch, prune, read_lead_times, read_learned, read_load, write
from policies.predictive.backfill import Samples

_log = logging.getLogger(__name__)
T = TypeVar("T")

DEFAULT_MAX_BYTES = 1024**3
_MINUTES_BETWEEN_WRITES = 5
"""Of one workload's demand: a crash loses at most these; each write of a row costs a page of 16 KiB."""
_UNWRITTEN_HOURS = 24
"""Of each workload that are kept in memory while the file cannot be written: 17 kB."""
_UNWRITTEN_LEAD_TIMES = 10_000
_PRUNE_NS = HOUR_NS
_NOTICE_NS = HOUR_NS
"""For how long it is told what happened to the file and was mended."""


class Store:
    """path: None keeps nothing over a restart. max_bytes: of the file; beyond, it counts as full."""

    def __init__(self, path: Path | None, *, clock: Clock, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._thread = DaemonThreads(1, name="lead-time-store")
        self._lock = asyncio.Lock()  # one use of the file at a time
        self._database: Database | None = None  # of the thread
        self._batch = Batch()
        self._open_hours: dict[tuple[Key, int], HourOfMinutes] = {}
        self._written_at: dict[Key, int] = {}
        self._pruned_ns = 0
        self._fault = ""
        self._notice = ""
        self._notice_ns = 0
        self.begun_anew = 0
        """How often the file had to be begun anew: then what is still known is to be added again."""

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence each: why nothing can be written now; what befell the file within the last hour."""
        is_recent = self._notice and self._clock.now_ns() - self._notice_ns < _NOTICE_NS
        return tuple(text for text in (self._fault, self._notice if is_recent else "") if text)

    def add_lead_time(self, key: Key, lead_time: LeadTime) -> None:
        """To be written with the next flush."""
        if self._path is not None:
            self._batch.lead_times.append((key, lead_time))
            del self._batch.lead_times[:-_UNWRITTEN_LEAD_TIMES]

    def add_load(
        self,
        key: Key,
        at_ns: int,
        requests_per_second: float,
        prompt_tokens: float | None = None,
        output_tokens: float | None = None,
    ) -> None:
        """One sample of a workload's demand, >= 0; several in a minute become their mean."""
        if self._path is None:
            return
        place = (key, at_ns // HOUR_NS)
        hour = self._open_hours.get(place)
        if hour is None:
            hour = self._open_hours[place] = HourOfMinutes()
        hour.add(at_ns % HOUR_NS // MINUTE_NS, requests_per_second, prompt_tokens, output_tokens)

    def add_learned(self, key: Key, text: str) -> None:
        """In place of what was learned of this workload before (policies/combined/learned_json.py)."""
        if self._path is not None:
            self._batch.learned[key] = (self._clock.now_ns(), text)

    def forget(self, key: Key) -> None:
        """The workload is gone; what the file has of it goes when it is old."""
        self._batch.learned.pop(key, None)
        self._open_hours = {place: hour for place, hour in self._open_hours.items() if place[0] != key}
        self._written_at.pop(key, None)

    async def lead_times(self) -> dict[Key, list[LeadTime]]:
        """All that the file has; nothing where it cannot be read."""
        return await self._use(lambda database: read_lead_times(database.connection), dict)

    async def load(self, key: Key, since_ns: int = 0) -> Samples:
        """What is known of a workload's demand, oldest first; at most 14 days."""
        now_ns = self._clock.now_ns()
        since_ns = max(since_ns, now_ns - LOAD_DAYS * 24 * HOUR_NS)
        unwritten = self._unwritten(key)
        return await self._use(
            lambda database: read_load(
                database.connection, key, since_ns=since_ns, until_ns=now_ns, unwritten=unwritten
            ),
            lambda: samples_of(sorted(unwritten.items(), key=lambda item: item[0]), since_ns=since_ns, until_ns=now_ns),
        )

    async def learned(self, key: Key) -> str:
        """As it was added last; "" where nothing is known."""
        if key in self._batch.learned:
            return self._batch.learned[key][1]
        return await self._use(lambda database: read_learned(database.connection, key), str)

    async def flush(self) -> None:
        """Write what is due."""
        await self._flush(everything=False)

    async def close(self) -> None:
        """Write all, and close the file."""
        await self._flush(everything=True)
        async with self._lock:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def _flush(self, *, everything: bool) -> None:
        if self._path is None:
            return
        now_ns = self._clock.now_ns()
        self._collect(now_ns, everything=everything)
        batch, self._batch = self._batch, Batch()
        is_pruned = now_ns - self._pruned_ns >= _PRUNE_NS

        def work(database: Database) -> bool:
            write(database.connection, batch)
            if is_pruned:
                prune(database.connection, now_ns)
            return True

        if not await self._use(work, bool):
            self._take_back(batch, now_ns)
        elif is_pruned:
            self._pruned_ns = now_ns

    def _collect(self, now_ns: int, *, everything: bool) -> None:
        """Move hours that are due into the batch: those that are over, and each workload's once in five minutes."""
        present = now_ns // HOUR_NS
        for (key, hour), minutes in list(self._open_hours.items()):
            is_over = hour < present and now_ns % HOUR_NS >= MINUTE_NS  # its last samples may come a little late
            last_ns = self._written_at.setdefault(key, now_ns - _place(key) * MINUTE_NS)
            is_due = now_ns - last_ns >= _MINUTES_BETWEEN_WRITES * MINUTE_NS
            if minutes.changed and (everything or is_over or is_due):
                self._batch.hours[key, hour] = minutes.means()
                minutes.changed = False
                self._written_at[key] = now_ns
            if is_over and not minutes.changed:
                del self._open_hours[key, hour]

    def _take_back(self, batch: Batch, now_ns: int) -> None:
        """What could not be written goes before what came meanwhile, within bounds."""
        self._batch.lead_times[:0] = batch.lead_times
        del self._batch.lead_times[:-_UNWRITTEN_LEAD_TIMES]
        self._batch.learned = {**batch.learned, **self._batch.learned}
        oldest = now_ns // HOUR_NS - _UNWRITTEN_HOURS
        self._batch.hours = {
            place: means for place, means in {**batch.hours, **self._batch.hours}.items() if place[1] > oldest
        }

    def _unwritten(self, key: Key) -> Mapping[int, F4]:
        found = {hour: means for (other, hour), means in self._batch.hours.items() if other == key}
        return found | {hour: seen.means() for (other, hour), seen in self._open_hours.items() if other == key}

    async def _use(self, work: Callable[[Database], T], otherwise: Callable[[], T]) -> T:
        """What work answers, in the thread; `otherwise` where the file could not be used, which is then a fault."""
        if self._path is None:
            return otherwise()
        path = self._path
        async with self._lock:
            try:
                result, notice = await asyncio.get_running_loop().run_in_executor(self._thread, self._work, path, work)
            except (sqlite3.Error, OSError, ValueError) as error:
                self._say(f"{path}: {_remedy(error)}; what is learned stays in memory meanwhile")
                return otherwise()
        if notice:
            self._notice, self._notice_ns = notice, self._clock.now_ns()
            self.begun_anew += 1
            _log.warning("%s", notice)
        self._say("")
        return result

    def _say(self, fault: str) -> None:
        if fault and fault != self._fault:
            _log.warning("%s", fault)
        self._fault = fault

    def _work(self, path: Path, work: Callable[[Database], T]) -> tuple[T, str]:
        """In the thread: (what work answers, what was noticed of the file). A file that turns out to be damaged is put
        aside once, and the work done on a new one."""
        database, notice = self._opened(path)
        try:
            return work(database), notice
        except (sqlite3.DatabaseError, ValueError) as error:
            if isinstance(error, sqlite3.Error) and not is_corrupt(error):
                raise
            self._close()
            kept = put_aside(path, self._clock.now_ns())
            database, _ = self._opened(path)
            return work(database), f"{path}: was damaged ({error}); it was kept as {kept.name} and begun anew"

    def _opened(self, path: Path) -> tuple[Database, str]:
        database, now_ns = self._database, self._clock.now_ns()
        if database is not None and database.is_in_place():
            return database, ""
        if database is None:
            found = open_database(path, max_bytes=self._max_bytes, now_ns=now_ns)
        else:
            found = restore(database, max_bytes=self._max_bytes, now_ns=now_ns)
            database.close()
        self._database = found
        return found, found.notice

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None


def _place(key: Key) -> int:
    """In [0, _MINUTES_BETWEEN_WRITES): not all workloads are written at once, and each at the same place every time."""
    return zlib.crc32(f"{key.namespace}/{key.name}".encode()) % _MINUTES_BETWEEN_WRITES


def _remedy(error: Exception) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return f"cannot be written, the disk or its share is full ({error}); make room, or a larger volume"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return f"cannot be written ({error}); give the controller's user the right to write it"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return f"is locked ({error}); let no other process hold it: each replica has a file of its own"
    return f"cannot be used ({error}); check store.path and the volume under it"
