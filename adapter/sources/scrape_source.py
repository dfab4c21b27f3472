"""The direct scrape as a source: all targets' pages, once an interval, in slices that no request notices."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import aiohttp

from adapter.sources.attribution import attribute
from adapter.sources.derive.describe import describe
from adapter.sources.derive.page import Page
from adapter.sources.derive.values import Histories, series_of
from adapter.sources.page_parser import PageParser, ParsedPage, SeriesBudget
from adapter.sources.pods import Pods
from adapter.sources.rule import Rule, series_names
from adapter.sources.scrape import fetch_page
from adapter.sources.scrape_health import HealthBook, TargetHealth
from adapter.sources.scrape_settings import ScrapeSettings
from adapter.sources.series import NS_PER_SECOND, PodKey, Series
from adapter.sources.series_cache import SeriesCache
from adapter.sources.source import Reading, SourceUnavailable
from adapter.sources.targets import Target, TargetSet
from adapter.sources.turns import Turns

_SERIES_PER_TURN = 200  # about a millisecond


@dataclass(slots=True)
class _Collection:
    """One collection while it is under way."""

    pods: Pods
    now_ns: int
    started: float
    queue: deque[Target]
    budget: SeriesBudget
    series: dict[str, list[Series]] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)
    unread: list[Target] = field(default_factory=list)
    read: int = 0
    failures: dict[Target, SourceUnavailable] = field(default_factory=dict)
    exporter_of_gpu: dict[tuple[str, PodKey | None, str, str], Target] = field(default_factory=dict)


class ScrapeSource:
    """Scrapes pods and exporters.

    targets: called at each collection, from memory. session: not closed here; its connector should allow
    `concurrency` connections. monotonic: a clock in seconds; a sample without a time of its own is stamped with
    the instant its page was asked for, as Prometheus does.
    """

    def __init__(
        self,
        targets: Callable[[], TargetSet],
        session: aiohttp.ClientSession,
        settings: ScrapeSettings | None = None,
        *,
        name: str = "scrape",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = targets
        self._session = session
        self._settings = settings or ScrapeSettings()
        self._name = name
        self._monotonic = monotonic
        self._turns = Turns()
        self._cache = SeriesCache(limit=self._settings.series_limit)
        self._book = HealthBook()
        self._histories: dict[Target, Histories] = {}
        self._rules: Sequence[Rule] = ()
        self._rules_of_name: dict[str, list[Rule]] = {}
        self._queries: dict[str, str] = {}

    @property
    def name(self) -> str:
        return self._name

    def health(self) -> Mapping[str, TargetHealth]:
        """URL -> how the target fares, of those listed at the last collection."""
        return self._book.by_url()

    async def collect(self, rules: Sequence[Rule], pods: Pods, now_ns: int) -> Reading:
        """Scrape every target once. A page that fails is counted and fails no other.

        Raises SourceUnavailable where there are pages of pods that serve, and none of all pages tried could be had.
        Of pods that are not Ready a refusal is no news: the only server of a cluster may load its model for minutes.
        """
        self._use(rules)
        targets = [one for one in self._targets().targets if one.role == "exporter" or one.owner in pods]
        self._book.list_only(targets)
        self._histories = {target: self._histories.get(target) or Histories() for target in targets}
        under_way = _Collection(
            pods=pods,
            now_ns=now_ns,
            started=self._monotonic(),
            queue=deque(),
            budget=SeriesBudget(self._settings.series_limit),
        )
        self._fill_queue(targets, under_way)
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(self._settings.concurrency, len(targets))):
                workers.create_task(self._work(under_way))
                await asyncio.sleep(0)  # one connection begun per round of the loop
        self._book.end()
        failed = {target: error for target, error in under_way.failures.items() if not _is_loading(target, pods)}
        if failed and not under_way.read:
            target, error = next(iter(failed.items()))
            raise SourceUnavailable(
                error.reason, f"none of {len(targets)} pages could be had, the first one {target.url}: {error}"
            )
        return Reading(
            series=under_way.series,
            queries=self._queries,
            notes=under_way.notes,
            answered=_answered(under_way.unread, pods),
        )

    async def close(self) -> None:
        """Nothing is open between collections; the session is its owner's to close."""

    def _use(self, rules: Sequence[Rule]) -> None:
        if (rules := tuple(rules)) == self._rules:
            return
        self._rules = rules
        self._rules_of_name = {}
        for rule in rules:
            for series in dict.fromkeys(series_names(rule.value)):
                self._rules_of_name.setdefault(series, []).append(rule)
        self._cache.want(frozenset(self._rules_of_name))
        self._queries = {rule.name: describe(rule.value) for rule in rules}

    def _order(self, target: Target) -> tuple[bool, bool, int]:
        """First those that work, small pages before large ones; then the failing, longest untried first.

        Whatever the last collection did not reach comes first among its like.
        """
        health = self._book.of(target)
        size_or_time = health.tried_at_ns if health.is_failing else health.series
        return health.is_failing, not health.is_postponed, size_or_time

    def _fill_queue(self, targets: Sequence[Target], under_way: _Collection) -> None:
        hanging = 2 * self._settings.concurrency
        for target in sorted(targets, key=self._order):
            if self._book.of(target).reason == "timeout":
                hanging -= 1
            if hanging < 0 and self._book.of(target).reason == "timeout":
                self._postpone(target, under_way)
            else:
                under_way.queue.append(target)

    def _postpone(self, target: Target, under_way: _Collection) -> None:
        under_way.unread.append(target)
        under_way.notes["postponed"] += 1
        self._book.postponed(target)

    async def _work(self, under_way: _Collection) -> None:
        """Scrape targets of the queue until it is empty or the collection's time is over."""
        while under_way.queue:
            target = under_way.queue.popleft()
            if self._monotonic() - under_way.started > self._settings.collection_seconds:
                self._postpone(target, under_way)
            else:
                await self._scrape(target, under_way)

    async def _scrape(self, target: Target, under_way: _Collection) -> None:
        began = self._monotonic()
        at_ns = under_way.now_ns + round((began - under_way.started) * NS_PER_SECOND)
        parser = PageParser(self._cache, self._settings.page_limits, under_way.budget)
        try:
            parsed = await fetch_page(self._session, target.url, parser, self._settings, self._turns)
        except SourceUnavailable as error:
            parser.release()
            under_way.notes[error.reason] += 1
            under_way.unread.append(target)
            under_way.failures[target] = error
            self._book.failed(target, error, seconds=self._monotonic() - began, at_ns=at_ns)
            return
        under_way.read += 1
        under_way.notes.update(parsed.notes)
        if parsed.cut:
            under_way.unread.append(target)
        await self._derive(target, parsed, at_ns, under_way)
        self._book.succeeded(target, seconds=self._monotonic() - began, series=parsed.series_count, at_ns=at_ns)

    async def _derive(self, target: Target, parsed: ParsedPage, at_ns: int, under_way: _Collection) -> None:
        """The page's part of every rule that it has series of."""
        async with self._turns():
            label_sets = {head.labels for heads in parsed.samples.values() for head in heads}
            page = Page(
                samples=parsed.samples,
                times=parsed.times,
                owners=attribute(label_sets, target=target, pods=under_way.pods),
                cut=parsed.cut,
                pod=target.owner if target.role == "pod" else None,
                at_ns=at_ns,
            )
            names = (*parsed.samples, *parsed.cut)
            rules = {rule.name: rule for name in names for rule in self._rules_of_name.get(name, ())}
        histories = self._histories[target]
        histories.forget(at_ns)
        values = ((rule.name, one) for rule in rules.values() for one in series_of(rule, page, histories))
        is_more = True
        while is_more:
            async with self._turns():
                part = list(islice(values, _SERIES_PER_TURN))
                for name, one in part:
                    if _is_told_already(name, one, target, under_way):
                        under_way.notes["duplicate"] += 1
                    else:
                        under_way.series.setdefault(name, []).append(one)
                is_more = len(part) == _SERIES_PER_TURN


