"""Which pods exist and where their pages are: followed in the cluster, or read from a file."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from adapter.errors import BadInput
from adapter.sources.kubernetes.discovery import KubernetesDiscovery
from adapter.sources.pods import Pods
from adapter.sources.series import PodKey
from adapter.sources.targets import BadTargets, TargetSet, TargetsFile

logger = logging.getLogger(__name__)


class Inventory(Protocol):
    """Answers from memory. on_change: called when pods came, went or changed."""

    on_change: Callable[[], None]

    @property
    def synced(self) -> bool: ...

    @property
    def faults(self) -> Sequence[str]: ...

    @property
    def notes(self) -> Mapping[str, int]: ...

    def pods(self) -> Pods: ...

    def targets(self) -> TargetSet: ...

    def found_by(self, pod: PodKey) -> tuple[str, Sequence[str]]:
        """What named a pod's pages, "" if nothing did, and what of it could not be followed."""
        ...

    async def refresh(self) -> None:
        """Called before each collection."""
        ...

    async def run(self) -> None:
        """Follow whatever there is to follow, until cancelled."""
        ...


class FileInventory:
    """The targets file, read anew before each collection."""

    def __init__(self, path: Path) -> None:
        """Raises BadInput where the file cannot be used from the start."""
        self.on_change: Callable[[], None] = lambda: None
        self._file = TargetsFile(path)
        try:
            self._targets = self._file.read()
        except BadTargets as error:
            raise BadInput(f"discovery.targetsFile: {error}") from error

    synced = True
    notes: Mapping[str, int] = {}

    @property
    def faults(self) -> Sequence[str]:
        return () if self._file.fault is None else (f"keeping the last good targets: {self._file.fault}",)

    def pods(self) -> Pods:
        return self._targets.pods

    def targets(self) -> TargetSet:
        return self._targets

    def found_by(self, pod: PodKey) -> tuple[str, Sequence[str]]:
        return "the targets file" if pod in self._targets.pods else "", ()

    async def refresh(self) -> None:
        targets = await asyncio.to_thread(self._file.read)
        if targets is not self._targets:
            self._targets = targets
            self.on_change()

    async def run(self) -> None:
        await asyncio.Event().wait()


class ClusterInventory:
    """The cluster's pods, followed by watches."""

    def __init__(self, discovery: KubernetesDiscovery) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self._discovery = discovery
        self._noted: Mapping[str, int] = {}
        discovery.on_pods_changed = lambda: self.on_change()

    @property
    def synced(self) -> bool:
        return self._discovery.synced

    @property
    def faults(self) -> Sequence[str]:
        return self._discovery.faults

    @property
    def notes(self) -> Mapping[str, int]:
        return self._discovery.notes

    def pods(self) -> Pods:
        return self._discovery.pods()

    def targets(self) -> TargetSet:
        return self._discovery.targets()

    def found_by(self, pod: PodKey) -> tuple[str, Sequence[str]]:
        pages = self._discovery.found_by(pod)
        return pages.found_by, pages.notes

    async def refresh(self) -> None:
        self.on_change()  # a burst that is not yet told is known by the time of a collection
        before, self._noted = self._noted, self.notes
        for note in self._noted.keys() - before.keys():
            logger.warning("discovery cannot follow: pods=%d: %s", self._noted[note], note)

    async def run(self) -> None:
        await self._discovery.run()
