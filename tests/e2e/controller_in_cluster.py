"""The controller in a control plane: its manifests applied, its pods started as the Deployment says (pod_process.py).

There is no pod network, so each replica listens on a port of its own: the Deployment is scaled to 0, and each process
has a pod of the same template that names its port, where the adapter finds its page. Its steps and collections come
every 2 seconds instead of every 15, so that a test need not wait.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from adapter_manifests import built, one
from control_plane import ControlPlane
from controller_page import POLL_SECONDS, ControllerPage
from kube_api import Object
from pod_process import PodProcess

MANIFESTS = Path(__file__).parents[2] / "manifests" / "controller"
SYNC_SECONDS = 2
LEADING_SECONDS = 30.0  # a Lease of 11 s, twice and a half
API = "/apis/autoscaling.leadtime.dev/v1alpha1"


class Controller:
    """The applied manifests and the replicas that run."""

    def __init__(self, plane: ControlPlane, *folders: str, settings: Mapping[str, Any] | None = None) -> None:
        """folders: under manifests/controller, "base" or overlays, each applied. settings: over those of the base."""
        self.plane = plane
        self.replicas: list[PodProcess] = []
        self._settings = settings or {}
        applied: list[Object] = []
        for folder in folders or ("base",):
            objects = built(MANIFESTS / folder)
            crds = [item for item in objects if item["kind"] == "CustomResourceDefinition"]
            plane.api.apply(crds)
            for crd in crds:
                path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{crd['metadata']['name']}"
                plane.api.wait(path, _is_established)
            applied = plane.api.apply(item for item in objects if item["kind"] != "CustomResourceDefinition")
        self.deployment = one(applied, "Deployment")
        plane.api.merge(plane.api.path_of(self.deployment), {"spec": {"replicas": 0}})
        self.namespace: str = self.deployment["metadata"]["namespace"]

    def start_replica(self, before_start: Callable[[PodProcess], None] | None = None, **settings: Any) -> PodProcess:
        """Another pod of the Deployment; not waited for. before_start: with its volumes there, and nothing in them.
        settings: of this one alone."""
        name = f"leadtime-controller-{len(self.replicas) + 1}"
        replica = PodProcess(
            self.plane, self.deployment, name, lambda files, port: self._configured(files, port, settings)
        )
        if before_start is not None:
            before_start(replica)
        replica.start()
        self.replicas.append(replica)
        self.plane.api.apply(self._pod(replica))
        return replica

    def kill(self, replica: PodProcess) -> None:
        """End it as a node that fails ends it, and its pod with it."""
        replica.kill()
        self.plane.api.delete(self.plane.api.path_of(self._pod(replica)))

    def leader(self) -> str:
        """Who holds the Lease, "" for nobody."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/leadtime-controller"
        holder: str = self.plane.api.get(path)["spec"].get("holderIdentity") or ""
        return holder

    def leading(self) -> PodProcess:
        """The replica that runs here and may write now. Raises AssertionError where none may for 30 s."""
        deadline = time.monotonic() + LEADING_SECONDS
        while True:
            running = [replica for replica in self.replicas if replica.process.popen.poll() is None]
            for replica in running:
                if ControllerPage.of(replica).leads:
                    return replica
            assert time.monotonic() < deadline, f"nobody leads: {[ControllerPage.of(replica) for replica in running]}"
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """End what runs here; the applied objects stay."""
        for replica in self.replicas:
            replica.kill()

    def _pod(self, replica: PodProcess) -> Object:
        template: Object = self.deployment["spec"]["template"]
        annotations = {**template["metadata"]["annotations"], "prometheus.io/port": str(replica.port)}
        labels = template["metadata"]["labels"]
        metadata = {"name": replica.name, "namespace": self.namespace, "labels": labels, "annotations": annotations}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}

    def _configured(self, files: dict[str, str], port: int, settings: Mapping[str, Any]) -> dict[str, str]:
        return {name: self._configuration(text, port, settings) for name, text in files.items()}

    def _configuration(self, text: str, port: int, settings: Mapping[str, Any]) -> str:
        whole: dict[str, Any] = {**yaml.safe_load(text), **self._settings, **settings}
        whole["server"]["port"] = port
        whole["steps"]["syncPeriodSeconds"] = SYNC_SECONDS
        for source in whole["sources"]:
            if "scrape" in source:
                source["scrape"]["intervalSeconds"] = SYNC_SECONDS
        return json.dumps(whole)  # which is YAML

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def autoscaler(namespace: str, name: str = "vllm", **spec: Any) -> Object:
    """The example of manifests/examples, in this namespace and on the workload of this name. spec: further fields."""
    example = Path(__file__).parents[2] / "manifests" / "examples" / "predictive-autoscaler.yaml"
    wanted: Object = yaml.safe_load(example.read_text())
    wanted["metadata"] = {"name": name, "namespace": namespace}
    wanted["spec"]["scaleTargetRef"]["name"] = name
    wanted["spec"] |= spec
    return wanted


def _is_established(crd: Object) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)
