"""How each scraped page fares."""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from adapter.sources.source import SourceUnavailable
from adapter.sources.targets import Target

logger = logging.getLogger(__name__)
_WARNINGS_LIMIT = 10
"""Per collection: when a zone fails, its first pages are named and the rest are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """How one target fared since it was first listed.

    up: whether the last scrape succeeded. reason, message: of the last failure, "" if there was none since the last
    success. seconds: the last scrape took, None before the first. series: that rules used of the last good page.
    tried_at_ns: of the last scrape, 0 before the first. is_postponed: the last collection had no time for it.
    """

    successes: int = 0
    failures: int = 0
    up: bool = False
    reason: str = ""
    message: str = ""
    seconds: float | None = None
    series: int = 0
    tried_at_ns: int = 0
    is_postponed: bool = False

    @property
    def is_failing(self) -> bool:
        """It was tried, and failed the last time."""
        return not self.up and self.failures > 0


_NEW = TargetHealth()


class HealthBook:
    """The health of every listed target."""

    def __init__(self) -> None:
        self._health: dict[Target, TargetHealth] = {}
        self._warnings = 0

    def list_only(self, targets: Collection[Target]) -> None:
        """Begin a collection of these targets; forget all others."""
        self._health = {target: self._health.get(target, _NEW) for target in targets}
        self._warnings = 0

    def of(self, target: Target) -> TargetHealth:
        return self._health.get(target, _NEW)

    def by_url(self) -> Mapping[str, TargetHealth]:
        return {target.url: health for target, health in self._health.items()}

    def succeeded(self, target: Target, *, seconds: float, series: int, at_ns: int) -> None:
        before = self.of(target)
        if before.is_failing:
            logger.info("scrape works again: url=%s failures=%d", target.url, before.failures)
        self._health[target] = TargetHealth(
            successes=before.successes + 1,
            failures=before.failures,
            up=True,
            seconds=seconds,
            series=series,
            tried_at_ns=at_ns,
        )

    def failed(self, target: Target, error: SourceUnavailable, *, seconds: float, at_ns: int) -> None:
        before = self.of(target)
        if not before.is_failing:  # said once, when it begins
            self._warnings += 1
            if self._warnings <= _WARNINGS_LIMIT:
                logger.warning(
                    "scrape failed, its last samples age: url=%s reason=%s: %s", target.url, error.reason, error
                )
        self._health[target] = replace(
            before,
            failures=before.failures + 1,
            up=False,
            reason=error.reason,
            message=str(error),
            seconds=seconds,
            tried_at_ns=at_ns,
            is_postponed=False,
        )

    def postponed(self, target: Target) -> None:
        self._health[target] = replace(self.of(target), is_postponed=True)

    def end(self) -> None:
        """End a collection."""
        if self._warnings > _WARNINGS_LIMIT:
            logger.warning("scrape failed of further targets: count=%d", self._warnings - _WARNINGS_LIMIT)
