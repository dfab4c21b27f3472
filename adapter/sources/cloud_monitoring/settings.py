"""How Cloud Monitoring is asked, as people configure it."""

from pydantic import Field

from adapter.sources.attribution import EXPORTER_NAMESPACES
from adapter.sources.section import Section


class CloudMonitoringSettings(Section):
    """One project's metrics of one cluster, asked with Google's application default credentials."""

    project: str = Field(pattern=r"^[a-z0-9][a-z0-9.:-]{0,98}$")
    """Project whose metrics are read: its id or number, or a metrics scope's scoping project."""

    cluster: str = Field(min_length=1, max_length=100)
    """The GKE cluster's name, as its metrics' labels have it."""

    location: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    """The cluster's region or zone, as its metrics' labels have it: us-central1, us-central1-a."""

    endpoint: str = Field(default="monitoring.googleapis.com", pattern=r"^[^\s/]+$")
    """Host, and port where it is not 443. Default: the public one; a private or regional endpoint is given here."""

    plaintext: bool = False
    """Without TLS and without credentials: for an emulator of the API, never for Google's."""

    interval_seconds: float = Field(default=30.0, ge=5.0, le=3600.0)
    """From one collection to the next, seconds. 30: GKE's own metrics are sampled every 60 s, managed Prometheus'
    every 15 to 60 s, so a collection adds at most half a sample's life to its age."""

    timeout_seconds: float = Field(default=20.0, ge=0.1, le=300.0)
    """For all calls of a collection together, seconds; a call gets what is left of it. 20: two thirds of the
    interval."""

    window_seconds: int = Field(default=300, ge=60, le=1500)
    """How far back samples are looked for, seconds. 300: GKE's metrics become visible up to some minutes after they
    were taken (cloud.google.com/monitoring/api/metrics_kubernetes, "not visible for up to"), and the Stackdriver
    adapter looks as far."""

    requests_per_minute: int = Field(default=180, ge=1, le=60_000)
    """Calls, pages included, that this process may make a minute: its part of the project's quota, which the Cloud
    console shows under "Time series queries". Rules beyond it keep their last values and wait for their turn. 180:
    forty rules with data twice a minute, and the 228 metric types of the built-in rules looked for every five minutes,
    are 126. With several replicas each makes so many."""

    absent_retry_seconds: float = Field(default=300.0, ge=10.0, le=3600.0)
    """How long a metric type that has never had data in this cluster is left unasked, seconds: so long the first values
    of a new exporter, or of a new name, may take to be seen. 300: most built-in rules are about systems that a cluster
    does not have, and asking for those costs quota too."""

    concurrency: int = Field(default=4, ge=1, le=32)
    """Calls under way at once. 4: a call takes some 100 ms, so sixty rules some 2 s."""

    page_size: int = Field(default=20_000, ge=10, le=100_000)
    """Points asked for in one page, each of which is a call of the quota. 20,000: five minutes of 1,000 pods sampled
    every 15 s; gRPC decodes that many in 4 ms, during which no request is answered. The API's maximum is 100,000."""

    series_limit: int = Field(default=10_000, ge=1, le=1_000_000)
    """Series of one rule; one that has more fails, since a sum over a part of them would be too low. 10,000: ten for
    each of 1,000 pods."""

    exporter_namespaces: tuple[str, ...] = EXPORTER_NAMESPACES
    """Namespaces whose exporters are believed about other namespaces' pods, which series then name in exported_pod and
    exported_namespace; "*" for all. Any tenant's page could name them, and so move the others' scaling: elsewhere such
    a series counts as its own pod's. These are where NVIDIA and Google install the DCGM exporter."""

    max_response_bytes: int = Field(default=64 * 1024 * 1024, ge=1024, le=1024**3)
    """Of one page; a longer one fails its rule. 64 MiB: far beyond a page of
    100,000 points (3 MB)."""
