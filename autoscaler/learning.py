"""What takes seconds: reading a workload's past and learning from it, one at a time, in a thread of its own.

Decisions go on meanwhile with what is known: the policy's states are values, so the thread works on the one it was
given, and what it made is joined to the present one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TypeVar

from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.workload import Workload, Workloads
from policies.combined.backfill import begun
from policies.predictive.backfill import Samples
from policies.snapshot import NS_PER_SECOND

_log = logging.getLogger(__name__)

T = TypeVar("T")
ReadPast = Callable[[Key], Awaitable[Samples]]


class Learning:
    """pool: one thread, so that at most one workload is learned about at a time.

    read_past: the demand that was kept of a workload; nothing, where nothing was.
    """

    def __init__(self, workloads: Workloads, *, clock: Clock, pool: Executor, read_past: ReadPast) -> None:
        self._workloads = workloads
        self._clock = clock
        self._pool = pool
        self._read_past = read_past

    async def turn(self) -> None:
        """For every workload, its past where it is still missing, then learning where it is due. Whatever fails is
        logged and tried again later; it keeps no other workload from its turn."""
        for workload in self._workloads:
            if workload.needs_history:
                await self._guarded(self._remember, workload)
        now_ns = self._clock.now_ns()
        due = [each for each in self._workloads if each.learn_after_ns is None or each.learn_after_ns <= now_ns]
        for workload in sorted(due, key=lambda each: each.learn_after_ns or 0):
            await self._guarded(self._learn, workload)

    async def _guarded(self, work: Callable[[Workload], Awaitable[None]], workload: Workload) -> None:
        try:
            await work(workload)
        except Exception:  # a fault of one workload's numbers, or of a file
            _log.exception("learning failed: autoscaler=%s/%s", workload.key.namespace, workload.key.name)

    async def _remember(self, workload: Workload) -> None:
        workload.needs_history = False  # one that fails is not read again at every turn: what comes is learned anyway
        spec = workload.spec
        samples = await self._read_past(workload.key)
        if not len(samples.at_ns):
            return
        until_ns = self._clock.now_ns()
        past, taken = await self._in_thread(lambda: begun(spec, samples, until_ns))
        if workload.spec != spec:
            workload.needs_history = True
            return
        workload.remember(past)
        _log.info(
            "past demand read: autoscaler=%s/%s samples=%d dropped=%d gaps=%d",
            workload.key.namespace,
            workload.key.name,
            taken.used,
            taken.dropped,
            taken.gaps,
        )

    async def _learn(self, workload: Workload) -> None:
        policy, state, now_ns = workload.running.policy, workload.running.state, self._clock.now_ns()
        workload.learn_after_ns = now_ns + policy.learn_period_seconds * NS_PER_SECOND
        learn = policy.learn
        assert learn is not None
        taught = await self._in_thread(lambda: learn(policy.spec, state, now_ns))
        if workload.running.policy is not policy:
            workload.learn_after_ns = None  # the spec changed meanwhile
            return
        if workload.learned(taught):
            _log.info("learned: autoscaler=%s/%s", workload.key.namespace, workload.key.name)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)
