"""Many workloads, each with an HPA of its own by the examples of manifests/, some of them with work to do."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from all_hpas import AllHpas
from exporter_script import shared
from kube_api import Object
from scenario import World, example_hpa

WRITERS = 8  # at a time
POLL_SECONDS = 0.1
START_TIMEOUT_SECONDS = 180.0
SCALED_TIMEOUT_SECONDS = 90.0  # a sync, and new pods
REST, BUSY = 0.8, 2.5  # of a pod's target, in all: enough for one pod, and for three
REST_PODS, BUSY_PODS = 1, 3
_DOWN_AT_ONCE = {"scaleDown": {"stabilizationWindowSeconds": 0}}
_USER_LABEL = "metadata.user_labels.app"  # makes of an External metric of a whole namespace that of one workload


@dataclass(frozen=True, slots=True)
class Kind:
    """An example of manifests/examples, a series that its metric is made of, its target in that series' unit."""

    example: str
    series: str
    target: float


KINDS = (  # one workload of each in every namespace: half of them on Pods metrics, half on External
    Kind("hpa-queue.yaml", "vllm:num_requests_waiting", 5),
    Kind("hpa-queue-stackdriver-name.yaml", "vllm:num_requests_waiting", 5),
    Kind("hpa-batch-size.yaml", "vllm:num_requests_running", 10),
    Kind("hpa-dcgm.yaml", "DCGM_FI_DEV_GPU_UTIL", 60),
    Kind("hpa-duty-cycle-pods.yaml", "DCGM_FI_DEV_GPU_UTIL", 60),
    *[Kind("hpa-duty-cycle.yaml", "DCGM_FI_DEV_GPU_UTIL", 60)] * 3,
    *[Kind("hpa-dcgm-external.yaml", "DCGM_FI_DEV_GPU_UTIL", 60)] * 2,
)


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment of vLLM, and an HPA of the same name."""

    namespace: str
    name: str
    kind: Kind

    def hpa(self) -> Object:
        """The example, for this workload; it may go down at once."""
        hpa = example_hpa(self.kind.example, self.namespace, self.name)
        hpa["metadata"]["name"] = self.name
        hpa["spec"]["behavior"] = _DOWN_AT_ONCE
        for entry in hpa["spec"]["metrics"]:
            if entry["type"] == "External":
                entry["external"]["metric"]["selector"]["matchLabels"][_USER_LABEL] = self.name
        return hpa


class HpaFleet:
    """workloads: one of each of KINDS in every namespace. hpas: theirs, followed until close()."""

    def __init__(self, world: World, *, namespaces: int) -> None:
        """Returns when every workload has a pod that is Ready, and its HPA a value."""
        self._world = world
        self._scenarios = {name: world.scenario(name) for name in (f"team-{number}" for number in range(namespaces))}
        self.workloads = [
            Workload(namespace, f"vllm-{number}", kind)
            for namespace in self._scenarios
            for number, kind in enumerate(KINDS)
        ]
        self.hpas = AllHpas(world.plane)
        self._busy: frozenset[Workload] = frozenset()
        _for_each(self._start, self.workloads)
        _wait(lambda: len(self.hpas.active) == len(self.workloads), "active", START_TIMEOUT_SECONDS)

    def keep_busy(self, kind: int) -> None:
        """From now on the workloads of one of KINDS have work for three pods, and no others; until the HPAs know it."""
        busy = frozenset(self.workloads[kind % len(KINDS) :: len(KINDS)])
        _for_each(lambda one: self._show(one, BUSY if one in busy else REST), busy ^ self._busy)
        self._busy = busy
        _wait(lambda: self.hpas.desired_replicas == self.right_size, "scaled", SCALED_TIMEOUT_SECONDS)

    @property
    def right_size(self) -> dict[tuple[str, str], int]:
        """How many pods each HPA must want."""
        return {(one.namespace, one.name): BUSY_PODS if one in self._busy else REST_PODS for one in self.workloads}

    def close(self) -> None:
        self.hpas.close()

    def _start(self, one: Workload) -> None:
        self._scenarios[one.namespace].runs("vllm", one.name)
        self._show(one, REST)
        self._world.plane.api.apply(one.hpa())

    def _show(self, one: Workload, of_target: float) -> None:
        series = {one.kind.series: shared(of_target * one.kind.target)}
        self._world.exporter.show(one.namespace, one.name, series)


def _for_each(do: Callable[[Workload], Any], workloads: Iterable[Workload]) -> None:
    """Several at a time. Raises the first one's error."""
    with ThreadPoolExecutor(WRITERS) as pool:
        for done in [pool.submit(do, one) for one in workloads]:
            done.result()


def _wait(until: Callable[[], bool], what: str, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not until():
        assert time.monotonic() < deadline, f"the HPAs are not {what} after {timeout_seconds:g} s"
        time.sleep(POLL_SECONDS)
