"""Metrics pages of all pods from one process: it listens on every address, and tells the pod by the one asked.

    python exporter.py PORT

GET /metrics is a pod's page. GET /generation/N makes every page say other values from now on.
"""

import asyncio
import sys

from fleet import page, pod_at  # type: ignore[import-not-found]  # beside this file: it is run as a program


class Pages(asyncio.Protocol):
    """As little HTTP/1.1 as Prometheus and the adapter need: the pages must not be what is measured."""

    generation = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._pod = pod_at(transport.get_extra_info("sockname")[0])
        self._received = b""

    def data_received(self, data: bytes) -> None:
        *requests, self._received = (self._received + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1]
            if path.startswith(b"/generation/"):
                Pages.generation = int(path.removeprefix(b"/generation/"))
            body = page(self._pod, Pages.generation).encode() if path == b"/metrics" else b""
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %d\r\n\r\n%b"
                % (len(body), body)
            )


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Pages, "0.0.0.0", port, backlog=1024)  # noqa: S104
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
