"""GKE's own GPU metrics in Cloud Monitoring, by the names that HPAs for the Stackdriver adapter use.

Source: Google Cloud "GKE system metrics" (cloud.google.com/monitoring/api/metrics_kubernetes): gauges sampled every
60 s; duty_cycle is the percent of the last 10 s in which a kernel ran, memory in bytes. A node's are of all its GPUs.

Of the duty cycle, DCGM's GPU utilization is the same quantity: it is served from there too, under GKE's name, so that
the HPA works, and works fresher, on a cluster without Cloud Monitoring.
"""

from adapter.sources.catalogue.metric import Metric
from adapter.sources.rule import CloudQuery, Latest, ObjectLabel, Reducer, Rule

METRICS: tuple[Metric, ...] = ()
"""None: no exporter's page holds them."""

_NODE = (ObjectLabel(resource="nodes", label="node_name", namespaced=False, kind="Node"),)


def _rule(
    name: str,
    unit: str,
    reducer: Reducer,
    *,
    resource_type: str = "k8s_container",
    aliases: tuple[str, ...] = (),
    series: tuple[str, ...] = (),
    objects: tuple[ObjectLabel, ...] = (),
) -> Rule:
    """series: exporters' series of the same quantity and unit. Without one the Cloud Monitoring type stands there,
    which no exporter writes: the slash is not allowed in their names."""
    metric_type = name.replace("|", "/")
    return Rule(
        name=name,
        aliases=aliases,
        value=Latest(series or (metric_type,)),
        unit=unit,
        system="gke",
        reducer=reducer,
        across=reducer,
        cloud=CloudQuery(metric_type=metric_type, resource_type=resource_type),
        objects=objects,
    )


RULES: tuple[Rule, ...] = (
    _rule(
        "kubernetes.io|container|accelerator|duty_cycle",
        "percent",
        "mean",
        aliases=("duty_cycle",),
        series=("DCGM_FI_DEV_GPU_UTIL",),
    ),
    _rule("kubernetes.io|container|accelerator|memory_used", "bytes", "sum"),
    _rule("kubernetes.io|container|accelerator|memory_total", "bytes", "sum"),
    _rule("kubernetes.io|node|accelerator|duty_cycle", "percent", "mean", resource_type="k8s_node", objects=_NODE),
    _rule("kubernetes.io|node|accelerator|memory_used", "bytes", "sum", resource_type="k8s_node", objects=_NODE),
    _rule("kubernetes.io|node|accelerator|memory_total", "bytes", "sum", resource_type="k8s_node", objects=_NODE),
)
