"""Scenarios: a control plane, the adapter, model servers and a stock HPA from manifests/examples, as sentences.

    scene.runs("vllm")
    hpa = scene.autoscales("hpa-queue.yaml")
    scene.shows({"vllm:num_requests_waiting": shared(12)})
    hpa.wait_replicas(3)

A World is started once for a module of tests; a Scenario has a namespace of its own in it. The fixtures `world` and
`scene` are in played_together.py.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from adapter_in_cluster import Adapter
from adapter_manifests import BASE
from control_plane import ControlPlane, Flags
from exporter_process import ExporterProcess, Fault
from exporter_script import Told
from gpu_cluster import DCGM_NAMESPACE, GPU_STAGES, STARTS_AT_ONCE, dcgm_exporter, gpu_nodes, workload
from hpa_watch import HpaWatch
from kube_api import Object
from pod_addresses import wait_own_addresses
from pod_view import APP_LABEL
from resource_metrics import ResourceMetrics

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
SYNC_SECONDS = 2  # of the HPA controller, 15 by default: a test need not wait
NODES = 3

_SCALE_TO_ZERO = "--feature-gates=HPAScaleToZero=true"  # alpha, off by default in 1.36.3
FLAGS: Flags = {
    "kube-apiserver": [_SCALE_TO_ZERO],
    "kube-controller-manager": [
        _SCALE_TO_ZERO,
        f"--horizontal-pod-autoscaler-sync-period={SYNC_SECONDS}s",
        "--vmodule=horizontal=4",  # each decision is logged: hpa_watch.py counts them
    ],
}

TIME_SCALED_RULES = """
apiVersion: adapter.leadtime.dev/v1alpha1
kind: MetricRules
rules: # the built-in ones look back over 60 s
- name: avg_time_queue_us
  override: true
  ratio:
    {numerator: nv_inference_queue_duration_us, denominator: nv_inference_request_success, windowSeconds: 15, idle: 0}
  unit: microseconds
  reducer: mean
- name: nim_requests_per_second
  override: true
  rate: {series: [nim_requests_total, request_success_total], windowSeconds: 15}
- name: torchserve_requests_per_second
  override: true
  rate: {series: ts_inference_requests_total, windowSeconds: 15}
- name: prompts_waiting # of the broker
  latest: {series: rabbitmq_queue_messages_ready}
"""


class World:
    """A cluster with GPU nodes, DCGM exporters, the adapter with one replica, and the model servers' pages.

    resource_metrics: what metrics-server would say of CPU.
    """

    def __init__(self, plane: ControlPlane, *, nodes: int = NODES, base: Path = BASE, own_ports: bool = True) -> None:
        """plane: with controllers, scheduler, kwok, `stages=GPU_STAGES` and `flags=FLAGS`. nodes: with 8 GPUs each.
        base: the adapter's manifests, a folder that kustomize builds. own_ports: False where the exporter dies.

        Raises Unavailable where no container is to be had, or no kubectl.
        """
        self.plane = plane
        pool = gpu_nodes(nodes)
        plane.api.apply(pool)
        for node in pool:
            plane.api.merge(f"/api/v1/nodes/{node['metadata']['name']}/status", {"status": node["status"]})
        self.exporter = ExporterProcess.start(plane, on_own_ports=own_ports)
        plane.api.apply(_namespace(DCGM_NAMESPACE))
        plane.api.apply([dcgm_exporter(node["metadata"]["name"], self.exporter.ports) for node in pool])
        self.resource_metrics = ResourceMetrics(plane)
        self.adapter = Adapter.install(plane, base)
        rules = f"/api/v1/namespaces/{self.adapter.namespace}/configmaps/leadtime-adapter-rules"
        plane.api.merge(rules, {"data": {"time-scaled.yaml": TIME_SCALED_RULES}})
        self.adapter.start_replica().wait_ready()
        self.adapter.wait_available()

    def scenario(self, namespace: str) -> "Scenario":
        """Nobody else's namespace."""
        return Scenario(self, namespace)

    def stop(self) -> None:
        """What runs in this process; the rest ends with the control plane."""
        self.adapter.stop()
        self.resource_metrics.close()


def start_world(
    start_control_plane: Callable[..., ControlPlane], *, flags: Flags = FLAGS, nodes: int = NODES, base: Path = BASE
) -> Iterator[World]:
    """For a fixture: a World on a control plane of its own, ended at the end."""
    with start_control_plane(controllers=True, scheduler=True, kwok=True, stages=GPU_STAGES, flags=flags) as plane:
        world = World(plane, nodes=nodes, base=base)
        try:
            yield world
        finally:
            world.stop()


