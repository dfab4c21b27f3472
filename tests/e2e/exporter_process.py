"""The model servers of a cluster's pods, as one process: started, told what to show, and broken on purpose.

    exporter = ExporterProcess.start(plane)
    exporter.show("team-a", "vllm", {"vllm:num_requests_waiting": shared(12)})
    exporter.simulate("team-b", "vllm", time_factor=5)
    exporter.demand("team-b", "vllm", rate=3.0)
    exporter.fail("team-a", "vllm", "nan")

It listens on the systems' own ports (gpu_cluster.SYSTEMS) of all addresses and answers for pod addresses only. Whether
a pod's server answers at all is the cluster's doing: from Ready to its end.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from sys import executable
from typing import Any, Literal, Self

from child_processes import Process, free_ports
from control_plane import ControlPlane
from exporter_script import Told

Fault = Literal["refuse", "hang", "error", "slow", "nan", "frozen"]

START_TIMEOUT_SECONDS = 30.0
COMMAND_TIMEOUT_SECONDS = 60.0  # the first simulated fleet compiles the engine, if its cache is cold


class ExporterProcess:
    """One for a machine: the systems' ports are."""

    def __init__(self, process: Process, control_port: int) -> None:
        self.process = process
        self._url = f"http://127.0.0.1:{control_port}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def start(cls, plane: ControlPlane) -> Self:
        """For the pods of this cluster; it ends with it. Raises StartFailed, also where a port is taken."""
        (port,) = free_ports(1)
        server = Path(__file__).with_name("exporter_server.py")
        process = plane.processes.start("exporter", [executable, server, plane.admin, str(port)])
        exporter = cls(process, port)
        plane.processes.wait_until(process, exporter._answers, timeout_seconds=START_TIMEOUT_SECONDS)
        return exporter

    def show(self, namespace: str, app: str, series: Mapping[str, Told]) -> None:
        """What the workload's pods show from now on; exporter_script.py says how a series is told."""
        self._command(namespace, app, do="show", series=dict(series))

    def simulate(self, namespace: str, app: str, **options: Any) -> None:
        """Let a simulated fleet say what they show. options: of exporter_fleet.FleetLoad."""
        self._command(namespace, app, do="simulate", options=options)

    def demand(self, namespace: str, app: str, rate: float, *, prompt_tokens: int = 200, output_tokens: int = 100) -> None:
        """The simulated fleet's demand from now on: requests per virtual second, tokens of each."""
        told = {"rate": rate, "prompt_tokens": prompt_tokens, "output_tokens": output_tokens}
        self._command(namespace, app, do="demand", demand=told)

    def fail(self, namespace: str, app: str, fault: Fault, *, pod: str = "", seconds: float = 5.0) -> None:
        """Break the pages of the workload's pods, or of one. seconds: by which `slow` is slow.

        A DCGM exporter is a workload too: its namespace is gpu_cluster.DCGM_NAMESPACE, its app "dcgm-exporter".
        """
        self._command(namespace, app, do="fail", fault=fault, pod=pod, seconds=seconds)

    def heal(self, namespace: str, app: str) -> None:
        """End every fault of the workload."""
        self._command(namespace, app, do="heal")

    def forget(self, namespace: str, app: str) -> None:
        """Its pods have no pages any more."""
        self._command(namespace, app, do="forget")

    def state(self) -> dict[str, Any]:
        """Pods, loads and how many pages were served: for reports."""
        with self._opener.open(f"{self._url}/state", timeout=COMMAND_TIMEOUT_SECONDS) as reply:
            state: dict[str, Any] = json.load(reply)
        return state

    def _command(self, namespace: str, app: str, **told: Any) -> None:
        body = json.dumps({"namespace": namespace, "app": app, **told}).encode()
        request = urllib.request.Request(f"{self._url}/command", body, {"Content-Type": "application/json"})
        try:
            self._opener.open(request, timeout=COMMAND_TIMEOUT_SECONDS).close()
        except urllib.error.HTTPError as error:
            raise ValueError(f"the exporter refused {told}: {error.read().decode()}") from error

    def _answers(self) -> bool:
        try:
            return bool(self.state())
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
            return False
