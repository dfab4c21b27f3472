"""A cluster around the adapter: its API server with pods, the trust it publishes, and reviews of callers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import yaml
from adapter_world import CLIENT_CA, Adapter, Configuration, client, configuration, running
from aiohttp import ClientSession, web
from fake_kube_api import FakeKubeApi, Json, serving
from made_certificates import Made, make

PROXY_CA, OTHER_CA = make("front-proxy-ca", ca=True), make("front-proxy-ca", ca=True)
PROXY = make("front-proxy-client", PROXY_CA)
CONFIG_MAPS = "/api/v1/configmaps"
HPA_CONTROLLER = {
    "X-Remote-User": "system:serviceaccount:kube-system:horizontal-pod-autoscaler",
    "X-Remote-Group": "system:authenticated",
}


class Cluster(FakeKubeApi):
    """may: whether a user (first argument) may do what the resourceAttributes (second) say. tokens: token -> user.
    reviews: what was asked, kind and user or token. tells_trust: what reading of ConfigMaps waits for; set at first."""

    def __init__(self) -> None:
        super().__init__()
        self.may: Callable[[str, Json], bool] = lambda user, _: user == HPA_CONTROLLER["X-Remote-User"]
        self.tokens: dict[str, str] = {}
        self.reviews: list[tuple[str, str]] = []
        self.tells_trust = asyncio.Event()
        self.tells_trust.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.json_response(self._review(await request.json()))
        if request.path.endswith("/configmaps"):
            await self.tells_trust.wait()
        return await super().handle(request)

    async def publish(self, *, proxy_ca: str = PROXY_CA.pem, client_ca: str = CLIENT_CA.pem) -> None:
        """What kube-apiserver says of whose certificates to believe."""
        metadata = {"namespace": "kube-system", "name": "extension-apiserver-authentication"}
        data = {
            "client-ca-file": client_ca,
            "requestheader-client-ca-file": proxy_ca,
            "requestheader-allowed-names": '["front-proxy-client"]',
            "requestheader-username-headers": '["X-Remote-User"]',
            "requestheader-group-headers": '["X-Remote-Group"]',
            "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        }
        await self.put(CONFIG_MAPS, {"metadata": metadata, "data": data})

    def _review(self, review: Json) -> Json:
        kind, spec = review["kind"], review["spec"]
        self.reviews.append((kind, spec.get("user") or spec["token"]))
        if kind == "TokenReview":
            user = self.tokens.get(spec["token"])
            status: Json = {"authenticated": user is not None}
            if user is not None:
                status["user"] = {"username": user, "groups": ["system:authenticated"]}
        else:
            status = {"allowed": self.may(spec["user"], spec.get("resourceAttributes", {}))}
        return {**review, "status": status}


@asynccontextmanager
async def in_cluster(folder: Path, *, hpa: Made = PROXY, **changes: object) -> AsyncIterator[tuple[Adapter, Cluster]]:
    """The adapter in a cluster, whose pods it follows and whose API server it asks about callers; not collected yet.

    hpa: what the adapter's client shows; by default it is the aggregation layer, which names users by headers.
    """
    cluster = Cluster()
    async with serving(cluster.handle) as url:
        await cluster.publish()
        document = cluster_configuration(folder, url) | changes
        async with running(folder, document, hpa=hpa) as adapter:
            await until_known(adapter)
            adapter.session.headers.update(HPA_CONTROLLER)
            yield adapter, cluster


def cluster_configuration(folder: Path, url: str) -> Configuration:
    document = configuration(folder)
    document["authentication"] = {}
    document["authorization"] = {"allowCacheSeconds": 0, "denyCacheSeconds": 0}
    document["discovery"] = {"kubernetes": {"kubeconfig": str(write_kubeconfig(folder, url))}}
    return document


def write_kubeconfig(folder: Path, url: str, **cluster: str) -> Path:
    """A kubeconfig with one cluster. cluster: further fields, `certificate-authority` for one."""
    named = {"name": "here", "cluster": {"server": url, **cluster}, "user": {"token": "adapters-own"}}
    file = folder / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{key: named[key] for key in ("name", "cluster")}],
                "users": [{key: named[key] for key in ("name", "user")}],
                "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
            }
        )
    )
    return file


async def until_known(adapter: Adapter) -> None:
    """Until the adapter knows pods and whom to believe, and only the first collection is awaited.

    It asks without a certificate, as the kubelet does: a certificate whose authority the adapter does not know yet ends
    the handshake, which looks like a break. So "not yet" is always an answer, and anything else is raised at once.
    """
    async with client(adapter.folder, None) as kubelet:
        await eventually(lambda: _awaits_only_collections(adapter, kubelet))


async def _awaits_only_collections(adapter: Adapter, kubelet: ClientSession) -> bool:
    status, awaited = await adapter.get("/readyz", kubelet)
    assert status == 503, awaited
    return awaited.startswith("no collection is complete yet")


async def eventually(true: Callable[[], Awaitable[Any]], *, seconds: float = 10.0) -> None:
    """Wait for what another task or process brings about."""
    async with asyncio.timeout(seconds):
        while not await true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)
