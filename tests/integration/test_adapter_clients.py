"""Clients that the adapter must not trust, and those that take too much of it."""

import asyncio
import contextlib
import json
import resource
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp
import pytest
from adapter_cluster import eventually
from adapter_process import adapter_process
from adapter_world import (
    CLIENT_CA,
    HPA,
    LOOPBACK,
    PODS,
    SERVING_CA,
    WAITING,
    Adapter,
    client,
    collected,
    configuration,
    resident_bytes,
    running,
    write_pair,
)
from adapter_world import Pages as PodPages
from made_certificates import SERVER, Made, client_context, make

MEGABYTE = 1024 * 1024
NS_PER_SECOND = 1_000_000_000
FORGED = {"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}


@pytest.fixture
async def adapter(tmp_path: Path) -> AsyncIterator[Adapter]:
    async with collected(tmp_path) as one:
        yield one


def in_seconds(seconds: int) -> int:
    """That instant, nanoseconds since the epoch."""
    return time.time_ns() + seconds * NS_PER_SECOND


# Certificates, where no cluster says whom to believe.


async def test_without_a_certificate_everything_but_health_is_a_401_status(adapter: Adapter) -> None:
    async with client(adapter.folder, None) as nobody:
        for path in (f"{PODS}/*/{WAITING}", "/apis", "/metrics", "/nowhere"):
            status, text = await adapter.get(path, nobody, **FORGED)
            assert status == 401
            assert text == (
                '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
                '"message":"Unauthorized","reason":"Unauthorized","code":401}'
            )
        for path in ("/healthz", "/livez", "/readyz"):
            assert await adapter.get(path, nobody) == (200, "ok")


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(lambda: make("hpa", make("client-ca", ca=True)), id="of-another-authority-of-the-same-name"),
        pytest.param(lambda: make("hpa", SERVING_CA), id="of-the-servings-authority"),
        pytest.param(lambda: make("hpa", CLIENT_CA, uses=SERVER), id="a-serving-certificate"),
        pytest.param(lambda: make("hpa", CLIENT_CA, valid_until_ns=in_seconds(-60)), id="expired"),
        pytest.param(lambda: make("hpa", CLIENT_CA, valid_from_ns=in_seconds(3600)), id="not-yet-valid"),
        pytest.param(lambda: make("hpa"), id="signed-by-itself"),
    ],
)
async def test_a_certificate_that_is_not_good_ends_the_handshake_and_nothing_else(
    adapter: Adapter, shown: Callable[[], Made]
) -> None:
    async with client(adapter.folder, shown()) as stranger:
        with pytest.raises(aiohttp.ClientError):
            await adapter.get("/healthz", stranger)
    assert (await adapter.get(f"{PODS}/*/{WAITING}"))[0] == 200


async def test_a_certificate_that_expires_on_an_open_connection_is_worth_nothing_from_then_on(tmp_path: Path) -> None:
    short = make("hpa", CLIENT_CA, valid_until_ns=in_seconds(2))
    async with collected(tmp_path) as adapter, client(tmp_path, short) as session:
        assert (await adapter.get("/apis", session))[0] == 200

        async def is_refused() -> bool:
            return (await adapter.get("/apis", session))[0] == 401

        await eventually(is_refused)


async def test_only_the_allowed_names_may_ask(tmp_path: Path) -> None:
    document = configuration(tmp_path)
    document["authentication"]["allowedNames"] = ["front-proxy-client"]
    async with running(tmp_path, document) as adapter:
        assert (await adapter.get("/apis"))[0] == 401
        async with client(tmp_path, make("front-proxy-client", CLIENT_CA)) as proxy:
            assert (await adapter.get("/apis", proxy))[0] == 200


