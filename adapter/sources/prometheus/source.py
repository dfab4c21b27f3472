"""One Prometheus as a source."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from requests.auth import AuthBase

from adapter.sources.in_threads import DECODING, DaemonThreads, run_all
from adapter.sources.pods import Pods
from adapter.sources.prometheus.answer import Answer, QueryRefused
from adapter.sources.prometheus.credentials import credentials_of
from adapter.sources.prometheus.labels import LabelCache
from adapter.sources.prometheus.promql import Query, query_of
from adapter.sources.prometheus.rows import Found, Limits, Shown, exporters_in, series_of
from adapter.sources.prometheus.session import BoundedSession
from adapter.sources.prometheus.settings import PrometheusSettings
from adapter.sources.rule import Rule, series_names
from adapter.sources.series import PodKey
from adapter.sources.source import Reading, SourceUnavailable

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

_GRACE_SECONDS = 1.0
"""After the deadline, for threads to notice it."""
_LABEL_SETS_LIMIT = 100_000
"""Remembered of earlier answers: ten metrics of 10,000 series; some 700 bytes each."""


class PrometheusSource:
    """Asks one query for each rule, `concurrency` at a time, each thread over its own connection.

    A rule's own fault (a query that is refused, an answer that is too long) fails that rule; when no rule could be
    had, `collect` raises. When the backend throttles, the rest of the collection is not asked.
    """

    def __init__(
        self,
        settings: PrometheusSettings,
        *,
        name: str = "prometheus",
        auth: AuthBase | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._settings = settings
        self._auth = auth if auth is not None else credentials_of(settings)
        self._monotonic = monotonic
        self._limits = Limits(
            series=settings.series_limit, labels=settings.labels_limit, label_value=settings.label_value_limit
        )
        self._threads = DaemonThreads(settings.concurrency, name=name)
        self._clients = _Clients(settings, self._auth, monotonic)
        self._exporters: frozenset[PodKey] = frozenset()
        self._turn = 0
        self._absent_until: dict[Rule, float] = {}
        self._present: frozenset[Rule] = frozenset()  # of those asked for, the ones that ever had series

    @property
    def name(self) -> str:
        return self._name

    async def collect(self, rules: Sequence[Rule], pods: Pods, now_ns: int) -> Reading:
        """Raises SourceUnavailable where not one rule could be had, for the reason of the first."""
        queries = {rule.name: query for rule in rules if (query := self._query(rule)) is not None}
        began = self._monotonic()
        self._absent_until = {rule: until for rule, until in self._absent_until.items() if until > began}
        asked = [rule for rule in rules if rule.name in queries and rule not in self._absent_until]
        self._turn += 1  # so that, when time runs out, it is not always the same rules that wait
        first = self._turn % len(asked) if asked else 0
        collection = _Collection(pods, now_ns, self._exporters, self._monotonic() + self._settings.timeout_seconds)
        turn = [*asked[first:], *asked[:first]]
        calls = {rule.name: partial(self._ask, rule, queries[rule.name], collection) for rule in turn}
        outcomes = await run_all(self._threads, calls, timeout_seconds=self._settings.timeout_seconds + _GRACE_SECONDS)
        found: dict[str, Found] = {}
        failures: dict[str, SourceUnavailable] = {}
        for name, outcome in outcomes.items():
            match outcome:
                case Found():
                    found[name] = outcome
                case SourceUnavailable():
                    failures[name] = outcome
                case TimeoutError():
                    failures[name] = self._late()
                case _:
                    raise outcome
        self._exporters = frozenset(pod for pod in collection.exporters if pod in pods)
        absent_until = began + self._settings.absent_retry_seconds
        self._present = self._present.intersection(rules) | {
            rule for rule in asked if rule.name in found and found[rule.name].series
        }
        self._absent_until |= {rule: absent_until for rule in asked if rule.name in found and rule not in self._present}
        if failures and not found and not any(isinstance(error, QueryRefused) for error in failures.values()):
            raise next((e for e in failures.values() if e.reason == "throttled"), next(iter(failures.values())))
        notes: Counter[str] = Counter(collection.notes)
        for each in found.values():
            notes.update(each.notes)
        return Reading(
            series={name: each.series for name, each in found.items()},
            failures=failures,
            queries={name: query.promql for name, query in queries.items()},
            notes=notes,
        )

    async def close(self) -> None:
        """Close the connections; a query under way ends at its deadline."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._clients.close()

    def _query(self, rule: Rule) -> Query | None:
        return query_of(
            rule,
            matchers=self._settings.extra_labels,
            lookback_seconds=self._settings.lookback_seconds,
            exact_names=self._settings.google_auth,
        )

    def _ask(self, rule: Rule, query: Query, collection: "_Collection") -> Found:
        """One query, in a thread. Raises SourceUnavailable."""
        if collection.stopped is not None:
            raise collection.stopped
        try:
            answer = self._clients.ask(query.promql, deadline=collection.deadline)
        except SourceUnavailable as error:
            if error.reason in ("throttled", "unauthorized"):
                collection.stopped = error
            raise
        with DECODING:
            collection.take_in(answer)
            return series_of(
                answer.rows,
                query,
                Shown(collection.pods, collection.exporters, is_gpu_exporter=rule.system == "dcgm"),
                now_ns=collection.now_ns,
                limits=self._limits,
                metric=next(iter(series_names(rule.value)), rule.name),
            )

    def _late(self) -> SourceUnavailable:
        limit = self._settings.timeout_seconds
        return SourceUnavailable("timeout", f"{self._settings.url}: no answer within timeoutSeconds={limit:g}")


