"""Verdicts of the API server: kept for a while, asked for once at a time, never more than the limits."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from adapter.auth.refusal import ReviewFailed
from adapter.sources.kubernetes.api import ApiError

_log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)
Verdict = TypeVar("Verdict")

NS_PER_SECOND = 1_000_000_000
_WAITS_SECONDS = (0.0, 0.5, 0.75)  # before each repetition; the first at once: a kept-alive connection had ended
_FAILURE_KEPT_NS = NS_PER_SECOND  # so that an API server that is down is asked once a second, not once a request


class ExpiringCache(Generic[Key, Verdict]):
    """A mapping whose entries end. Full, it forgets the oldest entry; the caller passes the instants."""

    def __init__(self, max_entries: int) -> None:
        self._entries: dict[Key, tuple[int, Verdict]] = {}
        self._max_entries = max_entries

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Key, now_ns: int) -> Verdict | None:
        entry = self._entries.get(key)
        return entry[1] if entry is not None and now_ns < entry[0] else None

    def put(self, key: Key, verdict: Verdict, until_ns: int) -> None:
        self._entries.pop(key, None)
        if len(self._entries) >= self._max_entries:
            del self._entries[next(iter(self._entries))]
        self._entries[key] = (until_ns, verdict)


class ReviewCache(Generic[Key, Verdict]):
    """Reviews of one kind. Good and bad verdicts are kept apart, so that a flood of bad ones displaces no good one.

    fault: why the last review failed, "" after a success. asked, failed: reviews sent so far, and of them failed.
    """

    def __init__(
        self,
        kind: str,
        *,
        is_good: Callable[[Verdict], bool],
        good_seconds: float,
        bad_seconds: float,
        max_entries: int,
        max_concurrent: int,
        timeout_seconds: float,
        monotonic_ns: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """kind: for messages, as the API names it. max_entries: of good and of bad verdicts each."""
        self.fault = ""
        self.asked = 0
        self.failed = 0
        self.kind = kind
        self._is_good = is_good
        self._good_ns = round(good_seconds * NS_PER_SECOND)
        self._bad_ns = round(bad_seconds * NS_PER_SECOND)
        self._good: ExpiringCache[Key, Verdict] = ExpiringCache(max_entries)
        self._bad: ExpiringCache[Key, Verdict] = ExpiringCache(max_entries)
        self._failures: ExpiringCache[Key, str] = ExpiringCache(max_entries)
        self._under_way: dict[Key, asyncio.Task[Verdict]] = {}
        self._free = asyncio.Semaphore(max_concurrent)
        self._timeout_seconds = timeout_seconds
        self._monotonic_ns = monotonic_ns
        self._sleep = sleep

    def known(self, key: Key) -> Verdict | None:
        """The verdict if it is in memory."""
        now_ns = self._monotonic_ns()
        verdict = self._good.get(key, now_ns)
        return verdict if verdict is not None else self._bad.get(key, now_ns)

    async def ask(self, key: Key, review: Callable[[], Awaitable[Verdict]], *, keep: bool = True) -> Verdict:
        """The verdict, from memory, from a review under way, or from a new one. keep: whether it is remembered.

        Raises ReviewFailed where the API server gives none; that is remembered for a second.
        """
        verdict = self.known(key)
        if verdict is not None:
            return verdict
        task = self._under_way.get(key)
        if task is None:
            failure = self._failures.get(key, self._monotonic_ns())
            if failure is not None:
                raise ReviewFailed(failure)
            task = asyncio.create_task(self._review(key, review, keep))
            self._under_way[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        return await asyncio.shield(task)  # one client that goes away does not end it for the others

    def _forget(self, key: Key, task: "asyncio.Task[Verdict]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # seen, even if every client has gone

    async def _review(self, key: Key, review: Callable[[], Awaitable[Verdict]], keep: bool) -> Verdict:
        self.asked += 1
        try:
            async with asyncio.timeout(self._timeout_seconds), self._free:
                verdict = await self._patiently(review)
        except (ApiError, TimeoutError) as error:
            why = str(error) or f"no answer within {self._timeout_seconds:g} s"
            raise self._failure(key, f"{self.kind}: {why}{_remedy(error)}") from error
        if self.fault:
            _log.info("%s: answered again", self.kind)
        self.fault = ""
        if keep:
            now_ns = self._monotonic_ns()
            if self._is_good(verdict):
                self._good.put(key, verdict, now_ns + self._good_ns)
            else:
                self._bad.put(key, verdict, now_ns + self._bad_ns)
        return verdict

    async def _patiently(self, review: Callable[[], Awaitable[Verdict]]) -> Verdict:
        """Ask again where a Go API server does: a review changes nothing, so it may be repeated.

        Source: apiserver pkg/util/webhook/webhook.go, DefaultShouldRetry.
        """
        for wait_seconds in _WAITS_SECONDS:
            try:
                return await review()
            except ApiError as error:
                if error.reason != "Disconnected" and error.status not in (429, 500, 504):
                    raise
            await self._sleep(wait_seconds)
        return await review()

    def _failure(self, key: Key, message: str) -> ReviewFailed:
        self.failed += 1
        if not self.fault:
            _log.error("%s", message)
        self.fault = message
        self._failures.put(key, message, self._monotonic_ns() + _FAILURE_KEPT_NS)
        return ReviewFailed(message)


def _remedy(error: Exception) -> str:
    if isinstance(error, ApiError) and error.status in (401, 403):
        return "; bind the adapter's service account to ClusterRole system:auth-delegator"
    return ""
