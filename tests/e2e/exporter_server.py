"""The process that answers for every pod of a cluster: by the address and port that a connection came to.

Run by exporter_process.py: python exporter_server.py KUBECONFIG CONTROL_PORT PORTS. It watches the cluster's pods
itself. Commands come as JSON to POST /command on the control port of the loopback; GET /state tells how things are.
"""

import asyncio
import json
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from exporter_fleet import FleetLoad
from exporter_pages import at_time, gpu_samples, page_text, without_numbers
from exporter_script import ScriptedLoad
from gpu_cluster import SYSTEMS, Ports
from kube_api import Object
from kube_watch import KubeWatch
from pod_view import PodView

POD_ADDRESSES = "127.64."
FOLLOW_SECONDS = 0.1
QUIET_SECONDS = 0.2  # without a scrape: the collection is over
LONGEST_COLLECTION_SECONDS = 1.0
HANGS_SECONDS = 300.0  # longer than any client waits
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Workload = tuple[str, str]
"""Namespace and name."""

Load = ScriptedLoad | FleetLoad
"""What the pods of one workload show."""


@dataclass(frozen=True, slots=True)
class Fault:
    """kind: refuse (the connection is dropped), hang (no answer), error (500), slow (by seconds), nan (every value),
    frozen (the page as it was, with its time). since_ms: Unix milliseconds."""

    kind: str
    seconds: float
    since_ms: int


class Pods:
    """The cluster's pods, as a thread sees them."""

    def __init__(self, kubeconfig: Path) -> None:
        self._by_uid: dict[str, PodView] = {}
        self._lock = threading.Lock()
        self.synced = KubeWatch(kubeconfig, "/api/v1/pods", self._changed).synced

    def all(self) -> list[PodView]:
        """The oldest first."""
        with self._lock:
            return sorted(self._by_uid.values(), key=lambda pod: pod.age_order)

    def _changed(self, change: str, pod: Object) -> None:
        with self._lock:
            if change == "DELETED":
                self._by_uid.pop(pod["metadata"]["uid"], None)
            else:
                self._by_uid[pod["metadata"]["uid"]] = PodView.of(pod)


