"""The APIServices by which kube-apiserver finds the adapter: what CA it expects there."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from adapter.auth.review_api import ObjectApi
from adapter.sources.kubernetes.api import ApiError

NAMES: Final = ("v1beta1.custom.metrics.k8s.io", "v1beta2.custom.metrics.k8s.io", "v1beta1.external.metrics.k8s.io")
_PATH: Final = "/apis/apiregistration.k8s.io/v1/apiservices"


@dataclass(frozen=True, slots=True)
class ApiService:
    """One APIService that leads to our Service. ca_bundle: PEM, b"" for none; insecure: whether checking is off."""

    name: str
    resource_version: str
    ca_bundle: bytes
    insecure: bool

    def trusts(self, bundle: bytes) -> bool:
        return self.ca_bundle == bundle and not self.insecure


async def read_api_services(
    api: ObjectApi, *, namespace: str, service_name: str, names: Sequence[str] = NAMES
) -> tuple[list[ApiService], list[str]]:
    """Those that lead to our Service, and a sentence about each that leads elsewhere.

    One that does not exist is no fault: not every cluster serves every group through us. Raises ApiError.
    """
    ours: list[ApiService] = []
    others: list[str] = []
    for name in names:
        try:
            found = await api.get(f"{_PATH}/{name}")
        except ApiError as error:
            if error.status == 404:
                continue
            raise
        spec: Mapping[str, Any] = found.get("spec") or {}
        service: Mapping[str, Any] = spec.get("service") or {}
        if (service.get("namespace"), service.get("name")) != (namespace, service_name):
            where = f"{service.get('namespace')}/{service.get('name')}" if service else "the API server itself"
            others.append(f"APIService {name} leads to {where}, not to {namespace}/{service_name}: left alone")
            continue
        ours.append(
            ApiService(
                name,
                found["metadata"]["resourceVersion"],
                base64.b64decode(spec.get("caBundle") or ""),
                bool(spec.get("insecureSkipTLSVerify")),
            )
        )
    return ours, others


async def publish(api: ObjectApi, service: ApiService, bundle: bytes) -> None:
    """Make the API server expect these CAs, and check. Raises ApiError, 409 if it has changed since it was read."""
    await api.patch(
        f"{_PATH}/{service.name}",
        {
            "metadata": {"resourceVersion": service.resource_version},
            "spec": {"caBundle": base64.b64encode(bundle).decode(), "insecureSkipTLSVerify": None},
        },
        "application/merge-patch+json",
    )
