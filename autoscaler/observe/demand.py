"""What servers are asked to do, collected from the sources in this process and told from memory."""

import asyncio
import itertools
import logging
import math
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from adapter.sources.rule import Rule, reduce
from adapter.sources.series import NS_PER_SECOND, PodKey, Series
from adapter.sources.source import Reading, Source, SourceUnavailable
from autoscaler.observe.demand_rules import (
    MISSED_LIMIT,
    MISSED_WINDOW_SECONDS,
    SERVER_RULES,
    begins_absent,
    is_measured,
    measured,
    missed_rules,
    repeated_within,
    rules_for,
)
from autoscaler.observe.demand_targets import DemandTargets
from autoscaler.observe.samples import Sample, Samples
from policies.serving_counters import QUERIES, SUCCEEDED
from policies.snapshot import ExternalMetric, MetricError, MetricQuery, Observation, PodMetrics, PodSample

_log = logging.getLogger(__name__)
MAX_AGE_SECONDS = 60.0
"""Four collections at the default interval, as in the adapter's rules; a source's lag comes on top."""
_PODS_AT_A_TIME = 50
"""Some 40 us each: 2 ms, in which nothing else runs."""
_ORDER = {query: index for index, query in enumerate(QUERIES)}
_Counters: TypeAlias = tuple[PodSample, ...]
"""Of one pod, in the order of QUERIES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandSource:
    """A source with its interval, and by how much its samples lag behind, in seconds.

    reads_pages: all that it tells of a pod is of one page: what is absent was not on it.
    """

    source: Source
    interval_seconds: float
    lag_seconds: float = 0.0
    reads_pages: bool = False


@dataclass(slots=True)
class _State:
    """Of one source. failures: rule name -> why it could not be had, "" for all of them."""

    is_collecting: bool = False
    collected_ns: int | None = None
    failures: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Missed:
    """Of one pod's last minute: requests answered per second, and those of them above the target."""

    answered: float
    above: float


