"""Several replicas, one certificate: one may end, be deleted or restart, and reads through the API server go on."""

import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from adapter_in_cluster import Adapter
from api_service import api_service_path
from kube_api import Api, Object
from model_servers import ModelServers
from pod_process import PodProcess

pytestmark = pytest.mark.e2e

NAMESPACE = "replicated"
PATH = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{NAMESPACE}/pods/*/vllm:num_requests_waiting"
SECRET = "/api/v1/namespaces/leadtime-system/secrets/leadtime-adapter-serving"  # noqa: S105
API_SERVICE = api_service_path("v1beta2.custom.metrics.k8s.io")


@pytest.fixture(scope="module")
def served(adapter: Adapter) -> Iterator[None]:
    """One pod with a value."""
    api = adapter.plane.api
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gpu-0", "labels": {"kubernetes.io/os": "linux"}}}
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    with ModelServers() as servers:
        api.apply([node, home, servers.deployment(NAMESPACE, "vllm")])
        api.wait(PATH, lambda seen: len(seen["items"]) == 1)
        yield
        api.delete(f"/api/v1/namespaces/{NAMESPACE}")


@pytest.fixture
def pair(adapter: Adapter, served: None) -> Iterator[tuple[PodProcess, PodProcess]]:  # noqa: ARG001
    """A second replica beside the one that runs; one is left."""
    (first,) = adapter.replicas
    second = adapter.start_replica()
    second.wait_ready()
    yield first, second
    running = [one for one in adapter.replicas if one.prober.ready]
    for replica in adapter.replicas:
        if replica is not running[0]:
            replica.kill()
    adapter.replicas[:] = running[:1]


def shared(api: Api) -> tuple[Object, str]:
    """What the replicas share: the Secret's content, and the CA that the API server expects."""
    return api.get(SECRET)["data"], api.get(API_SERVICE)["spec"]["caBundle"]


@contextmanager
def reads(api: Api) -> Iterator[list[tuple[int, bytes]]]:
    """Read the metric again and again, until the end of the block; the answers that were no value."""
    failures: list[tuple[int, bytes]] = []
    count = 0
    stopped = threading.Event()

    def read() -> None:
        nonlocal count
        while not stopped.wait(0.01):
            reply = api.send("GET", PATH)
            count += 1
            if reply.status != 200 or not reply.json()["items"]:
                failures.append((reply.status, reply.body))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield failures
    finally:
        stopped.set()
        thread.join()
    assert count >= 20, "else nothing is shown"


def test_replicas_share_one_secret_and_show_the_same_certificate(
    adapter: Adapter, pair: tuple[PodProcess, PodProcess]
) -> None:
    """The second takes what the first has made, so the API server believes either."""
    api = adapter.plane.api
    first, second = (ssl.get_server_certificate(("127.0.0.1", replica.port)) for replica in pair)
    assert first == second
    assert "now expects our CA" not in pair[1].log, "the caBundle was right already"
    assert api.get(SECRET)["metadata"]["namespace"] == "leadtime-system"


def test_one_that_is_killed_fails_no_read(adapter: Adapter, pair: tuple[PodProcess, PodProcess]) -> None:
    """As by the OOM killer: no warning, connections cut; its Service leaves it out as soon as the kubelet sees it."""
    before = shared(adapter.plane.api)
    with reads(adapter.plane.api) as failures:
        time.sleep(1.0)
        pair[0].kill()
        time.sleep(2.0)
    assert failures == []
    assert shared(adapter.plane.api) == before


def test_one_that_is_deleted_fails_no_read_and_ends_cleanly(
    adapter: Adapter, pair: tuple[PodProcess, PodProcess]
) -> None:
    """As in a roll-out: no endpoint any more, preStop, SIGTERM, and gone within the grace period."""
    with reads(adapter.plane.api) as failures:
        assert pair[1].terminate() == 0
    assert failures == []


def test_a_restarted_one_is_ready_only_with_values_and_keeps_the_certificate(
    adapter: Adapter, pair: tuple[PodProcess, PodProcess]
) -> None:
    """Ready means that its first answer is a value: a restart is never seen as "no metrics"."""
    api = adapter.plane.api
    before = shared(api)
    for replica in pair:
        replica.kill()
    pair[0].start()
    pair[0].wait_logged("listening")
    pair[0].wait_ready()
    adapter.wait_available()  # the API server may have looked in between
    with reads(api) as failures:
        time.sleep(2.0)
    assert failures == []
    assert shared(api) == before
    assert not pair[0].prober.unhealthy
