"""What the adapter tells of itself beside its requests: sources, series, rules, certificates, connections."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from adapter.clock import Clock
from adapter.collector import Collector
from adapter.freshness import judge
from adapter.http_server.server import HttpServer
from adapter.inventory import Inventory
from adapter.metrics import Family
from adapter.rules.watcher import RulesWatcher
from adapter.security import Security
from adapter.sources.schedule import SourceLoop
from adapter.sources.scrape_source import ScrapeSource
from adapter.sources.series import NS_PER_SECOND
from adapter.sources.source import Source
from adapter.store import Store

_PREFIX = "leadtime_adapter_"


def source_families(collector: Collector, loops: Mapping[str, SourceLoop]) -> Sequence[Family]:
    """Of each source, by name."""

    def of_loops(read: Callable[[SourceLoop], float | None]) -> Callable[[], Mapping[tuple[str, ...], float]]:
        return lambda: {(name,): value for name, loop in loops.items() if (value := read(loop)) is not None}

    def up(loop: SourceLoop) -> float | None:
        return float(loop.health.consecutive_failures == 0) if loop.health.collections else None

    def last_success(loop: SourceLoop) -> float | None:
        at_ns = loop.health.last_success_ns
        return None if at_ns is None else at_ns / NS_PER_SECOND

    name, source = f"{_PREFIX}source_", ("source",)
    return (
        Family(f"{name}up", "1 if the source's last collection gave anything.", source, of_loops(up)),
        Family(
            f"{name}collection_duration_seconds",
            "How long the source's last collection took.",
            source,
            of_loops(lambda loop: loop.health.last_seconds),
        ),
        Family(
            f"{name}last_success_timestamp_seconds",
            "When the source last gave anything; absent before.",
            source,
            of_loops(last_success),
        ),
        Family(
            f"{name}collections",
            "Collections by outcome.",
            ("source", "outcome"),
            lambda: dict(collector.outcomes),
            counter=True,
        ),
        Family(
            f"{name}failures",
            "Troubles by reason: collections, rules, pages, series that were cut.",
            ("source", "reason"),
            lambda: dict(collector.notes),
            counter=True,
        ),
    )


def series_families(store: Store, clock: Clock) -> Sequence[Family]:
    """Of what is served now."""

    def held() -> Mapping[tuple[str, ...], float]:
        counts: Counter[tuple[str, ...]] = Counter()
        for table in store.tables():
            counts[(table.source,)] += len(table.series)
        return counts

    def ages() -> Mapping[tuple[str, ...], float]:
        now_ns = clock.now_ns()
        return {
            (table.rule.name,): (now_ns - min(one.at_ns for one in table.series)) / NS_PER_SECOND
            for table in store.tables()
            if table.series
        }

    def without_value() -> Mapping[tuple[str, ...], float]:
        now_ns = clock.now_ns()
        counts: Counter[tuple[str, ...]] = Counter()
        for table in store.tables():
            for one in table.series:
                pod = store.pod(one.pod)
                if one.pod is not None and pod is None:
                    continue
                judged = judge(one, table, table.rule.when_stale, pod, now_ns)
                if judged.value is None:
                    counts[(judged.state,)] += 1
        return counts

    return (
        Family(f"{_PREFIX}series", "Series that are served, by their source.", ("source",), held),
        Family(f"{_PREFIX}sample_age_seconds", "Age of a metric's oldest sample.", ("metric",), ages),
        Family(
            f"{_PREFIX}series_without_value",
            "Series that have no value now: stale, missing, loading or quiet.",
            ("state",),
            without_value,
        ),
    )


def target_families(sources: Sequence[Source]) -> Sequence[Family]:
    """Of each scraped page."""

    def up() -> Mapping[tuple[str, ...], float]:
        return {
            (url,): float(health.up)
            for source in sources
            if isinstance(source, ScrapeSource)
            for url, health in source.health().items()
        }

    return (Family(f"{_PREFIX}target_up", "1 if the page's last scrape succeeded.", ("target",), up),)


def state_families(
    *, rules: RulesWatcher, inventory: Inventory, security: Security, server: HttpServer
) -> Sequence[Family]:
    """Of everything else."""

    def reviews() -> Mapping[tuple[str, ...], float]:
        return {
            (kind, outcome): count
            for kind, (asked, failed) in security.reviews().items()
            for outcome, count in (("answered", asked - failed), ("failed", failed))
        }

    def connections() -> Mapping[tuple[str, ...], float]:
        counts = server.counts
        return {
            ("accepted",): counts.connections,
            ("evicted",): counts.evicted,
            ("timed_out",): counts.timed_out,
            ("handshake_failed",): counts.handshakes_failed,
            ("refused",): counts.refused,
        }

    return (
        Family(
            f"{_PREFIX}rules_usable",
            "1 if the rules are those of the files, 0 if the last good ones are.",
            (),
            lambda: {(): float(rules.fault is None)},
        ),
        Family(
            f"{_PREFIX}faults",
            "Things that do not work at present, by part; the log and `explain` say which.",
            ("part",),
            lambda: {("discovery",): len(inventory.faults), ("security",): len(security.faults())},
        ),
        Family(f"{_PREFIX}pods", "Pods that are known.", (), lambda: {(): len(inventory.pods())}),
        Family(f"{_PREFIX}connections", "Connections open now.", (), lambda: {(): server.open_connections}),
        Family(
            f"{_PREFIX}connection_events",
            "What became of connections.",
            ("event",),
            connections,
            counter=True,
        ),
        Family(
            f"{_PREFIX}reviews",
            "Questions asked of the API server about callers.",
            ("kind", "outcome"),
            reviews,
            counter=True,
        ),
    )
