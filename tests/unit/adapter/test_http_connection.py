"""One connection, as raw bytes: what comes in, what goes out, and in which order."""

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable

import pytest
from http_clients import Answer, connected, request, serving, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapter.http_server.limits import HttpLimits
from adapter.http_server.request import Request
from adapter.http_server.response import response

SMALL = HttpLimits(max_header_bytes=4096, max_body_bytes=100)


def echo(request: Request) -> bytes:
    """What was asked for; /slow an instant later, /bad and /slow/bad fail."""
    if request.path == "/bad":
        raise RuntimeError("told to nobody")
    return response(200, f"{request.method} {request.path}".encode(), "text/plain")


def slow_echo(request: Request) -> bytes | Awaitable[bytes]:
    async def later() -> bytes:
        await asyncio.sleep(0.01)
        if request.path == "/slow/bad":
            raise RuntimeError("told to nobody")
        return echo(request)

    return later() if request.path.startswith("/slow") else echo(request)


async def exchange(data: bytes, answers: int, limits: HttpLimits | None = None) -> tuple[list[Answer], bytes]:
    """The answers to the data, and what follows them until the server closes."""
    async with serving(slow_echo, limits) as (_, port), connected(port) as client:
        await client.send(data)
        given = [await client.answer() for _ in range(answers)]
        client.writer.write_eof()
        return given, await client.rest()


async def test_a_connection_is_kept_for_the_next_request() -> None:
    async with serving(echo) as (server, port), connected(port) as client:
        assert [(await client.get(f"/{n}")).body for n in range(3)] == [b"GET /0", b"GET /1", b"GET /2"]
        assert (server.counts.connections, server.counts.requests) == (1, 3)


async def test_a_request_may_come_byte_by_byte() -> None:
    async with serving(echo) as (_, port), connected(port) as client:
        for byte in request("/slow-sender", "Accept: application/json"):
            await client.send(bytes([byte]))
        assert (await client.answer()).body == b"GET /slow-sender"


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    paths = ["/slow/0", "/1", "/slow/2", "/slow/bad", "/4", "/bad", "/6"]
    answers, rest = await exchange(b"".join(request(path) for path in paths), len(paths))
    assert [answer.status for answer in answers] == [200, 200, 200, 500, 200, 500, 200]
    assert [answer.body.decode() for answer in answers if answer.status == 200] == [
        f"GET {path}" for path in paths if "bad" not in path
    ]
    assert rest == b""


async def test_hundreds_of_pipelined_requests_wait_for_a_slow_one() -> None:
    paths = ["/slow"] + [f"/{n}" for n in range(500)]
    answers, _ = await exchange(b"".join(request(path) for path in paths), len(paths))
    assert [answer.body.decode() for answer in answers] == [f"GET {path}" for path in paths]


