"""The pods of the cluster, found by labels or by node without a look at all of them."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TypeVar

from adapter.sources.kubernetes.label_selector import LabelSelector
from adapter.sources.kubernetes.pod_record import PodRecord
from adapter.sources.series import PodKey
from autoscaler.observe.pod_seen import PodSeen, WatchedPod

_Place = TypeVar("_Place", bound=Hashable)
_NONE: frozenset[PodKey] = frozenset()


class PodIndex:
    """Fed with changes of pods and of nodes' zones."""

    def __init__(self) -> None:
        self._pods: dict[PodKey, PodSeen] = {}
        self._records: dict[PodKey, PodRecord] = {}
        self._by_label: dict[tuple[str, str, str], set[PodKey]] = {}
        self._by_namespace: dict[str, set[PodKey]] = {}
        self._by_node: dict[str, set[PodKey]] = {}
        self._zones: dict[str, str] = {}
        self.pods: Mapping[PodKey, PodSeen] = MappingProxyType(self._pods)

    def pod_changed(self, key: PodKey, watched: WatchedPod | None) -> None:
        before = self._pods.pop(key, None)
        if before is not None and (watched is None or before.labels != watched.seen.labels):
            for label, value in before.labels.items():
                _leave(self._by_label, (key.namespace, label, value), key)
        if before is not None and (watched is None or before.node != watched.seen.node):
            _leave(self._by_node, before.node, key)
        self._records.pop(key, None)
        if watched is None:
            _leave(self._by_namespace, key.namespace, key)
            return
        seen = watched.seen
        self._pods[key] = self._placed(seen)
        if watched.record is not None:
            self._records[key] = watched.record
        self._by_namespace.setdefault(key.namespace, set()).add(key)
        if seen.node:
            self._by_node.setdefault(seen.node, set()).add(key)
        for label, value in seen.labels.items():
            self._by_label.setdefault((key.namespace, label, value), set()).add(key)

    def zone_changed(self, node: str, zone: str) -> None:
        """zone: "" where the node has gone, or says none."""
        if self._zones.get(node, "") == zone:
            return
        self._zones[node] = zone
        if not zone:
            del self._zones[node]
        for key in self._by_node.get(node, _NONE):
            self._pods[key] = self._placed(self._pods[key])

    def selected(self, namespace: str, selector: LabelSelector) -> tuple[PodSeen, ...]:
        """By name. A selector without requirements selects all pods of the namespace."""
        candidates = min(
            (
                self._by_label.get((namespace, label, value), _NONE)
                for label, operator, values in selector.requirements
                if operator == "In" and len(values) == 1
                for value in values
            ),
            key=len,
            default=self._by_namespace.get(namespace, _NONE),
        )
        return self._seen(key for key in candidates if selector.matches(self._pods[key].labels))

    def on_node(self, node: str) -> tuple[PodSeen, ...]:
        """By namespace and name."""
        return self._seen(self._by_node.get(node, _NONE))

    def record(self, key: PodKey) -> PodRecord | None:
        """None for one that is ending, has ended, or is not known."""
        return self._records.get(key)

    def _seen(self, keys: Iterable[PodKey]) -> tuple[PodSeen, ...]:
        return tuple(self._pods[key] for key in sorted(keys))

    def _placed(self, seen: PodSeen) -> PodSeen:
        zone = self._zones.get(seen.node, "") if seen.node else ""
        return seen if seen.zone == zone else replace(seen, zone=zone)


def _leave(index: dict[_Place, set[PodKey]], at: _Place, key: PodKey) -> None:
    members = index.get(at)
    if members is None:
        return
    members.discard(key)
    if not members:
        del index[at]
