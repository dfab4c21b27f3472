"""The adapter in a control plane: its manifests applied, its pods started as the Deployment says (pod_process.py).

What differs from a cluster, because there is no pod network:
- all replicas share this machine's ports, so each gets a free one in its configuration in place of 6443;
- the Service is of type ExternalName and leads to a proxy here that knows which replicas are Ready, on a port of its
  own, which the APIServices name in place of 443: an overlay (adapter_manifests.py).
And pages are collected every 2 seconds instead of every 15, so that a test need not wait.
"""

import json
import tempfile
from pathlib import Path
from typing import Any, Self

import yaml
from adapter_manifests import BASE, built, one, without_pod_network
from api_service import api_service_path, is_available, wait_served
from control_plane import ControlPlane
from pod_process import PodProcess
from service_proxy import ServiceProxy


class Adapter:
    """The applied manifests and the replicas that run."""

    def __init__(self, plane: ControlPlane, base: Path) -> None:
        """base: a folder that kustomize builds."""
        self.plane = plane
        self.replicas: list[PodProcess] = []
        self.service = ServiceProxy(lambda: [replica.port for replica in self.replicas if replica.prober.ready])
        folder = Path(tempfile.mkdtemp(prefix="without-pod-network-", dir=plane.folder))
        applied = plane.api.apply(built(without_pod_network(base, folder, self.service.port)))
        self.deployment, self._service = one(applied, "Deployment"), one(applied, "Service")
        self.namespace: str = self.deployment["metadata"]["namespace"]
        self.api_services = [item["metadata"]["name"] for item in applied if item["kind"] == "APIService"]
        self._made = 0

    @classmethod
    def install(cls, plane: ControlPlane, base: Path = BASE) -> Self:
        """As `kubectl apply -k` would."""
        return cls(plane, base)

    def start_replica(self) -> PodProcess:
        """Another pod of the Deployment; not waited for."""
        self._made += 1
        replica = PodProcess(self.plane, self.deployment, f"leadtime-adapter-{self._made}", configured)
        replica.start()
        self.replicas.append(replica)
        return replica

    def wait_available(self, *, timeout_seconds: float = 30.0) -> None:
        """Until the API server serves every APIService."""
        self._touch_service()
        for name in self.api_services:
            wait_served(self.plane.api, name, timeout_seconds=timeout_seconds)

    def wait_unavailable(self, *, timeout_seconds: float = 30.0) -> None:
        """Until the API server has called every APIService in vain."""
        self._touch_service()
        for name in self.api_services:
            self.plane.api.wait(
                api_service_path(name), lambda seen: not is_available(seen), timeout_seconds=timeout_seconds
            )

    def stop(self) -> None:
        """End what runs here; the applied objects stay."""
        for replica in self.replicas:
            replica.kill()
        self.service.close()

    def _touch_service(self) -> None:
        """In a cluster a pod that gets or ceases to be Ready changes the Service's endpoints, and that makes the API
        server look again; here the Service is touched instead."""
        touched = {"metadata": {"annotations": {"ready-replicas": str(sum(one.prober.ready for one in self.replicas))}}}
        self.plane.api.merge(self.plane.api.path_of(self._service), touched)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def configured(files: dict[str, str], port: int) -> dict[str, str]:
    """A ConfigMap's files; the configuration with this port, and pages collected every 2 seconds."""
    return {name: configuration(text, port) if name == "adapter.yaml" else text for name, text in files.items()}


def configuration(text: str, port: int) -> str:
    settings: dict[str, Any] = yaml.safe_load(text)
    settings["server"]["port"] = port
    settings["sources"][0]["scrape"]["intervalSeconds"] = 2
    return json.dumps(settings)  # which is YAML
