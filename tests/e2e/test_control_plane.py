"""The harness itself: what later tests and benchmarks rely on."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import control_plane as control_plane_module
import pytest
import yaml
from api_service import api_service_path, wait_served
from child_processes import StartFailed, free_ports, listens
from control_plane import ControlPlane
from kube_api import Api, ApiError, Object

pytestmark = pytest.mark.e2e

StartControlPlane = Callable[..., ControlPlane]


def namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def pod(namespace: str, name: str) -> Object:
    container = {"name": "vllm", "image": "vllm/vllm-openai"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "vllm"}},
        "spec": {"containers": [container]},
    }


def test_a_pod_is_created_and_read_back(control_plane: ControlPlane) -> None:
    control_plane.api.apply([namespace("pods"), pod("pods", "vllm-0")])
    seen = control_plane.api.get("/api/v1/namespaces/pods/pods/vllm-0")
    assert seen["metadata"]["labels"] == {"app": "vllm"}
    assert seen["status"]["phase"] == "Pending"  # nothing schedules here


def test_applying_again_changes_what_differs(control_plane: ControlPlane, tmp_path: Path) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    for file, value in [("a.yaml", "1"), ("b.yaml", "2")]:
        (tmp_path / file).write_text("---\n" + yaml.safe_dump(settings | {"data": {"n": value}}))
    assert [item["data"]["n"] for item in control_plane.api.apply(tmp_path)] == ["1", "2"]
    assert control_plane.api.get("/api/v1/namespaces/default/configmaps/settings")["data"] == {"n": "2"}


def test_a_typo_in_an_object_is_refused(control_plane: ControlPlane) -> None:
    wrong = pod("default", "wrong")
    wrong["spec"]["contianers"] = []
    with pytest.raises(ApiError, match=r"spec\.contianers: field not declared in schema") as refused:
        control_plane.api.apply(wrong)
    assert refused.value.status == 500  # sic: server-side apply's own answer
    with pytest.raises(ApiError, match=r'400 BadRequest: .* unknown field "spec\.contianers"'):
        control_plane.api.create("/api/v1/namespaces/default/pods", wrong)
    with pytest.raises(LookupError, match="v1 has no kind Pd; it has Binding, "):
        control_plane.api.apply(wrong | {"kind": "Pd"})


def test_an_unknown_user_is_forbidden_until_a_role_allows_it(control_plane: ControlPlane) -> None:
    pods = "/api/v1/namespaces/default/pods"
    alice = control_plane.api_of("alice", groups=["team-a"])
    with pytest.raises(ApiError) as refused:
        alice.get(pods)
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    assert 'User "alice" cannot list resource "pods"' in refused.value.message
    rbac = "rbac.authorization.k8s.io"
    named = {"apiVersion": f"{rbac}/v1", "metadata": {"name": "team-a", "namespace": "default"}}
    role = {"kind": "Role", "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]}
    team = {"apiGroup": rbac, "kind": "Group", "name": "team-a"}
    binding = {
        "kind": "RoleBinding",
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "team-a"},
        "subjects": [team],
    }
    control_plane.api.apply([named | role, named | binding])
    seen = alice.wait(pods, lambda listed: listed["kind"] == "PodList", timeout_seconds=5)  # RBAC sees it by a watch
    assert isinstance(seen["items"], list)


def test_nobody_gets_in_without_credentials(control_plane: ControlPlane) -> None:
    nobody = Api(control_plane.url, control_plane.certificates.ca.certificate)
    assert nobody.send("GET", "/api/v1/pods").status == 403  # system:anonymous
    forged = Api(control_plane.url, control_plane.certificates.ca.certificate, token="forged")  # noqa: S106
    assert forged.send("GET", "/api/v1/pods").status == 401


def test_a_service_account_token_is_its_user_and_passes_token_review(control_plane: ControlPlane) -> None:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "adapter", "namespace": "default"}}
    control_plane.api.apply(account)
    token = control_plane.service_account_token("default", "adapter")

    def review(token: str) -> Any:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        return control_plane.api.create("/apis/authentication.k8s.io/v1/tokenreviews", body)["status"]

    status = review(token)
    assert status["authenticated"]
    assert status["user"]["username"] == "system:serviceaccount:default:adapter"
    assert "system:serviceaccounts:default" in status["user"]["groups"]
    assert not review(token[:-8] + "AAAAAAAA").get("authenticated")
    as_adapter = Api.from_kubeconfig(control_plane.service_account_kubeconfig("default", "adapter"))
    with pytest.raises(ApiError, match="system:serviceaccount:default:adapter"):
        as_adapter.get("/api/v1/pods")


def test_the_aggregation_layers_authorities_are_published_and_differ(control_plane: ControlPlane) -> None:
    path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"
    data = control_plane.api.wait(path, lambda found: "requestheader-client-ca-file" in found["data"])["data"]
    assert data["client-ca-file"] == control_plane.certificates.ca.certificate.read_text()
    assert data["requestheader-client-ca-file"] == control_plane.certificates.requestheader_ca.certificate.read_text()
    assert data["client-ca-file"] != data["requestheader-client-ca-file"]
    assert data["requestheader-allowed-names"] == '["front-proxy-client"]'


async def test_an_aggregated_api_on_the_loopback_is_called_by_the_front_proxy(control_plane: ControlPlane) -> None:
    """The API server calls it with the front proxy's certificate, and names the user in X-Remote-User."""
    api = control_plane.api
    heard: list[tuple[str, bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        certificate = writer.get_extra_info("peercert") or {"subject": ()}
        names = dict(pair for part in certificate["subject"] for pair in part)
        heard.append((names.get("commonName", ""), request))
        body = b'{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"echo.example.com/v1","resources":[]}'
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        writer.write((head % len(body)).encode() + body)
        await writer.drain()
        writer.close()

    serving = control_plane.certificates.ca.server("echo", ["echo.aggregated.svc"])
    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=control_plane.certificates.requestheader_ca.certificate
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(serving.certificate, serving.key)
    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        objects = [namespace("aggregated"), *control_plane.aggregated("echo.example.com/v1", "aggregated/echo", port)]
        await asyncio.to_thread(api.apply, objects)
        await asyncio.to_thread(wait_served, api, "v1.echo.example.com")
        admin = await asyncio.to_thread(api.get, "/apis/echo.example.com/v1")
        await asyncio.to_thread(api.delete, api_service_path("v1.echo.example.com"))
    assert admin["groupVersion"] == "echo.example.com/v1"
    assert {name for name, _ in heard} == {"front-proxy-client"}
    assert any(b"\r\nX-Remote-User: admin\r\n" in request for _, request in heard)


def test_a_deployment_gets_gpu_pods_that_are_ready_at_loopback_addresses(cluster: ControlPlane) -> None:
    """Controllers, scheduler and kwok together: from a Deployment to Ready pods in seconds."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-0", "labels": {"kubernetes.io/os": "linux"}}}
    capacity = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": "2"}
    cluster.api.apply([namespace("fleet"), node])
    cluster.api.merge("/api/v1/nodes/gpu-0/status", {"status": {"capacity": capacity, "allocatable": capacity}})
    template = pod("fleet", "")["spec"]
    template["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": "1"}}
    labels = {"app": "vllm"}
    cluster.api.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "vllm", "namespace": "fleet"},
            "spec": {
                "replicas": 3,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": template},
            },
        }
    )
    path = "/apis/apps/v1/namespaces/fleet/deployments/vllm"
    cluster.api.wait(path, lambda seen: seen.get("status", {}).get("readyReplicas") == 2)
    pods = cluster.api.get("/api/v1/namespaces/fleet/pods")["items"]
    addresses = [item["status"]["podIP"] for item in pods if item["status"]["phase"] == "Running"]
    assert len(addresses) == len(set(addresses)) == 2
    assert all(address.startswith("127.64.") for address in addresses)
    assert [item["status"]["phase"] for item in pods].count("Pending") == 1, "the node has two GPUs for three pods"


def test_stop_leaves_no_process_and_no_port(start_control_plane: StartControlPlane) -> None:
    plane = start_control_plane()
    running = plane.processes.running
    assert {process.name for process in running} == {"etcd", "kube-apiserver"}
    assert all(listens(port) for port in plane.ports.values())
    plane.stop()
    assert not any(alive(process.pid) for process in running)
    assert not any(listens(port) for port in plane.ports.values())
    assert not (plane.folder / "etcd").exists()
    plane.stop()  # again: harmless


def test_a_failed_start_quotes_the_log_and_leaves_nothing(start_control_plane: StartControlPlane) -> None:
    before = descendants()
    with pytest.raises(StartFailed, match=r"(?s)kube-apiserver: exited with 1; .*unknown flag: --no-such-flag"):
        start_control_plane(flags={"kube-apiserver": ["--no-such-flag"]})
    assert descendants() == before


def test_a_port_that_another_program_takes_first_is_no_failure(
    start_control_plane: StartControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        free = free_ports(4)
        offered = [taken, free[0], free[1], free[2], taken, free[3]]  # etcd and its peers, twice; the API server, twice
        monkeypatch.setattr(control_plane_module, "free_ports", lambda _: [offered.pop(0)])
        with start_control_plane() as plane:
            assert taken not in plane.ports.values()
            assert plane.api.get("/version")["major"] == "1"
        assert not offered


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.usefixtures("control_plane")  # skips where there can be none
def test_nothing_outlives_the_process_that_started_it(tmp_path: Path, how: signal.Signals) -> None:
    """However that goes: even kill -9, which no handler sees."""
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from control_plane import ControlPlane
with ControlPlane.start(Path({str(tmp_path / "plane")!r})) as plane:
    print(*(process.pid for process in plane.processes.running), *plane.ports.values(), flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:  # noqa: S603
        assert owner.stdout
        etcd, api_server, *ports = map(int, owner.stdout.readline().split())
        assert alive(etcd)
        assert alive(api_server)
        owner.send_signal(how)
    deadline = time.monotonic() + 10
    while (alive(etcd) or alive(api_server) or any(map(listens, ports))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(etcd)
    assert not alive(api_server)
    assert not any(map(listens, ports))


def alive(pid: int) -> bool:
    """Whether it runs (a zombie, which an orphan is until init reaps it, does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def descendants() -> set[int]:
    """Processes that this one started and that still run."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    return {int(pid) for pid in children.read_text().split()}
