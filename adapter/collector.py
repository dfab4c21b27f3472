"""What every source last gave, and which of it the store serves."""

import logging
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

from adapter.failover import Choice, choose
from adapter.sources.pods import Pods
from adapter.sources.rule import Rule
from adapter.sources.series import NO_LABELS, NS_PER_SECOND, PodKey, Series
from adapter.sources.source import Reading, SourceUnavailable
from adapter.store import Store, Table

logger = logging.getLogger(__name__)
_FORGET_SECONDS = 600.0
"""Beyond max age: how long a pod's series that its source no longer gives is remembered. A pod that exists and
says nothing holds back sums over it; after ten minutes it is taken for one that has stopped to serve."""


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One configured source. lag_seconds: how old its samples may be when they arrive, on top of max age."""

    name: str
    lag_seconds: float


class Collector:
    """Keeps one table for each source and rule, and publishes the chosen one.

    failures: (source, rule name) -> why the last collection gave nothing for it.
    queries: (source, rule name) -> what was asked. unavailable: source -> why all of it was not to be had.
    notes: (source, reason) -> troubles counted since the start. outcomes: (source, "success" or "failure") ->
    collections.
    """

    def __init__(self, store: Store, sources: Sequence[SourceSpec], *, failback_after_seconds: float) -> None:
        self.failures: dict[tuple[str, str], str] = {}
        self.queries: dict[tuple[str, str], str] = {}
        self.unavailable: dict[str, str] = {}
        self.notes: Counter[tuple[str, str]] = Counter()
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self._store = store
        self._sources = {source.name: source for source in sources}
        self._failback_after_seconds = failback_after_seconds
        self._tables: dict[str, dict[str, Table]] = {}
        self._choices: dict[str, Choice] = {}
        self._rules: dict[str, Rule] = {}
        self._asked: dict[str, Mapping[str, Rule]] = {}
        self._answered: dict[str, Mapping[str, Rule]] = {}
        self._serving: dict[str, Collection[PodKey]] = {}

    @property
    def rules(self) -> Sequence[Rule]:
        """The rules in use."""
        return tuple(self._rules.values())

    def set_rules(self, rules: Sequence[Rule]) -> None:
        """Serve these rules from now on. What a changed rule was made of is forgotten."""
        kept = {rule.name: rule for rule in rules}
        gone = {name for name, rule in self._rules.items() if kept.get(name) != rule}
        for name in gone:
            self._tables.pop(name, None)
            self._choices.pop(name, None)
        self.failures = {key: why for key, why in self.failures.items() if key[1] in kept}
        self.queries = {key: query for key, query in self.queries.items() if key[1] in kept}
        self._rules = kept
        self._store.keep_only(kept.keys() - gone)

    def begin(self, source: str) -> Sequence[Rule]:
        """The rules that a collection of this source is now to be asked for. What it gives at its end is taken in
        for those that are still the same: a series says nothing of the rule that it was worked out by."""
        self._asked[source] = self._rules
        return self.rules

    def has_answered(self, source: str, rule: Rule) -> bool:
        """Whether the source's last good collection was asked for this very rule."""
        return self._answered.get(source, {}).get(rule.name) == rule

    def tables(self, rule: str) -> Mapping[str, Table]:
        """Source -> its last table of the rule."""
        return self._tables.get(rule, {})

    def choice(self, rule: str) -> Choice:
        return self._choices.get(rule, Choice())

    def order(self, rule: Rule) -> Sequence[str]:
        """Names of the sources that the rule may be served from, by priority."""
        return [name for name in rule.sources if name in self._sources] if rule.sources else list(self._sources)

    def on_reading(self, source: str, outcome: Reading | SourceUnavailable, pods: Pods, now_ns: int) -> None:
        """Take in what one collection of one source gave, and choose anew for every rule.

        A source that was not to be had keeps its tables, which age. pods: those that exist now.
        """
        failed = isinstance(outcome, SourceUnavailable)
        self.outcomes[source, "failure" if failed else "success"] += 1
        if isinstance(outcome, SourceUnavailable):
            self._report(source, str(outcome))
            self.unavailable[source] = str(outcome)
            self.notes[source, outcome.reason] += 1
        else:
            if self.unavailable.pop(source, None) is not None:
                logger.info("source is back: source=%s", source)
            self._take_in(source, outcome, pods, now_ns)
        for rule in self._rules.values():
            self._publish(rule, now_ns)

    def _take_in(self, source: str, reading: Reading, pods: Pods, now_ns: int) -> None:
        spec = self._sources[source]
        self.queries |= {(source, name): query for name, query in reading.queries.items()}
        self.notes.update({(source, reason): count for reason, count in reading.notes.items()})
        for name in self._rules:
            self.failures.pop((source, name), None)
        for name, failure in reading.failures.items():
            self.failures[source, name] = str(failure)
            self.notes[source, failure.reason] += 1
        asked = self._answered[source] = self._asked.pop(source, self._rules)
        unread, newly_unread = self._unread(source, reading, pods)
        for name, rule in self._rules.items():
            if asked.get(name) != rule:
                continue  # it came, or changed, while the source was asked
            tables = self._tables.setdefault(name, {})
            before = tables.get(source)
            series = reading.series.get(name)
            if series is None:
                if before is None or reading.answered is None or name in reading.failures:
                    continue
                series = ()  # every page was read, and none has it any more
            kept = _carried_over(before, series, reading, pods, now_ns) if before is not None else []
            expected = _expected(unread if before is None else newly_unread, series, pods, now_ns)
            tables[source] = Table(
                rule,
                [*series, *kept, *expected],
                source=source,
                lag_seconds=spec.lag_seconds,
                renewed_since_ns=_renewed_since(before, series, now_ns),
            )

    def _unread(self, source: str, reading: Reading, pods: Pods) -> tuple[Sequence[PodKey], Sequence[PodKey]]:
        """Pods that serve and of which this reading cannot tell whether they have series; and of these the ones of
        which no reading before could: what is not in a table that was kept has then not been forgotten, but missed."""
        if reading.answered is None:
            return (), ()
        before = self._serving.get(source, ())
        serving = [pod for pod, info in pods.items() if info.ready is not False]
        self._serving[source] = frozenset(serving)
        unread = [pod for pod in serving if pod not in reading.answered]
        return unread, [pod for pod in unread if pod not in before]

    def _publish(self, rule: Rule, now_ns: int) -> None:
        tables = self.tables(rule.name)
        before = self.choice(rule.name)
        after = choose(
            before, self.order(rule), tables, now_ns=now_ns, failback_after_seconds=self._failback_after_seconds
        )
        self._choices[rule.name] = after
        if after.source is None:
            return
        if before.source is not None and before.source != after.source:
            logger.warning("metric changes its source: metric=%s from=%s to=%s", rule.name, before.source, after.source)
        table = tables[after.source]
        if self._store.table(rule.name) is not table:
            self._store.publish(table)

    def _report(self, source: str, message: str) -> None:
        if source not in self.unavailable:  # once, when it begins
            logger.warning("source not available, its last samples age: source=%s: %s", source, message)


