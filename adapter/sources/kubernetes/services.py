"""What is kept of a Service: whom it selects, and where its ports lead."""

from collections.abc import Mapping
from dataclasses import dataclass

from adapter.sources.kubernetes.api import Json


@dataclass(frozen=True, slots=True)
class ServicePort:
    """target: a container port's name or number."""

    name: str
    target: str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRecord:
    """A Service with a selector."""

    namespace: str
    name: str
    labels: Mapping[str, str]
    selector: Mapping[str, str]
    ports: tuple[ServicePort, ...] = ()

    def selects(self, labels: Mapping[str, str]) -> bool:
        return self.selector.items() <= labels.items()


def prune_service(service: Json) -> ServiceRecord | None:
    """What is kept of a Service; None for one without a selector: its endpoints are written by hand."""
    metadata, spec = service["metadata"], service.get("spec") or {}
    if not spec.get("selector"):
        return None
    return ServiceRecord(
        namespace=metadata["namespace"],
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        selector=spec["selector"],
        ports=tuple(
            ServicePort(port.get("name") or "", port.get("targetPort") or int(port["port"]))
            for port in spec.get("ports") or ()
        ),
    )
