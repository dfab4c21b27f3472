"""Which pages of a pod to scrape: the first of settings, annotations, monitors and known systems that names one."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from adapter.sources.attribution import may_speak_of
from adapter.sources.kubernetes.known_systems import is_exporter, known_pages
from adapter.sources.kubernetes.label_selector import LabelSelector, parse_selector
from adapter.sources.kubernetes.monitors import Endpoint, Monitor
from adapter.sources.kubernetes.pod_record import PodRecord
from adapter.sources.kubernetes.services import ServiceRecord
from adapter.sources.kubernetes.settings import KubernetesSettings, PageSettings
from adapter.sources.targets import Target

Role = Literal["pod", "exporter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """The pages of one pod. found_by: what named them, "" where nothing did. notes: what could not be followed."""

    targets: tuple[Target, ...] = ()
    found_by: str = ""
    notes: tuple[str, ...] = ()


class PageFinder:
    """The settings, with their selectors taken apart once."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._told = [(page, parse_selector(page.selector)) for page in settings.pages]

    def pages_of(self, pod: PodRecord, *, monitors: Iterable[Monitor], services: Sequence[ServiceRecord]) -> Pages:
        """monitors: those that may select in the pod's namespace. services: those that select the pod.

        A pod without an address or a running container has no page yet.
        """
        if not pod.ip or not pod.running:
            return Pages()
        for index, (page, selector) in enumerate(self._told):
            if _selects(page, selector, pod):
                return _told_outright(index, page, pod)
        exporter = is_exporter(pod)
        if exporter and not self._is_trusted(pod):
            note = (
                f"a DCGM exporter in namespace {pod.key.namespace} is not believed: its page speaks of other "
                "namespaces' pods; add the namespace to discovery.kubernetes.exporterNamespaces"
            )
            return Pages(notes=(note,))
        role: Role = "exporter" if exporter else "pod"
        notes: list[str] = []
        for pages in self._found(pod, role, monitors, services):
            notes += pages.notes
            if pages.targets:
                return Pages(targets=pages.targets, found_by=pages.found_by, notes=tuple(notes))
        return Pages(notes=tuple(notes))

    def _is_trusted(self, pod: PodRecord) -> bool:
        return bool({"*", pod.key.namespace} & set(self._settings.exporter_namespaces))

    def _monitored(
        self, pod: PodRecord, role: Role, monitors: Iterable[Monitor], services: Sequence[ServiceRecord]
    ) -> Pages:
        """By monitors of the pod's own namespace, of the cluster, and of those that may speak for others: any tenant
        could select another's pods, and have them scraped where their values are not."""
        believed = self._settings.monitor_namespaces
        followed, others = list[Monitor](), list[Monitor]()
        for one in monitors:
            may = may_speak_of(pod.key.namespace, by=one.own_namespace, believed=believed)
            (followed if may else others).append(one)
        refused = [
            f"{name} is not followed for another namespace's pods; add its namespace to "
            "discovery.kubernetes.monitorNamespaces"
            for name in (_monitored(pod, role, [one], services).found_by for one in others)
            if name
        ]
        pages = _monitored(pod, role, followed, services)
        return Pages(targets=pages.targets, found_by=pages.found_by, notes=(*pages.notes, *refused))

    def _found(
        self, pod: PodRecord, role: Role, monitors: Iterable[Monitor], services: Sequence[ServiceRecord]
    ) -> Iterator[Pages]:
        if self._settings.annotations and pod.annotations.get("prometheus.io/scrape") == "true":
            yield _annotated(pod, role)
        yield self._monitored(pod, role, monitors, services)
        if self._settings.known_systems and pod.annotations.get("prometheus.io/scrape") != "false":
            yield _known(pod, role)


def _selects(page: PageSettings, selector: LabelSelector, pod: PodRecord) -> bool:
    return (not page.namespaces or pod.key.namespace in page.namespaces) and selector.matches(pod.info.labels)


def _told_outright(index: int, page: PageSettings, pod: PodRecord) -> Pages:
    found_by = f"discovery.kubernetes.pages[{index}]"
    if page.port is None:
        return Pages(found_by=found_by)
    port = _open_port(pod, page.port)
    if port is None:
        return Pages(notes=(f"{found_by}: no running container declares port {page.port!r}",))
    return Pages(targets=(_target(pod, page.role, port, page.path, page.scheme),), found_by=found_by)


