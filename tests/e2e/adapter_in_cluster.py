"""The adapter in a control plane: its manifests applied, its pods started as the Deployment says.

Each replica is a real process with the container's arguments, environment, mounts, user and probes, taken from the
applied Deployment; it acts as its ServiceAccount, by a token in the mounted folder, and never as an administrator.

What differs from a cluster, because there is no pod network:
- all replicas share this machine's ports, so each gets a free one in its configuration in place of 6443;
- the Service is of type ExternalName and leads to a proxy here that knows which replicas are Ready, on a port of its
  own, which the APIServices name in place of 443: an overlay (adapter_manifests.py).
And pages are collected every 2 seconds instead of every 15, so that a test need not wait.
"""

import base64
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import yaml
from adapter_manifests import BASE, built, one, without_pod_network
from api_service import api_service_path, is_available, wait_served
from child_processes import Process, StartFailed, free_ports, log_tail
from container import Mount, command_line, mounts_of
from control_plane import ControlPlane
from kube_api import Object
from probes import Prober
from service_proxy import ServiceProxy
from volumes import write_atomically

CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607  # as the kubelet asks for
POLL_SECONDS = 0.05


class Adapter:
    """The applied manifests and the replicas that run."""

    def __init__(self, plane: ControlPlane, base: Path) -> None:
        """base: a folder that kustomize builds."""
        self.plane = plane
        self.replicas: list[Replica] = []
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

    def start_replica(self) -> "Replica":
        """Another pod of the Deployment; not waited for."""
        self._made += 1
        replica = Replica(self, f"leadtime-adapter-{self._made}")
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


class Replica:
    """One pod. port: where its container listens. prober: what its probes say."""

    prober: Prober
    process: Process

    def __init__(self, adapter: Adapter, name: str) -> None:
        self.name = name
        (self.port,) = free_ports(1)
        self._plane, self._namespace = adapter.plane, adapter.namespace
        self._pod: Object = adapter.deployment["spec"]["template"]["spec"]
        (self._container,) = self._pod["containers"]
        self._folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=adapter.plane.folder))
        self._mounts = [*mounts_of(self._container, self._pod, self._volumes()), self._credentials()]

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    def start(self) -> None:
        """Start the container, for the first time or again after it ended."""
        root = self._folder / "root"
        root.mkdir(exist_ok=True)
        host, port = "127.0.0.1", self._plane.ports["kube-apiserver"]
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port), "HOSTNAME": self.name}
        command = command_line(self._container, self._pod, self._mounts, environment, root)
        self.process = process = self._plane.processes.start(self.name, command)
        ports = {one["name"]: self.port for one in self._container["ports"]}
        self.prober = Prober(self._container, ports, lambda: process.popen.poll() is None)

    def wait_ready(self, *, timeout_seconds: float = 30.0) -> None:
        """Raises StartFailed."""
        self._wait(lambda: self.prober.ready, "Ready", timeout_seconds)

    def wait_logged(self, text: str, *, timeout_seconds: float = 30.0) -> None:
        """Until the log has this text. Raises StartFailed."""
        self._wait(lambda: text in self.log, f"logging {text!r}", timeout_seconds)

    def wait_probed(self, text: str, *, timeout_seconds: float = 30.0) -> None:
        """Until a probe is answered with this text. Raises StartFailed."""
        self._wait(lambda: text in self.prober.said, f"answering {text!r}", timeout_seconds)

    def write_rules(self, files: Mapping[str, str]) -> None:
        """Bring a changed ConfigMap of rules, as the kubelet does within a minute."""
        write_atomically(self._folder / "rules", files)

    def write_secret(self, volume: str) -> None:
        """Bring the Secret of this volume as it is now, as the kubelet does within a minute."""
        (one,) = (one for one in self._pod["volumes"] if one["name"] == volume)
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{one['secret']['secretName']}"
        data: dict[str, str] = self._plane.api.get(path)["data"]
        text = {name: base64.b64decode(entry).decode() for name, entry in data.items()}
        write_atomically(self._folder / volume, text)

    def terminate(self) -> int:
        """End it as a deleted pod ends: no longer an endpoint, preStop, SIGTERM; the exit code.

        Raises TimeoutExpired after terminationGracePeriodSeconds.
        """
        self.prober.stop()
        started = time.monotonic()
        subprocess.run(self._container["lifecycle"]["preStop"]["exec"]["command"], check=True)  # noqa: S603
        os.kill(self.process.pid, signal.SIGTERM)
        left = self._pod["terminationGracePeriodSeconds"] - (time.monotonic() - started)
        code = self.process.popen.wait(left)
        self._plane.processes.kill(self.process)  # it has ended: forgotten, so that its number is nobody's
        return code

    def kill(self) -> None:
        """End it as a node that fails ends it. May be called again."""
        self.prober.stop()
        self._plane.processes.kill(self.process)

    def _wait(self, true: Callable[[], bool], what: str, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not true():
            ended = self.process.popen.poll()
            if ended is not None or time.monotonic() > deadline:
                state = f"exited with {ended}" if ended is not None else f"not after {timeout_seconds:g} s"
                said = f"{self.prober.said!r}{log_tail(self.process.log)}"
                raise StartFailed(f"{self.name}: {what}: {state}; probe: {said}")
            time.sleep(POLL_SECONDS)

    def _volumes(self) -> dict[str, Path]:
        """The ConfigMaps' and Secrets' folders, by volume."""
        folders: dict[str, Path] = {}
        for volume in self._pod["volumes"]:
            if "secret" in volume:
                self.write_secret(volume["name"])
                folders[volume["name"]] = self._folder / volume["name"]
            if "configMap" not in volume:
                continue
            path = f"/api/v1/namespaces/{self._namespace}/configmaps/{volume['configMap']['name']}"
            data: dict[str, str] = self._plane.api.get(path).get("data", {})
            if "adapter.yaml" in data:
                data["adapter.yaml"] = configuration(data["adapter.yaml"], self.port)
            folders[volume["name"]] = self._folder / volume["name"]
            write_atomically(folders[volume["name"]], data)
        return folders

    def _credentials(self) -> Mount:
        """The ServiceAccount's token, as the admission plugin of a cluster mounts it."""
        account = self._pod["serviceAccountName"]
        token = self._plane.service_account_token(self._namespace, account, expiration_seconds=TOKEN_SECONDS)
        authority = self._plane.certificates.ca.certificate.read_text()
        files = {"token": token, "ca.crt": authority, "namespace": self._namespace}
        write_atomically(self._folder / "credentials", files)
        return Mount(CREDENTIALS, self._folder / "credentials")


def configuration(text: str, port: int) -> str:
    """The configuration with this port, and pages collected every 2 seconds."""
    settings: dict[str, Any] = yaml.safe_load(text)
    settings["server"]["port"] = port
    settings["sources"][0]["scrape"]["intervalSeconds"] = 2
    return json.dumps(settings)  # which is YAML
