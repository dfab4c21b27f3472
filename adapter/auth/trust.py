"""Whose certificates are believed, and for what: fixed by a file, or followed in the cluster's ConfigMap."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from adapter.auth.certificate_authorities import Authorities, BadAuthorities
from adapter.auth.client_certificate import ClientCertificates
from adapter.auth.request_header import BadRequestHeaderConfig, RequestHeaderConfig, parse_request_header_config

_log = logging.getLogger(__name__)

CONFIG_MAP_NAMESPACE = "kube-system"
CONFIG_MAP_NAME = "extension-apiserver-authentication"
_WHERE = f"ConfigMap {CONFIG_MAP_NAMESPACE}/{CONFIG_MAP_NAME}"
MISSING = f"{_WHERE}: does not exist; kube-apiserver makes it when its aggregation layer is set up"
_KEPT = " (the last good state stays in force)"


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """One state of belief. Every change makes a new object, so that `is` tells whether anything changed.

    front_proxy: who may say in headers who asks. clients: whose certificates are users.
    """

    front_proxy: RequestHeaderConfig | None = None
    clients: ClientCertificates | None = None

    @property
    def pem(self) -> str:
        """All authorities: what the TLS handshake lets in."""
        front_proxy = self.front_proxy.authorities.pem if self.front_proxy else ""
        return front_proxy + (self.clients.authorities.pem if self.clients else "")


class ClusterTrust:
    """The trust that kube-apiserver publishes in kube-system/extension-apiserver-authentication.

    Like a Go API server, each part (front proxy, client CA) keeps its last good state when the ConfigMap turns bad
    or disappears (apiserver pkg/server/dynamiccertificates/configmap_cafile_content.go); `fault` says so meanwhile.
    """

    def __init__(self, on_change: Callable[[Trust], None] = lambda _: None) -> None:
        """on_change: called with every new trust."""
        self.current = Trust()
        self.fault = f"{_WHERE}: not read yet"
        self._on_change = on_change

    def update(self, data: Mapping[str, str] | None) -> None:
        """Take over what can be used. data: the ConfigMap's, None where it does not exist."""
        fault, front_proxy, clients = MISSING, self.current.front_proxy, self.current.clients
        if data is not None:
            faults: list[str] = []
            try:
                front_proxy = parse_request_header_config(data)
            except BadRequestHeaderConfig as error:
                faults.append(str(error))
            try:
                clients = _clients(data) or clients
            except BadAuthorities as error:
                faults.append(f"client-ca-file: {error}; correct kube-apiserver's --client-ca-file")
            fault = f"{_WHERE}: {'; '.join(faults)}" if faults else ""
        self._report(fault)
        if (front_proxy, clients) != (self.current.front_proxy, self.current.clients):
            self.current = Trust(front_proxy, clients)
            _log.info("client certificates: new authorities or names, in force from now on")
            self._on_change(self.current)

    def _report(self, fault: str) -> None:
        if fault and (self.current.front_proxy or self.current.clients):
            fault += _KEPT
        if fault and fault != self.fault:
            _log.error("%s", fault)
        self.fault = fault


def _clients(data: Mapping[str, str]) -> ClientCertificates | None:
    pem = data.get("client-ca-file")
    return ClientCertificates(Authorities(pem)) if pem else None
