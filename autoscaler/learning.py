"""What takes seconds: reading a workload's past and learning from it, one at a time, in a thread of its own.

Decisions go on meanwhile with what is known: the policy's states are values, so the thread works on the one it was
given, and what it made is joined to the present one. What was learned is kept, so that a restart goes on with it:
learning it again would take hours for a thousand workloads.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import Protocol, TypeVar

from autoscaler.clock import Clock
from autoscaler.cluster import Key
from autoscaler.workload import Workload, Workloads
from policies.combined.backfill import begun
from policies.errors import BadInput
from policies.predictive.backfill import Samples
from policies.snapshot import NS_PER_SECOND

_log = logging.getLogger(__name__)

T = TypeVar("T")
ReadPast = Callable[[Key], Awaitable[Samples]]
_KEEP_NS = 3_600 * NS_PER_SECOND
"""Weights are news once a day; the margin moves all the time, by a few percent an hour at most."""


class Keeps(Protocol):
    """autoscaler.lead_times.store.Store: what was learned, over a restart."""

    def add_learned(self, key: Key, text: str) -> None: ...

    async def learned(self, key: Key) -> str: ...


class Learning:
    """pool: one thread, so that at most one workload is learned about at a time.

    read_past: the demand that was kept of a workload; nothing, where nothing was. store: keeps what was learned.
    """

    def __init__(
        self, workloads: Workloads, *, clock: Clock, pool: Executor, read_past: ReadPast, store: Keeps
    ) -> None:
        self._workloads = workloads
        self._clock = clock
        self._pool = pool
        self._read_past = read_past
        self._store = store

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
        for workload in self._workloads:
            if workload.kept_ns is None or now_ns - workload.kept_ns >= _KEEP_NS:
                self._keep(workload)
                await asyncio.sleep(0)  # a thousand of them are a tenth of a second

    def keep(self) -> None:
        """What was learned of every workload: at the end, before the store is closed."""
        for workload in self._workloads:
            self._keep(workload)

    def _keep(self, workload: Workload) -> None:
        text = workload.what_was_learned()
        if text:
            self._store.add_learned(workload.key, text)
            workload.kept_ns = self._clock.now_ns()

    async def _guarded(self, work: Callable[[Workload], Awaitable[None]], workload: Workload) -> None:
        try:
            await work(workload)
        except Exception:  # a fault of one workload's numbers, or of a file
            _log.exception("learning failed: autoscaler=%s/%s", workload.key.namespace, workload.key.name)

    async def _remember(self, workload: Workload) -> None:
        workload.needs_history = False  # one that fails is not read again at every turn: what comes is learned anyway
        spec = workload.spec
        await self._go_on(workload)
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

    async def _go_on(self, workload: Workload) -> None:
        text = await self._store.learned(workload.key)
        if not text:
            return
        namespace, name = workload.key.namespace, workload.key.name
        try:
            if workload.go_on(text):
                workload.kept_ns = self._clock.now_ns()
                _log.info("goes on with what was learned: autoscaler=%s/%s", namespace, name)
        except BadInput as error:  # of another version: it is learned again
            _log.warning("what was learned cannot be read: autoscaler=%s/%s %s", namespace, name, error)

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
