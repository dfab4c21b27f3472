"""The server under TLS: who is let in, who is thrown out, and how it stops."""

import asyncio
import contextlib
import gc
import os
import resource
import socket
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from http_clients import (
    HPA,
    SERVER_NAME,
    SERVING_CA,
    connected,
    hpa_context,
    request,
    serving,
    serving_context,
    until,
)
from made_certificates import SERVER, client_context, make
from pydantic import ValidationError

from adapter.http_server.limits import HttpLimits
from adapter.http_server.request import Request
from adapter.http_server.response import response
from adapter.http_server.server import HttpServer

FEW = HttpLimits(max_connections=10, max_handshakes=10)


def who(request: Request) -> bytes:
    """The client certificate that was shown."""
    return response(200, request.client.certificate_der or b"nobody", "application/octet-stream")


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return serving_context(tmp_path)


@pytest.fixture
def hpa(tmp_path: Path) -> ssl.SSLContext:
    return hpa_context(tmp_path)


async def test_the_handler_sees_the_verified_certificate(
    tmp_path: Path, context: ssl.SSLContext, hpa: ssl.SSLContext
) -> None:
    async with serving(who, context=context) as (_, port):
        async with connected(port, hpa) as client:
            assert (await client.get("/")).body == HPA.der
        async with connected(port, client_context(tmp_path, SERVING_CA.pem)) as client:
            assert (await client.get("/")).body == b"nobody"


async def test_a_certificate_of_an_unknown_ca_is_not_let_in(tmp_path: Path, context: ssl.SSLContext) -> None:
    forged = make("hpa", make("client-ca", ca=True))
    async with serving(who, context=context) as (server, port):
        async with connected(port, client_context(tmp_path, SERVING_CA.pem, forged)) as client:
            with pytest.raises((ConnectionError, ssl.SSLError, asyncio.IncompleteReadError)):
                await client.get("/")
        await until(lambda: server.counts.handshakes_failed == 1)
        assert server.counts.requests == 0


async def test_http_1_1_is_negotiated(context: ssl.SSLContext, hpa: ssl.SSLContext) -> None:
    hpa.set_alpn_protocols(["h2", "http/1.1"])  # as Go's client does
    async with serving(who, context=context) as (_, port), connected(port, hpa) as client:
        assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


async def test_memory_lasts_as_long_as_the_connection(context: ssl.SSLContext, hpa: ssl.SSLContext) -> None:
    def count(request: Request) -> bytes:
        request.client.memo["n"] = seen = int(str(request.client.memo.get("n", 0))) + 1
        return response(200, str(seen).encode(), "text/plain")

    async with serving(count, context=context) as (_, port):
        for _ in range(2):
            async with connected(port, hpa) as client:
                assert [(await client.get("/")).body for _ in range(3)] == [b"1", b"2", b"3"]


async def test_certificates_rotate_without_a_restart(tmp_path: Path, hpa: ssl.SSLContext) -> None:
    """With and without a server name, new handshakes use the new context; open connections go on."""
    next_ca, next_client_ca = make("serving-ca", ca=True), make("client-ca", ca=True)
    current = first = serving_context(tmp_path)
    server = HttpServer(who, current_context=lambda: current)
    port = await server.start("127.0.0.1", 0, first)
    try:
        async with connected(port, hpa) as old:
            assert (await old.get("/")).body == HPA.der
            serving_2 = make("adapter", next_ca, uses=SERVER, dns=(SERVER_NAME,))
            current = serving_context(tmp_path, serving_2, next_client_ca)
            next_hpa = make("hpa", next_client_ca)
            with pytest.raises(ssl.SSLCertVerificationError):
                async with connected(port, hpa):
                    pass
            trusting = client_context(tmp_path, next_ca.pem, next_hpa)
            async with connected(port, trusting) as client:
                assert (await client.get("/")).body == next_hpa.der
                assert client.writer.get_extra_info("ssl_object").selected_alpn_protocol() is None
            trusting.check_hostname = False
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting, server_hostname="")
            assert writer.get_extra_info("ssl_object").getpeercert(True) == serving_2.der
            writer.transport.abort()
            assert reader is not None
            assert (await old.get("/")).body == HPA.der
    finally:
        await server.close(0.1)


async def test_a_large_answer_is_whole_even_if_it_is_the_last(context: ssl.SSLContext, hpa: ssl.SSLContext) -> None:
    body = bytes(5_000_000)
    async with (
        serving(lambda _: response(200, body), context=context) as (_, port),
        connected(port, hpa) as client,
    ):
        assert (await client.get("/", "Connection: close")).body == body


