"""Blocking calls, awaited together."""

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from adapter.sources.in_threads import DaemonThreads, run_all, unhurried


async def test_each_call_has_an_outcome_of_its_own():
    """A result, an error, or TimeoutError for what is late: one does not spoil the other."""
    released = threading.Event()

    def late() -> str:
        return str(released.wait(5))

    with ThreadPoolExecutor(2) as pool:
        calls = {"good": lambda: "yes", "bad": lambda: 1 / 0, "late": late}
        outcomes = await run_all(pool, calls, timeout_seconds=0.1)
        released.set()
    assert outcomes["good"] == "yes"
    assert [type(outcomes[name]) for name in ("bad", "late")] == [ZeroDivisionError, TimeoutError]


async def test_no_calls_take_no_time():
    with ThreadPoolExecutor(1) as pool:
        assert await run_all(pool, {}, timeout_seconds=60.0) == {}


async def test_cancelling_leaves_what_has_not_begun_undone():
    released, begun = threading.Event(), []

    def call(number: int) -> None:
        begun.append(number)
        released.wait(5)

    with ThreadPoolExecutor(1) as pool:
        task = asyncio.ensure_future(run_all(pool, {0: lambda: call(0), 1: lambda: call(1)}, timeout_seconds=60.0))
        while not begun:  # noqa: ASYNC110 - a thread cannot set an asyncio.Event
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        released.set()
    assert begun == [0]


def test_unhurried_items_are_the_same_items():
    assert list(unhurried(range(10), every=3)) == list(range(10))


def test_the_end_of_the_process_waits_for_no_call():
    """A backend that hangs must not hold a restart up until the kubelet kills the process."""
    hanging = (
        "import time\nfrom adapter.sources.in_threads import DaemonThreads\n"
        "pool = DaemonThreads(1, name='x')\npool.submit(time.sleep, 600)\npool.shutdown(wait=False)\n"
    )
    assert subprocess.run([sys.executable, "-c", hanging], timeout=20, check=True).returncode == 0  # noqa: S603 - ours


def test_a_pool_runs_so_many_calls_at_once_and_leaves_out_what_is_cancelled():
    pool, released, begun = DaemonThreads(2, name="x"), threading.Event(), threading.Semaphore(0)

    def call(number: int) -> int:
        begun.release()
        assert released.wait(5)
        return number

    futures = [pool.submit(call, number) for number in range(4)]
    assert begun.acquire(timeout=5)
    assert begun.acquire(timeout=5)
    assert not begun.acquire(timeout=0.05)
    pool.shutdown(wait=False, cancel_futures=True)
    released.set()
    assert [future.result(5) for future in futures[:2]] == [0, 1]
    assert [future.cancelled() for future in futures[2:]] == [True, True]
    with pytest.raises(RuntimeError, match="was shut down"):
        pool.submit(call, 5)
    pool.shutdown()