class _Collection:
    """What the threads of one collection share. stopped: why nothing more is to be asked."""

    def __init__(self, pods: Pods, now_ns: int, exporters: frozenset[PodKey], deadline: float) -> None:
        self.pods = pods
        self.now_ns = now_ns
        self.deadline = deadline
        self.exporters = exporters
        self.stopped: SourceUnavailable | None = None
        self.notes: Counter[str] = Counter()
        self._lock = threading.Lock()

    def take_in(self, answer: Answer) -> None:
        exporters = exporters_in(answer.rows)
        with self._lock:
            self.exporters |= exporters
            for reason, count in (("warning", len(answer.warnings)), ("malformed", answer.malformed)):
                if count:
                    self.notes[reason] += count


@dataclass(slots=True)
class _Client:
    session: BoundedSession
    connect: "PrometheusConnect"
    files: tuple[object, ...]


class _Clients:
    """One prometheus-api-client a thread: a requests.Session is not for several at once."""

    def __init__(self, settings: PrometheusSettings, auth: AuthBase | None, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._auth = auth
        self._monotonic = monotonic
        self._labels = LabelCache(limit=_LABEL_SETS_LIMIT, exporter_namespaces=settings.exporter_namespaces)
        self._of_thread = threading.local()
        self._all: list[_Client] = []

    def ask(self, promql: str, *, deadline: float) -> Answer:
        """Raises SourceUnavailable."""
        client = self._client()
        client.session.deadline = deadline
        answer: Answer = client.connect.custom_query(promql)
        return answer

    def close(self) -> None:
        for client in self._all:
            client.session.close()

    def _client(self) -> _Client:
        files = tuple(
            _stamp(path) for path in (self._settings.ca_file, self._settings.cert_file, self._settings.key_file)
        )
        client: _Client | None = getattr(self._of_thread, "client", None)
        if client is None or client.files != files:  # certificates rotate; a kept connection would not
            if client is not None:
                client.session.close()
                self._all.remove(client)
            client = self._of_thread.client = self._connect(files)
            self._all.append(client)
        return client

    def _connect(self, files: tuple[object, ...]) -> _Client:
        # Imported where it is used: it takes a fifth of a second, which every command would wait for.
        from prometheus_api_client import PrometheusConnect
        from urllib3 import Retry

        session = BoundedSession(self._settings, self._auth, self._labels, monotonic=self._monotonic)
        no_retry = Retry(0, read=False)
        return _Client(
            session, PrometheusConnect(self._settings.url.rstrip("/"), session=session, retry=no_retry), files
        )


def _stamp(path: Path | None) -> object:
    """What changes when the file does; None where there is none."""
    if path is None:
        return None
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns, stat.st_size
