"""Rows of an answer as series of pods."""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from adapter.sources.in_threads import unhurried
from adapter.sources.pods import PodInfo, Pods
from adapter.sources.prometheus.answer import Row
from adapter.sources.prometheus.labels import Identity, RowLabels
from adapter.sources.prometheus.promql import Query
from adapter.sources.prometheus.shares import shares_of
from adapter.sources.series import PodKey, Series
from adapter.sources.shared_gpus import why_not_attributable

NS_PER_MS = 1_000_000
_ROWS_AT_A_TIME = 100
"""Some 5 us each: half a millisecond."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """series: of one rule. labels: of one series. label_value: characters."""

    series: int
    labels: int
    label_value: int


@dataclass(frozen=True, slots=True)
class Found:
    """What rows came to. notes: reason -> how many rows were left out for it."""

    series: Sequence[Series]
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shown:
    """Which pods' series are shown: those that exist, and of an exporter's own pod none (an idle GPU's).

    exporters: pods known to report about others. is_gpu_exporter: whether all rows come from such ones.
    """

    pods: Pods
    exporters: Collection[PodKey] = frozenset()
    is_gpu_exporter: bool = False

    def has(self, labels: RowLabels) -> bool:
        if labels.pod is None:
            return True
        info = self.pods.get(labels.pod)
        if info is None:
            return False
        if labels.exporter is not None:
            return True
        return labels.pod not in self.exporters and not (self.is_gpu_exporter and _runs_dcgm_exporter(info))


def series_of(
    rows: Sequence[Row], query: Query, shown: Shown, *, now_ns: int, limits: Limits, metric: str = ""
) -> Found:
    """The rows as series: of pods that are shown, or of no pod.

    Counted: "ended" ones (a value whose series has no present sample any more), "duplicate" (the first one stays) and
    "limit": a pod that these are cut of has no value, since a sum over the rest would be too low. metric: the
    exporter's name for it.
    """
    notes: Counter[str] = Counter()
    times = {row.labels.identity: round(row.value * 1000) for row in rows if row.labels.is_time and row.value > 0}
    told = [row for row in rows if not row.labels.is_time]
    if query.share_above is not None:
        told = shares_of(told, query.share_above)
    at_ms = {id(row): times.get(row.labels.identity) if query.timed else row.at_ms for row in told}
    values = _preferred(told, query.names)
    values = _of_newest_target(values, at_ms)
    shared = why_not_attributable([row.labels.gpu or {} for row in values], name=metric, pods=shown.pods)
    kept: dict[tuple[PodKey | None, int], Series] = {}
    cut: dict[tuple[PodKey | None, str], None] = {}
    for index in unhurried(_by_need(values, limits.series), every=_ROWS_AT_A_TIME):
        row, labels = values[index], values[index].labels
        if not shown.has(labels):
            continue
        taken_ms = at_ms[id(row)]
        key = (labels.pod, id(labels.apart))
        if taken_ms is None:
            notes["ended"] += 1
        elif key in kept:
            notes["duplicate"] += 1
        elif len(kept) >= limits.series or labels.count > limits.labels or labels.longest > limits.label_value:
            notes["limit"] += 1
            cut[labels.pod, "" if labels.pod is not None else labels.own.get("namespace", "")] = None
        else:
            kept[key] = _series(row, min(taken_ms * NS_PER_MS, now_ns), query, shared.get(index, ""))
    unknown = _without_value(rows, values, shown, now_ns, query) if query.timed else []
    return Found([*kept.values(), *_cut(cut, now_ns, query), *unknown[: limits.series - len(kept)]], notes)


def _of_newest_target(rows: Sequence[Row], at_ms: Mapping[int, int | None]) -> Sequence[Row]:
    """Of each pod the rows from one host: a pod's own, or its node's exporter's, has one address at a time.

    For as long as samples are looked back for, Prometheus tells those of a pod that was replaced under its name, or of
    the exporter before its restart, beside the new ones: the sum would count the pod twice.
    """
    newest: dict[PodKey, tuple[int, str]] = {}
    hosts: dict[PodKey, set[str]] = {}
    for row in unhurried(rows, every=_ROWS_AT_A_TIME):
        pod, host, taken_ms = row.labels.pod, row.labels.host, at_ms[id(row)]
        if pod is not None and host and taken_ms is not None:
            hosts.setdefault(pod, set()).add(host)
            newest[pod] = max(newest.get(pod, (taken_ms, host)), (taken_ms, host))
    moved = {pod: newest[pod][1] for pod, told in hosts.items() if len(told) > 1}
    if not moved:
        return rows
    return [
        row
        for row in rows
        if row.labels.pod not in moved or row.labels.host in ("", moved[row.labels.pod]) or at_ms[id(row)] is None
    ]


def _by_need(rows: Sequence[Row], limit: int) -> Sequence[int]:
    """The rows' indexes, in their order; beyond the limit those of the pods with the fewest rows first, so that an
    explosion of labels costs the pod that has it and no other."""
    if len(rows) <= limit:
        return range(len(rows))
    count = Counter(row.labels.pod for row in rows)
    return sorted(range(len(rows)), key=lambda index: count[rows[index].labels.pod])


def _cut(cut: Iterable[tuple[PodKey | None, str]], now_ns: int, query: Query) -> Iterable[Series]:
    """One series without a value for each pod, or namespace without one, that series are missing of."""
    why = "some of its series were cut (seriesLimit, labelsLimit, labelValueLimit)"
    for pod, namespace in cut:
        yield Series({"namespace": namespace} if namespace else {}, None, now_ns, pod, query.window_seconds, why=why)


def exporters_in(rows: Iterable[Row]) -> set[PodKey]:
    """Pods that report about others: they are in `pod` where the workload is in `exported_pod`."""
    return {row.labels.exporter for row in rows if row.labels.exporter is not None}


def _runs_dcgm_exporter(info: PodInfo) -> bool:
    """By the labels of NVIDIA's GPU operator, of the exporter's own chart, and of GKE's managed one."""
    return any("dcgm-exporter" in value for value in info.labels.values())


def _preferred(rows: Sequence[Row], names: Sequence[str]) -> Sequence[Row]:
    """Of each identity the rows under the first of the names that it has; all rows where no names are given."""
    if len(names) < 2:
        return rows
    rank = {name: index for index, name in enumerate(names)}
    best: dict[Identity, int] = {}
    for row in unhurried(rows, every=_ROWS_AT_A_TIME):
        age = rank.get(row.labels.name, len(names))
        best[row.labels.identity] = min(age, best.get(row.labels.identity, age))
    return [row for row in rows if rank.get(row.labels.name, len(names)) == best[row.labels.identity]]


def _series(row: Row, at_ns: int, query: Query, shared: str) -> Series:
    window, value, why = query.window_seconds, row.value, shared
    is_quiet = window > 0 and not shared and math.isnan(value)  # a ratio or quantile of nothing is 0 / 0
    if is_quiet and query.idle is not None:
        value, is_quiet = query.idle, False
    if is_quiet:
        why = f"nothing happened in {window} s"
    elif not math.isfinite(value):
        why = "NaN" if math.isnan(value) else f"{value:+}".replace("inf", "Inf")
    return Series(row.labels.own, None if why else value, at_ns, row.labels.pod, window, why=why, is_quiet=is_quiet)


def _without_value(rows: Sequence[Row], values: Sequence[Row], shown: Shown, now_ns: int, query: Query) -> list[Series]:
    """Pods that have samples but no value: a counter seen once has no rate yet."""
    have = {row.labels.pod for row in values}
    why = f"needs two samples within {query.window_seconds} s" if query.window_seconds else "a part of it is missing"
    unknown: dict[PodKey, Series] = {}
    for row in rows:
        pod = row.labels.pod
        if row.labels.is_time and pod is not None and pod not in have and shown.has(row.labels):
            at_ns = min(round(row.value * 1000) * NS_PER_MS, now_ns)
            window = query.window_seconds
            unknown.setdefault(pod, Series(row.labels.own, None, at_ns, pod, window, why=why, is_quiet=window > 0))
    return list(unknown.values())
