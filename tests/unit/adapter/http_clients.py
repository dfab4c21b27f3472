"""A server of the request path on the loopback, and clients that say exactly what a test wants said."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from made_certificates import SERVER, Made, client_context, make

from adapter.http_server.limits import HttpLimits
from adapter.http_server.server import HttpServer
from adapter.http_server.shared import Handler

SERVER_NAME = "adapter.leadtime.svc"
SERVING_CA = make("serving-ca", ca=True)
CLIENT_CA = make("client-ca", ca=True)
SERVING = make("adapter", SERVING_CA, uses=SERVER, dns=(SERVER_NAME,))
HPA = make("hpa", CLIENT_CA)
PATIENCE_SECONDS = 5.0  # of a test, for what should take milliseconds


class Answer(NamedTuple):
    """One HTTP answer. headers: lower-case name -> value."""

    status: int
    headers: dict[str, str]
    body: bytes


def serving_context(folder: Path, serving: Made = SERVING, client_ca: Made = CLIENT_CA) -> ssl.SSLContext:
    """As the adapter's own: TLS 1.3, client certificates asked for, no session tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_OPTIONAL
    file = folder / f"{serving.certificate.serial_number}.pem"
    file.write_text(serving.pem + serving.key_pem)
    context.load_cert_chain(file)
    context.load_verify_locations(cadata=client_ca.pem)
    return context


@asynccontextmanager
async def serving(
    handler: Handler, limits: HttpLimits | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[HttpServer, int]]:
    """The server and its port; plain HTTP without a context."""
    server = HttpServer(handler, limits)
    port = await server.start("127.0.0.1", 0, context)
    try:
        yield server, port
    finally:
        await server.close(grace_seconds=0.2)


class Connected:
    """A client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, *, head: bool = False) -> Answer:
        """The next answer. head: it has no body, whatever its length says."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
            length = 0 if head else int(headers.get("content-length", "0"))
            return Answer(int(lines[0].split()[1]), headers, await self.reader.readexactly(length))

    async def get(self, target: str, *headers: str) -> Answer:
        await self.send(request(target, *headers))
        return await self.answer()

    async def rest(self) -> bytes:
        """What comes until the server closes."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                return await self.reader.read()
            except ConnectionError:  # it has hung up on what was still being sent
                return b""

    async def close(self) -> None:
        self.writer.transport.abort()
        await asyncio.sleep(0)


@asynccontextmanager
async def connected(port: int, context: ssl.SSLContext | None = None) -> AsyncIterator[Connected]:
    """context: the client's TLS, plain HTTP without."""
    name = SERVER_NAME if context is not None else None
    client = Connected(*await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name))
    try:
        yield client
    finally:
        await client.close()


def request(target: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    """An HTTP/1.1 request. headers: whole lines."""
    lines = "".join(f"{line}\r\n" for line in ("Host: adapter", *headers))
    return f"{method} {target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body


def hpa_context(folder: Path) -> ssl.SSLContext:
    return client_context(folder, SERVING_CA.pem, HPA)


async def until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    """Let the loop run until the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- what is waited for is on the other side of a socket
            await asyncio.sleep(0.002)
