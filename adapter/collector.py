"""One collection: read the targets, fetch their pages, put the samples in the store."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from adapter.sources.attribution import Page, attribute
from adapter.sources.catalogue import SERIES_NAMES
from adapter.sources.exposition import MalformedPage, parse_exposition
from adapter.sources.scrape import SourceUnavailable, fetch_page
from adapter.sources.targets import Target, TargetSet, TargetsFile
from adapter.store import Store

logger = logging.getLogger(__name__)
_NAMES = frozenset(series.name for series in SERIES_NAMES)


@dataclass(frozen=True, slots=True)
class ScrapeCounts:
    """How one target fared since it was first listed. up: whether the last scrape succeeded."""

    successes: int = 0
    failures: int = 0
    up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What one collection did. failures: reason -> pages. seconds: how long it took on the wall."""

    targets: int
    scraped: int
    failures: Mapping[str, int]
    seconds: float


class Collector:
    """Fills the store. Collections must not overlap.

    counts: of the targets now listed. collected: whether any collection is complete.
    """

    def __init__(
        self,
        *,
        targets_file: TargetsFile,
        store: Store,
        session: aiohttp.ClientSession,
        scrape_timeout_seconds: float,
        max_concurrent_scrapes: int,
    ) -> None:
        self.counts: Mapping[Target, ScrapeCounts] = {}
        self.collected = False
        self._targets_file = targets_file
        self._store = store
        self._session = session
        self._timeout_seconds = scrape_timeout_seconds
        self._places = asyncio.Semaphore(max_concurrent_scrapes)
        self._fault: str | None = None

    async def collect(self, now_ns: int) -> Collection:
        """Scrape every target once; now_ns is the time of the samples that carry none of their own.

        A page that fails is counted and logged, never raised. Raises BadTargets only if the targets file
        has never been good.
        """
        started = time.perf_counter()
        targets = await asyncio.to_thread(self._targets_file.read)
        self._report_fault(self._targets_file.fault)
        results = await asyncio.gather(*(self._scrape(target, targets, now_ns) for target in targets.targets))
        outcomes = dict(zip(targets.targets, results, strict=True))
        scraped = {target: page for target, page in outcomes.items() if not isinstance(page, str)}
        self._store.update(targets, scraped)
        self.counts = {target: self._counted(target, target in scraped) for target in targets.targets}
        self.collected = True
        collection = Collection(
            targets=len(targets.targets),
            scraped=len(scraped),
            failures=Counter(reason for reason in results if isinstance(reason, str)),
            seconds=time.perf_counter() - started,
        )
        logger.info(
            "collection targets=%d scraped=%d failed=%d series=%d seconds=%.3f",
            collection.targets,
            collection.scraped,
            collection.targets - collection.scraped,
            self._store.series_count(),
            collection.seconds,
        )
        return collection

    async def _scrape(self, target: Target, targets: TargetSet, now_ns: int) -> Page | str:
        """The target's page, or one word for why there is none."""
        try:
            async with self._places:
                text = await fetch_page(self._session, target.url, timeout_seconds=self._timeout_seconds)
            samples = parse_exposition(text, names=_NAMES)
        except SourceUnavailable as error:
            self._report_failure(target, str(error))
            return error.reason
        except MalformedPage as error:
            self._report_failure(target, f"{target.url}: {error}")
            return "malformed"
        return attribute(samples, target=target, pods=targets.pods, scraped_at_ns=now_ns)

    def _counted(self, target: Target, up: bool) -> ScrapeCounts:
        before = self.counts.get(target, ScrapeCounts())
        return ScrapeCounts(before.successes + up, before.failures + (not up), up)

    def _report_failure(self, target: Target, message: str) -> None:
        before = self.counts.get(target)
        if before is None or before.up:  # once, when it begins
            logger.warning("scrape failed, keeping the last samples until their max age: %s", message)

    def _report_fault(self, fault: str | None) -> None:
        if fault != self._fault and fault is not None:
            logger.error("targets file not usable, keeping the last good targets: %s", fault)
        self._fault = fault