@pytest.mark.parametrize("path", ["/bad", "/slow/bad"])
async def test_a_failing_handler_is_500_without_detail(path: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answers, _ = await exchange(request(path) + request("/next"), 2)
    status = json.loads(answers[0].body)
    assert (status["code"], status["reason"], status["kind"]) == (500, "InternalError", "Status")
    assert b"told to nobody" not in answers[0].body
    assert answers[1].body == b"GET /next", "the connection goes on"
    assert "told to nobody" in caplog.text


@pytest.mark.parametrize(
    ("data", "connection"),
    [
        pytest.param(request("/x", "Connection: close"), "close", id="1.1-close"),
        pytest.param(b"GET /x HTTP/1.0\r\n\r\n", "close", id="1.0"),
    ],
)
async def test_the_last_answer_says_so_and_closes(data: bytes, connection: str) -> None:
    async with serving(echo) as (server, port), connected(port) as client:
        await client.send(data)
        answer = await client.answer()
        assert (answer.body, answer.headers["connection"]) == (b"GET /x", connection)
        assert await client.rest() == b""
        await until(lambda: server.open_connections == 0)


async def test_http_1_0_may_keep_its_connection() -> None:
    async with serving(echo) as (_, port), connected(port) as client:
        for _ in range(2):
            await client.send(b"GET /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert (await client.answer()).headers["connection"] == "keep-alive"


async def test_requests_after_connection_close_are_not_answered() -> None:
    answers, rest = await exchange(request("/slow/1", "Connection: close") + request("/2"), 1)
    assert answers[0].body == b"GET /slow/1"
    assert rest == b""


async def test_head_has_headers_only() -> None:
    async with serving(echo) as (_, port), connected(port) as client:
        await client.send(request("/x", method="HEAD") + request("/y"))
        assert (await client.answer(head=True)).headers["content-length"] == str(len("HEAD /x"))
        assert (await client.answer()).body == b"GET /y"


async def test_bodies_are_discarded() -> None:
    chunked = b"5\r\nhello\r\n5;ext=1\r\nworld\r\n0\r\nX-Remote-User: admin\r\n\r\n"
    seen: list[Request] = []

    def remember(request: Request) -> bytes:
        seen.append(request)
        return echo(request)

    async with serving(remember, SMALL) as (_, port), connected(port) as client:
        await client.send(request("/1", "Content-Length: 5", method="POST", body=b"hello"))
        await client.send(request("/2", "Transfer-Encoding: chunked", method="POST", body=chunked))
        await client.send(request("/3"))
        assert [(await client.answer()).body for _ in range(3)] == [b"POST /1", b"POST /2", b"GET /3"]
    assert all(one.header(b"x-remote-user") is None for one in seen), "a trailer is no header"


async def test_a_client_that_expects_100_continue_gets_it() -> None:
    async with serving(echo) as (_, port), connected(port) as client:
        await client.send(request("/x", "Content-Length: 2", "Expect: 100-continue", method="POST"))
        assert (await client.answer()).status == 100
        await client.send(b"ok")
        assert (await client.answer()).body == b"POST /x"


async def test_a_client_that_expects_100_continue_for_too_much_gets_413() -> None:
    async with serving(echo, SMALL) as (_, port), connected(port) as client:
        await client.send(request("/x", "Content-Length: 101", "Expect: 100-continue", method="POST"))
        assert (await client.answer()).status == 413
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("data", "status"),
    [
        pytest.param(b"\x16\x03\x01\x02\x00", 400, id="tls-on-a-plain-port"),
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", 400, id="not-http"),
        pytest.param(b"GET / HTTP/1.1\r\nNo colon\r\n\r\n", 400, id="malformed-header"),
        pytest.param(request("/", "Content-Length: 1", "Content-Length: 2"), 400, id="two-lengths"),
        pytest.param(request("/", "Content-Length: 1", "Transfer-Encoding: chunked"), 400, id="request-smuggling"),
        pytest.param(request("/", "Content-Length: "), 400, id="empty-length"),
        pytest.param(request("/", "Content-Length: 99999999999999999999999"), 400, id="length-beyond-64-bits"),
        pytest.param(request("/", "Transfer-Encoding: chunked", body=b"zz\r\n"), 400, id="malformed-chunk"),
        pytest.param(request("/", "Content-Length: 101", method="PUT"), 413, id="announced-body-too-large"),
        pytest.param(
            request("/", "Transfer-Encoding: chunked", method="PUT", body=b"4000\r\n" + 9000 * b"x"),
            413,
            id="body-too-large",
        ),
        pytest.param(
            request("/", "Transfer-Encoding: chunked", method="PUT", body=b"0\r\nX: " + 9000 * b"x"),
            413,
            id="endless-trailer",
        ),
        pytest.param(request("/" + 9000 * "x"), 431, id="target-too-long"),
        pytest.param(request("/", "X: " + 9000 * "x"), 431, id="headers-too-large"),
    ],
)
async def test_a_request_that_cannot_be_served_is_refused_in_its_turn(data: bytes, status: int) -> None:
    async with serving(slow_echo, SMALL) as (server, port), connected(port) as client:
        await client.send(request("/slow/before"))
        await client.send(data)
        assert (await client.answer()).body == b"GET /slow/before"
        refusal = await client.answer()
        assert (refusal.status, json.loads(refusal.body)["code"]) == (status, status)
        assert await client.rest() == b""
        assert server.counts.refused == 1


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(request("/x", "Connection: Upgrade", "Upgrade: h2c"), id="upgrade"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="http-2"),
        pytest.param(b"CONNECT host:443 HTTP/1.1\r\nHost: host\r\n\r\n", id="connect"),
    ],
)
async def test_no_other_protocol_is_switched_to(data: bytes) -> None:
    async with serving(echo) as (_, port), connected(port) as client:
        await client.send(data + b"\x00\x01\x02")
        said = await client.rest()
        assert said.startswith((b"HTTP/1.1 200", b"HTTP/1.1 400"))
        assert said.count(b"HTTP/1.1 ") == 1


