"""The workloads that are observed: which pods are theirs, which pages those have, and what is asked about them."""

import asyncio
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from adapter.sources.kubernetes.label_selector import LabelSelector
from adapter.sources.kubernetes.pod_record import PodRecord
from adapter.sources.kubernetes.scrape_pages import PageFinder, Pages
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.pods import PodInfo
from adapter.sources.series import PodKey
from adapter.sources.targets import TargetSet
from autoscaler.cluster import Key
from autoscaler.observe.pod_seen import PodSeen
from policies.snapshot import MetricQuery

_TARGETS_AT_A_TIME = 50
"""Some 30 us each with five pods: 1.5 ms, in which nothing else runs."""


class PodsInMemory(Protocol):
    """What is needed of the World."""

    @property
    def autoscalers(self) -> Collection[Key]: ...

    def pods_of(self, namespace: str, selector: LabelSelector) -> tuple[PodSeen, ...]: ...

    def page_record(self, pod: PodKey) -> PodRecord | None: ...


@dataclass(frozen=True, slots=True)
class DemandTarget:
    """resource: of the target, `deployments.apps`. demand: what is asked about it."""

    resource: str
    name: str
    selector: LabelSelector
    demand: tuple[MetricQuery, ...]


class DemandTargets:
    """What was last observed of each PredictiveAutoscaler; one that is gone leaves with the next look.

    queries: about demand, of all workloads at the last look.
    """

    def __init__(self, world: PodsInMemory, pages: KubernetesSettings | None = None) -> None:
        """pages: how pages are found: by annotations, known systems, and told outright. Monitors are not followed."""
        self._world = world
        self._finder = PageFinder(pages or KubernetesSettings())
        self._targets: dict[Key, DemandTarget] = {}
        self._pages: dict[PodKey, tuple[PodRecord, Pages]] = {}
        self._found = TargetSet(pods={})
        self.queries: Collection[MetricQuery] = frozenset()

    def observed(self, key: Key, target: DemandTarget) -> None:
        self._targets[key] = target

    def pods_of(self, key: Key, target: DemandTarget) -> tuple[PodSeen, ...]:
        """The workload's own pods, by name, those included that are ending or have ended."""
        return own_pods(self._world.pods_of(key.namespace, target.selector), target.resource, target.name)

    async def refresh(self) -> None:
        """Look anew, in pieces between which others run, so that `targets` and `queries` are of now."""
        pods: dict[PodKey, PodInfo] = {}
        pages: dict[PodKey, tuple[PodRecord, Pages]] = {}
        queries: set[MetricQuery] = set()
        for number, (key, target) in enumerate(list(self._targets.items()), start=1):
            if number % _TARGETS_AT_A_TIME == 0:
                await asyncio.sleep(0)
            if key not in self._world.autoscalers:
                self._targets.pop(key, None)
                continue
            queries.update(target.demand)
            for seen in self.pods_of(key, target):
                record = self._world.page_record(seen.key)
                if record is not None and seen.key not in pods:
                    pods[seen.key] = record.info
                    pages[seen.key] = self._pages_of(record)
        self._pages = pages
        self.queries = frozenset(queries)
        # A page is believed about its own pod only: an exporter among them would speak of others.
        found = (target for _, each in pages.values() for target in each.targets if target.role == "pod")
        self._found = TargetSet(targets=tuple(dict.fromkeys(found)), pods=pods)

    def targets(self) -> TargetSet:
        """The living pods of all workloads at the last look, and their pages."""
        return self._found

    def page_notes(self, pods: Iterable[PodKey]) -> tuple[str, ...]:
        """Why these pods have no page, each reason once."""
        notes = (note for key in pods if key in self._pages for note in self._pages[key][1].notes)
        return tuple(dict.fromkeys(notes))

    def _pages_of(self, record: PodRecord) -> tuple[PodRecord, Pages]:
        before = self._pages.get(record.key)
        if before is not None and before[0] is record:
            return before
        return record, self._finder.pages_of(record, monitors=(), services=())


def own_pods(pods: Iterable[PodSeen], resource: str, name: str) -> tuple[PodSeen, ...]:
    """Those of the pods that a selector selects which no other workload of the same kind owns.

    Two Deployments whose selectors overlap would else count each other's pods, as an HPA does (KEP-5325). A pod whose
    owners are not known, or of other kinds, stays: between a custom kind and its pods there may be anything.
    """
    return tuple(seen for seen in pods if all(of != resource or owner == name for of, owner in seen.owners))