class Demand:
    """Sources in order of priority. The caller calls `collect` of each at its interval."""

    def __init__(self, sources: Sequence[DemandSource], targets: DemandTargets) -> None:
        self.sources = tuple(sources)
        self._targets = targets
        self._states = [_State() for _ in sources]
        self._counters = Samples[_Counters](self._max_age_ns)
        self._missed: dict[MetricQuery, Samples[_Missed]] = {}
        self._measured: tuple[MetricQuery, ...] = ()

    async def collect(self, rank: int, now_ns: int) -> None:
        """Ask one source once, for all workloads. Its failure is remembered, and told to those who have no other."""
        state, source = self._states[rank], self.sources[rank].source
        if state.is_collecting:
            return  # a source that takes longer than its interval: its collections never overlap
        state.is_collecting = True
        try:
            await self._targets.refresh()
            self._measured = queries = measured(self._targets.queries)
            pods = self._targets.targets().pods
            self._keep_only(pods, queries)
            reading = await source.collect(rules_for(queries), pods, now_ns) if pods else Reading(series={})
            state.failures = {name: str(failure) for name, failure in reading.failures.items()}
            await self._take_in(reading, queries, rank, now_ns)
            state.collected_ns = now_ns
        except SourceUnavailable as error:
            state.failures = {"": str(error)}
        except Exception as error:  # a fault of ours must not end the loop of all workloads
            _log.exception("collecting demand failed: source=%s", source.name)
            state.failures = {"": f"internal: {error!r}"}
        finally:
            state.is_collecting = False

    def observe(self, query: MetricQuery, pods: Iterable[PodKey], now_ns: int) -> Observation:
        """From memory. pods: the workload's, living. Without a fresh sample of any of them a MetricError says why."""
        pods = tuple(pods)
        if not pods:
            return MetricError(f"{query.name}: the workload has no pods")
        if query in _ORDER:
            at = _ORDER[query]
            found = {pod.name: values[at] for pod in pods if (values := self._counters.fresh(pod, now_ns))}
            names = [rules[query].name for rules in SERVER_RULES]
            return PodMetrics(found) if found else self._nothing_fresh(query, names, pods, now_ns)
        rules = missed_rules(query)
        if rules is None:
            return MetricError(f"{query.name}: no rule answers it with the labels {dict(query.selector)}")
        samples = self._missed.get(query)
        shares = [share for pod in pods if samples and (share := samples.fresh(pod, now_ns)) is not None]
        if not shares:
            return self._nothing_fresh(query, [rules.share.name], pods, now_ns)
        answered = math.fsum(share.answered for share in shares)
        if answered <= 0.0:
            return MetricError(f"{query.name}: no request was answered in the last {MISSED_WINDOW_SECONDS} s")
        percent = 100.0 * math.fsum(share.above for share in shares) / answered
        return ExternalMetric((round(percent * 1000),))

    @property
    def faults(self) -> tuple[str, ...]:
        """Sources that could not be had at the last collection."""
        states = zip(self.sources, self._states, strict=True)
        return tuple(f"{each.source.name}: {state.failures['']}" for each, state in states if "" in state.failures)

    async def close(self) -> None:
        for each in self.sources:
            await each.source.close()

    def _max_age_ns(self, rank: int) -> int:
        return round((MAX_AGE_SECONDS + self.sources[rank].lag_seconds) * NS_PER_SECOND)

    async def _take_in(self, reading: Reading, queries: Iterable[MetricQuery], rank: int, now_ns: int) -> None:
        """In pieces, between which others run; each pod's set is taken whole."""

        async def by_pod(rule: str) -> Mapping[PodKey, Sequence[Series]]:
            await asyncio.sleep(0)
            return _by_pod(reading.series.get(rule, ()))

        told: set[PodKey] = set()
        for of_server in SERVER_RULES:
            rules = [of_server[query] for query in QUERIES]
            counters = [(rule, await by_pod(rule.name)) for rule in rules]
            own = [pod for pod in counters[0][1] if pod not in told]
            told.update(own)
            async for pods in _in_pieces(own):
                new = {pod for pod in pods if self.sources[rank].reads_pages and self._has_answered_nothing(pod)}
                self._counters.offer(_complete(pods, counters, rank, new), now_ns)
        for query in queries:
            missed = missed_rules(query)
            assert missed is not None, "it is measured"
            samples = self._missed.setdefault(query, Samples(self._max_age_ns))
            shares, rates = await by_pod(missed.share.name), await by_pod(missed.answered.name)
            async for pods in _in_pieces(rates):
                samples.offer(_missed(query, pods, shares, rates, rank), now_ns)

    def _has_answered_nothing(self, pod: PodKey) -> bool:
        """By its last sample. One that has answered lost its series for another reason, and 0 would begin it anew."""
        last = self._counters.last(pod)
        return last is None or last[_ORDER[SUCCEEDED]].value_milli == 0

    def _keep_only(self, pods: Collection[PodKey], queries: Collection[MetricQuery]) -> None:
        self._counters.keep_only(pods)
        self._missed = {query: samples for query, samples in self._missed.items() if query in queries}
        for samples in self._missed.values():
            samples.keep_only(pods)

    def _nothing_fresh(
        self, query: MetricQuery, rules: Sequence[str], pods: Sequence[PodKey], now_ns: int
    ) -> MetricError:
        """Why none of the pods has a fresh sample, source by source. rules: any of which would have given one."""
        if query not in _ORDER and query not in self._measured and len(self._measured) == MISSED_LIMIT:
            return MetricError(
                f"{query.name}: not measured, more than {MISSED_LIMIT} different SLO targets are in use; give "
                "workloads the same slo where they may have it"
            )
        states = zip(self.sources, self._states, strict=True)
        whys = [f"{each.source.name}: {self._why(state, rules, now_ns)}" for each, state in states]
        notes = self._targets.page_notes(pods)
        told = "; ".join((*whys, *notes)) or "no source is configured"
        return MetricError(f"{query.name}: no fresh value of {len(pods)} pods; {told}")

    @staticmethod
    def _why(state: _State, rules: Sequence[str], now_ns: int) -> str:
        failure = next((why for rule in ("", *rules) if (why := state.failures.get(rule))), "")
        if failure:
            return failure
        if state.collected_ns is None:
            return "not collected yet"
        return f"collected {(now_ns - state.collected_ns) / NS_PER_SECOND:.0f} s ago, without a complete set of theirs"