async def test_past_the_limit_the_longest_idle_connection_makes_room() -> None:
    async with AsyncExitStack() as stack:
        server, port = await stack.enter_async_context(serving(who, FEW))
        clients = [await stack.enter_async_context(connected(port)) for _ in range(10)]
        for client in [*clients[1:], clients[0]]:  # so number 1 has been idle for longest
            assert (await client.get("/")).status == 200
        newcomer = await stack.enter_async_context(connected(port))
        assert (await newcomer.get("/")).status == 200
        assert await clients[1].rest() == b""
        assert (await clients[0].get("/")).status == 200
        assert (server.open_connections, server.counts.evicted) == (10, 1)


async def test_clients_with_a_certificate_stay_longer(
    tmp_path: Path, context: ssl.SSLContext, hpa: ssl.SSLContext
) -> None:
    """A flood of strangers cannot push out the aggregation layer, however idle it is."""
    stranger = client_context(tmp_path, SERVING_CA.pem)
    async with AsyncExitStack() as stack:
        server, port = await stack.enter_async_context(serving(who, FEW, context))
        known = await stack.enter_async_context(connected(port, hpa))
        assert (await known.get("/")).body == HPA.der
        for _ in range(15):
            client = await stack.enter_async_context(connected(port, stranger))
            assert (await client.get("/")).status == 200
        assert (await known.get("/")).body == HPA.der
        assert server.open_connections == 10


async def test_where_all_are_being_answered_the_newcomer_goes() -> None:
    release = asyncio.Event()

    async def wait() -> bytes:
        await release.wait()
        return response(200)

    async with AsyncExitStack() as stack:
        server, port = await stack.enter_async_context(serving(lambda _: wait(), FEW))
        clients = [await stack.enter_async_context(connected(port)) for _ in range(10)]
        for client in clients:
            await client.send(request("/"))
        await until(lambda: server.counts.requests == 10)
        newcomer = await stack.enter_async_context(connected(port))
        assert await newcomer.rest() == b""
        release.set()
        assert [(await client.answer()).status for client in clients] == [200] * 10


