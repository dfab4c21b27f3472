"""Workloads on GPUs, as people write them: nodes, Deployments, StatefulSets and DCGM exporters; how their pods start.

kwok plays the pods (stages.yaml, gpu_stages.yaml). A pod's start is Pending while its image is pulled, then Running
and not Ready while its model is loaded, then Ready. Each pod has an address of its own in the loopback range, where
exporter_process.py answers for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from control_plane import STAGES
from kube_api import Object
from node_provisioner import POOL_LABEL
from pod_view import APP_LABEL

GPU_STAGES = (STAGES, Path(__file__).with_name("gpu_stages.yaml"))
"""For ControlPlane.start(stages=)."""

Ports = Mapping[int, int]
"""A system's own port -> the one that its pods have here, where another program holds the first."""

DCGM_NAMESPACE = "gpu-operator"  # where NVIDIA installs its exporter, and one that the adapter believes
NEVER_SECONDS = 86_400.0  # of a pull that no test waits for
_PULL, _LOAD, _DRAIN = "e2e.leadtime.dev/pull", "e2e.leadtime.dev/load", "e2e.leadtime.dev/drain"
STARTS_AT_ONCE = {_PULL: "0s", _LOAD: "0s"}
"""A pod's annotations, also of one that is under way."""


@dataclass(frozen=True, slots=True)
class System:
    """A serving system. port: of its metrics page, by its own documentation. container: its name in the pod.

    annotated: the adapter does not know it; annotations of the pod say where the page is.
    """

    image: str
    port: int
    port_name: str
    path: str = "/metrics"
    container: str = "inference-server"
    on_gpu: bool = True
    annotated: bool = False


SYSTEMS: Mapping[str, System] = {
    "vllm": System("vllm/vllm-openai:v0.12.0", 8000, "http"),
    "nim": System("nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8", 8000, "http", path="/v1/metrics"),
    "sglang": System("lmsysorg/sglang:v0.5.6", 30000, "http"),
    "triton": System("nvcr.io/nvidia/tritonserver:25.10-py3", 8002, "metrics"),
    "torchserve": System("pytorch/torchserve:0.12.0-gpu", 8082, "metrics"),
    "dcgm": System(
        "nvcr.io/nvidia/k8s/dcgm-exporter:4.4.1-4.6.0-ubuntu22.04", 9400, "metrics", container="exporter", on_gpu=False
    ),
    # A queue of prompts outside the model servers: what is known about load while there is no replica.
    "broker": System(
        "rabbitmq:4-management",
        15692,
        "prometheus",
        container="broker",
        on_gpu=False,
        annotated=True,
    ),
}


def gpu_nodes(count: int, *, gpus: int = 8, pool: str = "gpu") -> list[Object]:
    """Nodes POOL-0, POOL-1 ..., with their capacity; kwok makes them Ready."""
    capacity = {"cpu": "64", "memory": "512Gi", "pods": "110", "nvidia.com/gpu": str(gpus)}
    labels = {"kubernetes.io/os": "linux", "cloud.google.com/gke-accelerator": "nvidia-l4"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": f"{pool}-{number}", "labels": labels},
            "status": {"capacity": capacity, "allocatable": capacity},
        }
        for number in range(count)
    ]


def workload(
    namespace: str,
    name: str,
    system: str,
    *,
    kind: Literal["Deployment", "StatefulSet"] = "Deployment",
    replicas: int = 1,
    pull_seconds: float = 0.0,
    load_seconds: float = 0.0,
    drain_seconds: float = 0.0,
    pool: str = "",
    in_order: bool = False,
    ports: Ports = MappingProxyType({}),
) -> Object:
    """A Deployment or StatefulSet of a system (a key of SYSTEMS), one GPU a pod, one CPU asked for.

    pull_seconds: how long a pod is Pending once it is scheduled. load_seconds: how long it then is not Ready.
    drain_seconds: how long it is there after its deletion. pool: of node_provisioner.py, whose nodes alone will do.
    in_order: a StatefulSet's pods come one after the other (OrderedReady).
    """
    port = ports.get(SYSTEMS[system].port, SYSTEMS[system].port)
    labels = {APP_LABEL: name}
    annotations = _annotations(system, port, pull_seconds, load_seconds)
    pod: Object = {"containers": [_container(system, port)]}
    if drain_seconds:
        annotations[_DRAIN] = f"{drain_seconds:g}s"
    if pool:
        pod["nodeSelector"] = {POOL_LABEL: pool}
    spec: Object = {
        "replicas": replicas,
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": pod},
    }
    if kind == "StatefulSet":
        spec |= {"serviceName": name, "podManagementPolicy": "OrderedReady" if in_order else "Parallel"}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": spec,
    }


def service(namespace: str, name: str, system: str) -> Object:
    """The Service over a workload's pods."""
    ports = [{"name": "http", "port": 80, "targetPort": SYSTEMS[system].port_name}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {APP_LABEL: name}, "ports": ports},
    }


def dcgm_exporter(node: str, ports: Ports = MappingProxyType({})) -> Object:
    """The pod that a DCGM exporter's DaemonSet would put on this node."""
    name, port = f"dcgm-exporter-{node}", SYSTEMS["dcgm"].port
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": DCGM_NAMESPACE, "labels": {APP_LABEL: "dcgm-exporter"}},
        "spec": {"nodeName": node, "containers": [_container("dcgm", ports.get(port, port))]},
    }


def _annotations(system: str, port: int, pull_seconds: float, load_seconds: float) -> Object:
    page = {"prometheus.io/scrape": "true", "prometheus.io/port": str(port)} if SYSTEMS[system].annotated else {}
    return page | {_PULL: f"{pull_seconds:g}s", _LOAD: f"{load_seconds:g}s"}


def _container(system: str, port: int) -> Object:
    one = SYSTEMS[system]
    resources: Object = {"requests": {"cpu": "1"}}
    if one.on_gpu:
        resources["limits"] = {"nvidia.com/gpu": "1"}
    ports = [{"name": one.port_name, "containerPort": port}]
    return {"name": one.container, "image": one.image, "ports": ports, "resources": resources}
