"""The simulated pods' HTTP pages: every pod's /metrics on a port of its own, and a DCGM exporter's."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aiohttp import web

from leadtime.output import write_text
from simulations.exporter import NAMESPACE, GpuSampler, dcgm_page, vllm_page
from simulations.fleet import Fleet

APP_LABEL = "vllm"
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Pages:
    """Serves one fleet on the loopback, and keeps the adapter's targets file true."""

    def __init__(self, fleet: Fleet, targets_file: Path) -> None:
        self._fleet = fleet
        self._targets_file = targets_file
        self._gpus = GpuSampler()
        self._servers: dict[str, _PageServer] = {}

    async def follow(self) -> None:
        """Sample the GPUs, open pages of pods whose server is up, close those of pods that ended."""
        self._gpus.sample(self._fleet)
        serving = {pod.name: pod for pod in self._fleet.existing() if self._fleet.serves_metrics(pod)}
        for name in [name for name in self._servers if name != _DCGM and name not in serving]:
            await self._servers.pop(name).close()
        for name, pod in serving.items():
            if name not in self._servers:
                self._servers[name] = await _PageServer.start(partial(vllm_page, self._fleet, pod))
        if _DCGM not in self._servers:
            self._servers[_DCGM] = await _PageServer.start(lambda: dcgm_page(self._fleet, self._gpus.percent()))
        write_text(self._targets_file, json.dumps(self._targets(), indent=1))

    async def close(self) -> None:
        for server in self._servers.values():
            await server.close()

    def _targets(self) -> list[dict[str, object]]:
        """In the shape of Prometheus' file_sd. A pod that loads has no page yet, but its GPU is already seen."""
        groups: list[dict[str, object]] = [
            {
                "targets": [f"127.0.0.1:{server.port}"] if (server := self._servers.get(pod.name)) else [],
                "labels": {"namespace": NAMESPACE, "role": "pod", "pod": pod.name, "app": APP_LABEL},
            }
            for pod in self._fleet.existing()
        ]
        exporter = {"namespace": "gpu-operator", "role": "exporter", "pod": _DCGM}
        groups.append({"targets": [f"127.0.0.1:{self._servers[_DCGM].port}"], "labels": exporter})
        return groups


_DCGM = "dcgm-exporter"


class _PageServer:
    """One HTTP server on a free port of the loopback with one page."""

    def __init__(self, runner: web.AppRunner, port: int) -> None:
        self._runner = runner
        self.port = port

    @classmethod
    async def start(cls, page: Callable[[], str]) -> "_PageServer":
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=page().encode(), headers={"Content-Type": _CONTENT_TYPE})

        app = web.Application()
        app.router.add_get("/metrics", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return cls(runner, runner.addresses[0][1])

    async def close(self) -> None:
        await self._runner.cleanup()
