"""The pods that exist, as a snapshot that costs little to take while a thousand of them change."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import chain
from types import MappingProxyType

from adapter.sources.kubernetes.list_watch import Key
from adapter.sources.kubernetes.pod_record import PodRecord
from adapter.sources.kubernetes.services import ServiceRecord
from adapter.sources.pods import PodInfo, Pods
from adapter.sources.series import PodKey


class PodInventory:
    """Pods and the Services over them, fed with changes; `pods` works out only what changed since it was last asked."""

    def __init__(self) -> None:
        self._records: dict[PodKey, PodRecord] = {}
        self._by_namespace: dict[str, set[PodKey]] = {}
        self._services: dict[str, dict[str, ServiceRecord]] = {}
        self._infos: dict[PodKey, PodInfo] = {}
        self._changed: set[PodKey] = set()
        self._snapshot: Pods = MappingProxyType({})

    def pod_changed(self, key: Key, record: PodRecord | None) -> None:
        pod = PodKey(*key)
        if record is None:
            self._records.pop(pod, None)
            members = self._by_namespace.get(pod.namespace, set())
            members.discard(pod)
            if not members:
                self._by_namespace.pop(pod.namespace, None)
        else:
            self._records[pod] = record
            self._by_namespace.setdefault(pod.namespace, set()).add(pod)
        self._changed.add(pod)

    def service_changed(self, key: Key, service: ServiceRecord | None) -> Iterable[PodKey]:
        """Take note of the Service; the pods of its namespace, which it may or may not select."""
        namespace, name = key
        services = self._services.setdefault(namespace, {})
        if service is None:
            services.pop(name, None)
        else:
            services[name] = service
        pods = self._by_namespace.get(namespace, set())
        self._changed |= pods
        return pods

    def pods(self) -> Pods:
        """Every pod that exists. The mapping is not changed any more; without a change it is the same one."""
        if self._changed:
            for pod in self._changed:
                record = self._records.get(pod)
                if record is None:
                    self._infos.pop(pod, None)
                else:
                    names = tuple(sorted(service.name for service in self.services_of(record)))
                    self._infos[pod] = replace(record.info, services=names) if names else record.info
            self._changed.clear()
            self._snapshot = MappingProxyType(dict(self._infos))
        return self._snapshot

    @property
    def records(self) -> Mapping[PodKey, PodRecord]:
        return self._records

    def keys_in(self, namespaces: Iterable[str] | None) -> Iterable[PodKey]:
        """The pods of these namespaces; None for all."""
        if namespaces is None:
            return self._records.keys()
        return chain.from_iterable(self._by_namespace.get(namespace, ()) for namespace in namespaces)

    def services_of(self, record: PodRecord) -> list[ServiceRecord]:
        services = self._services.get(record.key.namespace, {})
        return [service for service in services.values() if service.selects(record.info.labels)]
