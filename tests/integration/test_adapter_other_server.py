"""Another external-metrics server beside the adapter, for names that are not the adapter's."""

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from adapter_world import (
    EXTERNAL,
    LOOPBACK,
    SERVING_CA,
    WAITING,
    Adapter,
    Configuration,
    collected,
    configuration,
)
from aiohttp import web
from fake_kube_api import serving
from made_certificates import SERVER, make


class OtherServer:
    """An external-metrics server, such as KEDA's. asked: (path, headers) of its requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.status = 200

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.path_qs, dict(request.headers)))
        if self.status != 200:
            return web.Response(status=self.status, headers={"Retry-After": "30"})
        return web.json_response({"kind": "ExternalMetricValueList", "items": [{"value": "7"}]})


@asynccontextmanager
async def beside_another(folder: Path) -> AsyncIterator[tuple[Adapter, OtherServer]]:
    other = OtherServer()
    pair = make("keda", SERVING_CA, uses=SERVER, more=LOOPBACK)
    (folder / "keda.pem").write_text(pair.pem + pair.key_pem)
    (folder / "serving-ca.pem").write_text(SERVING_CA.pem)
    (folder / "token").write_text("our-token\n")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "keda.pem")
    async with serving(other.handle, tls=context) as url:
        section: Configuration = {
            "url": url,
            "caFile": str(folder / "serving-ca.pem"),
            "bearerTokenFile": str(folder / "token"),
            "failuresUntilOpen": 2,
        }
        async with collected(folder, configuration(folder, passThrough=section)) as adapter:
            yield adapter, other


async def test_names_that_are_not_ours_are_passed_on_as_ourselves(tmp_path: Path) -> None:
    """The caller's identity and its headers stay here, however it names itself."""
    async with beside_another(tmp_path) as (adapter, other):
        path = f"{EXTERNAL}/s0-rabbitmq?labelSelector=queue%3Dworkers"
        status, text = await adapter.get(path, **{"X-Remote-User": "root", "Authorization": "Bearer theirs"})
        assert (status, json.loads(text)["items"]) == (200, [{"value": "7"}])
        assert (await adapter.get(f"{EXTERNAL}/{WAITING}"))[0] == 200
    ((asked, headers),) = other.asked
    assert asked == path
    assert headers["Authorization"] == "Bearer our-token"
    assert not [name for name in headers if name.lower().startswith("x-remote")]


async def test_when_the_other_server_fails_its_metrics_are_unavailable_and_ours_are_not(tmp_path: Path) -> None:
    """After two failures it is not asked any more for a while."""
    async with beside_another(tmp_path) as (adapter, other):
        other.status = 503
        for _ in range(4):
            code, message = await adapter.refusal(f"{EXTERNAL}/s0-rabbitmq")
            assert code == 503
            assert message.startswith("external metrics server https://127.0.0.1:")
            assert (await adapter.get(f"{EXTERNAL}/{WAITING}"))[0] == 200
    assert len(other.asked) == 2
