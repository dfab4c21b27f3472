"""Blocking calls in a pool of threads, awaited together for a bounded time, and polite to the event loop."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

Item = TypeVar("Item")
Key = TypeVar("Key")
Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")

DECODING = threading.Lock()
"""Held while an answer is taken apart. The interpreter runs one thread at a time anyway; with several that want to, the
event loop would wait 5 ms (sys.getswitchinterval) for each of them at every turn of its own."""

_PAUSE_SECONDS = 50e-6
"""Long enough that a thread that waits for the interpreter gets it; a pause of 0 is over before it has woken up."""


class DaemonThreads(Executor):
    """A pool whose threads the end of the process does not wait for, as it does for ThreadPoolExecutor's.

    A backend that hangs would hold the process up until its call's deadline, and the kubelet would kill it.
    """

    def __init__(self, count: int, *, name: str) -> None:
        self._count = count
        self._name = name
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._is_shut = False

    def submit(
        self, fn: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> "Future[Result]":
        if self._is_shut:
            raise RuntimeError(f"{self._name}: was shut down, must be open for a call")
        future: Future[Result] = Future()
        self._calls.put((future, partial(fn, *args, **kwargs)))
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. cancel_futures: leave out those that have not begun."""
        self._is_shut = True
        while cancel_futures:
            try:
                left = self._calls.get_nowait()
            except Empty:
                break
            if left is not None:
                left[0].cancel()
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads if wait else ():
            thread.join()

    def _work(self) -> None:
        while (begun := self._calls.get()) is not None:
            _run(*begun)
            del begun  # or its result would stay until the next one


def _run(future: "Future[Result]", call: Callable[[], Result]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)


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
