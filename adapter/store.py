"""Samples in memory: the only thing a request reads."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from types import MappingProxyType

from adapter.sources.pods import PodInfo, Pods
from adapter.sources.rule import Rule
from adapter.sources.series import NS_PER_SECOND, PodKey, Series

_NO_PODS: Pods = MappingProxyType({})
_MEMO_KEYS = 16
"""Labels by which one table's series are found without a search, of all namespaces. Whoever may ask chooses them."""


class Table:
    """All series of one rule from one source, as one collection gave them; never changed afterwards.

    max_age_ns: beyond it a sample is stale: the rule's max age and what the source's samples may lag behind.
    renewed_since_ns: pod -> since when its samples come without a pause, where that began within the last max age.
    Indexes are made at their first use: a table that nobody asks for costs nothing.
    """

    __slots__ = (
        *("__weakref__", "_by_namespace", "_by_pod", "_memo", "_memo_room"),
        *("max_age_ns", "renewed_since_ns", "rule", "series", "source"),
    )

    def __init__(
        self,
        rule: Rule,
        series: Sequence[Series],
        *,
        source: str,
        lag_seconds: float,
        renewed_since_ns: Mapping[PodKey, int] = MappingProxyType({}),
    ) -> None:
        self.rule = rule
        self.renewed_since_ns = renewed_since_ns
        self.series = series
        self.source = source
        self.max_age_ns = round((rule.max_age_seconds + lag_seconds) * NS_PER_SECOND)
        self._memo: dict[Hashable, tuple[PodIndex, Mapping[str, Sequence[Series]]]] = {}
        self._memo_room = 0
        self._by_pod: dict[str, dict[str, list[Series]]] | None = None
        self._by_namespace: dict[str, list[Series]] | None = None

    @property
    def pause_ns(self) -> int:
        """A pod whose samples are further apart than this has paused: half a max age, two intervals or more."""
        return self.max_age_ns // 2

    def by_pod(self, namespace: str) -> Mapping[str, Sequence[Series]]:
        """Pod name -> its series, of the namespace's pods."""
        if self._by_pod is None:
            index: dict[str, dict[str, list[Series]]] = {}
            for one in self.series:
                if one.pod is not None:
                    index.setdefault(one.pod.namespace, {}).setdefault(one.pod.name, []).append(one)
            self._by_pod = index
        return self._by_pod.get(namespace, {})

    def in_namespace(self, namespace: str) -> Sequence[Series]:
        """The namespace's series, of pods or of none; "" gives those of no namespace."""
        if self._by_namespace is None:
            index: dict[str, list[Series]] = {}
            for one in self.series:
                index.setdefault(namespace_of(one), []).append(one)
            self._by_namespace = index
        return self._by_namespace.get(namespace, ())

    def remembered(self, key: Hashable, pods: PodIndex) -> Mapping[str, Sequence[Series]] | None:
        """What a reader worked out for these pods; None where it must be worked out (again)."""
        then, index = self._memo.get(key, (None, None))
        return index if then is pods else None

    def remember(self, key: Hashable, pods: PodIndex, index: Mapping[str, Sequence[Series]], *, size: int) -> None:
        """Keep it as long as this table, unless too much is kept: then all else is forgotten.

        size: series in the index.
        """
        self._memo_room -= size + 1
        if self._memo_room < 0:
            self._memo.clear()
            self._memo_room = _MEMO_KEYS * (len(self.series) + 1000) - size - 1
        self._memo[key] = (pods, index)

    def namespaces(self) -> Iterable[str]:
        """Every namespace that has series here, "" for none."""
        self.in_namespace("")
        assert self._by_namespace is not None
        return self._by_namespace


class PodIndex:
    """One instant's pods, found by namespace and label without walking over all of them."""

    __slots__ = ("__weakref__", "_by_label", "_by_namespace", "pods")

    def __init__(self, pods: Pods) -> None:
        self.pods = pods
        self._by_namespace: dict[str, dict[str, PodInfo]] | None = None
        self._by_label: dict[tuple[str, str], dict[str, list[str]]] = {}

    def in_namespace(self, namespace: str) -> Mapping[str, PodInfo]:
        """Pod name -> pod."""
        if self._by_namespace is None:
            index: dict[str, dict[str, PodInfo]] = {}
            for key, info in self.pods.items():
                index.setdefault(key.namespace, {})[key.name] = info
            self._by_namespace = index
        return self._by_namespace.get(namespace, {})

    def labelled(self, namespace: str, key: str, values: Iterable[str]) -> list[str]:
        """Names of the namespace's pods whose label `key` has one of the values."""
        index = self._by_label.get((namespace, key))
        if index is None:
            index = {}
            for name, info in self.in_namespace(namespace).items():
                value = info.labels.get(key)
                if value is not None:
                    index.setdefault(value, []).append(name)
            if index:  # any other label that somebody asks for would stay for as long as the pods do
                self._by_label[namespace, key] = index
        return [name for value in values for name in index.get(value, ())]


class Store:
    """The tables now served, and the pods that exist.

    A pod that ended is gone at once: its series are passed over by whoever reads.
    """

    def __init__(self) -> None:
        self.pods = PodIndex(_NO_PODS)
        self._tables: dict[str, Table] = {}

    def publish(self, table: Table) -> None:
        """Serve this table for its rule from now on."""
        self._tables[table.rule.name] = table

    def keep_only(self, rules: Iterable[str]) -> None:
        """Forget the tables of all other rules."""
        names = set(rules)
        self._tables = {name: table for name, table in self._tables.items() if name in names}

    def set_pods(self, pods: Pods) -> None:
        if pods is not self.pods.pods:
            self.pods = PodIndex(pods)

    def table(self, rule: str) -> Table | None:
        """The rule's table; None before its first."""
        return self._tables.get(rule)

    def tables(self) -> Iterable[Table]:
        return self._tables.values()

    def pod(self, key: PodKey | None) -> PodInfo | None:
        """The pod, None if it does not exist."""
        return self.pods.pods.get(key) if key is not None else None


def namespace_of(series: Series) -> str:
    """The namespace that a series belongs to: its pod's, else what its resource or labels say, else ""."""
    if series.pod is not None:
        return series.pod.namespace
    for labels in (series.resource_labels, series.labels):
        for key in ("namespace", "namespace_name", "exported_namespace"):
            if value := labels.get(key):
                return value
    return ""
