"""What every source of metrics is: asked once an interval, for all rules at a time."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from adapter.sources.pods import Pods
from adapter.sources.rule import Rule
from adapter.sources.series import PodKey, Series


class SourceUnavailable(Exception):
    """Something could not be had from a source. The next collection tries again.

    reason: one word for counting: timeout, connection, status, throttled, unauthorized, too_large, encoding,
    malformed, truncated, limit; internal for a fault of ours.
    retry_after_seconds: what the backend asked for, None if it did not say.
    """

    def __init__(self, reason: str, message: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one collection of one source gave.

    series: rule name -> its series; a rule that the source cannot answer, or that failed, is absent.
    failures: rule name -> why it could not be had. A rule in neither is one that this source does not know.
    queries: rule name -> what was asked of the backend, for `explain`.
    notes: further troubles, counted: reason -> how many ("limit": series cut, "status": pages).
    answered: pods of which everything was read, so that a series absent for them is gone; None where the
        source cannot tell, and absent series of pods that exist are kept to age.
    """

    series: Mapping[str, Sequence[Series]]
    failures: Mapping[str, SourceUnavailable] = field(default_factory=dict)
    queries: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    answered: Collection[PodKey] | None = None


class Source(Protocol):
    """One backend. name: as in the configuration; unique. Collections of one source never overlap."""

    @property
    def name(self) -> str: ...

    async def collect(self, rules: Sequence[Rule], pods: Pods, now_ns: int) -> Reading:
        """Ask once for everything. Raises SourceUnavailable where the backend as a whole cannot be had."""
        ...

    async def close(self) -> None: ...