async def test_who_does_not_read_is_not_written_to_without_end() -> None:
    large = response(200, bytes(300_000), "application/octet-stream")
    answered = 0

    def handler(_: Request) -> bytes:
        nonlocal answered
        answered += 1
        return large

    async with serving(handler) as (_, port), connected(port) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.writer.write(b"".join(request(f"/{n}") for n in range(150)))
        await until(lambda: answered > 0)
        await asyncio.sleep(0.1)
        assert answered < 40, "the kernel's buffers and one answer, of 150"
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        for _ in range(150):
            assert len((await client.answer()).body) == 300_000


async def test_a_client_that_leaves_ends_the_work_for_it() -> None:
    ended = asyncio.Event()

    async def work() -> bytes:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
        return b""

    async with serving(lambda _: work()) as (server, port):
        async with connected(port) as client:
            await client.send(request("/"))
            await until(lambda: server.counts.requests == 1)
        await asyncio.wait_for(ended.wait(), 5)


CHUNKS = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.sampled_from(
            [
                b"GET / HTTP/1.1\r\n",
                b"GET /a%2",
                b"POST /slow HTTP/1.1\r\n",
                b"Host: x\r\n",
                b"Content-Length: 3\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"Expect: 100-continue\r\n",
                b"Connection: close\r\n",
                b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
                b"\r\n",
                b"\r\n\r\n",
                b"abc",
                b"3\r\nabc\r\n0\r\n\r\n",
                b"HEAD /slow HTTP/1.0\r\n\r\n",
                b" HTTP/1.1\r\n\r\n",
                bytes(5000),
            ]
        ),
    ),
    max_size=12,
)


async def test_garbage_is_answered_or_hung_up_on_and_never_fatal(caplog: pytest.LogCaptureFixture) -> None:
    """Any bytes in any pieces: HTTP answers come back, the server logs nothing, and others are still served."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with serving(slow_echo, SMALL) as (_, port):

        async def throw(chunks: list[bytes]) -> bytes:
            async with connected(port) as client:
                for chunk in chunks:
                    client.writer.write(chunk)
                    await asyncio.sleep(0)
                with contextlib.suppress(OSError):  # the server has hung up already
                    client.writer.write_eof()
                return await client.rest()

        loop = asyncio.get_running_loop()

        @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(CHUNKS)
        def check(chunks: list[bytes]) -> None:
            said = asyncio.run_coroutine_threadsafe(throw(chunks), loop).result(10)
            assert said == b"" or said.startswith(b"HTTP/1.1 ")

        with caplog.at_level(logging.WARNING):
            await asyncio.to_thread(check)
        async with connected(port) as client:
            assert (await client.get("/still")).body == b"GET /still"
    assert faults == []
    assert [record for record in caplog.records if record.name != "asyncio"] == []
