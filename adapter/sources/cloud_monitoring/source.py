"""Cloud Monitoring as a source."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

from adapter.sources.cloud_monitoring.budget import Budget
from adapter.sources.cloud_monitoring.client import (
    CallRefused,
    MonitoringClient,
    NoSuchMetric,
    SeriesQuery,
)
from adapter.sources.cloud_monitoring.filters import Series as SeriesName
from adapter.sources.cloud_monitoring.filters import (
    aggregation_of,
    filter_of,
    is_reduced,
    operands_of,
    project_of,
)
from adapter.sources.cloud_monitoring.messages import CloudSeries
from adapter.sources.cloud_monitoring.series import Found, series_of
from adapter.sources.cloud_monitoring.settings import CloudMonitoringSettings
from adapter.sources.in_threads import DECODING, DaemonThreads, run_all
from adapter.sources.pods import Pods
from adapter.sources.rule import Latest, Rule, Total
from adapter.sources.series import NS_PER_SECOND, Series
from adapter.sources.source import Reading, SourceUnavailable

_GRACE_SECONDS = 1.0
"""After the deadline, for threads to notice it."""


class _Spend(Protocol):
    def __call__(self, *, must: bool = False) -> None: ...


class _NoBudget(Exception):
    """The rule waits for its turn."""


class CloudMonitoringSource:
    """Asks each rule's series of the whole cluster in one call (and a page more where one does not hold them).

    What the quota budget leaves unasked keeps its last series, is asked first the next time, and is counted as
    "quota". Throttling fails the rules it hits and stops the collection: it is never "no such metric".
    """

    def __init__(
        self,
        settings: CloudMonitoringSettings,
        *,
        name: str = "cloudMonitoring",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._settings = settings
        self._monotonic = monotonic
        self._client = MonitoringClient(settings)
        self._threads = DaemonThreads(settings.concurrency, name=name)
        self._budget = Budget(per_minute=settings.requests_per_minute, interval_seconds=settings.interval_seconds)
        self._lock = threading.Lock()
        self._last: dict[Rule, Sequence[Series]] = {}
        self._asked_at: dict[Rule, int] = {}
        self._absent_until: dict[tuple[str, str], float] = {}
        self._with_data: set[tuple[str, str]] = set()
        self._kinds: dict[tuple[str, str], tuple[str, str]] = {}

    @property
    def name(self) -> str:
        return self._name

    async def collect(self, rules: Sequence[Rule], pods: Pods, now_ns: int) -> Reading:
        """Raises SourceUnavailable where not one rule could be had, for the reason of the first."""
        began = self._monotonic()
        self._absent_until = {key: until for key, until in self._absent_until.items() if until > began}
        self._last = {rule: series for rule, series in self._last.items() if rule in rules}
        self._asked_at = {rule: at for rule, at in self._asked_at.items() if rule in rules}
        collection = _Collection(pods, now_ns, self._monotonic() + self._settings.timeout_seconds)
        asked = sorted((rule for rule in rules if operands_of(rule)), key=lambda rule: self._asked_at.get(rule, 0))
        outcomes = await run_all(
            self._threads,
            {rule: partial(self._ask, rule, collection) for rule in asked},
            timeout_seconds=self._settings.timeout_seconds + _GRACE_SECONDS,
        )
        series: dict[str, Sequence[Series]] = {}
        failures: dict[str, SourceUnavailable] = {}
        notes: Counter[str] = Counter()
        for rule, outcome in outcomes.items():
            match outcome:
                case Found(found, counted):
                    self._last[rule] = series[rule.name] = found
                    self._asked_at[rule] = now_ns
                    notes.update(counted)
                case _NoBudget():
                    notes["quota"] += 1
                    if rule in self._last:
                        series[rule.name] = [one for one in self._last[rule] if one.pod is None or one.pod in pods]
                case SourceUnavailable():
                    failures[rule.name] = outcome
                case TimeoutError():
                    failures[rule.name] = self._late()
                case NoSuchMetric():
                    self._asked_at[rule] = now_ns
                case _:
                    raise outcome
        if failures and not series and not any(isinstance(error, CallRefused) for error in failures.values()):
            raise next((e for e in failures.values() if e.reason == "throttled"), next(iter(failures.values())))
        return Reading(series=series, failures=failures, queries=collection.queries, notes=notes)

    async def close(self) -> None:
        """Close the connection; a call under way ends with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _ask(self, rule: Rule, collection: "_Collection") -> Found:
        """All series of one rule, in a thread. Raises _NoBudget, NoSuchMetric, SourceUnavailable."""
        if collection.stopped is not None:
            raise collection.stopped
        # A rule that has begun is asked to its end, or one of two calls would never be had on a small budget.
        calls = _Calls(self._spend)
        try:
            operands = [
                [self._named(rule, name, collection, calls) for name in operand.names] for operand in operands_of(rule)
            ]
        except SourceUnavailable as error:
            is_ours = project_of(rule.cloud, self._settings.project) == self._settings.project
            if error.reason == "throttled" or (error.reason == "unauthorized" and is_ours):
                collection.stopped = error
            raise
        if all(found is None for operand in operands for found in operand):
            raise NoSuchMetric
        with DECODING:
            return series_of(
                rule,
                [[found or () for found in operand] for operand in operands],
                pods=collection.pods,
                now_ns=collection.now_ns,
                series_limit=self._settings.series_limit,
                exporter_namespaces=self._settings.exporter_namespaces,
            )

    def _named(
        self, rule: Rule, name: SeriesName, collection: "_Collection", calls: "_Calls"
    ) -> Sequence[CloudSeries] | None:
        """The series under one name, of the first of its metric types that has any; None if none ever had."""
        known: Sequence[CloudSeries] | None = None
        for metric_type in name.metric_types:
            query = self._query(rule, metric_type, name, collection)
            key = (query.project, query.filter)
            if self._absent_until.get(key, 0.0) > self._monotonic():
                continue
            calls.count()
            try:
                found = self._list(rule, metric_type, query, collection)
            except NoSuchMetric:
                found = []
            if found:
                self._with_data.add(key)
                return found
            if key in self._with_data:
                known = found  # asked again at the next collection: a deployment that was scaled to zero comes back
            else:
                self._absent_until[key] = self._monotonic() + self._settings.absent_retry_seconds
        return known

    def _query(self, rule: Rule, metric_type: str, name: SeriesName, collection: "_Collection") -> SeriesQuery:
        settings = self._settings
        # A rate's samples may be as old as the newest one sought, and its window lies before them.
        window = settings.window_seconds + getattr(rule.value, "window_seconds", 0)
        return SeriesQuery(
            project=project_of(rule.cloud, settings.project),
            filter=filter_of(metric_type, rule.cloud, cluster=settings.cluster, location=settings.location),
            start_ns=collection.now_ns - window * NS_PER_SECOND,
            end_ns=collection.now_ns,
            field=name.field,
            newest_only=rule.cloud is None and isinstance(rule.value, Latest | Total),
        )

    def _list(
        self, rule: Rule, metric_type: str, query: SeriesQuery, collection: "_Collection"
    ) -> Sequence[CloudSeries]:
        if is_reduced(rule.cloud):
            kind, value_type = self._kind(query.project, metric_type, collection)
            query = replace(
                query,
                aggregation=aggregation_of(
                    rule,
                    metric_kind=kind,
                    value_type=value_type,
                    window_seconds=self._settings.window_seconds,
                ),
            )
        collection.queries[rule.name] = _told(query)
        return self._client.list_series(
            query,
            timeout_seconds=lambda: collection.deadline - self._monotonic(),
            on_page=lambda: self._spend(must=True),
        )

    def _kind(self, project: str, metric_type: str, collection: "_Collection") -> tuple[str, str]:
        known = self._kinds.get((project, metric_type))
        if known is None:
            self._spend(must=True)
            known = self._kinds[project, metric_type] = self._client.describe(
                project, metric_type, timeout_seconds=lambda: collection.deadline - self._monotonic()
            )
        return known

    def _spend(self, *, must: bool = False) -> None:
        """Count a call. Raises _NoBudget where it had better not be made."""
        with self._lock:
            if must:
                self._budget.take(self._monotonic())
            elif not self._budget.try_take(self._monotonic()):
                raise _NoBudget

    def _late(self) -> SourceUnavailable:
        limit = self._settings.timeout_seconds
        return SourceUnavailable("timeout", f"{self._settings.endpoint}: no answer within timeoutSeconds={limit:g}")


class _Calls:
    """The calls of one rule: the first needs room in the budget, the others are made in any case."""

    def __init__(self, spend: "_Spend") -> None:
        self._spend = spend
        self._begun = False

    def count(self) -> None:
        self._spend(must=self._begun)
        self._begun = True


class _Collection:
    """What the threads of one collection share. stopped: why nothing more is to be asked."""

    def __init__(self, pods: Pods, now_ns: int, deadline: float) -> None:
        self.pods = pods
        self.now_ns = now_ns
        self.deadline = deadline
        self.stopped: SourceUnavailable | None = None
        self.queries: dict[str, str] = {}


def _told(query: SeriesQuery) -> str:
    """The query for people."""
    told = f"projects/{query.project}: {query.filter}"
    if query.aggregation is None:
        return f"{told} (raw points)"
    aggregation = query.aggregation
    aligned = f"{aggregation.per_series_aligner} {aggregation.period_seconds} s"
    by = f" by {', '.join(aggregation.group_by_fields)}" if aggregation.group_by_fields else ""
    return f"{told} ({aligned}, {aggregation.cross_series_reducer}{by})"
