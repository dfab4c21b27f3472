"""The section `discovery.kubernetes`: what is watched, and how pages are found."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from adapter.sources.attribution import EXPORTER_NAMESPACES
from adapter.sources.kubernetes.label_selector import parse_selector
from adapter.sources.kubernetes.monitors import MonitorKind
from adapter.sources.section import Section


def _selector(value: dict[str, Any]) -> dict[str, Any]:
    parse_selector(value)
    return value


Namespace = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]


class PageSettings(Section):
    """Pages of some pods, told outright. The first that selects a pod decides for it, before all else."""

    namespaces: tuple[Namespace, ...] = ()
    """Where; none means everywhere that is watched."""
    selector: Annotated[dict[str, Any], AfterValidator(_selector)] = Field(default_factory=dict)
    """matchLabels and matchExpressions over the pods' labels; none means every pod of these namespaces."""
    port: Annotated[int, Field(ge=1, le=65535)] | str | None = None
    """A container port's name, or a number, declared or not. None: these pods have no page."""
    path: str = Field("/metrics", pattern=r"^/\S*$")
    """Path of the page. /metrics is what nearly every exporter has."""
    scheme: Literal["http", "https"] = "http"
    """https is verified against the system's CAs; a pod's own certificate seldom is among them."""
    role: Literal["pod", "exporter"] = "pod"
    """exporter: the page is about the pods that it names, as DCGM's is. Name only pods that are to be trusted."""


class KubernetesSettings(Section):
    """Pods, Services and monitors are watched; metrics pages are found by the first of: `pages`, annotations,
    monitors, known systems."""

    kubeconfig: Path | None = None
    """File with the cluster's address and credentials. None: $KUBECONFIG, the pod's service account, ~/.kube/config."""
    context: str | None = None
    """Context of the kubeconfig; None takes its current one."""
    namespaces: tuple[Namespace, ...] = Field((), max_length=100)
    """Namespaces to watch, 100 at most (each takes a connection per kind); none means all, by a ClusterRole."""
    pod_label_selector: str = Field("", max_length=1024)
    """Watch only these pods, as `kubectl -l` has it; none by default. Series about other pods are dropped, so it must
    select the exporters too."""
    services: bool = True
    """Watch Services: needed for metrics of Services and for ServiceMonitors. Off saves the right to list them."""
    annotations: bool = True
    """Follow prometheus.io/scrape, port, path and scheme, a convention that any tenant may use for its own pods."""
    monitors: tuple[MonitorKind, ...] = ("PodMonitoring", "ClusterPodMonitoring", "PodMonitor", "ServiceMonitor")
    """Kinds to follow. One that the cluster does not serve is looked for again every 5 minutes."""
    monitor_namespaces: tuple[str, ...] = ("monitoring", *EXPORTER_NAMESPACES)
    """Namespaces whose PodMonitors and ServiceMonitors are followed for other namespaces' pods; "*" for all. Any tenant
    could have another's pods scraped at a page that does not say their values. "monitoring" is where kube-prometheus
    installs its own; a monitor in the pod's own namespace, and a ClusterPodMonitoring, always counts."""
    known_systems: bool = True
    """Scrape pods of vLLM, SGLang, Triton, TorchServe, NIM, TGI, DCGM exporter and endpoint picker where nothing else
    names their page, and pods that ask for a GPU at the ports of these."""
    exporter_namespaces: tuple[str, ...] = EXPORTER_NAMESPACES
    """Namespaces whose DCGM exporters are believed; "*" for all. Such a page speaks of pods of every namespace, so a
    tenant that runs a false one could move the others' scaling. These are where NVIDIA and Google install it."""
    pages: tuple[PageSettings, ...] = ()
    """Pages told outright; an entry without a port takes pods out of scraping."""
