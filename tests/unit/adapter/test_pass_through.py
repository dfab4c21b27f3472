"""Requests for another server's external metrics, against a real one behind TLS on the loopback."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from http_clients import CLIENT_CA, SERVING_CA, serving_context, until
from made_certificates import SERVER, make
from pydantic import ValidationError

from adapter.errors import BadInput
from adapter.http_server.request import Request
from adapter.http_server.response import response
from adapter.http_server.server import HttpServer
from adapter.pass_through.forwarder import PassThrough
from adapter.pass_through.settings import PassThroughSettings

TARGET = b"/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/s0-prometheus?labelSelector=a%3Db%2Cc"
VALUES = b'{"kind":"ExternalMetricValueList","items":[]}'
USER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
FRONT_PROXY = make("leadtime-front-proxy", CLIENT_CA)


@dataclass
class Upstream:
    """The other server. answer: what it gives; asked: what it was asked."""

    folder: Path
    answer: Callable[[Request], bytes | Awaitable[bytes]] = lambda _: response(200, VALUES)
    asked: list[Request] = field(default_factory=list)
    url: str = ""
    now: float = 0.0

    def handle(self, request: Request) -> bytes | Awaitable[bytes]:
        self.asked.append(request)
        return self.answer(request)

    def settings(self, **typed: object) -> PassThroughSettings:
        return PassThroughSettings.model_validate(
            {
                "url": self.url,
                "caFile": self.folder / "ca.pem",
                "bearerTokenFile": self.folder / "token",
                "timeoutSeconds": 5,
                "failuresUntilOpen": 2,
                **typed,
            }
        )

    @asynccontextmanager
    async def passing_through(self, **typed: object) -> AsyncIterator[PassThrough]:
        forwarder = PassThrough(self.settings(**typed), now=lambda: self.now)
        try:
            yield forwarder
        finally:
            await forwarder.close()


@pytest.fixture
async def upstream(tmp_path: Path) -> AsyncIterator[Upstream]:
    upstream = Upstream(tmp_path)
    (tmp_path / "ca.pem").write_text(SERVING_CA.pem)
    (tmp_path / "token").write_text("our-token\n")
    (tmp_path / "client.pem").write_text(FRONT_PROXY.pem)
    (tmp_path / "client-key.pem").write_text(FRONT_PROXY.key_pem)
    server = HttpServer(upstream.handle)
    serving = make("keda", SERVING_CA, uses=SERVER, dns=("localhost",))
    port = await server.start("127.0.0.1", 0, serving_context(tmp_path, serving))
    upstream.url = f"https://localhost:{port}"
    yield upstream
    await server.close(0)


def read(answer: bytes) -> tuple[int, str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode(), json.loads(body) if body else None


async def test_it_asks_as_ourselves_and_hands_on_the_answer(upstream: Upstream) -> None:
    async with upstream.passing_through() as forwarder:
        status, _, body = read(await forwarder.forward(TARGET, USER, ["system:authenticated"], {"k": ["v"]}))
    assert (status, body) == (200, json.loads(VALUES))
    (request,) = upstream.asked
    assert (request.method, request.target) == ("GET", TARGET)
    assert request.header(b"authorization") == b"Bearer our-token"
    assert not [name for name in request.headers if name.startswith(b"x-remote")]
    assert request.client.certificate_der is None


async def test_it_asks_for_the_caller_as_the_aggregation_layer_does(upstream: Upstream) -> None:
    folder = upstream.folder
    files = {"clientCertFile": folder / "client.pem", "clientKeyFile": folder / "client-key.pem"}
    async with upstream.passing_through(mode="requestHeader", **files) as forwarder:
        extra = {"authentication.kubernetes.io/credential-id": ["JTI=1", "JTI=2"]}
        await forwarder.forward(TARGET, USER, ["a", "system:authenticated"], extra, uid="42")
    (request,) = upstream.asked
    assert request.client.certificate_der == FRONT_PROXY.der
    assert request.headers[b"x-remote-user"] == [USER.encode()]
    assert request.headers[b"x-remote-group"] == [b"a", b"system:authenticated"]
    assert request.headers[b"x-remote-uid"] == [b"42"]
    assert request.headers[b"x-remote-extra-authentication.kubernetes.io%2fcredential-id"] == [b"JTI=1", b"JTI=2"]
    assert request.header(b"authorization") is None


@pytest.mark.parametrize(
    ("user", "groups"),
    [
        pytest.param("", [], id="nobody"),
        pytest.param("system:anonymous", ["system:unauthenticated"], id="anonymous"),
        pytest.param("someone", ["system:unauthenticated"], id="unauthenticated-group"),
        pytest.param("a\r\nX-Remote-User: admin", [], id="header-in-a-name"),
        pytest.param("a", ["b\nX-Remote-Group: system:masters"], id="header-in-a-group"),
    ],
)
async def test_nothing_is_asked_for_who_has_not_proven_who_he_is(
    upstream: Upstream, user: str, groups: list[str]
) -> None:
    async with upstream.passing_through() as forwarder:
        assert read(await forwarder.forward(TARGET, user, groups))[0] == 401
    assert upstream.asked == []


@pytest.mark.parametrize(
    "target",
    [
        b"/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/..",
        b"/apis/external.metrics.k8s.io/v1beta1/namespaces/%2e%2e/m",
        b"/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/a%2F..%2Fb",
        b"/apis/external.metrics.k8s.io/v1beta1/namespaces//m",
        b"/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/m/more",
        b"/apis/external.metrics.k8s.io/v1beta1",
        b"/apis/external.metrics.k8s.io/v2/namespaces/llm/m",
        b"/apis/custom.metrics.k8s.io/v1beta1/namespaces/llm/m",
        b"/api/v1/namespaces/llm/secrets",
        b"https://elsewhere/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/m",
        b"//elsewhere/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/m",
        b"",
    ],
)
async def test_only_values_of_one_external_metric_are_passed_on(upstream: Upstream, target: bytes) -> None:
    async with upstream.passing_through() as forwarder:
        status, _, body = read(await forwarder.forward(target, USER))
    assert (status, body["reason"]) == (404, "NotFound")
    assert upstream.asked == []


async def test_odd_bytes_of_a_target_are_encoded(upstream: Upstream) -> None:
    async with upstream.passing_through() as forwarder:
        await forwarder.forward(b"/apis/external.metrics.k8s.io/v1beta1/namespaces/llm/a|b#c%7C", USER)
    assert upstream.asked[0].target.endswith(b"/a%7Cb%23c%7C")


async def test_an_error_of_the_other_server_is_handed_on_without_retry_after(upstream: Upstream) -> None:
    def answer(_: Request) -> bytes:
        whole = response(429, b'{"kind":"Status","code":429}', headers=(("Set-Cookie", "a=b"), ("X-Other", "c")))
        return whole.replace(b"X-Other: c", b"Retry-After: 1")

    upstream.answer = answer
    async with upstream.passing_through() as forwarder:
        status, head, body = read(await forwarder.forward(TARGET, USER))
        assert forwarder.breaker.failures == 0
    assert (status, body["code"]) == (429, 429)
    assert sorted(line.split(":")[0] for line in head.split("\r\n")[1:]) == ["Content-Length", "Content-Type"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        pytest.param(response(301, headers=(("Location", "https://elsewhere/"),)), "status 301", id="redirection"),
        pytest.param(response(401, b"{}"), "credentials", id="our-credentials-refused"),
        pytest.param(response(200, bytes(8 * 1024 * 1024 + 1)), "larger than 8 MiB", id="too-large"),
        pytest.param(b"HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", "status 299", id="no-such-status"),
        pytest.param(response(503, b'{"message":"no backend"}'), "status 503: no backend", id="unavailable"),
        pytest.param(response(502, b"<html>"), "status 502", id="bad-gateway"),
        pytest.param(b"nonsense\r\n\r\n", "", id="not-http"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n{", "", id="truncated"),
    ],
)
async def test_what_cannot_be_handed_on_is_503_and_names_the_server(
    upstream: Upstream, answer: bytes, why: str
) -> None:
    upstream.answer = lambda _: answer
    async with upstream.passing_through(timeoutSeconds=1) as forwarder:
        status, _, body = read(await forwarder.forward(TARGET, USER))
    assert (status, body["reason"]) in [(503, "ServiceUnavailable"), (504, "Timeout")]
    assert status == 503 or not why
    assert body["message"].startswith(f"external metrics server {upstream.url}: ")
    assert why in body["message"]


async def test_a_slow_server_is_504(upstream: Upstream) -> None:
    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    upstream.answer = lambda _: never()
    async with upstream.passing_through(timeoutSeconds=0.1) as forwarder:
        status, _, body = read(await forwarder.forward(TARGET, USER))
        assert forwarder.breaker.failures == 1
    assert (status, body["reason"]) == (504, "Timeout")
    assert body["message"] == f"external metrics server {upstream.url}: no answer within 0.1 s"


async def test_a_dead_server_is_not_asked_until_its_time_has_come(upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        dead = f"https://localhost:{unused.getsockname()[1]}"
    async with upstream.passing_through(url=dead, openSeconds=15) as forwarder:
        for _ in range(2):
            assert read(await forwarder.forward(TARGET, USER))[0] == 503
        upstream.now = 5.0
        status, _, body = read(await forwarder.forward(TARGET, USER))
        assert (status, body["message"]) == (
            503,
            f"external metrics server {dead}: failed 2 times in a row; tried again in 10 s",
        )
        upstream.now = 15.0
        await forwarder.forward(TARGET, USER)
        assert forwarder.breaker.failures == 3, "one trial"


async def test_a_server_that_is_back_is_asked_again(upstream: Upstream) -> None:
    upstream.answer = lambda _: response(503)
    async with upstream.passing_through(openSeconds=15) as forwarder:
        for _ in range(4):
            assert read(await forwarder.forward(TARGET, USER))[0] == 503
        assert len(upstream.asked) == 2
        upstream.answer, upstream.now = lambda _: response(200, VALUES), 15.0
        assert [read(await forwarder.forward(TARGET, USER))[0] for _ in range(3)] == [200, 200, 200]


async def test_a_caller_that_leaves_is_no_failure(upstream: Upstream) -> None:
    async def never() -> bytes:
        await asyncio.Event().wait()
        return b""

    upstream.answer = lambda _: never()
    async with upstream.passing_through(failuresUntilOpen=1) as forwarder:
        asking = asyncio.create_task(forwarder.forward(TARGET, USER))
        await until(lambda: len(upstream.asked) == 1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert forwarder.breaker.failures == 0


async def test_no_more_than_max_concurrent_are_asked_at_a_time(upstream: Upstream) -> None:
    now = most = 0

    async def count() -> bytes:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return response(200, VALUES)

    upstream.answer = lambda _: count()
    async with upstream.passing_through(maxConcurrent=3) as forwarder:
        answers = await asyncio.gather(*(forwarder.forward(TARGET, USER) for _ in range(12)))
    assert [read(answer)[0] for answer in answers] == [200] * 12
    assert most == 3


async def test_a_server_of_another_ca_is_not_believed(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "other-ca.pem").write_text(make("serving-ca", ca=True).pem)
    async with upstream.passing_through(caFile=tmp_path / "other-ca.pem") as forwarder:
        status, _, body = read(await forwarder.forward(TARGET, USER))
    assert status == 503
    assert "certificate" in body["message"].lower()
    assert upstream.asked == []


async def test_a_renewed_token_is_used_within_a_minute(upstream: Upstream, caplog: pytest.LogCaptureFixture) -> None:
    token = upstream.folder / "token"
    async with upstream.passing_through() as forwarder:
        seen = []
        for now, written in [(0.0, "first"), (59.0, "second"), (60.0, "second"), (121.0, ""), (182.0, "third")]:
            token.write_text(written)
            upstream.now = now
            with caplog.at_level(logging.ERROR):
                await forwarder.forward(TARGET, USER)
            seen.append((upstream.asked[-1].header(b"authorization") or b"").decode().removeprefix("Bearer "))
    assert seen == ["our-token", "our-token", "second", "second", "third"], "an empty file is not believed"
    assert caplog.text.count("bearerTokenFile") == 1


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ({"url": ""}, "passThrough.url, passThrough.service: were none, must be one of them"),
        ({"service": "keda/metrics"}, "passThrough.url, passThrough.service: were both, must be one of them"),
        ({"url": "http://keda"}, "passThrough.url: was 'http://keda', must be https://HOST"),
        ({"url": "https://keda/path"}, "passThrough.url: was 'https://keda/path', must be https://HOST"),
        ({"url": "https://a@keda"}, "passThrough.url: was 'https://a@keda', must be https://HOST"),
        ({"url": "https://keda:99999"}, "passThrough.url: was 'https://keda:99999', must be https://HOST"),
        ({"url": "", "service": "keda"}, "passThrough.service: was 'keda', must be NAMESPACE/NAME"),
        ({"url": "", "service": "a/b:0"}, "passThrough.service: was 'a/b:0', must be NAMESPACE/NAME"),
        ({"mode": "requestHeader"}, "passThrough.clientCertFile, passThrough.clientKeyFile: were not both given"),
    ],
)
def test_settings_that_make_no_sense_are_refused_with_the_remedy(typed: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        PassThroughSettings.model_validate({"url": "https://keda", "caFile": "/ca.pem", **typed})
    (error,) = refused.value.errors()
    assert str(error["ctx"]["error"]).startswith(message)
    assert isinstance(error["ctx"]["error"], BadInput)


@pytest.mark.parametrize(
    ("typed", "url"),
    [
        ({"url": "https://keda:6443/"}, "https://keda:6443"),
        ({"service": "keda/keda-operator-metrics-apiserver"}, "https://keda-operator-metrics-apiserver.keda.svc:443"),
        ({"service": "dd/cluster-agent:8443"}, "https://cluster-agent.dd.svc:8443"),
    ],
)
def test_where_the_other_server_is(typed: dict[str, str], url: str) -> None:
    assert PassThroughSettings.model_validate({"caFile": "/ca.pem", **typed}).base_url == url


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("ca.pem", None, "passThrough.caFile: was"),
        ("ca.pem", "nonsense", "passThrough.caFile: was"),
        ("token", None, "passThrough.bearerTokenFile: was"),
        ("token", "two words", "passThrough.bearerTokenFile: was"),
        ("client.pem", "nonsense", "passThrough.clientCertFile, passThrough.clientKeyFile: were"),
    ],
)
async def test_files_that_cannot_be_used_are_refused_at_the_start(
    upstream: Upstream, file: str, content: str | None, message: str
) -> None:
    path = upstream.folder / file
    path.unlink() if content is None else path.write_text(content)
    typed: dict[str, object] = {}
    if file == "client.pem":
        typed = {"mode": "requestHeader", "clientCertFile": path, "clientKeyFile": upstream.folder / "client-key.pem"}
    with pytest.raises(BadInput) as refused:
        PassThrough(upstream.settings(**typed))
    assert str(refused.value).startswith(message)
    assert "correct the" in str(refused.value)
