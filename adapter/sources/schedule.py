"""The loop that collects one source: staggered, never overlapping, bounded in time, patient after failures.

A task of its own for each source, so that a slow one delays no other. Plain asyncio instead of a scheduler: the next
start depends on how the last collection went (backoff, Retry-After), which interval triggers do not know.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol, TypeAlias

from adapter.sources.pods import Pods
from adapter.sources.rule import Rule
from adapter.sources.series import NS_PER_SECOND
from adapter.sources.source import Reading, Source, SourceUnavailable

logger = logging.getLogger(__name__)
_NO_FAILURES: Mapping[str, int] = MappingProxyType({})

Outcome: TypeAlias = Reading | SourceUnavailable


class OnReading(Protocol):
    """Told of each collection at its end: (the source's name, what came of it, when it began)."""

    def __call__(self, source: str, outcome: Outcome, now_ns: int, /) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceHealth:
    """How a source fares. Instants in nanoseconds since the Unix epoch, None before the first.

    consecutive_failures: collections since the last one that gave anything. last_error: of the last failed one, ""
    where none has failed since it last succeeded. failures: reason -> collections and rules that failed for it.
    last_seconds: how long the last collection took. retry_at_ns: before which it will not be asked again.
    """

    collections: int = 0
    consecutive_failures: int = 0
    last_success_ns: int | None = None
    last_error: str = ""
    last_error_ns: int | None = None
    last_seconds: float | None = None
    retry_at_ns: int | None = None
    failures: Mapping[str, int] = field(default_factory=lambda: _NO_FAILURES)


class SourceLoop:
    """Collects `source` every interval_seconds until cancelled.

    The first collection starts at once, so that a restart is short. With stagger=True the second follows after a random
    part of the interval: jitter once, so that replicas that start together do not ask together for ever, and the
    distance between collections stays what it is. A collection that takes longer than the interval
    is followed by the next one at once, however many starts it missed; one that takes longer than timeout_seconds
    is given up. After failures the distance grows: the interval, plus a random part ("full jitter") of a span that
    doubles with each up to max_backoff_seconds; and at least what the backend asked for, up to max_retry_after_seconds.

    rules, pods: asked at each start. clock: nanoseconds since the Unix epoch, for samples and health. monotonic, sleep:
    for distances, in seconds. chance: draws from [0, 1).
    """

    def __init__(
        self,
        source: Source,
        *,
        interval_seconds: float,
        timeout_seconds: float,
        rules: Callable[[], Sequence[Rule]],
        pods: Callable[[], Pods],
        on_reading: OnReading,
        clock: Callable[[], int],
        monotonic: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        stagger: bool = False,
        max_backoff_seconds: float = 60.0,
        max_retry_after_seconds: float = 300.0,
    ) -> None:
        self.health = SourceHealth()
        self._source = source
        self._interval_seconds = interval_seconds
        self._timeout_seconds = timeout_seconds
        self._rules = rules
        self._pods = pods
        self._on_reading = on_reading
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._chance = chance
        self._stagger = stagger
        self._max_backoff_seconds = max_backoff_seconds
        self._max_retry_after_seconds = max_retry_after_seconds

    @property
    def name(self) -> str:
        return self._source.name

    async def run(self) -> None:
        """Collect until cancelled; the source is the caller's to close."""
        monotonic = self._monotonic or asyncio.get_running_loop().time
        if self._stagger:
            await self._collect_once(monotonic)
            await self._sleep(self._chance() * self._interval_seconds)
        due = monotonic()
        while True:
            asked_wait = await self._collect_once(monotonic)
            now = monotonic()
            if self.health.consecutive_failures or asked_wait:
                due = now + max(asked_wait, self._backoff_seconds())
            else:
                due = max(due + self._interval_seconds, now)
            wait = due - now
            if asked_wait or self.health.consecutive_failures:
                self._note_retry(wait)
            # At least one turn of the loop, or a source that is always late would let nobody else run.
            await self._sleep(wait)

    async def collect_once(self) -> None:
        """One collection now, told to everyone: for a caller that has a time of its own."""
        await self._collect_once(self._monotonic or asyncio.get_running_loop().time)

    async def _collect_once(self, monotonic: Callable[[], float]) -> float:
        """One collection, told to everyone. Returns how long the backend asked us to wait, seconds."""
        now_ns, began = self._clock(), monotonic()
        outcome = await self._outcome(now_ns)
        self._note(outcome, now_ns, monotonic() - began)
        try:
            self._on_reading(self.name, outcome, now_ns)
        except Exception:  # whoever listens has a fault: the next collection may still help it
            logger.exception("collection could not be taken in: source=%s", self.name)
        failed = [outcome] if isinstance(outcome, SourceUnavailable) else outcome.failures.values()
        return min(self._max_retry_after_seconds, max((one.retry_after_seconds or 0.0 for one in failed), default=0.0))

    async def _outcome(self, now_ns: int) -> Outcome:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await self._source.collect(self._rules(), self._pods(), now_ns)
        except SourceUnavailable as error:
            return error
        except TimeoutError:
            return SourceUnavailable("timeout", f"{self.name}: no collection within {self._timeout_seconds:g} s")
        except Exception as error:  # a fault of ours must not end the loop
            logger.exception("collection failed: source=%s", self.name)
            return SourceUnavailable("internal", f"{self.name}: {type(error).__name__}: {error}; this is a bug")

    def _note(self, outcome: Outcome, now_ns: int, seconds: float) -> None:
        before = self.health
        failures = Counter(before.failures)
        if isinstance(outcome, SourceUnavailable):
            failures[outcome.reason] += 1
            self.health = SourceHealth(
                collections=before.collections + 1,
                consecutive_failures=before.consecutive_failures + 1,
                last_success_ns=before.last_success_ns,
                last_error=str(outcome),
                last_error_ns=now_ns,
                last_seconds=seconds,
                failures=MappingProxyType(failures),
            )
            return
        failures.update(error.reason for error in outcome.failures.values())
        self.health = SourceHealth(
            collections=before.collections + 1,
            last_success_ns=now_ns,
            last_error_ns=before.last_error_ns,
            last_seconds=seconds,
            failures=MappingProxyType(failures),
        )

    def _note_retry(self, wait_seconds: float) -> None:
        self.health = replace(self.health, retry_at_ns=self._clock() + round(wait_seconds * NS_PER_SECOND))

    def _backoff_seconds(self) -> float:
        """Full jitter (Brooker, "Exponential Backoff and Jitter", 2015) on top of the interval, which is never cut."""
        failures = min(self.health.consecutive_failures, 16)
        span = min(self._max_backoff_seconds, self._interval_seconds * (2.0**failures - 1.0))
        return self._interval_seconds + self._chance() * span
