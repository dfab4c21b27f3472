"""The occasions on which the adapter's serving certificate is replaced: its own, and cert-manager's."""

import base64
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from adapter_in_cluster import Adapter
from adapter_manifests import BASE
from adapter_overlay import NAMESPACE, overlay
from api_service import api_service_path
from control_plane import ControlPlane
from kube_api import ApiError, Object
from pki import Authority

from adapter.auth.serving_certificate.authority import issue, make_authority
from adapter.auth.serving_certificate.key_pair import NS_PER_SECOND
from adapter.auth.serving_certificate.lineage import Lineage, parse_secret_data, secret_data

OVERLAYS = BASE.parent / "overlays"
SERVICE = f"leadtime-adapter.{NAMESPACE}.svc"
SECRET = "leadtime-adapter-serving"  # noqa: S105 - its name
_DAY_NS = 86_400 * NS_PER_SECOND
_CERTIFICATE_DAYS, _AUTHORITY_DAYS = 90, 730  # the adapter's defaults
_POLL_SECONDS = 0.05

Data = Mapping[str, str]
"""A Secret's entries, base64."""


def near_its_end(data: Data) -> Data:
    """The same authority, and a certificate of 80 days ago: less than a third of its 90 days is left."""
    lineage = _lineage(data)
    pair = issue(lineage.active, (SERVICE,), time.time_ns() - 80 * _DAY_NS, _CERTIFICATE_DAYS)
    return _data(replace(lineage, pair=pair))


def with_successor_announced(data: Data) -> Data:
    """The authority's successor was made two hours ago: it signs as soon as the API server knows it."""
    two_hours_ago_ns = time.time_ns() - _DAY_NS // 12
    return _data(replace(_lineage(data), announced=make_authority(two_hours_ago_ns, _AUTHORITY_DAYS)))


class CertManager:
    """What cert-manager and its cainjector do for overlays/cert-manager, by its Certificate leadtime-adapter-serving.

    Their custom resources can be applied from now on.
    """

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        """folder: for what it signs."""
        self._api, self._folder = plane.api, folder
        self._authority = Authority(folder, "leadtime-adapter-ca")
        for kind in ("Issuer", "Certificate"):
            definition = _definition(kind)
            self._api.apply(definition)
            self._api.wait(f"/apis/cert-manager.io/v1/{kind.lower()}s", lambda found: "items" in found)

    def manifests(self, rules: str) -> Path:
        """The overlay, with the files looked at each second."""
        base = OVERLAYS / "cert-manager"

        def change(settings: Any) -> None:
            settings["servingCertificate"]["reloadSeconds"] = 1

        return overlay(base, self._folder / "overlay", rules=rules, settings=base / "adapter.yaml", change=change)

    def renews(self) -> None:
        """The Secret gets a new certificate and key of the same authority; one of another type goes first."""
        pair = self._authority.server(SECRET, [SERVICE])
        files = {"ca.crt": self._authority.certificate, "tls.crt": pair.certificate, "tls.key": pair.key}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": SECRET, "namespace": NAMESPACE},
            "type": "kubernetes.io/tls",
            "data": {name: _base64(file.read_bytes()) for name, file in files.items()},
        }
        try:
            self._api.apply(secret)
        except ApiError:  # a Secret's type cannot be changed
            self._api.delete(self._api.path_of(secret))
            self._api.apply(secret)

    def injects_authority(self, api_services: Iterable[str]) -> None:
        """The API server expects what the authority has signed."""
        bundle = {"spec": {"caBundle": _base64(self._authority.certificate.read_bytes())}}
        for name in api_services:
            self._api.merge(api_service_path(name), bundle)


@contextmanager
def replaced(adapter: Adapter, *, timeout_seconds: float = 30.0) -> Iterator[None]:
    """Until the adapter's only replica shows another certificate than before the block. Raises TimeoutError."""
    (replica,) = adapter.replicas
    address = ("127.0.0.1", replica.port)
    before = ssl.get_server_certificate(address)
    yield
    deadline = time.monotonic() + timeout_seconds
    while ssl.get_server_certificate(address) == before:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{replica.name}: still shows the same certificate after {timeout_seconds:g} s")
        time.sleep(_POLL_SECONDS)


def _lineage(data: Data) -> Lineage:
    lineage = parse_secret_data({name: base64.b64decode(entry) for name, entry in data.items()})
    assert lineage, "an empty Secret"
    return lineage


def _data(lineage: Lineage) -> Data:
    return {name: _base64(entry) for name, entry in secret_data(lineage).items()}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _definition(kind: str) -> Object:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    plural = f"{kind.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.cert-manager.io"},
        "spec": {
            "group": "cert-manager.io",
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
