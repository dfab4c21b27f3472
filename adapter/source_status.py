"""How the sources fare, for requests: why a metric has no values, and what each source knows of it."""

from collections.abc import Mapping

from adapter.api.timestamp import timestamp
from adapter.collector import Collector
from adapter.sources.rule import Rule
from adapter.sources.schedule import SourceHealth, SourceLoop
from adapter.store import Table


class SourceStatus:
    """What is known of the configured sources at this moment."""

    def __init__(self, collector: Collector, loops: Mapping[str, SourceLoop]) -> None:
        """loops: by their sources' names."""
        self._collector = collector
        self._loops = loops

    def why_empty(self, rule: Rule) -> tuple[str, bool]:
        """Why no source has ever given this rule's values, and whether that may change without a new pod or rule:
        a source that has not been asked, or could not be had, is not the same as one that says there is none."""
        order = self._collector.order(rule)
        if not order:
            return f"none of its sources is configured ({', '.join(rule.sources)})", False
        reasons = [self._why_empty(name, rule) for name in order]
        return "; ".join(why for why, _ in reasons), any(may_come for _, may_come in reasons)

    def fault(self, table: Table) -> str:
        """Why the source of a table could not be had the last time, all of it or this rule; "" if it could."""
        name, collector = table.source, self._collector
        if name in collector.unavailable:
            return f"source {name} is not available: {collector.unavailable[name]}"
        why = collector.failures.get((name, table.rule.name), "")
        return f"source {name}: {why}" if why else ""

    def awaited(self) -> str:
        """What the first answers still wait for: "" when every source was asked once and one of them answered."""
        health = {name: loop.health for name, loop in self._loops.items()}
        unasked = [name for name, one in health.items() if one.collections == 0]
        if unasked:
            return f"no collection is complete yet of: {', '.join(unasked)}"
        if all(one.last_success_ns is None for one in health.values()):
            return "; ".join(f"{name}: {one.last_error}" for name, one in health.items())
        return ""

    def of(self, rule: Rule) -> list[dict[str, object]]:
        """Each source that may serve the rule, by priority."""
        in_use = self._collector.choice(rule.name).source
        return [self._source(name, rule, self._loops[name].health, in_use) for name in self._collector.order(rule)]

    def _why_empty(self, name: str, rule: Rule) -> tuple[str, bool]:
        if name in self._collector.unavailable:
            return f"source {name} is not available: {self._collector.unavailable[name]}", True
        if (name, rule.name) in self._collector.failures:
            return f"source {name}: {self._collector.failures[name, rule.name]}", True
        if not self._collector.has_answered(name, rule):  # it has only started, or the rule is new
            return f"source {name} has not been asked yet", True
        return f"source {name} gives no series of it", False

    def _source(self, name: str, rule: Rule, health: SourceHealth, in_use: str | None) -> dict[str, object]:
        collector = self._collector
        table = collector.tables(rule.name).get(name)
        return {
            "name": name,
            "inUse": name == in_use,
            "query": collector.queries.get((name, rule.name)),
            "series": len(table.series) if table is not None else None,
            "error": collector.unavailable.get(name) or collector.failures.get((name, rule.name), ""),
            "lastSuccess": timestamp(health.last_success_ns) if health.last_success_ns is not None else None,
            "consecutiveFailures": health.consecutive_failures,
            "retryAt": timestamp(health.retry_at_ns) if health.retry_at_ns is not None else None,
        }
