"""A Prometheus (a distribution's) that scrapes the pods of a cluster: started, killed, started again.

Which pods there are is written into a file of targets by a thread here, with the labels that relabelling gives them
in a cluster: Debian's build has no Kubernetes service discovery.
"""

import json
import threading
import urllib.error
import urllib.request
from pathlib import Path

import yaml
from binaries import binaries
from child_processes import Process, free_ports
from control_plane import ControlPlane
from kube_api import Object
from kube_watch import KubeWatch
from pod_view import APP_LABEL, PodView

SCRAPE_INTERVAL_SECONDS = 1
START_TIMEOUT_SECONDS = 60.0


class PrometheusServer:
    """url: its API's. process: while it runs."""

    process: Process

    def __init__(self, plane: ControlPlane) -> None:
        """Started, for the pods of this cluster; it ends with it. Raises Unavailable where there is none."""
        self._program = binaries("prometheus")["prometheus"]
        self._plane, self._folder = plane, plane.folder / "prometheus"
        self._folder.mkdir()
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._targets = _Targets(plane, self._folder / "targets.json")
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(self._configuration()))
        self.start()

    def start(self) -> None:
        """For the first time, or again with the data that it has."""
        flags = [
            f"--config.file={self._folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self.process = self._plane.processes.start("prometheus", [self._program, *flags])
        self._plane.processes.wait_until(self.process, self._is_ready, timeout_seconds=START_TIMEOUT_SECONDS)

    def kill(self) -> None:
        """As the OOM killer does."""
        self._plane.processes.kill(self.process)

    def close(self) -> None:
        """What runs in this process."""
        self._targets.close()

    def _configuration(self) -> Object:
        pods = {"job_name": "pods", "file_sd_configs": [{"files": [str(self._targets.file)]}]}
        every = f"{SCRAPE_INTERVAL_SECONDS}s"
        return {"global": {"scrape_interval": every, "scrape_timeout": every}, "scrape_configs": [pods]}

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1.0) as reply:  # noqa: S310 - our own
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class _Targets:
    """Keeps the file: every Ready pod's first port, under the names that monitors give to its labels."""

    def __init__(self, plane: ControlPlane, file: Path) -> None:
        self.file = file
        self._groups: dict[str, Object] = {}
        self._lock = threading.Lock()
        self._write()
        self._watch = KubeWatch(plane.admin, "/api/v1/pods", self._changed)

    def close(self) -> None:
        self._watch.close()

    def _changed(self, change: str, pod: Object) -> None:
        view = PodView.of(pod)
        with self._lock:
            if change == "DELETED" or view.stage != "Ready":
                gone = self._groups.pop(pod["metadata"]["uid"], None)
                if gone is None:
                    return
            else:
                (port,) = pod["spec"]["containers"][0]["ports"]
                labels = {"namespace": view.namespace, "pod": view.name, APP_LABEL: view.app}
                group = {"targets": [f"{view.address}:{port['containerPort']}"], "labels": labels}
                if self._groups.get(pod["metadata"]["uid"]) == group:
                    return
                self._groups[pod["metadata"]["uid"]] = group
            self._write()

    def _write(self) -> None:
        """Whole at any instant, as Prometheus wants to find it (it sees the rename)."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(list(self._groups.values())))
        new.rename(self.file)
