"""The client: JSON in and out, clear errors, credentials that are renewed, and where they are found."""

import asyncio
import json
import ssl
from collections.abc import Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fake_kube_api import serving
from kubernetes.aio.client import Configuration

from adapter.sources.kubernetes.api import ApiError
from adapter.sources.kubernetes.client import KubeClient
from adapter.sources.kubernetes.configuration import BadKubeconfig, load_configuration


async def echo(request: web.Request) -> web.Response:
    body = await request.text()
    return web.json_response(
        {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "type": request.content_type,
            "body": json.loads(body) if body else None,
            "authorization": request.headers.get("Authorization"),
        }
    )


@pytest.mark.parametrize(
    ("call", "seen"),
    [
        pytest.param(
            lambda client: client.get("/api/v1/pods", {"labelSelector": "app in (a,b),x!=1+1"}),
            {"method": "GET", "path": "/api/v1/pods", "query": {"labelSelector": "app in (a,b),x!=1+1"}},
            id="get",
        ),
        pytest.param(
            lambda client: client.post("/a", {"kind": "TokenReview"}),
            {"method": "POST", "body": {"kind": "TokenReview"}, "type": "application/json"},
            id="post",
        ),
        pytest.param(lambda client: client.put("/a", {"n": 1}), {"method": "PUT", "body": {"n": 1}}, id="put"),
        pytest.param(
            lambda client: client.patch("/a", {"spec": {"caBundle": "x"}}),
            {"method": "PATCH", "body": {"spec": {"caBundle": "x"}}, "type": "application/merge-patch+json"},
            id="merge-patch",
        ),
        pytest.param(
            lambda client: client.patch("/a", [{"op": "remove", "path": "/x"}], "application/json-patch+json"),
            {"body": [{"op": "remove", "path": "/x"}], "type": "application/json-patch+json"},
            id="json-patch",
        ),
        pytest.param(
            lambda client: client.patch("/a", {"kind": "X"}, "application/apply-patch+yaml", {"fieldManager": "l"}),
            {"body": {"kind": "X"}, "type": "application/apply-patch+yaml", "query": {"fieldManager": "l"}},
            id="apply-patch",
        ),
    ],
)
async def test_requests_carry_json_both_ways(call: Callable[[KubeClient], Any], seen: dict[str, Any]) -> None:
    async with serving(echo) as url:
        client = KubeClient(Configuration(host=url))
        answer = await call(client)
        await client.close()
    assert {key: answer[key] for key in seen} == seen


async def test_a_json_patch_that_is_no_list_is_refused_here() -> None:
    client = KubeClient(Configuration(host="http://127.0.0.1:1"))
    with pytest.raises(TypeError, match="a JSON patch is a list"):
        await client.patch("/a", {"spec": {}}, "application/json-patch+json")
    await client.close()


def status(code: int, reason: str, message: str, **headers: str) -> Callable[[web.Request], Any]:
    async def handle(_: web.Request) -> web.Response:
        body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
        return web.json_response(body, status=code, headers=headers)

    return handle


async def html(_: web.Request) -> web.Response:
    return web.Response(status=502, text="<html>bad gateway</html>", content_type="text/html")


async def no_json(_: web.Request) -> web.Response:
    return web.Response(text="ok")


