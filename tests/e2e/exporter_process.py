"""The model servers of a cluster's pods, as one process: started, told what to show, and broken on purpose.

    exporter = ExporterProcess.start(plane)
    exporter.show("team-a", "vllm", {"vllm:num_requests_waiting": shared(12)})
    exporter.simulate("team-b", "vllm", time_factor=5)
    exporter.demand("team-b", "vllm", rate=3.0)
    exporter.fail("team-a", "vllm", "nan")

It listens on the systems' own ports (gpu_cluster.SYSTEMS) of all addresses and answers for pod addresses only; where
another program holds a port, on a free one, which the pods then declare. Whether a pod's server answers at all is the
cluster's doing: from Ready to its end.
"""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from sys import executable
from typing import Any, Literal, Self

from child_processes import Process, StartFailed, free_ports, is_free
from control_plane import ControlPlane
from exporter_script import Told
from gpu_cluster import SYSTEMS

Fault = Literal["refuse", "hang", "error", "slow", "nan", "frozen"]

START_TIMEOUT_SECONDS = 120.0  # the first one ever compiles the simulator's engine
START_ATTEMPTS = 3  # when another cluster's exporter takes a port first
COMMAND_TIMEOUT_SECONDS = 10.0


class ExporterProcess:
    """ports: a system's own port -> where it listens, for gpu_cluster.workload."""

    process: Process

    def __init__(self, plane: ControlPlane, ports: Mapping[int, int], control_port: int) -> None:
        self.ports = ports
        self._plane, self._control_port = plane, control_port
        self._url = f"http://127.0.0.1:{control_port}"
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def start(cls, plane: ControlPlane, *, on_own_ports: bool = True) -> Self:
        """For the pods of this cluster; it ends with it. Raises StartFailed.

        on_own_ports: the systems', where they are free. Otherwise ports that nobody else will take while it is dead.
        """
        own = sorted({one.port for one in SYSTEMS.values()})
        for attempt in range(1, START_ATTEMPTS + 1):
            control, *free = free_ports(1 + len(own))
            pairs = zip(own, free, strict=True)
            ports = {port: port if on_own_ports and is_free(port) else other for port, other in pairs}
            exporter = cls(plane, ports, control)
            try:
                exporter.start_again()
                break
            except StartFailed:
                if attempt == START_ATTEMPTS or b"address already in use" not in exporter.process.log.read_bytes():
                    raise
                exporter.kill()
        return exporter

    def kill(self) -> None:
        """Every page is gone, and what was told is forgotten."""
        self._plane.processes.kill(self.process)

    def start_again(self) -> None:
        """On the same ports; no pod has a page until it is told anew what to show."""
        server = Path(__file__).with_name("exporter_server.py")
        told: list[str | Path] = [self._plane.admin, str(self._control_port), json.dumps(self.ports)]
        self.process = self._plane.processes.start("exporter", [executable, server, *told])
        self._plane.processes.wait_until(self.process, self._answers, timeout_seconds=START_TIMEOUT_SECONDS)

    def show(self, namespace: str, app: str, series: Mapping[str, Told]) -> None:
        """What the workload's pods show from now on; exporter_script.py says how a series is told."""
        self._command(namespace, app, do="show", series=dict(series))

    def simulate(self, namespace: str, app: str, **options: Any) -> None:
        """Let a simulated fleet say what they show. options: of exporter_fleet.FleetLoad."""
        self._command(namespace, app, do="simulate", options=options)

    def demand(
        self, namespace: str, app: str, rate: float, *, prompt_tokens: int = 200, output_tokens: int = 100
    ) -> None:
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
        request = urllib.request.Request(f"{self._url}/command", body, {"Content-Type": "application/json"})  # noqa: S310 - http, by construction
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
