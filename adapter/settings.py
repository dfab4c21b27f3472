"""The configuration file of the adapter: one section for each of its parts."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from adapter.auth.settings import AuthenticationSettings, AuthorizationSettings, ServingCertificateSettings
from adapter.errors import BadInput
from adapter.http_server.limits import HttpLimits
from adapter.names.on_demand import OnDemandSettings
from adapter.pass_through.settings import PassThroughSettings
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.section import Section
from adapter.sources.settings import SCRAPE_ONLY, Sources


class ServerSettings(Section):
    """Where the adapter listens."""

    host: str = Field("0.0.0.0", min_length=1, max_length=253)  # noqa: S104
    """Address to listen on. All by default: the API server comes from another node."""
    port: int = Field(6443, ge=0, le=65535)
    """TCP port, 0 to 65535; 0 takes a free one. 6443 is what other metrics adapters use."""
    http: HttpLimits = HttpLimits()
    """What a client may take of the server."""


class DiscoverySettings(Section):
    """Which pods exist and where their pages are: from the cluster, or from a file."""

    kubernetes: KubernetesSettings | None = None
    """Pods, Services and monitors are watched: the default."""
    targets_file: Path | None = None
    """JSON in the shape of Prometheus' file_sd, read anew at each collection. For use without a cluster."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.kubernetes is not None and self.targets_file is not None:
            raise BadInput(": kubernetes and targetsFile are both given, must be one; remove the other")
        return self


class CrossNamespace(Section):
    """A permission to read other namespaces' series as External metrics."""

    namespace: str = Field(min_length=1, max_length=63)
    """Who may read; "*" for every namespace."""
    may_read: tuple[str, ...] = Field(min_length=1)
    """Whose series; "*" for all."""


class TenancySettings(Section):
    """A namespace sees its own series, and what is allowed here."""

    cross_namespace: tuple[CrossNamespace, ...] = ()
    """Further permissions. Rules can give one too, for their own series (visibleTo)."""


class PlaceSettings(Section):
    """Where the cluster is, as Cloud Monitoring's resource labels name it: so that an HPA which selects by
    resource.labels.project_id, location or cluster finds scraped series too."""

    project: str = Field("", max_length=100)
    """The project's id, not its number. Where it is not said, resource.labels.project_id is not shown; so for all."""
    location: str = Field("", max_length=100)
    """The cluster's region or zone: us-central1, us-central1-a."""
    cluster: str = Field("", max_length=100)
    """The cluster's name."""


class AdapterSettings(Section):
    """The whole file."""

    api_version: Literal["adapter.leadtime.dev/v1alpha1"] = "adapter.leadtime.dev/v1alpha1"
    kind: Literal["AdapterConfiguration"] = "AdapterConfiguration"
    server: ServerSettings = ServerSettings()
    serving_certificate: ServingCertificateSettings = ServingCertificateSettings()
    authentication: AuthenticationSettings = Field(default_factory=lambda: AuthenticationSettings.model_validate({}))
    authorization: AuthorizationSettings = AuthorizationSettings()
    discovery: DiscoverySettings = DiscoverySettings()
    sources: Sources = SCRAPE_ONLY
    """In order of priority. Default: pods are scraped, nothing else is needed."""
    failback_seconds: float = Field(60.0, ge=0.0, le=3600.0)
    """Seconds for which a better source must have been good before it is returned to, 0 to 3600. A minute: four
    collections in a row."""
    rules: tuple[Path, ...] = ()
    """Files and folders of rules, beside the built-in ones; read anew when they change."""
    on_demand: OnDemandSettings = OnDemandSettings()
    """Metrics of Cloud Monitoring that no rule names. Without a cloudMonitoring source it does nothing."""
    tenancy: TenancySettings = TenancySettings()
    pass_through: PassThroughSettings | None = None
    """Another external-metrics server, for names that are not ours."""
    place: PlaceSettings = PlaceSettings()
    """Default: what the first cloudMonitoring source says."""