async def cut_short(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"items": [')
    assert request.transport is not None
    request.transport.abort()
    return response


async def never(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize(
    ("handler", "code", "reason", "message", "retry_after"),
    [
        pytest.param(
            status(403, "Forbidden", "pods is forbidden"), 403, "Forbidden", "pods is forbidden", None, id="a-status"
        ),
        pytest.param(
            status(429, "TooManyRequests", "later", **{"Retry-After": "3"}), 429, "TooManyRequests", "later", 3.0,
            id="throttled",
        ),
        pytest.param(html, 502, "Bad Gateway", "<html>bad gateway</html>", None, id="a-proxy's-page"),
        pytest.param(no_json, 0, "Malformed", "'ok'", None, id="no-json"),
        pytest.param(cut_short, 0, "Disconnected", "/a", None, id="cut-short"),
        pytest.param(never, 0, "Timeout", "/a", None, id="no-answer"),
    ],
)  # fmt: skip
async def test_a_fault_is_one_error_with_status_reason_and_message(
    handler: Callable[[web.Request], Any], code: int, reason: str, message: str, retry_after: float | None
) -> None:
    async with serving(handler) as url:
        client = KubeClient(Configuration(host=url))
        with pytest.raises(ApiError) as caught:
            await client.get("/a", timeout_seconds=0.2)
        await client.close()
    assert (caught.value.status, caught.value.reason) == (code, reason)
    assert message in caught.value.message
    assert caught.value.retry_after_seconds == retry_after


async def test_a_server_that_is_away_is_unreachable() -> None:
    client = KubeClient(Configuration(host="http://127.0.0.1:1"))
    with pytest.raises(ApiError, match="no answer Unreachable: /a"):
        await client.get("/a")
    await client.close()


async def test_a_stream_gives_its_lines_and_times_out_in_silence() -> None:
    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type": "ADDED"}\n{"type"')
        await response.write(b': "DELETED"}\n')
        await asyncio.Event().wait()
        return response

    opened: list[bool] = []
    async with serving(handle) as url:
        client = KubeClient(Configuration(host=url))
        lines = client.stream("/a", idle_timeout_seconds=0.2, on_open=lambda: opened.append(True))
        async with aclosing(lines):  # type: ignore[type-var]
            assert [(await anext(lines))["type"], opened] == ["ADDED", [True]]
            assert (await anext(lines))["type"] == "DELETED"
            with pytest.raises(ApiError, match="Timeout"):
                await anext(lines)
        await client.close()


def needs_token(token: list[str]) -> Callable[[web.Request], Any]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {token[0]}":
            return web.json_response({"reason": "Unauthorized", "message": "Unauthorized"}, status=401)
        if request.query.get("watch"):
            response = web.StreamResponse()
            await response.prepare(request)
            await response.write(b'{"type": "ADDED"}\n')
            await asyncio.Event().wait()
        return web.json_response({"ok": True})

    return handle


def with_token(url: str, token: str) -> Configuration:
    configuration = Configuration(host=url)
    configuration.api_key["BearerToken"] = f"Bearer {token}"
    return configuration


async def test_an_expired_token_is_renewed_once_and_open_watches_stay_open() -> None:
    token, loads = ["old"], 0
    async with serving(needs_token(token)) as url:

        async def load() -> Configuration:
            nonlocal loads
            loads += 1
            return with_token(url, token[0])

        client = KubeClient(with_token(url, "old"), load=load)
        watch = client.stream("/a", {"watch": "true"})
        assert (await anext(watch))["type"] == "ADDED"
        next_event = asyncio.ensure_future(anext(watch))
        token[0] = "new"
        answers = await asyncio.gather(*(client.get("/a") for _ in range(5)))
        assert answers == [{"ok": True}] * 5
        assert loads == 1
        assert not next_event.done()
        next_event.cancel()
        await asyncio.wait([next_event])
        await client.close()


async def test_a_token_that_stays_refused_is_not_renewed_in_a_loop() -> None:
    now, loads = [100.0], 0
    async with serving(needs_token(["secret"])) as url:

        async def load() -> Configuration:
            nonlocal loads
            loads += 1
            return with_token(url, "wrong")

        client = KubeClient(with_token(url, "wrong"), load=load, monotonic=lambda: now[0])
        for seconds, expected in ((0.0, 1), (29.0, 1), (31.0, 2)):
            now[0] = 100.0 + seconds
            with pytest.raises(ApiError, match="401 Unauthorized"):
                await client.get("/a")
            assert loads == expected
        await client.close()


def self_signed(folder: Path, name: str) -> Path:
    """A file with a key and its own certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
    return path


async def test_a_rotated_ca_is_loaded_again(tmp_path: Path) -> None:
    old, new = self_signed(tmp_path, "old"), self_signed(tmp_path, "new")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(new)
    async with serving(echo, tls=tls) as url:

        async def load() -> Configuration:
            return Configuration(host=url, ssl_ca_cert=str(new))

        client = KubeClient(Configuration(host=url, ssl_ca_cert=str(old)), load=load)
        assert (await client.get("/a"))["path"] == "/a"
        await client.close()
        client = KubeClient(Configuration(host=url, ssl_ca_cert=str(old)))
        with pytest.raises(ApiError, match=r"Unreachable: .*certificate verify failed"):
            await client.get("/a")
        await client.close()


def kubeconfig(path: Path, server: str, user: dict[str, Any] | None) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "contexts": [
                    {"name": "here", "context": {"cluster": "c", **({"user": "u"} if user is not None else {})}},
                    {"name": "other", "context": {"cluster": "other"}},
                ],
                "clusters": [
                    {"name": "c", "cluster": {"server": server}},
                    {"name": "other", "cluster": {"server": "http://other:1"}},
                ],
                "users": [{"name": "u", "user": user}] if user is not None else [],
            }
        )
    )
    return path


async def test_a_kubeconfig_names_the_server_and_the_token(tmp_path: Path) -> None:
    async with serving(echo) as url:
        client = await KubeClient.connect(kubeconfig(tmp_path / "config", url, {"token": "t"}))
        assert (await client.get("/a"))["authorization"] == "Bearer t"
        await client.close()


async def test_an_exec_plugin_is_run_for_the_token(tmp_path: Path) -> None:
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "x"}}
    plugin = {"apiVersion": credential["apiVersion"], "command": "echo", "args": [json.dumps(credential)]}
    async with serving(echo) as url:
        client = await KubeClient.connect(kubeconfig(tmp_path / "config", url, {"exec": plugin}))
        assert (await client.get("/a"))["authorization"] == "Bearer x"
        await client.close()


async def test_the_context_and_the_environment_choose(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "http://here:1", None)
    environ = {"KUBECONFIG": f"{tmp_path / 'absent'}:{path}", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert (await load_configuration(environ=environ)).host == "http://here:1"
    assert (await load_configuration(path, "other")).host == "http://other:1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "kubeconfig: was '.*config', must be a readable file; correct the path", id="absent"),
        pytest.param("{", "was not usable", id="no-yaml"),
        pytest.param("a: 1", "was not usable .*current-context", id="no-kubeconfig"),
        pytest.param("[1]", "was not usable", id="a-list"),
    ],
)
async def test_a_bad_kubeconfig_is_one_clear_error(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(BadKubeconfig, match=message):
        await load_configuration(path)


async def test_a_user_that_is_missing_is_one_clear_error(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path / "config", "https://here:1", None)
    with pytest.raises(BadKubeconfig, match="was not usable"):
        await load_configuration(path)


async def test_outside_a_cluster_without_any_configuration_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(BadKubeconfig, match="run in a cluster, or name a file by kubeconfig"):
        await load_configuration(environ={})
