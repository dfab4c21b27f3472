"""The gate and the serving certificate behind real TLS on the loopback, in the adapter's own server."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from made_certificates import SERVER, Made, client_context, make

from adapter.auth.certificate_authorities import Authorities
from adapter.auth.client_certificate import ClientCertificates
from adapter.auth.gate import Gate
from adapter.auth.identity import User
from adapter.auth.refusal import Refused
from adapter.auth.request_header import RequestHeaderConfig
from adapter.auth.serving_certificate.key_pair import parse_key_pair
from adapter.auth.serving_certificate.tls_context import ServingTls
from adapter.auth.trust import Trust
from adapter.clock import SystemClock
from adapter.http_server.request import Request
from adapter.http_server.response import response
from adapter.http_server.server import HttpServer
from adapter.http_server.tls import presented_intermediates

NAME = "leadtime-adapter.leadtime.svc"
SERVING_CA, OTHER_SERVING_CA = make("serving-ca", ca=True), make("serving-ca", ca=True)
PROXY_CA, NEXT_PROXY_CA, CLIENT_CA, STRANGE_CA = (
    make(name, ca=True) for name in ("front-proxy-ca", "front-proxy-ca", "kubernetes", "front-proxy-ca")
)
PROXY, NEXT_PROXY = make("front-proxy-client", PROXY_CA), make("front-proxy-client", NEXT_PROXY_CA)
ADA = make("ada", CLIENT_CA)
HPA = {"X-Remote-User": "hpa", "X-Remote-Group": "system:authenticated"}


@dataclass
class Adapter:
    """A server that answers who asks."""

    folder: Path
    port: int = 0
    tls: ServingTls = field(default_factory=ServingTls)
    trust: Trust = field(default_factory=Trust)
    serving: Made = field(default_factory=lambda: make("adapter", SERVING_CA, uses=SERVER, dns=(NAME,)))

    def set(self, *, trust: Trust | None = None, serving: Made | None = None) -> None:
        self.trust, self.serving = trust or self.trust, serving or self.serving
        self.tls.serve(parse_key_pair(self.serving.pem.encode(), self.serving.key_pem.encode()), self.trust.pem)

    @asynccontextmanager
    async def connected(
        self, client: Made | None = None, *sent: Made, server_ca: Made = SERVING_CA, name: str | None = NAME
    ) -> AsyncIterator["Connection"]:
        context = client_context(self.folder, server_ca.pem, client, *sent)
        context.check_hostname = name is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context, server_hostname=name or "")
        try:
            yield Connection(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


@dataclass
class Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, headers: dict[str, str] | None = None) -> tuple[int, str]:
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self.writer.write(f"GET /apis HTTP/1.1\r\nHost: {NAME}\r\n{lines}\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().split("content-length:")[1].split("\r\n")[0])
        return int(head.split()[1]), (await self.reader.readexactly(length)).decode()

    @property
    def shown(self) -> bytes | None:
        """The certificate that the server shows."""
        return self.writer.get_extra_info("ssl_object").getpeercert(True)  # type: ignore[no-any-return]


def trust(proxy_ca: Made | None = PROXY_CA, client_ca: Made | None = CLIENT_CA) -> Trust:
    return Trust(
        RequestHeaderConfig(
            Authorities(proxy_ca.pem), ("front-proxy-client",), (b"x-remote-user",), (b"x-remote-group",)
        )
        if proxy_ca
        else None,
        ClientCertificates(Authorities(client_ca.pem)) if client_ca else None,
    )


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    one = Adapter(tmp_path)
    gate = Gate(trust=lambda: one.trust, clock=SystemClock())

    def handle(request: Request) -> bytes:
        try:
            user = gate.check(request)
        except Refused as refused:
            return response(refused.code, str(refused).encode())
        assert isinstance(user, User)
        return response(200, user.name.encode())

    server = HttpServer(handle)
    one.port = await server.start("127.0.0.1", 0, one.tls.context)
    one.set(trust=trust())
    try:
        yield one
    finally:
        await server.close(grace_seconds=0)


@pytest.mark.parametrize(
    ("client", "headers", "answer"),
    [
        pytest.param(PROXY, HPA, (200, "hpa"), id="the-front-proxy"),
        pytest.param(ADA, HPA, (200, "ada"), id="a-client-certificate-with-forged-headers"),
        pytest.param(None, HPA, (401, "Unauthorized"), id="forged-headers-without-a-certificate"),
        pytest.param(make("somebody", PROXY_CA), HPA, (401, "Unauthorized"), id="a-common-name-that-is-not-allowed"),
        pytest.param(
            make("front-proxy-client", CLIENT_CA), HPA, (200, "front-proxy-client"), id="the-name-of-the-wrong-ca"
        ),
    ],
)
async def test_who_is_told_apart(
    adapter: Adapter, client: Made | None, headers: dict[str, str], answer: tuple[int, str]
) -> None:
    async with adapter.connected(client) as connection:
        assert await connection.ask(headers) == answer


@pytest.mark.parametrize(
    "client",
    [
        pytest.param(make("front-proxy-client", STRANGE_CA), id="of-a-ca-of-the-same-name"),
        pytest.param(
            make("front-proxy-client", PROXY_CA, valid_from_ns=10**18, valid_until_ns=11 * 10**17), id="that-has-ended"
        ),
        pytest.param(make("front-proxy-client", PROXY_CA, uses=SERVER), id="for-servers"),
        pytest.param(make("front-proxy-client"), id="self-signed"),
    ],
)
async def test_the_handshake_refuses_a_certificate(adapter: Adapter, client: Made) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):  # in TLS 1.3 seen when reading
        async with adapter.connected(client) as connection:
            await connection.ask(HPA)


async def test_a_rotated_ca_holds_for_open_and_new_connections(adapter: Adapter) -> None:
    """The front proxy's CA is replaced: its old certificate is refused on the open connection and on new ones."""
    async with adapter.connected(PROXY) as connection:
        assert await connection.ask(HPA) == (200, "hpa")
        adapter.set(trust=trust(proxy_ca=NEXT_PROXY_CA))
        assert await connection.ask(HPA) == (401, "Unauthorized")
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        async with adapter.connected(PROXY) as connection:
            await connection.ask(HPA)
    async with adapter.connected(NEXT_PROXY) as connection:
        assert await connection.ask(HPA) == (200, "hpa")


