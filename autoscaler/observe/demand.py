"""What servers are asked to do, collected from the sources in this process and told from memory."""

import asyncio
import itertools
import logging
import math
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from adapter.sources.rule import Reducer, reduce
from adapter.sources.series import NS_PER_SECOND, PodKey, Series
from adapter.sources.source import Reading, Source, SourceUnavailable
from autoscaler.observe.demand_rules import (
    COUNTER_RULES,
    MISSED_LIMIT,
    MISSED_WINDOW_SECONDS,
    measured,
    missed_rules,
    rules_for,
)
from autoscaler.observe.demand_targets import DemandTargets
from autoscaler.observe.samples import Sample, Samples
from policies.snapshot import ExternalMetric, MetricError, MetricQuery, Observation, PodMetrics, PodSample

_log = logging.getLogger(__name__)
MAX_AGE_SECONDS = 60.0
"""Four collections at the default interval, as in the adapter's rules; a source's lag comes on top."""
_PODS_AT_A_TIME = 50
"""Some 40 us each: 2 ms, in which nothing else runs."""
_ORDER = {query: index for index, query in enumerate(COUNTER_RULES)}
_REDUCERS: tuple[Reducer, ...] = tuple(rule.reducer for rule in COUNTER_RULES.values())
_Counters: TypeAlias = tuple[PodSample, ...]
"""Of one pod, in the order of COUNTER_RULES."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemandSource:
    """A source with its interval, and by how much its samples lag behind, in seconds."""

    source: Source
    interval_seconds: float
    lag_seconds: float = 0.0


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
        if query in COUNTER_RULES:
            at = _ORDER[query]
            found = {pod.name: values[at] for pod in pods if (values := self._counters.fresh(pod, now_ns))}
            return PodMetrics(found) if found else self._nothing_fresh(query, COUNTER_RULES[query].name, pods, now_ns)
        rules = missed_rules(query)
        if rules is None:
            return MetricError(f"{query.name}: no rule answers it with the labels {dict(query.selector)}")
        samples = self._missed.get(query)
        shares = [share for pod in pods if samples and (share := samples.fresh(pod, now_ns)) is not None]
        if not shares:
            return self._nothing_fresh(query, rules.share.name, pods, now_ns)
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

        counters = [await by_pod(rule.name) for rule in COUNTER_RULES.values()]
        async for pods in _in_pieces(counters[0]):
            self._counters.offer(_complete(pods, counters, rank), now_ns)
        for query in queries:
            rules = missed_rules(query)
            assert rules is not None, "it is measured"
            samples = self._missed.setdefault(query, Samples(self._max_age_ns))
            shares, rates = await by_pod(rules.share.name), await by_pod(rules.answered.name)
            async for pods in _in_pieces(rates):
                samples.offer(_missed(pods, shares, rates, rank), now_ns)

    def _keep_only(self, pods: Collection[PodKey], queries: Collection[MetricQuery]) -> None:
        self._counters.keep_only(pods)
        self._missed = {query: samples for query, samples in self._missed.items() if query in queries}
        for samples in self._missed.values():
            samples.keep_only(pods)

    def _nothing_fresh(self, query: MetricQuery, rule: str, pods: Sequence[PodKey], now_ns: int) -> MetricError:
        """Why none of the pods has a fresh sample, source by source."""
        if query not in COUNTER_RULES and query not in self._measured and len(self._measured) == MISSED_LIMIT:
            return MetricError(
                f"{query.name}: not measured, more than {MISSED_LIMIT} different SLO targets are in use; give "
                "workloads the same slo where they may have it"
            )
        states = zip(self.sources, self._states, strict=True)
        whys = [f"{each.source.name}: {self._why(state, rule, now_ns)}" for each, state in states]
        notes = self._targets.page_notes(pods)
        told = "; ".join((*whys, *notes)) or "no source is configured"
        return MetricError(f"{query.name}: no fresh value of {len(pods)} pods; {told}")

    @staticmethod
    def _why(state: _State, rule: str, now_ns: int) -> str:
        failure = state.failures.get("") or state.failures.get(rule)
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
    pods: Iterable[PodKey], counters: Sequence[Mapping[PodKey, Sequence[Series]]], rank: int
) -> dict[PodKey, Sample[_Counters]]:
    """Those of the pods that have a value of every counter. Such a set is as old as its oldest value."""
    complete: dict[PodKey, Sample[_Counters]] = {}
    for pod in pods:
        values = [_reduced(reducer, by_pod.get(pod, ())) for reducer, by_pod in zip(_REDUCERS, counters, strict=True)]
        known = tuple(value for value in values if value is not None)
        if len(known) == len(values):
            complete[pod] = Sample(known, min(value.at_ns for value in known), rank)
    return complete


def _reduced(reducer: Reducer, series: Sequence[Series]) -> PodSample | None:
    """One value of a pod's series, None where one of them has none: a sum over the rest would be too low."""
    values = [one.value for one in series if one.value is not None]
    if not values or len(values) < len(series):
        return None
    at_ns = min(one.at_ns for one in series)
    return PodSample(value_milli=round(reduce(reducer, values) * 1000), at_ns=at_ns)


def _missed(
    pods: Iterable[PodKey],
    shares: Mapping[PodKey, Sequence[Series]],
    rates: Mapping[PodKey, Sequence[Series]],
    rank: int,
) -> dict[PodKey, Sample[_Missed]]:
    """Engine by engine the share times what was answered; an engine that answered nothing misses nothing."""
    found: dict[PodKey, Sample[_Missed]] = {}
    for pod in pods:
        share_of = {frozenset(one.labels.items()): one.value for one in shares.get(pod, ())}
        parts = [(one.value, share_of.get(frozenset(one.labels.items()))) for one in rates[pod]]
        if any(rate is None or (rate > 0.0 and share is None) for rate, share in parts):
            continue
        found[pod] = Sample(
            _Missed(
                answered=math.fsum(rate or 0.0 for rate, _ in parts),
                above=math.fsum((rate or 0.0) * (share or 0.0) for rate, share in parts),
            ),
            min(one.at_ns for one in rates[pod]),
            rank,
        )
    return found
