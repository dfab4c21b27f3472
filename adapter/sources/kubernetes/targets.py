"""The pages to scrape of all pods, worked out again only for pods that changed."""

from collections import Counter
from collections.abc import Iterable, Mapping

from adapter.sources.kubernetes.list_watch import Key
from adapter.sources.kubernetes.monitors import Monitor, MonitorKind
from adapter.sources.kubernetes.pods import PodInventory
from adapter.sources.kubernetes.scrape_pages import PageFinder, Pages
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.series import PodKey
from adapter.sources.targets import Target, TargetSet


class TargetInventory:
    """Monitors over the pods of an inventory, fed with changes."""

    def __init__(self, settings: KubernetesSettings, inventory: PodInventory) -> None:
        self._finder = PageFinder(settings)
        self._inventory = inventory
        self._monitors: dict[tuple[MonitorKind, Key], Monitor] = {}
        self._in_namespace: dict[str, list[Monitor]] = {}
        self._everywhere: list[Monitor] = []
        self._pages: dict[PodKey, Pages] = {}
        self._changed: set[PodKey] = set()
        self._targets: tuple[Target, ...] = ()

    def pods_changed(self, pods: Iterable[PodKey]) -> None:
        self._changed.update(pods)

    def monitor_changed(self, kind: MonitorKind, key: Key, monitor: Monitor | None) -> None:
        before = self._monitors.pop((kind, key), None)
        if monitor is not None:
            self._monitors[kind, key] = monitor
        self._in_namespace, self._everywhere = {}, []
        for one in self._monitors.values():
            if one.namespaces is None:
                self._everywhere.append(one)
            for namespace in one.namespaces or ():
                self._in_namespace.setdefault(namespace, []).append(one)
        for affected in (before, monitor):
            if affected is not None:
                self._changed.update(self._inventory.keys_in(affected.namespaces))

    def targets(self) -> TargetSet:
        """All pages, pods in the order in which they came, and all pods."""
        if self._changed:
            for pod in self._changed:
                record = self._inventory.records.get(pod)
                if record is None:
                    self._pages.pop(pod, None)
                    continue
                monitors = (*self._in_namespace.get(pod.namespace, ()), *self._everywhere)
                services = self._inventory.services_of(record)
                self._pages[pod] = self._finder.pages_of(record, monitors=monitors, services=services)
            self._changed.clear()
            self._targets = tuple(target for pages in self._pages.values() for target in pages.targets)
        return TargetSet(targets=self._targets, pods=self._inventory.pods())

    def found_by(self, pod: PodKey) -> Pages:
        """What named the pod's pages, and what could not be followed."""
        self.targets()
        return self._pages.get(pod, Pages())

    def notes(self) -> Mapping[str, int]:
        """What of the objects' wishes could not be followed -> number of pods concerned."""
        self.targets()
        return Counter(note for pages in self._pages.values() for note in pages.notes)