async def test_the_serving_certificate_is_shown_anew_when_its_files_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An expired one is counted as a fault and shown (there is no other); a half-written one changes nothing."""
    expired = make("leadtime-adapter", SERVING_CA, uses=SERVER, more=LOOPBACK, valid_until_ns=in_seconds(-60))
    other_ca = make("serving-ca", ca=True)
    renewed = make("leadtime-adapter", other_ca, uses=SERVER, more=LOOPBACK)
    document = configuration(tmp_path)
    document["servingCertificate"] |= {**write_pair(tmp_path, expired), "reloadSeconds": 1}
    async with running(tmp_path, document) as adapter:
        with pytest.raises(aiohttp.ClientConnectorCertificateError, match="expired"):
            await adapter.get("/healthz")
        (tmp_path / "serving.crt").write_text(renewed.pem)  # and not yet its key

        async def has_seen_them() -> bool:
            return "the last good pair stays in use" in caplog.text

        await eventually(has_seen_them)
        write_pair(tmp_path, renewed)

        async def is_believed() -> bool:
            async with client(tmp_path, HPA, server_ca=other_ca) as session:
                try:
                    return await adapter.get("/healthz", session) == (200, "ok")
                except aiohttp.ClientConnectorCertificateError:
                    return False

        await eventually(is_believed)
        async with client(tmp_path, HPA, server_ca=other_ca) as session:
            _, text = await adapter.get("/metrics", session)
            assert 'leadtime_adapter_faults{part="security"} 0.0' in text


async def test_an_expired_serving_certificate_shows_in_the_adapters_own_metrics(tmp_path: Path) -> None:
    expired = make("leadtime-adapter", SERVING_CA, uses=SERVER, more=LOOPBACK, valid_until_ns=in_seconds(-60))
    document = configuration(tmp_path)
    document["servingCertificate"] = write_pair(tmp_path, expired)
    async with running(tmp_path, document) as adapter:
        context = client_context(tmp_path, SERVING_CA.pem, HPA)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as careless:
            _, text = await adapter.get("/metrics", careless)
            assert 'leadtime_adapter_faults{part="security"} 1.0' in text


# Requests that are too large, too slow, or that never come.


@pytest.mark.parametrize(
    ("request_lines", "code"),
    [
        pytest.param("GET /apis HTTP/1.1\r\nX: " + "x" * 80_000 + "\r\n\r\n", 431, id="headers-of-80-kB"),
        pytest.param("POST /apis HTTP/1.1\r\nContent-Length: 52428800\r\n\r\n", 413, id="a-body-of-50-MB"),
        pytest.param("\x16\x03\x01\r\n\r\n", 400, id="no-http"),
    ],
)
async def test_a_request_that_is_not_right_is_answered_and_its_connection_closed(
    adapter: Adapter, request_lines: str, code: int
) -> None:
    reader, writer = await connect(adapter)
    writer.write(request_lines.encode())
    async with asyncio.timeout(5):
        answer = await reader.read()  # until the adapter closes
    writer.transport.abort()
    assert answer.startswith(f"HTTP/1.1 {code} ".encode())
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == code
    assert (await adapter.get(f"{PODS}/*/{WAITING}"))[0] == 200


async def connect(adapter: Adapter, pair: Made | None = HPA) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = client_context(adapter.folder, SERVING_CA.pem, pair)
    return await asyncio.open_connection("127.0.0.1", adapter.port, ssl=context)


async def test_who_drips_a_request_is_hung_up_on_and_nobody_else_waits(tmp_path: Path) -> None:
    """Slow-loris: 100 connections, a byte every 50 ms on each; a request must be complete within a second here."""
    http = {"headerTimeoutSeconds": 1}
    document = configuration(tmp_path, server={"host": "127.0.0.1", "port": 0, "http": http})

    async def drip(adapter: Adapter) -> None:
        reader, writer = await connect(adapter, None)
        with contextlib.suppress(ConnectionError):
            for byte in b"GET /apis HTTP/1.1\r\nX-Slow: " + b"x" * 10_000:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
                if reader.at_eof():
                    break
        writer.transport.abort()

    async with collected(tmp_path, document) as adapter:
        dripping = [asyncio.create_task(drip(adapter)) for _ in range(100)]
        async with asyncio.timeout(60):
            while not all(task.done() for task in dripping):
                assert (await adapter.get(f"{PODS}/*/{WAITING}"))[0] == 200
                await asyncio.sleep(0.05)
        await asyncio.gather(*dripping)
        own = await adapter.own_metrics()
        assert own['leadtime_adapter_connection_events_total{event="timed_out"}'] == 100
        assert own["leadtime_adapter_connections"] == 1


async def test_who_connects_and_never_says_a_word_is_dropped(tmp_path: Path) -> None:
    """No TLS handshake is ever begun on 500 connections, of which 256 may wait at a time."""
    http = {"tlsHandshakeTimeoutSeconds": 2}
    document = configuration(tmp_path, server={"host": "127.0.0.1", "port": 0, "http": http})
    async with collected(tmp_path, document) as adapter:
        silent = [await asyncio.open_connection("127.0.0.1", adapter.port) for _ in range(500)]
        assert (await adapter.get(f"{PODS}/*/{WAITING}"))[0] == 200

        async def all_are_dropped() -> bool:
            own = await adapter.own_metrics()
            return own['leadtime_adapter_connection_events_total{event="handshake_failed"}'] == 500

        await eventually(all_are_dropped)
        async with client(tmp_path) as fresh:
            assert (await adapter.get(f"{PODS}/*/{WAITING}", fresh))[0] == 200
        for _, writer in silent:
            writer.transport.abort()


async def test_ten_thousand_idle_connections_keep_no_new_client_out(tmp_path: Path) -> None:
    """With the limits as they are by default: 2,000 connections stay, who has been idle for longest goes first, and
    who showed a certificate last. At 43 KB each they are 86 MB."""
    count = min(10_000, _file_descriptors(10_500) - 500)
    if count < 4000:
        pytest.skip(f"needs 4,500 file descriptors, has {count + 500}; raise ulimit -n")
    async with PodPages().served() as pages:
        pages.show("/0", f"{WAITING} 3\n")
        (tmp_path / "targets.json").write_text(json.dumps([pages.group("/0", namespace="llm", pod="vllm-0")]))
        async with adapter_process(tmp_path, configuration(tmp_path)) as process, client(tmp_path) as hpa:
            url = f"{process.url}{PODS}/*/{WAITING}"

            async def is_served(session: aiohttp.ClientSession) -> bool:
                async with session.get(url) as response:
                    return response.status == 200 and '"value":"3000m"' in await response.text()

            await eventually(lambda: is_served(hpa))
            before = resident_bytes(process.process.pid)
            with contextlib.ExitStack() as idle, ThreadPoolExecutor(4) as threads:
                loop = asyncio.get_running_loop()
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # it does not matter who serves them
                opening = [
                    loop.run_in_executor(threads, _open_idle, context, process.port, count // 4) for _ in range(4)
                ]
                while not all(one.done() for one in opening):
                    assert await is_served(hpa), "all the while"
                    await asyncio.sleep(0.2)
                for sockets in await asyncio.gather(*opening):
                    for one in sockets:
                        idle.callback(one.close)
                async with client(tmp_path) as newcomer:
                    assert await is_served(newcomer)
                    async with newcomer.get(f"{process.url}/metrics") as response:
                        own = await response.text()
                assert process.is_alive
                grown = resident_bytes(process.process.pid) - before
            assert 1900 < _connections(own) <= 2000
            assert grown < 150 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB more for {count} connections"
            assert await process.end() == 0


def _connections(page: str) -> float:
    return float(
        next(line for line in page.splitlines() if line.startswith("leadtime_adapter_connections ")).split()[1]
    )


def _open_idle(context: ssl.SSLContext, port: int, count: int) -> list[ssl.SSLSocket]:
    """Connections whose TLS handshake is complete and that then say nothing."""
    return [context.wrap_socket(socket.create_connection(("127.0.0.1", port))) for _ in range(count)]


def _file_descriptors(wanted: int) -> int:
    """How many this process may have, raised as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