async def test_both_cas_of_a_rotation_hold_together(adapter: Adapter) -> None:
    both = Authorities(NEXT_PROXY_CA.pem + PROXY_CA.pem)
    adapter.set(trust=Trust(RequestHeaderConfig(both, (), (b"x-remote-user",))))
    for client in (PROXY, NEXT_PROXY):
        async with adapter.connected(client) as connection:
            assert await connection.ask(HPA) == (200, "hpa")


async def test_a_rotated_serving_certificate_is_shown_to_new_connections_and_open_ones_go_on(adapter: Adapter) -> None:
    second = make("adapter", OTHER_SERVING_CA, uses=SERVER, dns=(NAME,))
    async with adapter.connected(PROXY) as connection:
        assert connection.shown == adapter.serving.der
        adapter.set(serving=second)
        assert await connection.ask(HPA) == (200, "hpa")
    async with adapter.connected(PROXY, server_ca=OTHER_SERVING_CA) as connection:
        assert connection.shown == second.der
    with pytest.raises(ssl.SSLCertVerificationError):
        async with adapter.connected(PROXY):
            pass


async def test_a_client_without_a_server_name_gets_the_current_certificate_too(adapter: Adapter) -> None:
    """As the kubelet's probes, which go to the pod's address."""
    second = make("adapter", SERVING_CA, uses=SERVER, dns=(NAME,))
    adapter.set(serving=second)
    async with adapter.connected(name=None) as connection:
        assert connection.shown == second.der
        assert await connection.ask() == (401, "Unauthorized")


async def test_before_there_is_a_certificate_handshakes_fail_and_then_they_work(tmp_path: Path) -> None:
    one = Adapter(tmp_path)
    server = HttpServer(lambda _: response(200, b"ok"))
    one.port = await server.start("127.0.0.1", 0, one.tls.context)
    try:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            async with one.connected():
                pass
        one.set()
        async with one.connected() as connection:
            assert await connection.ask() == (200, "ok")
    finally:
        await server.close(grace_seconds=0)


async def test_tls_1_2_and_session_tickets_are_not_offered(adapter: Adapter) -> None:
    async with adapter.connected(PROXY) as connection:
        await connection.ask(HPA)
        tls = connection.writer.get_extra_info("ssl_object")
        assert tls.version() == "TLSv1.3"
        assert not tls.session.has_ticket
    old = client_context(adapter.folder, SERVING_CA.pem)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", adapter.port, ssl=old, server_hostname=NAME)


async def test_a_key_that_openssl_refuses_leaves_the_last_good_certificate_in_use(adapter: Adapter) -> None:
    good = adapter.serving
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
    adapter.set(serving=make("adapter", SERVING_CA, uses=SERVER, dns=(NAME,), key=key))
    assert "certificate and key: OpenSSL refuses them (EE_KEY_TOO_SMALL)" in adapter.tls.fault
    async with adapter.connected(PROXY) as connection:
        assert connection.shown == good.der
    adapter.set(serving=good)
    assert adapter.tls.fault == ""


async def test_intermediates_that_the_client_sent_are_found(tmp_path: Path) -> None:
    """On their own they prove nothing; with them a chain can be followed at each request."""
    intermediate = make("intermediate", PROXY_CA, ca=True)
    client = make("front-proxy-client", intermediate)
    one, found = Adapter(tmp_path), asyncio.get_running_loop().create_future()

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls: Any = writer.get_extra_info("ssl_object")
        found.set_result((tls.getpeercert(True), tuple(presented_intermediates(tls))))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    one.set(trust=trust())
    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=one.tls.context)
    one.port = server.sockets[0].getsockname()[1]
    async with server:
        async with one.connected(client, intermediate) as connection:
            assert await connection.ask() == (200, "")
        assert await found == (client.der, (intermediate.der,))
