"""Recorded syncs with something changed that the controller saw: a replay of them must not match any more."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction

from sync_record import RecordedHpa, RecordedSync

from policies.snapshot import ExternalMetric, MetricError, ObjectMetric, Observation, PodMetrics, PodSample

MORE = Fraction(13, 10)


def _values(sync: RecordedSync) -> RecordedSync:
    """Every value 30 % higher."""
    return replace(sync, observations={query: _more(seen) for query, seen in sync.observations.items()})


def _replicas(sync: RecordedSync) -> RecordedSync:
    return replace(sync, replicas=None if sync.replicas is None else sync.replicas + 1)


def _pods(sync: RecordedSync) -> RecordedSync:
    """None but the first."""
    return replace(sync, views=tuple(view[:1] for view in sync.views))


def _no_error(sync: RecordedSync) -> RecordedSync:
    """What could not be told taken for no load."""
    idle = PodMetrics({pod.name: PodSample(value_milli=0, at_ns=sync.at_ns) for pod in sync.pods})
    nothing: Mapping[str, Observation] = {"External": ExternalMetric((0,)), "Object": ObjectMetric(0)}
    seen = {
        query: nothing.get(query.type, idle) if isinstance(answer, MetricError) else answer
        for query, answer in sync.observations.items()
    }
    return replace(sync, observations=seen)


def _time(sync: RecordedSync) -> RecordedSync:
    """Time that stands still: no window and no period passes."""
    return replace(sync, at_ns=0, rescaled_ns=0)


_SYNC_BY_SYNC: Mapping[str, Callable[[RecordedSync], RecordedSync]] = {
    "values": _values,
    "replicas": _replicas,
    "pods": _pods,
    "errors": _no_error,
    "time": _time,
}
ALTERATIONS = (*_SYNC_BY_SYNC, "behavior", "order")


def altered(hpa: RecordedHpa, what: str) -> RecordedHpa:
    """The HPA's syncs with one of ALTERATIONS."""
    if what == "behavior":
        return replace(hpa, spec=replace(hpa.spec, behavior=None))
    if what == "order":  # each sync with what the next one saw
        seen = [*hpa.syncs[1:], *hpa.syncs[:1]]
        return replace(hpa, syncs=tuple(replace(b, answer=a.answer) for a, b in zip(hpa.syncs, seen, strict=True)))
    return replace(hpa, syncs=tuple(_SYNC_BY_SYNC[what](sync) for sync in hpa.syncs))


def _more(seen: Observation) -> Observation:
    if isinstance(seen, PodMetrics):
        return PodMetrics(
            {name: replace(one, value_milli=int(one.value_milli * MORE)) for name, one in seen.samples.items()}
        )
    if isinstance(seen, ExternalMetric):
        return ExternalMetric(tuple(int(value * MORE) for value in seen.values_milli))
    return ObjectMetric(int(seen.value_milli * MORE)) if isinstance(seen, ObjectMetric) else seen
