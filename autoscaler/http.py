"""The controller's HTTP server: probes, metrics, and the page; read-only.

/livez   this process answers        /metrics  Prometheus' text format
/readyz  what is still missing       /         the page, where there is one
"""

from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from autoscaler.settings import ServerSettings
from policies.errors import BadInput

_GRACE_SECONDS = 2.0
"""For answers under way when the controller stops; they come from memory."""
_HEADER_BYTES = 16_384


def application(
    *, metrics: Callable[[], bytes], not_ready: Callable[[], Sequence[str]], page: Sequence[web.RouteDef] = ()
) -> web.Application:
    """metrics: the page in Prometheus' text format. not_ready: what is awaited, one sentence each; nothing once
    decisions can be made. Who leads does not count: a
    follower is as ready as its leader to take over."""

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        awaited = not_ready()
        if awaited:
            return web.Response(status=503, text="".join(f"{each}\n" for each in awaited))
        return web.Response(text="ok\n")

    async def show_metrics(_request: web.Request) -> web.Response:
        response = web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
        response.enable_compression()
        return response

    app = web.Application(client_max_size=1024)  # nothing here reads a body
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/healthz", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", show_metrics),
            *page,
        ]
    )
    return app


class HttpServer:
    """Serves one application until closed."""

    def __init__(self, app: web.Application) -> None:
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS, max_line_size=_HEADER_BYTES)

    async def start(self, settings: ServerSettings) -> int:
        """Listen; the port. Raises BadInput where the address cannot be had."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, settings.host, settings.port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise BadInput(
                f"server.host, server.port: were {settings.host!r}, {settings.port}, must be an address of this "
                f"machine and a free port ({error.strerror or error}); set another, or port 0 for any free one"
            ) from error
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        await self._runner.cleanup()
