"""The controller over many PredictiveAutoscalers: CPU, memory and what it asks of the API server.

    python benchmarks/controller.py [--autoscalers 1000] [--pods-each 5] [--minutes 3] [--json PATH]

A real kube-apiserver with the workloads, their pods and a PredictiveAutoscaler each in mode Recommend; metrics pages of
all pods from one process; the controller as its own process with the rights of its ServiceAccount and its own
configuration: a step every 15 seconds, every page scraped every 15 seconds. After all objects have a status it is
watched for some minutes. The page rates change slowly, so that desired counts hardly do: what is written then is what
"only on change" leaves.

Needs Go's binaries (tests/e2e/README.md). Exits 1 when a target is missed: one core, 500 MB, no step late by a period.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from metrics_adapter import cluster
from metrics_adapter.fleet import Fleet
from metrics_adapter.processes import Group, Usage, machine
from prometheus_client.parser import text_string_to_metric_families

from adapter_manifests import built  # isort: skip (cluster.py finds it)
from child_processes import StartFailed, free_ports, listens  # isort: skip
from binaries import Unavailable  # isort: skip
from control_plane import ControlPlane  # isort: skip

ROOT = Path(__file__).parents[1]
NAMESPACE = "llm"
PERIOD_SECONDS = 15
MOST_CORES, MOST_MB = 1.0, 500.0
START_SECONDS = 180.0
KEDA = (
    "beside it: KEDA's operator allows itself 20 requests/s to the API server, and its documentation expects\n"
    "throttling from about 400 ScaledObjects on (keda.sh/troubleshooting/2.18/api-server-throttling)"
)
THREADS = 8


def main() -> int:
    arguments = _arguments()
    fleet = Fleet(namespace=NAMESPACE, workloads=arguments.autoscalers, pods_each=arguments.pods_each)
    try:
        with tempfile.TemporaryDirectory(prefix="leadtime-benchmark-") as name:
            folder = Path(name)
            with ControlPlane.start(folder / "control-plane") as plane:
                figures = measure(plane, fleet, folder, arguments.minutes * 60.0)
    except (Unavailable, StartFailed) as reason:
        _say(f"controller: cannot be measured here: {reason}")
        return 1
    for line in told(figures):
        _say(line)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    missed = [
        text
        for text, is_missed in (
            (f"{figures['controller_cores']:.2f} cores", figures["controller_cores"] > MOST_CORES),
            (f"{figures['peak_mb']:.0f} MB", figures["peak_mb"] > MOST_MB),
            (f"{figures['steps_share']:.1%} of the steps", figures["steps_share"] < 0.99),
        )
        if is_missed
    ]
    _say(f"targets: {'MISSED: ' + '; '.join(missed) if missed else 'met'}")
    return 1 if missed else 0


def measure(plane: ControlPlane, fleet: Fleet, folder: Path, seconds: float) -> dict[str, Any]:
    """What the controller used in that time, and what it did."""
    pages, port = free_ports(2)
    server = Path(__file__).parent / "controller_load" / "pages.py"
    plane.processes.wait_until(
        plane.processes.start("pages", [sys.executable, server, str(pages)]), lambda: listens(pages), timeout_seconds=30
    )
    _say(f"{fleet.workloads:,} workloads with {fleet.pods:,} pods are created (about {fleet.pods / 60:.0f} s)")
    objects = built(ROOT / "manifests" / "controller" / "base")
    for item in sorted(objects, key=lambda one: one["kind"] != "CustomResourceDefinition"):
        plane.api.apply(item)
        if item["kind"] == "CustomResourceDefinition":
            plane.api.wait(plane.api.path_of(item), _established)
    cluster.create_pods(plane.api, fleet, pages)
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(lambda one: _create(plane, fleet, one), range(fleet.workloads)))
    kubeconfig = plane.service_account_kubeconfig("leadtime-system", "leadtime-controller")
    settings = folder / "controller.yaml"
    settings.write_text(json.dumps(_settings(kubeconfig, port, folder)))
    process = plane.processes.start("controller", [sys.executable, "-m", "autoscaler", "run", "--config", settings])
    plane.processes.wait_until(process, lambda: _decided(port) >= fleet.workloads, timeout_seconds=START_SECONDS)
    time.sleep(2 * PERIOD_SECONDS)  # first statuses, first lead times
    group = Group(process.pid)
    before, counted = Usage.now(), _counters(port)
    time.sleep(seconds)
    after, counts = Usage.now(), _counters(port)
    passed = after.at - before.at
    grown = {name: counts[name] - counted.get(name, 0.0) for name in counts}
    steps = grown["leadtime_controller_reconcile_duration_seconds_count"]
    writes = {name: value for name, value in grown.items() if "api_writes_total" in name and value}
    return {
        **machine(),
        "python": platform.python_version(),
        "autoscalers": fleet.workloads,
        "pods": fleet.pods,
        "seconds": passed,
        "controller_cores": (after.of([group]) - before.of([group])) / passed,
        "api_server_cores": (_usage(after, plane) - _usage(before, plane)) / passed,
        "mb": group.resident_mb(),
        "peak_mb": group.peak_resident_mb(),
        "steps": steps,
        "steps_share": steps / (fleet.workloads * passed / PERIOD_SECONDS),
        "writes_per_minute": {name: value * 60.0 / passed for name, value in writes.items()},
        "others_cores": after.others_since(before, [Group(one.pid) for one in plane.processes.running]),
    }


def told(figures: dict[str, Any]) -> Iterator[str]:
    """The figures, a line each."""
    steps = f"{figures['steps']:,.0f} in {figures['seconds']:.0f} s"
    yield f"{figures['cpu']}, {figures['cores']} cores, Python {figures['python']}"
    yield f"PredictiveAutoscalers, pods    {figures['autoscalers']:,}, {figures['pods']:,}"
    yield f"steps                          {steps}: {figures['steps_share']:.1%} of one every {PERIOD_SECONDS} s"
    yield f"CPU, cores                     {figures['controller_cores']:.2f}"
    yield f"  of the API server            {figures['api_server_cores']:.2f}"
    yield f"  of programs beside           {figures['others_cores']:.2f}"
    yield f"memory, and its peak           {figures['mb']:.0f} MB, {figures['peak_mb']:.0f} MB"
    for name, value in figures["writes_per_minute"].items():
        yield f"writes a minute                {value:.1f}  {name}"
    yield KEDA


def _usage(usage: Usage, plane: ControlPlane) -> float:
    return usage.of([Group(one.pid) for one in plane.processes.running if one.name == "kube-apiserver"])


def _create(plane: ControlPlane, fleet: Fleet, workload: int) -> None:
    """A Deployment whose pods exist already, and its PredictiveAutoscaler."""
    name = f"vllm-{workload:03d}"
    selector = {"app": name}
    container = {"name": "vllm", "image": cluster.IMAGE}
    template = {"metadata": {"labels": selector}, "spec": {"containers": [container]}}
    deployment: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": fleet.namespace},
        "spec": {"replicas": fleet.pods_each, "selector": {"matchLabels": selector}, "template": template},
    }
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "maxReplicas": 50,
        "profile": "llama-3.1-8b-fp8-l4",
        "slo": {"tpotSeconds": 0.075},
    }
    metadata = {"name": name, "namespace": fleet.namespace}
    autoscaler = {
        "apiVersion": "autoscaling.leadtime.dev/v1alpha1",
        "kind": "PredictiveAutoscaler",
        "metadata": metadata,
        "spec": spec,
    }
    (applied,) = plane.api.apply(deployment)
    plane.api.merge(f"{plane.api.path_of(applied)}/status", {"status": {"replicas": fleet.pods_each}})
    plane.api.apply(autoscaler)


def _settings(kubeconfig: Path, port: int, folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "controller.leadtime.dev/v1alpha1",
        "kind": "ControllerConfiguration",
        "cluster": {"kubeconfig": str(kubeconfig)},
        "server": {"host": "127.0.0.1", "port": port},
        "steps": {"syncPeriodSeconds": PERIOD_SECONDS},
        "sources": [{"scrape": {"intervalSeconds": PERIOD_SECONDS}}],
        "store": {"path": str(folder / "store.sqlite")},
    }


def _counters(port: int) -> dict[str, float]:
    """Every sample of /metrics, by its name and labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30.0) as reply:
        text = reply.read().decode()
    return {
        f"{sample.name}{json.dumps(sample.labels) if sample.labels else ''}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _decided(port: int) -> int:
    """How many objects have a desired count."""
    try:
        return sum(name.startswith("leadtime_controller_desired_replicas") for name in _counters(port))
    except OSError:
        time.sleep(0.5)
        return 0


def _established(crd: dict[str, Any]) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the controller over many PredictiveAutoscalers")
    parser.add_argument("--autoscalers", type=int, default=1000)
    parser.add_argument("--pods-each", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    for name, low, high in (("autoscalers", 1, 5000), ("pods_each", 1, 50), ("minutes", 0.25, 600.0)):
        if not low <= getattr(arguments, name) <= high:
            parser.error(f"--{name.replace('_', '-')}: was {getattr(arguments, name)}, must be in [{low}, {high}]")
    return arguments


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
