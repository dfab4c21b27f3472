"""A pod of a Deployment as a process of this machine: what a kubelet would start, probe, configure and end.

It is a real process with the container's arguments, environment, mounts, user and probes, taken from the applied
Deployment; it acts as its ServiceAccount, by a token in the mounted folder, and never as an administrator. As there is
no pod network, all pods share this machine's ports: each gets a free one, which the caller writes into its
configuration.
"""

import base64
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from child_processes import Process, StartFailed, free_ports, log_tail
from container import Mount, command_line, mounts_of
from control_plane import ControlPlane
from kube_api import Object
from probes import Prober
from volumes import write_atomically

CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_SECONDS = 3607  # as the kubelet asks for
POLL_SECONDS = 0.05
RULES_IN_USE = "rules in use:"

Configure = Callable[[dict[str, str], int], dict[str, str]]
"""(a ConfigMap's files, the port) -> the files that are mounted."""


class PodProcess:
    """One pod with one container. port: where that listens. prober: what its probes say. folder: of its volumes."""

    prober: Prober
    process: Process

    def __init__(self, plane: ControlPlane, deployment: Object, name: str, configure: Configure) -> None:
        """deployment: as it was applied."""
        self.name = name
        (self.port,) = free_ports(1)
        self._plane, self._configure = plane, configure
        self._namespace: str = deployment["metadata"]["namespace"]
        self._pod: Object = deployment["spec"]["template"]["spec"]
        (self._container,) = self._pod["containers"]
        self.folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=plane.folder))
        self._mounts = [*mounts_of(self._container, self._pod, self._volumes()), self._credentials()]

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    def start(self) -> None:
        """Start the container, for the first time or again after it ended."""
        root = self.folder / "root"
        root.mkdir(exist_ok=True)
        host, port = "127.0.0.1", self._plane.ports["kube-apiserver"]
        environment = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": str(port), "HOSTNAME": self.name}
        for variable in self._container.get("env", ()):
            if "valueFrom" in variable:
                environment[variable["name"]] = self._field(variable["valueFrom"]["fieldRef"]["fieldPath"])
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

    def write_rules(self, files: Mapping[str, str], *, timeout_seconds: float = 30.0) -> None:
        """Bring a changed ConfigMap of rules, as the kubelet does within a minute, and wait until they are in use.

        What a changed rule gave before is forgotten then. Raises StartFailed.
        """
        before = self.log.count(RULES_IN_USE)
        write_atomically(self.folder / "rules", files)
        self._wait(lambda: self.log.count(RULES_IN_USE) > before, "using the rules", timeout_seconds)

    def write_secret(self, volume: str) -> None:
        """Bring the Secret of this volume as it is now, as the kubelet does within a minute."""
        (one,) = (one for one in self._pod["volumes"] if one["name"] == volume)
        path = f"/api/v1/namespaces/{self._namespace}/secrets/{one['secret']['secretName']}"
        data: dict[str, str] = self._plane.api.get(path)["data"]
        text = {name: base64.b64decode(entry).decode() for name, entry in data.items()}
        write_atomically(self.folder / volume, text)

    def terminate(self) -> int:
        """End it as a deleted pod ends: no longer an endpoint, preStop, SIGTERM; the exit code.

        Raises TimeoutExpired after terminationGracePeriodSeconds.
        """
        self.prober.stop()
        started = time.monotonic()
        if "lifecycle" in self._container:
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
                folders[volume["name"]] = self.folder / volume["name"]
            elif "configMap" in volume:
                path = f"/api/v1/namespaces/{self._namespace}/configmaps/{volume['configMap']['name']}"
                data: dict[str, str] = self._plane.api.get(path).get("data", {})
                folders[volume["name"]] = self.folder / volume["name"]
                write_atomically(folders[volume["name"]], self._configure(data, self.port))
            elif volume["emptyDir"].get("medium") != "Memory":  # it lasts as long as the pod, not as the container
                folders[volume["name"]] = self.folder / volume["name"]
                folders[volume["name"]].mkdir()
                folders[volume["name"]].chmod(0o777)
        return folders

    def _field(self, path: str) -> str:
        """Of the downward API."""
        return {"metadata.name": self.name, "metadata.namespace": self._namespace}[path]

    def _credentials(self) -> Mount:
        """The ServiceAccount's token, as the admission plugin of a cluster mounts it."""
        account = self._pod["serviceAccountName"]
        token = self._plane.service_account_token(self._namespace, account, expiration_seconds=TOKEN_SECONDS)
        authority = self._plane.certificates.ca.certificate.read_text()
        files = {"token": token, "ca.crt": authority, "namespace": self._namespace}
        write_atomically(self.folder / "credentials", files)
        return Mount(CREDENTIALS, self.folder / "credentials")
