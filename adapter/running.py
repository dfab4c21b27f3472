"""Work that runs along until something ends it: a signal, a failure, or its own end."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler


async def until_first(stopped: asyncio.Event, work: list[Callable[[], Awaitable[None]]]) -> None:
    """Do all the work until the first part of it ends or fails, or until stopped. Raises what it raises."""

    async def done(part: Callable[[], Awaitable[object]]) -> None:
        await part()

    tasks = [asyncio.create_task(done(part)) for part in (*work, stopped.wait)]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in ended:
        task.result()


@contextmanager
def every(seconds: float, work: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Do the work again and again; one that is still under way is not begun again."""
    scheduler = AsyncIOScheduler(timezone=UTC)
    scheduler.add_job(work, "interval", seconds=seconds, coalesce=True, max_instances=1, misfire_grace_time=None)
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


@contextmanager
def signalled() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set. Outside the main thread, signals are its owner's: never set."""
    stopped = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        yield stopped
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
