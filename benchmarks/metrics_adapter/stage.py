"""Everything around the adapters, started and ended together: control plane, pods, their pages, Prometheus."""

import contextlib
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from metrics_adapter import cluster, keda, prometheus, sides
from metrics_adapter.agreement import METRIC, expected_milli
from metrics_adapter.fleet import Fleet
from metrics_adapter.load import Client, compiled
from metrics_adapter.processes import Group
from metrics_adapter.rounds import Around
from metrics_adapter.sides import Side

from binaries import GIVEN_FOLDERS, RECIPES, Unavailable, binaries, cache_folder  # isort: skip (cluster.py finds it)
from child_processes import Process, StartFailed, free_ports, listens  # isort: skip
from control_plane import ControlPlane  # isort: skip

__all__ = ["Stage", "StartFailed", "Unavailable", "built", "stage"]

HERE = Path(__file__).parent
START_TIMEOUT_SECONDS = 60.0


class Stage:
    """The control plane and the programs beside it. Every program ends with it, also when this process is killed."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane = plane
        self.folder = folder
        self.generation = 0
        authority = plane.certificates.ca
        serving = authority.server("adapters", ["127.0.0.1", "localhost"])
        self.serving = serving.certificate, serving.key
        front = plane.certificates.front_proxy
        self.client = Client(program=compiled(folder), certificate=front.certificate, key=front.key, folder=folder)
        self.as_front_proxy = ssl.create_default_context(cafile=str(authority.certificate))
        self.as_front_proxy.load_cert_chain(front.certificate, front.key)
        self._kubeconfig = cluster.install_adapter(plane)

    @property
    def groups(self) -> list[Group]:
        """Everything that runs here."""
        return [Group(process.pid) for process in self.plane.processes.running]

    @property
    def around(self) -> Around:
        """What runs beside the sides, once Prometheus does."""
        found = {process.name: Group(process.pid) for process in self.plane.processes.running}
        return Around(prometheus=found["prometheus"], api_server=found["kube-apiserver"], ours=self.groups)

    def start(self, name: str, command: Sequence[str | Path], ready: Callable[[], bool]) -> Process:
        """Raises StartFailed."""
        process = self.plane.processes.start(name, command)
        self.plane.processes.wait_until(process, ready, timeout_seconds=START_TIMEOUT_SECONDS)
        return process

    def stop(self, *names: str) -> None:
        for process in self.plane.processes.running:
            if process.name in names:
                self.plane.processes.kill(process)

    @contextlib.contextmanager
    def pods(self, fleet: Fleet) -> Iterator[int]:
        """The fleet's pods with their pages; the port of the pages."""
        (port,) = free_ports(1)
        self.start("exporter", [sys.executable, HERE / "exporter.py", str(port)], lambda: listens(port))
        self._pages_port, self.generation = port, 0
        cluster.create_pods(self.plane.api, fleet, port)
        yield port
        cluster.delete_pods(self.plane.api, fleet)
        self.stop("exporter")

    def new_generation(self) -> int:
        """Let every page say other values; the generation's number."""
        self.generation += 1
        with urllib.request.urlopen(f"http://127.0.0.1:{self._pages_port}/generation/{self.generation}", timeout=5.0):
            return self.generation

    def start_prometheus(self, fleet: Fleet, interval_seconds: int) -> prometheus.Prometheus:
        """Returns when it knows all pods' values."""
        (port,) = free_ports(1)
        targets = self.folder / "targets.json"
        targets.write_text(json.dumps(prometheus.scrape_targets(fleet, self._pages_port)))
        file = self._write("prometheus.yaml", prometheus.configuration(targets, interval_seconds))
        data = tempfile.mkdtemp(prefix="prometheus-", dir=self.folder)
        flags = prometheus.flags(file, Path(data), port)
        one = prometheus.Prometheus(port)
        self.start("prometheus", [binaries("prometheus")["prometheus"], *flags], one.ready)
        self.wait_for_values(one, fleet)
        return one

    def wait_for_values(self, one: prometheus.Prometheus, fleet: Fleet) -> float:
        """Until Prometheus knows this generation's value of every pod; seconds waited."""
        expected = expected_milli(fleet, range(fleet.pods), self.generation)
        return one.wait_for(METRIC, {pod: milli / 1000 for pod, milli in expected.items()}, timeout_seconds=60.0)

    def start_leadtime(self, source: dict[str, Any]) -> Side:
        """The adapter over one source, with the rights of its ServiceAccount; ready when it says so."""
        (port,) = free_ports(1)
        configuration = self._write(
            "adapter.yaml",
            sides.leadtime_configuration(
                port=port,
                certificate=self.serving[0],
                key=self.serving[1],
                kubeconfig=self._kubeconfig,
                source=source,
            ),
        )
        side = self._side("leadtime", version("leadtime"), port, stamps_samples=True)
        process = self.start("leadtime", sides.leadtime_command(configuration), lambda: self._ready(port))
        side.groups = (Group(process.pid),)
        return side

    def start_prometheus_adapter(self, prometheus_url: str) -> Side:
        """Raises Unavailable where it is not built."""
        program = built("prometheus-adapter")
        (port,) = free_ports(1)
        rules = sides.PROMETHEUS_ADAPTER_RULES
        command = sides.prometheus_adapter_command(
            program,
            configuration=self._write("prometheus-adapter.yaml", sides.prometheus_adapter_configuration()),
            port=port,
            certificate=self.serving[0],
            key=self.serving[1],
            kubeconfig=cluster.account_with(self.plane, "custom-metrics", "prometheus-adapter", rules),
            prometheus=prometheus_url,
        )
        side = self._side("prometheus-adapter", RECIPES["prometheus-adapter"].version(), port)
        process = self.start("prometheus-adapter", command, lambda: self._ready(port))
        side.groups = (Group(process.pid),)
        return side

    def start_keda(self, fleet: Fleet, prometheus_url: str) -> Side:
        """Operator and metrics server. Raises Unavailable where they are not built."""
        operator, server = built("keda-operator"), built("keda-adapter")
        recipe = RECIPES["keda-operator"]
        module = keda.module_folder(recipe.version(), _module_cache())
        if not module.is_dir():
            raise Unavailable(
                f"keda: its module's source is not at {module}; run `go mod download` in tests/e2e/modules"
            )
        certificates = self.folder / "keda"
        keda.write_certificates(certificates)
        api, kubeconfig = self.plane.api, self.plane.admin
        crds = keda.definitions(module)
        api.apply([*crds, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": keda.NAMESPACE}}])
        for crd in crds:
            api.wait(api.path_of(crd), keda.is_served)
        port, grpc_port, probe_port, *metrics_ports = free_ports(5)
        layout = keda.Layout(
            kubeconfig=kubeconfig,
            certificates=certificates,
            serving=self.serving,
            port=port,
            grpc_port=grpc_port,
            probe_port=probe_port,
            metrics_ports=(metrics_ports[0], metrics_ports[1]),
        )
        command = keda.operator_command(operator, layout)
        first = self.start("keda-operator", command, lambda: listens(grpc_port))
        second = self.start("keda", keda.server_command(server, layout), lambda: self._ready(port))
        for workload in range(fleet.workloads):
            api.apply(keda.workload_objects(fleet, workload, METRIC, prometheus_url))
        side = self._side("keda", recipe.version(), port, serves_pods=False)
        side.external = partial(keda.external_target, fleet)
        side.groups = (Group(first.pid), Group(second.pid))
        return side

    def start_bare_aiohttp(self) -> Side:
        """A handler without anything behind it."""
        (port,) = free_ports(1)
        authority = self.plane.certificates.requestheader_ca.certificate
        words: list[str | Path] = [sys.executable, HERE / "bare_aiohttp.py", str(port), *self.serving, authority]
        process = self.start("bare aiohttp", words, lambda: listens(port))
        side = self._side("bare aiohttp", version("aiohttp"), port, serves_pods=False, answers_fixed=True)
        side.groups = (Group(process.pid),)
        return side

    def _side(self, name: str, version: str, port: int, **options: Any) -> Side:
        return Side(name=name, version=version, port=port, groups=(), client=self.as_front_proxy, **options)

    def _ready(self, port: int) -> bool:
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.as_front_proxy)
        )
        try:
            with opener.open(f"https://127.0.0.1:{port}/readyz", timeout=1.0) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def _write(self, name: str, content: dict[str, Any]) -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path


@contextlib.contextmanager
def stage() -> Iterator[Stage]:
    """Raises Unavailable, StartFailed, LoadFailed."""
    with tempfile.TemporaryDirectory(prefix="leadtime-benchmark-") as name:
        folder = Path(name)
        with ControlPlane.start(folder / "control-plane") as plane:
            yield Stage(plane, folder)


def built(name: str) -> Path:
    """A program that is there already: a benchmark does not build for minutes. Raises Unavailable."""
    given = (Path(folder) / name for variable in GIVEN_FOLDERS if (folder := os.environ.get(variable)))
    for path in (*given, cache_folder() / f"{name}-{RECIPES[name].cache_key()}" / name):
        if os.access(path, os.X_OK):
            return path
    raise Unavailable(f"{name}: not built; run `python tests/e2e/binaries.py {name}` (minutes, once)")


def _module_cache() -> Path:
    told = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=False)  # noqa: S607
    return Path(told.stdout.strip() or Path.home() / "go" / "pkg" / "mod")
