"""Kubernetes as the source of pods and targets: runs the watches, answers from memory."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from adapter.sources.kubernetes.api import ApiReader
from adapter.sources.kubernetes.list_watch import Key, ListWatch
from adapter.sources.kubernetes.monitors import PATHS, Monitor, MonitorKind, prune_monitor
from adapter.sources.kubernetes.pod_record import PodRecord, prune_pod
from adapter.sources.kubernetes.pods import PodInventory
from adapter.sources.kubernetes.scrape_pages import Pages
from adapter.sources.kubernetes.services import ServiceRecord, prune_service
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.kubernetes.targets import TargetInventory
from adapter.sources.pods import Pods
from adapter.sources.series import PodKey
from adapter.sources.targets import TargetSet

_log = logging.getLogger(__name__)
COALESCE_SECONDS = 0.1  # changes of pods told together: at most so late, and once for a burst


class KubernetesDiscovery:
    """The pods of a cluster and their metrics pages.

    `run` follows the cluster until it is cancelled. `on_pods_changed`, if set, is called within COALESCE_SECONDS
    of a change of pods or Services (so that ended pods leave at once), and once for a burst of changes.
    """

    def __init__(
        self,
        client: ApiReader,
        settings: KubernetesSettings,
        *,
        coalesce_seconds: float = COALESCE_SECONDS,
        watch_options: Mapping[str, Any] | None = None,
    ) -> None:
        """watch_options: for ListWatch: its clocks, sleep and chance."""
        self.on_pods_changed: Callable[[], None] | None = None
        self._coalesce_seconds = coalesce_seconds
        self._telling: asyncio.TimerHandle | None = None
        self._inventory = PodInventory()
        self._targets = TargetInventory(settings, self._inventory)
        options = dict(watch_options or {})
        self._pods: list[ListWatch[PodRecord]] = [
            ListWatch(
                client,
                path,
                prune=prune_pod,
                on_change=self._pod_changed,
                label_selector=settings.pod_label_selector,
                **options,
            )
            for path in _paths("/api/v1", "pods", settings)
        ]
        self._services: list[ListWatch[ServiceRecord]] = [
            ListWatch(client, path, prune=prune_service, on_change=self._service_changed, **options)
            for path in _paths("/api/v1", "services", settings)
            if settings.services
        ]
        self._monitors: list[ListWatch[Monitor]] = [
            ListWatch(
                client,
                path,
                prune=partial(prune_monitor, kind),
                on_change=partial(self._monitor_changed, kind),
                **options,
            )
            for kind in settings.monitors
            for path in _monitor_paths(kind, settings)
        ]

    async def run(self) -> None:
        """Follow the cluster until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for watch in self._watches():
                    group.create_task(watch.run(), name=f"watch {watch.path}")
        finally:
            if self._telling is not None:
                self._telling.cancel()

    def targets(self) -> TargetSet:
        """All pages to scrape and all pods, from memory."""
        return self._targets.targets()

    def pods(self) -> Pods:
        """Every pod that exists, from memory; the same object until something changes."""
        return self._inventory.pods()

    @property
    def synced(self) -> bool:
        """Whether all pods are known, and the rest was tried once: refused Services or monitors do not hold it up."""
        return all(watch.synced for watch in self._pods) and all(watch.settled for watch in self._watches())

    @property
    def faults(self) -> tuple[str, ...]:
        """What is out of reach at present, since when, and the remedy."""
        return tuple(watch.fault for watch in self._watches() if watch.fault is not None)

    @property
    def notes(self) -> Mapping[str, int]:
        """What monitors, annotations and settings ask that is not followed -> number of pods concerned."""
        return self._targets.notes()

    def found_by(self, pod: PodKey) -> Pages:
        """What named a pod's pages, for `explain`."""
        return self._targets.found_by(pod)

    def _watches(self) -> Iterator[ListWatch[PodRecord] | ListWatch[ServiceRecord] | ListWatch[Monitor]]:
        yield from self._pods
        yield from self._services
        yield from self._monitors

    def _pod_changed(self, key: Key, record: PodRecord | None) -> None:
        self._inventory.pod_changed(key, record)
        self._targets.pods_changed([PodKey(*key)])
        self._tell()

    def _service_changed(self, key: Key, service: ServiceRecord | None) -> None:
        self._targets.pods_changed(self._inventory.service_changed(key, service))
        self._tell()

    def _monitor_changed(self, kind: MonitorKind, key: Key, monitor: Monitor | None) -> None:
        self._targets.monitor_changed(kind, key, monitor)

    def _tell(self) -> None:
        if self.on_pods_changed is not None and self._telling is None:
            self._telling = asyncio.get_running_loop().call_later(self._coalesce_seconds, self._told)

    def _told(self) -> None:
        self._telling = None
        if self.on_pods_changed is not None:
            self.on_pods_changed()


def _paths(group: str, resource: str, settings: KubernetesSettings) -> list[str]:
    if not settings.namespaces:
        return [f"{group}/{resource}"]
    return [f"{group}/namespaces/{namespace}/{resource}" for namespace in dict.fromkeys(settings.namespaces)]


def _monitor_paths(kind: MonitorKind, settings: KubernetesSettings) -> list[str]:
    group, resource = PATHS[kind]
    if kind == "ClusterPodMonitoring":
        return [f"{group}/{resource}"]
    return _paths(group, resource, settings)
