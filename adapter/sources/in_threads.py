"""Blocking calls in a pool of threads, awaited together for a bounded time, and polite to the event loop."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from typing import TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key")
Result = TypeVar("Result")

DECODING = threading.Lock()
"""Held while an answer is taken apart. The interpreter runs one thread at a time anyway; with several that want to, the
event loop would wait 5 ms (sys.getswitchinterval) for each of them at every turn of its own."""

_PAUSE_SECONDS = 50e-6
"""Long enough that a thread that waits for the interpreter gets it; a pause of 0 is over before it has woken up."""


def unhurried(items: Iterable[Item], *, every: int) -> Iterator[Item]:
    """The items, with a pause for the other threads after each `every` of them."""
    for number, item in enumerate(items, start=1):
        yield item
        if number % every == 0:
            time.sleep(_PAUSE_SECONDS)


async def run_all(
    pool: Executor, calls: Mapping[Key, Callable[[], Result]], *, timeout_seconds: float
) -> dict[Key, Result | Exception]:
    """What each call returned or raised, TimeoutError for one that is not done by then.

    Calls start in the mapping's order. One that has begun cannot be stopped, so it must know a deadline of its own.
    """
    loop = asyncio.get_running_loop()
    futures: dict[Key, asyncio.Future[Result]] = {key: loop.run_in_executor(pool, call) for key, call in calls.items()}
    try:
        if futures:
            await asyncio.wait(futures.values(), timeout=timeout_seconds)
        outcomes: dict[Key, Result | Exception] = {}
        for key, future in futures.items():
            outcome: Result | Exception = _outcome(future)
            outcomes[key] = outcome
        return outcomes
    finally:
        for future in futures.values():
            if future.done() and not future.cancelled():
                future.exception()  # seen, or asyncio would complain when the wait itself was cancelled
            else:
                future.cancel()


def _outcome(future: "asyncio.Future[Result]") -> "Result | Exception":
    if not future.done():
        return TimeoutError()
    try:
        return future.result()
    except Exception as error:  # whatever it is, it is the caller's to judge
        return error
