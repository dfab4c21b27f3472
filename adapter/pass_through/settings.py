"""What an operator sets."""

import re
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from adapter.errors import BadInput
from adapter.sources.section import Section

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_SERVICE = re.compile(rf"(?P<namespace>{_LABEL})/(?P<name>{_LABEL})(?::(?P<port>\d{{1,5}}))?")


class PassThroughSettings(Section):
    """The section `passThrough` of the configuration: the other external-metrics server, and how to ask it."""

    url: str = ""
    """`https://HOST[:PORT]` of the other server. Either this or `service`. Never plain HTTP: it would carry a
    token, or someone's identity."""
    service: str = ""
    """`NAMESPACE/NAME[:PORT]` of its Service, port 443 if none is given: `keda/keda-operator-metrics-apiserver`."""
    ca_file: Path
    """PEM bundle of the CAs that sign its serving certificate: what its APIService has as caBundle."""
    mode: Literal["serviceAccount", "requestHeader"] = "serviceAccount"
    """serviceAccount: we ask as ourselves, with the token in bearerTokenFile; the other server must allow that
    ServiceAccount to list external metrics, and we have authorized the caller. requestHeader: we ask for the caller,
    as the aggregation layer does, with a client certificate that the other server's front-proxy CA has signed."""
    bearer_token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    """Token for mode serviceAccount; the default is where Kubernetes mounts a pod's own. It is read again each
    minute, because it expires."""
    client_cert_file: Path | None = None
    """PEM client certificate for mode requestHeader."""
    client_key_file: Path | None = None
    """PEM key of clientCertFile, without a passphrase."""
    timeout_seconds: float = Field(default=10.0, ge=0.1, le=60.0)
    """Seconds for an answer, 0.1 to 60, waiting for a free place included. Below the HPA's own 30 s and above what
    KEDA needs to ask a slow backend; beyond it 504."""
    max_concurrent: int = Field(default=32, ge=1, le=1000)
    """Requests passed on at a time, 1 to 1,000; more wait. Each may hold an answer of 8 MiB."""
    failures_until_open: int = Field(default=5, ge=1, le=100)
    """Failures in a row, 1 to 100, after which the other server counts as dead and requests get 503 at once, so
    that it cannot hold up the HPA's workers."""
    open_seconds: float = Field(default=15.0, ge=1.0, le=3600.0)
    """Seconds, 1 to 3,600, until a dead server is tried again with one request. 15 is the HPA's own period."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if bool(self.url) == bool(self.service):
            given = "both" if self.url else "none"
            raise BadInput(f"passThrough.url, passThrough.service: were {given}, must be one of them; correct it")
        if self.url:
            _check_url(self.url)
        elif (found := _SERVICE.fullmatch(self.service)) is None or not 0 < int(found["port"] or 443) < 65536:
            raise BadInput(
                f"passThrough.service: was {self.service!r}, must be NAMESPACE/NAME or NAMESPACE/NAME:PORT with a port "
                "of 1 to 65535; correct it"
            )
        if self.mode == "requestHeader" and (self.client_cert_file is None or self.client_key_file is None):
            raise BadInput(
                "passThrough.clientCertFile, passThrough.clientKeyFile: were not both given, must be for mode "
                "requestHeader; give both, or use mode serviceAccount"
            )
        return self

    @property
    def base_url(self) -> str:
        """`https://HOST[:PORT]`, without a slash at its end."""
        if self.url:
            return self.url.rstrip("/")
        found = _SERVICE.fullmatch(self.service)
        assert found is not None
        return f"https://{found['name']}.{found['namespace']}.svc:{found['port'] or 443}"


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme == "https" and parts.hostname and (parts.port is None or parts.port > 0))
        bare = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        usable = bare = False
    if not (usable and bare and url.isascii()):
        raise BadInput(f"passThrough.url: was {url!r}, must be https://HOST or https://HOST:PORT; correct it")
