"""A counter's, or a histogram's, recent samples: what a rate looks back over."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from operator import lt

from adapter.sources.derive.promql import Span, span

_NS_PER_SECOND = 1_000_000_000
_SAMPLES_LIMIT = 240
"""Of one history: an hour at 15 s. Denser samples replace each other, so memory does not depend on the interval."""


class CounterHistory:
    """Samples within a window of one or more counters that are read together (the buckets of a histogram).

    Flat arrays: four samples take 0.5 kB for one counter and 1.3 kB for a histogram of 23 buckets (tracemalloc).
    """

    __slots__ = ("_resets", "_spacing_ns", "_times", "_values", "_window_ns", "_window_seconds", "width")

    def __init__(self, width: int, window_seconds: int) -> None:
        self.width = width
        self._window_seconds = window_seconds
        self._window_ns = window_seconds * _NS_PER_SECOND
        self._spacing_ns = self._window_ns // _SAMPLES_LIMIT
        self._times = array("q")
        self._values = array("d")
        self._resets: list[tuple[int, tuple[float, ...]]] = []

    @property
    def last_ns(self) -> int:
        """The newest sample's instant, 0 where there is none."""
        return self._times[-1] if self._times else 0

    def add(self, at_ns: int, values: Sequence[float]) -> None:
        """A newer sample, `width` finite values; one that is not newer is passed over."""
        times, width = self._times, self.width
        if times and at_ns <= times[-1]:
            return
        if times:
            last = self._values[-width:]
            if any(map(lt, values, last)):
                lost = tuple(before if now < before else 0.0 for now, before in zip(values, last, strict=True))
                self._resets.append((at_ns, lost))
        if len(times) >= 2 and times[-1] - times[-2] < self._spacing_ns:
            times[-1] = at_ns
            del self._values[-width:]
        else:
            times.append(at_ns)
        self._values.extend(values)
        self._forget(at_ns)

    def span(self, now_ns: int) -> Span | None:
        """How the window that ends at now_ns is covered; None with fewer than two samples in it."""
        self._forget(now_ns)
        if len(self._times) < 2:
            return None
        return span(
            self._times[0], self._times[-1], len(self._times), now_ns=now_ns, window_seconds=self._window_seconds
        )

    def first(self) -> Sequence[float]:
        """The oldest sample's values."""
        return self._values[: self.width]

    def increases(self) -> Sequence[float]:
        """What each counter grew from the oldest sample to the newest, as if it had never been reset to 0."""
        width, values = self.width, self._values
        result = [last - first for last, first in zip(values[-width:], values[:width], strict=True)]
        for _, lost in self._resets:
            result = [one + more for one, more in zip(result, lost, strict=True)]
        return result

    def _forget(self, now_ns: int) -> None:
        times = self._times
        if times and times[0] <= now_ns - self._window_ns:
            gone = bisect_right(times, now_ns - self._window_ns)
            del times[:gone], self._values[: gone * self.width]
        while self._resets and (not times or self._resets[0][0] <= times[0]):
            del self._resets[0]
