"""The adapter's gate and serving certificate before a real kube-apiserver: its aggregator, RBAC, tokens, ConfigMap."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from api_service import api_service_path, wait_served
from control_plane import ControlPlane
from kube_api import Api, ApiError, Object

from adapter.auth.access_review import AccessReviews
from adapter.auth.gate import Gate
from adapter.auth.identity import User
from adapter.auth.refusal import Refused
from adapter.auth.request_attributes import Attributes
from adapter.auth.serving_certificate.api_services import NAMES
from adapter.auth.serving_certificate.self_managed import SelfManagedCertificate
from adapter.auth.serving_certificate.tls_context import ServingTls
from adapter.auth.settings import AuthenticationSettings, AuthorizationSettings, ServingCertificateSettings
from adapter.auth.token_review import TokenReviews
from adapter.auth.trust import ClusterTrust
from adapter.auth.trust_watch import TrustWatch
from adapter.clock import SystemClock
from adapter.http_server.request import Request
from adapter.http_server.response import response
from adapter.http_server.server import HttpServer
from adapter.sources.kubernetes.client import KubeClient

pytestmark = pytest.mark.e2e

NAMESPACE, SERVICE = "leadtime", "leadtime-adapter"
EXTERNAL = "/apis/external.metrics.k8s.io/v1beta1"
HPA = "system:serviceaccount:kube-system:horizontal-pod-autoscaler"
CONFIG_MAP = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"


def role(name: str, rules: list[Object], namespace: str | None = None) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    kind = "Role" if namespace else "ClusterRole"
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules}


def binding(name: str, role_kind: str, role_name: str, subject: Object, namespace: str | None = None) -> Object:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "roleRef": {"apiGroup": group, "kind": role_kind, "name": role_name},
        "subjects": [subject],
    }


def service_account(namespace: str, name: str) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


ACCOUNT = {"kind": "ServiceAccount", "name": SERVICE, "namespace": NAMESPACE}
LEAST_PRIVILEGE = [
    service_account(NAMESPACE, SERVICE),
    binding(f"{SERVICE}-delegator", "ClusterRole", "system:auth-delegator", ACCOUNT),
    binding(SERVICE, "Role", "extension-apiserver-authentication-reader", ACCOUNT, "kube-system"),
    role(
        SERVICE,
        [
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]},
            {
                "apiGroups": [""],
                "resources": ["secrets"],
                "resourceNames": [f"{SERVICE}-serving"],
                "verbs": ["get", "update"],
            },
        ],
        NAMESPACE,
    ),
    binding(f"{SERVICE}-secret", "Role", SERVICE, ACCOUNT, NAMESPACE),
    role(
        f"{SERVICE}-apiservices",
        [
            {
                "apiGroups": ["apiregistration.k8s.io"],
                "resources": ["apiservices"],
                "resourceNames": list(NAMES),
                "verbs": ["get", "patch"],
            }
        ],
    ),
    binding(f"{SERVICE}-apiservices", "ClusterRole", f"{SERVICE}-apiservices", ACCOUNT),
]


@dataclass
class Adapter:
    """The parts of the adapter that face the API server; it answers who asks."""

    plane: ControlPlane
    client: KubeClient
    trust: ClusterTrust
    watch: TrustWatch
    certificate: SelfManagedCertificate
    access: AccessReviews
    gate: Gate
    port: int

    async def ask(self, path: str, headers: Mapping[str, str], *, as_front_proxy: bool = False) -> tuple[int, Object]:
        """Past the API server, straight to the adapter."""
        context = ssl.create_default_context(cadata=(await self.bundle()).decode())
        if as_front_proxy:
            pair = self.plane.certificates.front_proxy
            context.load_cert_chain(pair.certificate, pair.key)
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context, server_hostname=f"{SERVICE}.{NAMESPACE}.svc"
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"GET {path} HTTP/1.1\r\nHost: adapter\r\nConnection: close\r\n{lines}\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return int(head.split()[1]), json.loads(body)

    async def bundle(self) -> bytes:
        """What the API server expects."""
        service = await self.client.get(api_service_path(NAMES[2]))
        return base64.b64decode(service["spec"]["caBundle"])


def answer(gate: Gate) -> Callable[[Request], Any]:
    async def handle(request: Request) -> bytes:
        try:
            passed = gate.check(request)
            user = passed if isinstance(passed, User) else await passed
        except Refused as refused:
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "metadata": {},
                "status": "Failure",
                "message": str(refused),
                "reason": refused.reason,
                "code": refused.code,
            } | ({"details": dict(refused.details)} if refused.details is not None else {})
            return response(refused.code, json.dumps(status).encode())
        if len(request.segments) > 3:
            item = {"metricName": user.name, "metricLabels": {}, "timestamp": None, "value": "1"}
            return response(200, json.dumps({"kind": "ExternalMetricValueList", "items": [item]}).encode())
        group = "/".join(request.segments[1:])
        resources = [{"name": "x", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}]
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": resources}
        return response(200, json.dumps(body).encode())

    return handle


@pytest.fixture
async def adapter(control_plane: ControlPlane) -> AsyncIterator[Adapter]:
    plane, clock, tls = control_plane, SystemClock(), ServingTls()
    api = plane.api
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in (NAMESPACE, "llm", "other")
    ]
    api.apply(namespaces + LEAST_PRIVILEGE)
    client = await KubeClient.connect(plane.service_account_kubeconfig(NAMESPACE, SERVICE))
    trust = ClusterTrust(lambda new: tls.serve(certificate.current, new.pem) if certificate.current else None)
    certificate = SelfManagedCertificate(
        client,
        ServingCertificateSettings(namespace=NAMESPACE, service_name=SERVICE),
        clock=clock,
        on_change=lambda pair: tls.serve(pair, trust.current.pem),
    )
    access = AccessReviews(client, AuthorizationSettings())
    gate = Gate(
        trust=lambda: trust.current,
        clock=clock,
        tokens=TokenReviews(client, AuthenticationSettings()),
        access=access,
    )
    server = HttpServer(answer(gate))
    port = await server.start("127.0.0.1", 0, tls.context)
    for name in NAMES:
        version, group = name.split(".", 1)
        service, api_service = plane.aggregated(f"{group}/{version}", f"{NAMESPACE}/{SERVICE}", port)
        del api_service["spec"]["caBundle"]
        await asyncio.to_thread(api.apply, [service, api_service])
    watch = TrustWatch(client, trust)
    tasks = [asyncio.create_task(watch.run()), asyncio.create_task(certificate.run())]
    try:
        await until(lambda: trust.current.front_proxy is not None and certificate.current is not None)
        yield Adapter(plane, client, trust, watch, certificate, access, gate, port)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.close(grace_seconds=0)
        await client.close()
        for name in NAMES:
            with contextlib.suppress(ApiError):
                await asyncio.to_thread(api.delete, api_service_path(name))


async def until(true: Callable[[], bool], *, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_through_the_aggregator_users_keep_their_names_and_rights(adapter: Adapter) -> None:
    """The API server verifies our certificate by the CA that we published, and tells us who asks."""
    api = adapter.plane.api
    alice = {"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}
    rules: list[Object] = [{"apiGroups": ["external.metrics.k8s.io"], "resources": ["queue"], "verbs": ["list"]}]
    await asyncio.to_thread(api.apply, [role("queue", rules, "llm"), binding("queue", "Role", "queue", alice, "llm")])
    for name in NAMES:
        await asyncio.to_thread(wait_served, api, name)
    assert (adapter.certificate.fault, adapter.watch.fault, adapter.gate.faults) == ("", "", {})
    as_alice = adapter.plane.api_of("alice")
    seen = await asyncio.to_thread(as_alice.get, f"{EXTERNAL}/namespaces/llm/queue")
    assert seen["items"][0]["metricName"] == "alice"
    for path in ("llm/batch", "other/queue"):
        with pytest.raises(ApiError) as refused:
            await asyncio.to_thread(as_alice.get, f"{EXTERNAL}/namespaces/{path}")
        assert refused.value.status == 403


@pytest.mark.parametrize(
    "path",
    [
        f"{EXTERNAL}/namespaces/llm/queue",
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/pods/*/queue",
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/llm/metrics/queue",
        "/apis/custom.metrics.k8s.io/v1beta1/nodes/gpu-0/duty_cycle",
        "/metrics",
    ],
)
async def test_a_token_is_reviewed_and_a_refusal_reads_as_the_api_servers_own(adapter: Adapter, path: str) -> None:
    """The same user, the same path: what kube-apiserver says of itself is what we say."""
    plane = adapter.plane
    await asyncio.to_thread(plane.api.apply, service_account("llm", "scraper"))
    token = await asyncio.to_thread(plane.service_account_token, "llm", "scraper")
    code, ours = await adapter.ask(path, {"Authorization": f"Bearer {token}"})
    theirs = Api(plane.url, plane.certificates.ca.certificate, token=token)
    reply = await asyncio.to_thread(theirs.send, "GET", path)
    assert (code, ours) == (reply.status, reply.json())
    assert code == 403
    assert (await adapter.ask(path, {"Authorization": "Bearer junk"}))[0] == 401


async def test_forged_headers_are_not_believed(adapter: Adapter) -> None:
    forged = {"X-Remote-User": "system:admin", "X-Remote-Group": "system:masters"}
    code, status = await adapter.ask(f"{EXTERNAL}/namespaces/llm/queue", forged)
    assert (code, status["message"]) == (401, "Unauthorized")


async def test_one_review_covers_all_metrics_of_the_hpa_controller(adapter: Adapter) -> None:
    """By its stock role in a real cluster: the wide question is answered yes."""
    as_hpa = {"X-Remote-User": HPA, "X-Remote-Group": "system:authenticated"}
    code, body = await adapter.ask(f"{EXTERNAL}/namespaces/llm/queue", as_hpa, as_front_proxy=True)
    assert (code, body["items"][0]["metricName"]) == (200, HPA)
    other = Attributes("list", "external.metrics.k8s.io", "v1beta1", "other", "batch")
    verdict = adapter.access.known(User(HPA, ("system:authenticated",)), other)
    assert verdict is not None
    assert verdict.allowed
    assert "system:controller:horizontal-pod-autoscaler" in verdict.reason
    assert adapter.access.known(User("eve", ("system:authenticated",)), other) is None


async def test_a_changed_config_map_is_in_force_for_the_next_request(adapter: Adapter) -> None:
    api = adapter.plane.api
    as_hpa = {"X-Remote-User": HPA}
    path = f"{EXTERNAL}/namespaces/llm/queue"
    assert (await adapter.ask(path, as_hpa, as_front_proxy=True))[0] == 200
    before = adapter.trust.current
    try:
        await asyncio.to_thread(patch, api, '["another-proxy"]')
        await until(lambda: adapter.trust.current is not before)
        assert (await adapter.ask(path, as_hpa, as_front_proxy=True))[0] == 401
    finally:
        changed = adapter.trust.current
        await asyncio.to_thread(patch, api, '["front-proxy-client"]')
    await until(lambda: adapter.trust.current is not changed)
    assert (await adapter.ask(path, as_hpa, as_front_proxy=True))[0] == 200


def patch(api: Api, allowed_names: str) -> None:
    api.merge(CONFIG_MAP, {"data": {"requestheader-allowed-names": allowed_names}})


async def test_a_second_replica_shows_the_same_certificate(adapter: Adapter) -> None:
    settings = ServingCertificateSettings(namespace=NAMESPACE, service_name=SERVICE)
    second = SelfManagedCertificate(adapter.client, settings, clock=SystemClock())
    await second.sync()
    assert second.fault == ""
    assert second.current == adapter.certificate.current