class Exporter:
    """loads: by workload. faults: by workload, of all its pods or of one (the name; else "")."""

    def __init__(self, pods: Pods, ports: Ports) -> None:
        self.pods = pods
        self._system_at = {(ports[one.port], one.path): name for name, one in SYSTEMS.items()}
        self.loads: dict[Workload, Load] = {}
        self.faults: dict[tuple[Workload, str], Fault] = {}
        self.pages_served = 0
        self._frozen: dict[str, str] = {}  # pod name -> its page when it froze
        self._scraped_seconds = 0.0

    async def run(self) -> None:
        """Let every load follow the pods, for ever."""
        while True:
            await self.between_collections()
            self.follow()
            await asyncio.sleep(FOLLOW_SECONDS)

    def follow(self) -> None:
        """Let every load see the pods and the time as they are now."""
        pods = self.pods.all()
        for (namespace, app), load in self.loads.items():
            load.follow([pod for pod in pods if (pod.namespace, pod.app) == (namespace, app)], time.monotonic())

    async def between_collections(self) -> None:
        """Wait while pages are being read, so that one collection sees all of them before a change or after it.

        Else the parts of a total that pods share would not add up to it.
        """
        deadline = time.monotonic() + LONGEST_COLLECTION_SECONDS
        while (now := time.monotonic()) < (until := min(deadline, self._scraped_seconds + QUIET_SECONDS)):  # noqa: ASYNC110
            await asyncio.sleep(until - now)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One scrape."""
        self._scraped_seconds = time.monotonic()
        assert request.transport
        address, port = request.transport.get_extra_info("sockname")[:2]
        system = self._system_at.get((port, request.path))
        pod = next((pod for pod in self.pods.all() if pod.address == address and not pod.ending), None)
        if not address.startswith(POD_ADDRESSES) or pod is None or system is None:
            return _dropped(request)
        workload = (pod.namespace, pod.app)
        fault = self.faults.get((workload, pod.name)) or self.faults.get((workload, ""))
        text = self._page(system, pod)
        if text is None:
            return _dropped(request)
        match fault:
            case Fault("refuse"):
                return _dropped(request)
            case Fault("hang"):
                await asyncio.sleep(HANGS_SECONDS)
            case Fault("slow"):
                await asyncio.sleep(fault.seconds)
            case Fault("error"):
                return web.Response(status=500, text="the exporter failed")
            case Fault("nan"):
                text = without_numbers(text)
            case Fault("frozen"):
                text = at_time(self._frozen.setdefault(pod.name, text), fault.since_ms)
        self.pages_served += 1
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    def command(self, told: dict[str, Any]) -> None:
        """Raises KeyError, TypeError or ValueError for what cannot be."""
        workload: Workload = (told["namespace"], told["app"])
        match told["do"]:
            case "show":
                load = self.loads.setdefault(workload, ScriptedLoad())
                if isinstance(load, FleetLoad):
                    raise TypeError(f"{workload}: was simulated, must be told a demand instead; or forget it first")
                load.tell(told["series"])
            case "simulate":
                self.loads[workload] = FleetLoad(**told["options"])
            case "demand":
                load = self.loads[workload]
                if not isinstance(load, FleetLoad):
                    raise TypeError(f"{workload}: was scripted, must be simulated to have a demand")
                load.tell(**told["demand"])
            case "fail":
                now_ms = time.time_ns() // 1_000_000
                self.faults[workload, told["pod"]] = Fault(told["fault"], told["seconds"], now_ms)
            case "heal":
                self.faults = {key: fault for key, fault in self.faults.items() if key[0] != workload}
                self._frozen.clear()
            case "forget":
                self.loads.pop(workload, None)
            case unknown:
                raise ValueError(f"do: was {unknown!r}, must be show, simulate, demand, fail, heal or forget")

    def state(self) -> dict[str, Any]:
        pods = {f"{pod.namespace}/{pod.name}": f"{pod.stage} {pod.address}" for pod in self.pods.all()}
        loads = {"/".join(workload): load.state() for workload, load in self.loads.items()}
        return {"pods": pods, "loads": loads, "pagesServed": self.pages_served}

    def _page(self, system: str, pod: PodView) -> str | None:
        if system != "dcgm":
            load = self.loads.get((pod.namespace, pod.app))
            return load.page(system, pod) if load else None
        on_node = [one for one in self.pods.all() if one.node == pod.node and one.running and not one.ending]
        samples = [
            sample
            for one in on_node
            if (load := self.loads.get((one.namespace, one.app)))
            for sample in gpu_samples(
                load.gpu_series(one), namespace=one.namespace, pod=one.name, container=one.container, node=one.node
            )
        ]
        return page_text(sorted(samples, key=lambda sample: sample[0]))


def _dropped(request: web.Request) -> web.StreamResponse:
    """The connection ends without an answer, as nobody listens where no server runs."""
    assert request.transport
    request.transport.abort()
    return web.Response()


async def serve(kubeconfig: Path, control_port: int, ports: Ports) -> None:
    """For ever. Raises OSError where a port is taken."""
    FleetLoad().follow((), 0.0)  # compiles the engine, or loads what was compiled, before anybody waits for a page
    exporter = Exporter(Pods(kubeconfig), ports)
    pages = web.Application()
    pages.router.add_get("/{path:.*}", exporter.answer)
    for port in ports.values():
        await _listen(pages, "0.0.0.0", port)  # noqa: S104 - only loopback addresses are answered
    await _listen(_control(exporter), "127.0.0.1", control_port)
    await exporter.run()


def _control(exporter: Exporter) -> web.Application:
    async def command(request: web.Request) -> web.Response:
        told = await request.json()
        await exporter.between_collections()
        try:
            exporter.command(told)
            exporter.follow()
        except (KeyError, TypeError, ValueError) as error:
            return web.Response(status=400, text=f"{type(error).__name__}: {error}")
        return web.Response()

    async def state(_: web.Request) -> web.Response:
        return web.json_response(exporter.state(), status=200 if exporter.pods.synced.is_set() else 503)

    application = web.Application()
    application.router.add_post("/command", command)
    application.router.add_get("/state", state)
    return application


async def _listen(application: web.Application, host: str, port: int) -> None:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()


if __name__ == "__main__":
    try:
        told = {int(own): port for own, port in json.loads(sys.argv[3]).items()}
        asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), told))
    except OSError as failure:  # such as a port that another program has
        sys.exit(f"error: {failure}")