def _expected(unread: Sequence[PodKey], series: Sequence[Series], pods: Pods, now_ns: int) -> Sequence[Series]:
    """Series without a value of unread pods whose like have some: a sum must not be told as if they had none.

    Without it, an adapter that was started anew, or a rule that was changed, would tell too little until every page
    has been read once.
    """
    if not unread:
        return ()
    there = {one.pod for one in series}
    have = {_workload(pod, pods) for pod in there if pod in pods}
    why = "its page could not be read yet, and pods of its workload have this metric"
    return [
        Series(NO_LABELS, None, now_ns, pod, why=why)
        for pod in unread
        if pod not in there and _workload(pod, pods) in have - {None}
    ]


def _workload(pod: PodKey | None, pods: Pods) -> Hashable:
    """What tells one workload's pods from others: the topmost owner, else their labels; None where neither is known."""
    if pod is None:
        return None
    info = pods[pod]
    if info.owners:
        return pod.namespace, info.owners[-1]
    return (pod.namespace, frozenset(info.labels.items())) if info.labels else None


def _carried_over(
    before: Table, series: Sequence[Series], reading: Reading, pods: Pods, now_ns: int
) -> Sequence[Series]:
    """Series of pods that exist but that the source has nothing about this time: they age, they do not vanish.

    A scrape that timed out, or a backend that lost a target, is not a pod without load.
    """
    there = {one.pod for one in series}
    forget_ns = before.max_age_ns + round(_FORGET_SECONDS * NS_PER_SECOND)

    def is_kept(pod: PodKey | None) -> bool:
        if pod is None or pod in there or pod not in pods:
            return False
        return reading.answered is None or pod not in reading.answered

    return [one for one in before.series if is_kept(one.pod) and now_ns - one.at_ns <= forget_ns]


def _renewed_since(before: Table | None, series: Sequence[Series], now_ns: int) -> Mapping[PodKey, int]:
    """Pod -> the first of the samples that come since it last paused, or was new, if that is less than a max age ago.

    series: of this reading, after before.
    """
    if before is None:
        return {one.pod: one.at_ns for one in series if one.pod is not None}
    last = {one.pod: one.at_ns for one in before.series}
    since: dict[PodKey, int] = {}
    for one in series:
        if one.pod is None:
            continue
        last_ns = last.get(one.pod)
        if last_ns is None or one.at_ns - last_ns > before.pause_ns:
            since[one.pod] = one.at_ns
        elif (begun_ns := before.renewed_since_ns.get(one.pod)) is not None and now_ns - begun_ns < before.max_age_ns:
            since[one.pod] = begun_ns
    return since