class Scenario:
    """One namespace. As a context manager it takes everything away at the end."""

    def __init__(self, world: World, namespace: str) -> None:
        self.world, self.namespace = world, namespace
        self._api = world.plane.api
        self._apps: list[str] = []
        self._watches: list[HpaWatch] = []
        self._api.apply(_namespace(namespace))

    def runs(
        self,
        system: str,
        name: str | None = None,
        *,
        kind: Literal["Deployment", "StatefulSet"] = "Deployment",
        replicas: int = 1,
        pull_seconds: float = 0.0,
        load_seconds: float = 0.0,
        drain_seconds: float = 0.0,
        pool: str = "",
        in_order: bool = False,
    ) -> None:
        """A workload of a system (a key of gpu_cluster.SYSTEMS); returns when its pods are Ready.

        name: of the workload; the system's when left out. The seconds are the starts of pods that come later
        (gpu_cluster.workload); the first ones are Ready at once. pool, in_order: as there.
        """
        app = name or system
        wanted = workload(
            self.namespace,
            app,
            system,
            kind=kind,
            replicas=replicas,
            pull_seconds=pull_seconds,
            load_seconds=load_seconds,
            drain_seconds=drain_seconds,
            pool=pool,
            in_order=in_order,
            ports=self.world.exporter.ports,
        )
        self._apps.append(app)
        self._api.apply(wanted)
        self.shows({}, app=app)
        self._api.wait(self._pods_of(app), lambda seen: len(seen["items"]) == replicas)
        self.loads_at_once(app=app)
        self._api.wait(self._api.path_of(wanted), lambda seen: _ready(seen) == replicas)
        wait_own_addresses(self._api, self.namespace)
        self._api.wait(self._api.path_of(wanted), lambda seen: _ready(seen) == replicas)

    def loads_at_once(self, *, app: str | None = None) -> None:
        """Let the pods that there are pull and load no longer; those that come later take their time again."""
        for pod in self._api.get(self._pods_of(app or self._apps[-1]))["items"]:
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"
            self._api.merge(path, {"metadata": {"annotations": STARTS_AT_ONCE}})

    def autoscales(
        self,
        example: str,
        *,
        target: str | None = None,
        behavior: Object | None = None,
        metric: str | None = None,
        name: str | None = None,
        **spec: Any,
    ) -> HpaWatch:
        """Apply an HPA of manifests/examples on a workload here, and record it.

        target: the workload; the last one that runs when left out. behavior: the example has none. metric: in place of
        the name of its only metric. name: in place of the HPA's own. spec: further fields, such as maxReplicas=8.
        """
        wanted = example_hpa(example, self.namespace, target or self._apps[-1])
        wanted["metadata"]["name"] = name or wanted["metadata"]["name"]
        wanted["spec"] |= spec | ({"behavior": behavior} if behavior else {})
        if metric:
            (entry,) = wanted["spec"]["metrics"]
            entry[entry["type"].lower()]["metric"] = {"name": metric}
        watch = HpaWatch(self.world.plane, wanted)
        self._watches.append(watch)
        self._api.apply(wanted)
        return watch

    def shows(self, series: Mapping[str, Told], *, app: str | None = None) -> None:
        """What a workload's pods show from now on (exporter_script.py)."""
        self.world.exporter.show(self.namespace, app or self._apps[-1], series)

    def simulates(self, *, app: str | None = None, **options: Any) -> None:
        """Let a simulated fleet say what the workload's pods show. options: of exporter_fleet.FleetLoad."""
        self.world.exporter.simulate(self.namespace, app or self._apps[-1], **options)

    def demands(self, rate: float, *, app: str | None = None, **tokens: int) -> None:
        """The simulated fleet's demand from now on: requests per virtual second; prompt_tokens and output_tokens."""
        self.world.exporter.demand(self.namespace, app or self._apps[-1], rate, **tokens)

    def fails(self, fault: Fault, *, app: str | None = None, **options: Any) -> None:
        """Break the pages of the workload's pods, or of `pod`."""
        self.world.exporter.fail(self.namespace, app or self._apps[-1], fault, **options)

    def heals(self, *, app: str | None = None) -> None:
        self.world.exporter.heal(self.namespace, app or self._apps[-1])

    def uses_cpu(self, milli_per_pod: Told, *, app: str | None = None) -> None:
        """What metrics-server says of the workload's pods: thousandths of a CPU."""
        self.world.resource_metrics.show(self.namespace, app or self._apps[-1], milli_per_pod)

    def _pods_of(self, app: str) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={APP_LABEL}%3D{app}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for watch in self._watches:
            watch.close()
        for app in self._apps:
            self.world.exporter.forget(self.namespace, app)
        self._api.delete(f"/api/v1/namespaces/{self.namespace}")


def example_hpa(file: str, namespace: str, target: str) -> Object:
    """An HPA of manifests/examples, moved to a namespace and a target; a selector that names the namespace, too."""
    hpa: Object = yaml.safe_load((EXAMPLES / file).read_text())
    hpa["metadata"]["namespace"] = namespace
    hpa["spec"]["scaleTargetRef"]["name"] = target
    for entry in hpa["spec"]["metrics"]:
        with contextlib.suppress(KeyError):
            labels = entry["external"]["metric"]["selector"]["matchLabels"]
            labels |= {key: namespace for key in labels if key in _NAMESPACE_KEYS}
    return hpa


_NAMESPACE_KEYS = ("resource.labels.namespace", "resource.labels.namespace_name")


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _ready(workload: Object) -> int:
    replicas: int = workload.get("status", {}).get("readyReplicas", 0)
    return replicas