@pytest.mark.parametrize(
    ("said", "seconds", "gone"),
    [
        pytest.param(b"", 119, False, id="idle"),
        pytest.param(b"", 121, True, id="idle-too-long"),
        pytest.param(b"GET / HTTP/1.1\r\nHost:", 9, False, id="within-the-header-timeout"),
        pytest.param(b"GET / HTTP/1.1\r\nHost:", 11, True, id="slow-loris"),
        pytest.param(b"PUT / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx", 11, True, id="slow-body"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\nGET", 11, True, id="slow-second-request"),
        pytest.param(b"GET /wait HTTP/1.1\r\n\r\n", 1000, False, id="a-handler-at-work-is-not-the-clients-fault"),
    ],
)
async def test_who_takes_too_long_is_closed(said: bytes, seconds: float, gone: bool) -> None:
    async def wait() -> bytes:
        await asyncio.Event().wait()
        return b""

    async with (
        serving(lambda request: wait() if request.path == "/wait" else response(200)) as (server, port),
        connected(port) as client,
    ):
        await client.send(said)
        await until(lambda: server.open_connections == 1)
        await asyncio.sleep(0.05)  # what was said is read
        server.sweep(asyncio.get_running_loop().time() + seconds)
        await asyncio.sleep(0.01)
        assert (server.open_connections == 0) is gone
        assert server.counts.timed_out == int(gone)


async def test_a_trickle_of_header_bytes_does_not_extend_the_time() -> None:
    async with serving(who) as (server, port), connected(port) as client:
        now = asyncio.get_running_loop().time()
        for byte in b"GET / HTTP/1.1\r\nX: yyyyyy":
            await client.send(bytes([byte]))
            await asyncio.sleep(0.001)
        server.sweep(now + 10.5)
        assert await client.rest() == b""


async def test_a_handshake_that_never_ends_makes_room_for_others(context: ssl.SSLContext, hpa: ssl.SSLContext) -> None:
    async with AsyncExitStack() as stack:
        server, port = await stack.enter_async_context(serving(who, FEW, context))
        silent = [await stack.enter_async_context(connected(port)) for _ in range(30)]
        client = await stack.enter_async_context(connected(port, hpa))
        assert (await client.get("/")).body == HPA.der
        assert await silent[0].rest() == b""
        await until(lambda: server.counts.handshakes_failed >= 20)


async def test_two_thousand_idle_clients_leave_it_serving() -> None:
    """2,200 clients that stay, at a limit of 500: never more than 500 are kept, and the last is served."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    clients = min(2200, (soft - 700) // 2)
    places = asyncio.Semaphore(100)
    most = 0
    async with serving(who, HttpLimits(max_connections=500)) as (server, port):

        async def stay() -> asyncio.Transport:
            nonlocal most
            async with places:
                loop = asyncio.get_running_loop()
                transport, _ = await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)
                most = max(most, server.open_connections)
                return transport

        opened = await asyncio.gather(*(stay() for _ in range(clients)))
        await until(lambda: server.counts.connections == clients)
        assert most <= 510, "those being closed included"
        assert server.counts.evicted == clients - 500
        async with connected(port) as client:
            assert (await client.get("/")).body == b"nobody"
        for transport in opened:
            transport.abort()
        await until(lambda: server.open_connections == 0)


async def test_closing_lets_answers_finish_and_ends_the_idle() -> None:
    async def later() -> bytes:
        await asyncio.sleep(0.05)
        return response(200, b"done")

    server = HttpServer(lambda _: later())
    port = await server.start("127.0.0.1", 0, None)
    async with connected(port) as idle, connected(port) as busy:
        await busy.send(request("/"))
        await until(lambda: server.counts.requests == 1)
        closing = asyncio.create_task(server.close(grace_seconds=5))
        assert await idle.rest() == b""
        answer = await busy.answer()
        assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        await closing
        assert server.open_connections == 0
        with pytest.raises(OSError, match=r"refused|Connect"):
            await asyncio.open_connection("127.0.0.1", port)


@pytest.mark.parametrize("rounds", range(8))
async def test_closing_loses_no_connection_that_just_came(rounds: int) -> None:
    """However far the loop is with it; a socket that nobody closes is a ResourceWarning, which fails the test."""
    server = HttpServer(who)
    port = await server.start("127.0.0.1", 0, None)
    await asyncio.sleep(0.01)
    with socket.create_connection(("127.0.0.1", port), timeout=1.0) as client:
        for _ in range(rounds):
            await asyncio.sleep(0)
        await server.close(grace_seconds=0)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.to_thread(client.recv, 1) == b""
    del server
    gc.collect()


async def test_it_accepts_again_when_there_are_file_descriptors_again(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(who) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"nobody" in await reader.readuntil(b"nobody")
        waiting = socket.socket()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (waiting.fileno() + 1, hard))
        try:
            held = _all_file_descriptors()
            waiting.connect(("127.0.0.1", port))
            await until(lambda: "connection not accepted" in caplog.text)
        finally:
            for one in held:
                os.close(one)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        reader, other = await asyncio.open_connection(sock=waiting)
        other.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"nobody" in await reader.readuntil(b"nobody")
        other.close()
        writer.close()


def _all_file_descriptors() -> list[int]:
    """Those that were free below the limit."""
    held = []
    with contextlib.suppress(OSError):
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    return held


async def test_closing_waits_no_longer_than_its_grace() -> None:
    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    server = HttpServer(lambda _: never())
    port = await server.start("127.0.0.1", 0, None)
    async with connected(port) as client:
        await client.send(request("/"))
        await until(lambda: server.counts.requests == 1)
        await asyncio.wait_for(server.close(grace_seconds=0.05), 2)
        assert server.open_connections == 0


async def test_an_address_in_use_is_an_oserror() -> None:
    async with serving(who) as (_, port):
        with pytest.raises(OSError, match="in use"):
            await HttpServer(who).start("127.0.0.1", port, None)


async def test_processes_may_share_a_port() -> None:
    servers = [HttpServer(who), HttpServer(who)]
    port = await servers[0].start("127.0.0.1", 0, None, reuse_port=True)
    assert await servers[1].start("127.0.0.1", port, None, reuse_port=True) == port
    for server in servers:
        await server.close(0)


@pytest.mark.parametrize(
    "typed", [{"maxConnections": 1}, {"idleTimeoutSeconds": 1}, {"maxHeaderBytes": 1}, {"maxConnection": 20}]
)
def test_limits_beyond_their_range_or_misspelled_are_refused(typed: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        HttpLimits.model_validate(typed)


def test_limits_are_typed_in_camel_case() -> None:
    assert HttpLimits.model_validate({"maxConnections": 20, "headerTimeoutSeconds": 3}).max_connections == 20