def _annotated(pod: PodRecord, role: Role) -> Pages:
    """By the annotations that Prometheus' examples made a convention (prometheus-kubernetes.yml in its
    documentation/examples). Without a port: the known system's, else the only one that is declared."""
    annotations = pod.annotations
    path, scheme = annotations.get("prometheus.io/path") or "/metrics", annotations.get("prometheus.io/scheme", "http")
    told = annotations.get("prometheus.io/port", "")
    known = next(known_pages(pod), None)
    if told:
        port = int(told) if told.isascii() and told.isdigit() and len(told) <= 5 and 1 <= int(told) <= 65535 else None
        fault = "" if port else f"prometheus.io/port: was {told[:40]!r}, must be a number in [1, 65535]"
    elif known is not None:
        port, fault = known.port, ""
        path = annotations.get("prometheus.io/path") or known.path
    else:
        declared = {port.number for port in pod.ports if port.container in pod.running}
        port = declared.pop() if len(declared) == 1 else None
        fault = "" if port else "prometheus.io/port: was not given, must be where a pod declares not exactly one port"
    if not path.startswith("/") or any(character.isspace() for character in path):
        fault = f"prometheus.io/path: was {path[:40]!r}, must start with / and hold no space"
    if scheme not in ("http", "https"):
        fault = f"prometheus.io/scheme: was {scheme[:40]!r}, must be http or https"
    if fault or port is None:
        return Pages(notes=(f"annotation {fault}",))
    return Pages(targets=(_target(pod, role, port, path, scheme),), found_by="annotations")


def _monitored(pod: PodRecord, role: Role, monitors: Iterable[Monitor], services: Sequence[ServiceRecord]) -> Pages:
    """The pages of all monitors that select the pod, each page once."""
    targets: dict[Target, None] = {}
    names: list[str] = []
    notes: list[str] = []
    for monitor in monitors:
        if monitor.namespaces is not None and pod.key.namespace not in monitor.namespaces:
            continue
        if monitor.selects_services:
            through = [service for service in services if monitor.selector.matches(service.labels)]
        elif not monitor.selector.matches(pod.info.labels):
            continue
        else:
            through = []
        if monitor.selects_services and not through:
            continue
        names.append(monitor.name)
        notes += monitor.notes
        for endpoint in monitor.endpoints:
            ports = [port for port in _ports(pod, endpoint, through) if port is not None]
            if not ports:
                notes.append(f"{monitor.name}: no running container declares port {endpoint.port!r}")
            for port in ports:
                path = f"{endpoint.path}?{endpoint.query}" if endpoint.query else endpoint.path
                targets[_target(pod, role, port, path, endpoint.scheme)] = None
    return Pages(targets=tuple(targets), found_by=", ".join(names), notes=tuple(notes))


def _ports(pod: PodRecord, endpoint: Endpoint, services: Sequence[ServiceRecord]) -> Iterator[int | None]:
    if not endpoint.of_service:
        yield _open_port(pod, endpoint.port)
    for service in services if endpoint.of_service else ():
        for port in service.ports:
            if port.name == endpoint.port:
                yield _open_port(pod, port.target)


def _known(pod: PodRecord, role: Role) -> Pages:
    pages = list(known_pages(pod))
    if not pages and pod.requests_gpu and "leaderworkerset.sigs.k8s.io/name" not in pod.info.labels:
        return Pages(
            notes=("a pod that asks for a GPU declares no known metrics port: name a port `metrics`, or annotate it",)
        )
    return Pages(
        targets=tuple(dict.fromkeys(_target(pod, role, page.port, page.path) for page in pages)),
        found_by="known system " + ", ".join(page.system for page in pages),
    )


def _open_port(pod: PodRecord, port: str | int) -> int | None:
    """The number of a port of a running container; of a number that none declares, itself."""
    declared = [one for one in pod.ports if port in (one.name, one.number)]
    if declared:
        return next((one.number for one in declared if one.container in pod.running), None)
    return port if isinstance(port, int) else None


def _target(pod: PodRecord, role: Role, port: int, path: str, scheme: str = "http") -> Target:
    host = f"[{pod.ip}]" if ":" in pod.ip else pod.ip
    return Target(url=f"{scheme}://{host}:{port}{path}", role=role, owner=pod.key)