def _is_told_already(name: str, one: Series, target: Target, under_way: _Collection) -> bool:
    """Whether another exporter has told it of this GPU: a node may run NVIDIA's and Google's at once."""
    gpu = one.labels.get("UUID")
    if not gpu:
        return False
    key = (name, one.pod, gpu, one.labels.get("GPU_I_ID", ""))
    return under_way.exporter_of_gpu.setdefault(key, target) is not target


def _is_loading(target: Target, pods: Pods) -> bool:
    info = pods.get(target.owner) if target.owner is not None else None
    return info is not None and info.ready is False


def _answered(unread: Collection[Target], pods: Pods) -> Collection[PodKey]:
    """Pods of which every page was read whole: their own ones, and those of exporters that may speak of them.

    An exporter speaks of the pods of its own node; where that is not known, of any.
    """
    if not unread:
        return pods.keys()
    silent = {target.owner for target in unread if target.role == "pod"}
    nodes = {_node(target, pods) for target in unread if target.role == "exporter"}
    if "" in nodes:
        return frozenset()
    return frozenset(pod for pod, info in pods.items() if pod not in silent and not (info.node and info.node in nodes))


def _node(exporter: Target, pods: Pods) -> str:
    info = pods.get(exporter.owner) if exporter.owner is not None else None
    return info.node if info is not None else ""
