"""The configuration file of the controller: one section for each of its parts."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from adapter.sources.kubernetes.settings import Namespace, PageSettings
from adapter.sources.section import Section
from adapter.sources.settings import SCRAPE_ONLY, Sources

_JITTER = 1.2
"""client-go's JitterFactor (tools/leaderelection): renewDeadline must be longer than one retry with its jitter."""

LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class ServerSettings(Section):
    """Where probes, metrics and the page are served, over plain HTTP and read-only."""

    host: str = Field("0.0.0.0", min_length=1, max_length=253)  # noqa: S104
    """Address to listen on. All by default: the kubelet and Prometheus come from the node and from other pods."""
    port: int = Field(8080, ge=0, le=65535)
    """TCP port, 0 to 65535; 0 takes a free one. 8080 is what controllers of the ecosystem serve metrics on."""


class ClusterSettings(Section):
    """Which cluster, and what of it is watched."""

    kubeconfig: Path | None = None
    """File with the cluster's address and credentials. None: $KUBECONFIG, the pod's service account, ~/.kube/config."""
    context: str | None = Field(None, min_length=1, max_length=253)
    """Context of the kubeconfig; None takes its current one."""
    namespaces: tuple[Namespace, ...] = Field((), max_length=100)
    """Namespaces whose PredictiveAutoscalers, pods and HPAs are watched, 100 at most (each takes a connection per
    kind); none means all, by a ClusterRole."""


class PageDiscoverySettings(Section):
    """Where pods have their metrics pages, for the source scrape: the first of `pages`, annotations, known systems."""

    annotations: bool = True
    """Follow prometheus.io/scrape, port, path and scheme on the pods."""
    known_systems: bool = True
    """Scrape pods of the known model servers where nothing else names their page."""
    pages: tuple[PageSettings, ...] = Field((), max_length=100)
    """Pages told outright; an entry without a port takes pods out of scraping."""


class LeaderElectionSettings(Section):
    """Of several replicas one writes, by a Lease; the others watch, decide and stand by with the same knowledge."""

    enabled: bool = True
    """Off only where nothing else can run beside it: a second controller would write as well."""
    lease_name: str = Field("leadtime-controller", pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
    """Name of the Lease (coordination.k8s.io/v1) in the controller's namespace. Its annotation
    autoscaling.leadtime.dev/paused: "true" pauses the whole cluster."""
    lease_duration_seconds: int = Field(11, ge=2, le=300)
    """How long the others wait after the last renewal that they saw, 2 to 300. 11 with retries of 2 puts a takeover
    below 15 s after the leader's death; core components take 15, and so up to 23.8."""
    renew_deadline_seconds: float = Field(8.0, ge=1.0, le=299.0)
    """Without a renewal for so long the leader writes no more, below leaseDurationSeconds. The difference, 3 s, is for
    writes under way and for clocks that do not run at the same rate."""
    retry_period_seconds: float = Field(2.0, ge=0.1, le=60.0)
    """Between two renewals or two looks of those who wait, 0.1 to 60. 2 is what core components take."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        """client-go's rules (leaderelection.go, NewLeaderElector)."""
        if self.renew_deadline_seconds >= self.lease_duration_seconds:
            raise ValueError(
                f"renewDeadlineSeconds: was {self.renew_deadline_seconds:g}, must be below leaseDurationSeconds "
                f"({self.lease_duration_seconds}); shorten it, or lengthen the lease"
            )
        if self.renew_deadline_seconds <= self.retry_period_seconds * _JITTER:
            raise ValueError(
                f"renewDeadlineSeconds: was {self.renew_deadline_seconds:g}, must be above "
                f"{_JITTER:g} x retryPeriodSeconds ({self.retry_period_seconds:g}); lengthen it, or retry sooner"
            )
        return self


class StepSettings(Section):
    """The loop over PredictiveAutoscalers."""

    sync_period_seconds: float = Field(15.0, ge=1.0, le=300.0)
    """From one step of an object to its next, 1 to 300. 15 is the HPA's own period."""
    timeout_seconds: float = Field(10.0, ge=0.1, le=300.0)
    """After which observing a workload, acting on it, or telling of it is given up, 0.1 to 300: it then waits for its
    next turn. Two thirds of the period, so that steps of one object do not follow each other without a pause."""
    concurrency: int = Field(32, ge=1, le=1000)
    """Steps that begin at a time, 1 to 1000: bounds what the API server is asked at once. A step counts for its first
    second only, so that those that hang delay the others little, and once."""


class StoreSettings(Section):
    """What is remembered over a restart: lead times, the demand that was seen and what was learned from it."""

    path: str = Field("/var/lib/leadtime/leadtime.sqlite", max_length=4096)
    """SQLite file, of this replica alone; "" keeps it in memory. What is missing is learned anew from the cluster."""
    flush_seconds: float = Field(10.0, ge=1.0, le=600.0)
    """Between writes to the file, 1 to 600, one for all objects. A crash loses lead times of so long, and demand of up
    to 5 minutes more: a workload's row is written once in five minutes. A stop in order loses nothing."""


class DecisionLogSettings(Section):
    """One line of JSON for each decision, with its inputs, for `leadtime replay`."""

    path: str = Field("", max_length=4096)
    """File; "" writes no such log. `-` is stderr, among the controller's other lines."""
    max_bytes: int = Field(64 * 1024 * 1024, ge=1024 * 1024, le=16 * 1024**3)
    """Bytes after which the file is begun anew, 1 MiB to 16 GiB; the one before is kept beside it."""


class ControllerSettings(Section):
    """The whole file."""

    api_version: Literal["controller.leadtime.dev/v1alpha1"] = "controller.leadtime.dev/v1alpha1"
    kind: Literal["ControllerConfiguration"] = "ControllerConfiguration"
    name: str = Field("leadtime-controller", pattern=r"^[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?$")
    """What the controller calls itself as field manager and in Events. Another name is another controller."""
    namespace: Namespace = "leadtime-system"
    """Where it runs and keeps its Lease."""
    cluster: ClusterSettings = ClusterSettings()
    steps: StepSettings = StepSettings()
    sources: Sources = SCRAPE_ONLY
    """Where demand is read, in order of priority. Default: pods are scraped, nothing else is needed."""
    page_discovery: PageDiscoverySettings = PageDiscoverySettings()
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    server: ServerSettings = ServerSettings()
    store: StoreSettings = StoreSettings()
    decision_log: DecisionLogSettings = DecisionLogSettings()
    node_pools_period_seconds: float = Field(30.0, ge=5.0, le=600.0)
    """From one look at all node pools to the next, 5 to 600. Nodes take minutes: half a minute is little of it."""
    published_max_age_seconds: float = Field(60.0, ge=5.0, le=3600.0)
    """Mode Metric: a value older than this is withheld, 5 to 3600, so that the HPA holds instead of following it. Four
    periods: one lost step is no outage."""
    log_level: LogLevel = "INFO"
    """Of the lines on stderr, each one JSON object."""