async def _in_pieces(pods: Iterable[PodKey]) -> AsyncIterator[Sequence[PodKey]]:
    left = iter(pods)
    while piece := tuple(itertools.islice(left, _PODS_AT_A_TIME)):
        yield piece
        await asyncio.sleep(0)


def _by_pod(series: Iterable[Series]) -> Mapping[PodKey, Sequence[Series]]:
    found: dict[PodKey, list[Series]] = {}
    for one in series:
        if one.pod is not None:
            found.setdefault(one.pod, []).append(one)
    return found


def _complete(
    pods: Iterable[PodKey],
    counters: Sequence[tuple[Rule, Mapping[PodKey, Sequence[Series]]]],
    rank: int,
    new: Collection[PodKey],
) -> dict[PodKey, Sample[_Counters]]:
    """Those of the pods that have a value of every counter. Such a set is as old as its oldest value.

    new: pods that may not have answered a request yet, so that absent counters are 0 while that of answers is absent.
    Each pod shows the first of the counters.
    """
    complete: dict[PodKey, Sample[_Counters]] = {}
    answered = counters[_ORDER[SUCCEEDED]][1]
    for pod in pods:
        values = [_reduced(rule, by_pod.get(pod, ())) for rule, by_pod in counters]
        if pod in new and pod not in answered and values[0] is not None:
            nothing = PodSample(value_milli=0, at_ns=values[0].at_ns)
            values = [
                nothing if begins_absent(rule) and pod not in by_pod else value
                for value, (rule, by_pod) in zip(values, counters, strict=True)
            ]
        known = tuple(value for value in values if value is not None)
        if len(known) == len(values):
            complete[pod] = Sample(known, min(value.at_ns for value in known), rank)
    return complete


def _reduced(rule: Rule, series: Sequence[Series]) -> PodSample | None:
    """One value of a pod's series, None where one of them has none: a sum over the rest would be too low."""
    values = [one.value for one in series if one.value is not None]
    if not values or len(values) < len(series):
        return None
    engine_label = repeated_within(rule)
    if engine_label is not None:
        largest: dict[str, float] = {}
        for one, value in zip(series, values, strict=True):
            engine = one.labels.get(engine_label, "")
            largest[engine] = max(value, largest.get(engine, value))
        values = list(largest.values())
    at_ns = min(one.at_ns for one in series)
    return PodSample(value_milli=round(reduce(rule.reducer, values) * 1000), at_ns=at_ns)


def _missed(
    query: MetricQuery,
    pods: Iterable[PodKey],
    shares: Mapping[PodKey, Sequence[Series]],
    rates: Mapping[PodKey, Sequence[Series]],
    rank: int,
) -> dict[PodKey, Sample[_Missed]]:
    """Engine by engine the share times what was answered; an engine that answered nothing misses nothing."""
    found: dict[PodKey, Sample[_Missed]] = {}
    for pod in pods:
        share_of = {frozenset(one.labels.items()): one.value for one in shares.get(pod, ())}
        own = [one for one in rates[pod] if is_measured(query, one.labels)]
        parts = [(one.value, share_of.get(frozenset(one.labels.items()))) for one in own]
        if not own or any(rate is None or (rate > 0.0 and share is None) for rate, share in parts):
            continue
        found[pod] = Sample(
            _Missed(
                answered=math.fsum(rate or 0.0 for rate, _ in parts),
                above=math.fsum((rate or 0.0) * (share or 0.0) for rate, share in parts),
            ),
            min(one.at_ns for one in own),
            rank,
        )
    return found
