"""How one Prometheus is asked, as people configure it."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from adapter.sources.attribution import EXPORTER_NAMESPACES
from adapter.sources.section import Section

_LABEL = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
_HEADER = r"^[A-Za-z0-9-]+$"
LabelName = Annotated[str, StringConstraints(pattern=_LABEL)]
HeaderName = Annotated[str, StringConstraints(pattern=_HEADER)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]*$")]


class PrometheusSettings(Section):
    """One Prometheus. At most one of bearerTokenFile, googleAuth and passwordFile says who asks."""

    url: str = Field(pattern=r"^https?://[^\s?#]+$")
    """Up to, and without, /api/v1. For Google's managed service:
    https://monitoring.googleapis.com/v1/projects/PROJECT/location/global/prometheus"""

    bearer_token_file: Path | None = None
    """A bearer token; read at each request, because the kubelet replaces projected tokens. Default: none."""

    google_auth: bool = False
    """Ask with the access token of Google's application default credentials (on GKE: Workload Identity), as the
    managed service wants. It also keeps to exact metric names, the only ones that service matches."""

    username_file: Path | None = None
    """The user of HTTP basic authentication; read at each request. Default: an empty user name."""

    password_file: Path | None = None
    """The password of HTTP basic authentication; read at each request. Default: none."""

    ca_file: Path | None = None
    """Certificates (PEM) that the server's is checked against. Default: those of the certifi package. There is no
    way to skip the check."""

    cert_file: Path | None = None
    """Client certificate (PEM) for mutual TLS; new connections use the file's present content. Default: none."""

    key_file: Path | None = None
    """The client certificate's private key (PEM). Default: none."""

    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict, max_length=20)
    """Sent with each request: X-Scope-OrgID names a tenant of Mimir. Secrets belong into the files above."""

    interval_seconds: float = Field(default=15.0, ge=1.0, le=3600.0)
    """From one collection to the next, seconds. 15: the HPA's own period, so that each of its syncs sees a new one."""

    timeout_seconds: float = Field(default=10.0, ge=0.1, le=300.0)
    """For all queries of a collection together, seconds; a query gets what is left of it. 10: two thirds of the
    interval, so that a slow answer delays no collection."""

    lookback_seconds: int = Field(default=120, ge=15, le=300)
    """How far back the newest sample is looked for, seconds: at least two scrape intervals. 120: twice Prometheus'
    default scrape interval of one minute. Longer costs Prometheus and the network more; older than a rule's
    maxAgeSeconds is stale anyway."""

    absent_retry_seconds: float = Field(default=60.0, ge=0.0, le=3600.0)
    """How long a rule that has never found anything is left unasked, seconds; 0 asks each time. 60: most of the
    catalogue is absent from most clusters, and a new exporter's first values may take so long to be seen."""

    concurrency: int = Field(default=4, ge=1, le=32)
    """Queries under way at once. 4: well below Prometheus' own limit of 20 (--query.max-concurrency)."""

    series_limit: int = Field(default=10_000, ge=1, le=1_000_000)
    """Series kept of one rule; the rest are cut and counted, those of pods with the most first, and a pod that series
    are cut of has no value. 10,000: ten for each of 1,000 pods."""

    labels_limit: int = Field(default=64, ge=1, le=1000)
    """Labels of one series; one with more is cut and counted. 64: Google's exporters write some 20."""

    label_value_limit: int = Field(default=1024, ge=16, le=65_536)
    """Characters of one label's value; a series with a longer one is cut and counted."""

    max_response_bytes: int = Field(default=16 * 1024 * 1024, ge=1024, le=1024**3)
    """Of one answer, after decompression; a longer one fails its rule. 16 MiB: some 30,000 series."""

    exporter_namespaces: tuple[str, ...] = EXPORTER_NAMESPACES
    """Namespaces whose exporters are believed about other namespaces' pods, which series then name in exported_pod and
    exported_namespace; "*" for all. Any tenant's page could name them, and so move the others' scaling: elsewhere such
    a series counts as its own pod's. These are where NVIDIA and Google install the DCGM exporter."""

    extra_labels: dict[LabelName, str] = Field(default_factory=dict, max_length=20)
    """Label matchers added to every generated query, `cluster: a` where one Prometheus holds several clusters. A
    rule's own prometheus.query is left as it is."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ways = {"bearerTokenFile": self.bearer_token_file, "passwordFile": self.password_file}
        chosen = [name for name, value in ways.items() if value is not None] + ["googleAuth"] * self.google_auth
        if len(chosen) > 1:
            raise ValueError(f"{' and '.join(chosen)} are both given, must be at most one; remove the others")
        if self.username_file is not None and self.password_file is None:
            raise ValueError("usernameFile is given without passwordFile; give both or neither")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("certFile and keyFile must be given together; give both or neither")
        if chosen and self.url.startswith("http://") and not _is_loopback(self.url):
            raise ValueError(f"url: was {self.url!r}, must be https where {chosen[0]} is sent; use https")
        return self


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
