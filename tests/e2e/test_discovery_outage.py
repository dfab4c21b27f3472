"""The adapter hangs or is gone: for whoever types kubectl, discovery of all else is as complete and quick as before."""

import os
import signal
import statistics
import time
from collections.abc import Callable

import pytest
from adapter_in_cluster import Adapter
from discovery import freshness
from kubectl import columns, kubectl, shown
from pod_process import PodProcess

pytestmark = pytest.mark.e2e

EXTERNAL = "external.metrics.k8s.io/v1beta1"
OURS = {"custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1", EXTERNAL}
PATH = f"/apis/{EXTERNAL}/namespaces/default/vllm:num_requests_running"
TIMES = 7  # that kubectl is typed for a median
SLOWER_AT_MOST = 5.0  # times; an API server that waited for us would do so for 5 s (handler_discovery.go)
AT_LEAST_SECONDS = 0.2  # of what is compared with: a busy machine's kubectl


def hang(replica: PodProcess) -> None:
    """It takes connections, and never answers."""
    os.kill(replica.process.pid, signal.SIGSTOP)


def unhang(replica: PodProcess) -> None:
    os.kill(replica.process.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    ("take", "give_back"),
    [pytest.param(hang, unhang, id="hung"), pytest.param(PodProcess.kill, PodProcess.start, id="gone")],
)
def test_discovery_of_others_is_as_before(
    adapter: Adapter,
    take: Callable[[PodProcess], None],
    give_back: Callable[[PodProcess], None],
    record_property: Callable[[str, str], None],
    request: pytest.FixtureRequest,
) -> None:
    """Ours is stale, `kubectl get` says that the server is unavailable, and it all comes back by itself."""
    (replica,) = adapter.replicas
    api = adapter.plane.api
    wait(lambda: set(freshness(api).values()) == {"Current"}, "current")
    known, healthy_seconds = api_resources(adapter)
    assert {("v1", "pods"), ("apps/v1", "deployments"), (EXTERNAL, "externalmetrics")} <= known
    take(replica)
    try:
        at_once, seconds_at_once = api_resources(adapter)
        wait(lambda: not replica.prober.ready, "not Ready")
        adapter.wait_unavailable(timeout_seconds=60)
        wait(lambda: {freshness(api)[name] for name in OURS} == {"Stale"}, "stale")
        later, seconds_later = api_resources(adapter)
        assert {name for name, state in freshness(api).items() if state == "Stale"} == OURS
        assert_is_told_as_unavailable(adapter)
    finally:
        give_back(replica)
    replica.wait_ready(timeout_seconds=60)
    adapter.wait_available(timeout_seconds=60)
    wait(lambda: set(freshness(api).values()) == {"Current"}, "current again")

    ours = {(EXTERNAL, "externalmetrics")}
    assert known - ours <= at_once <= known
    assert later == known - ours
    assert api_resources(adapter)[0] == known
    for seconds in (seconds_at_once, seconds_later):
        assert seconds <= SLOWER_AT_MOST * max(healthy_seconds, AT_LEAST_SECONDS)
    measured = f"{healthy_seconds:.2f} s before, {seconds_at_once:.2f} s at once, {seconds_later:.2f} s later"
    record_property(f"kubectl api-resources, the adapter {request.node.callspec.id}", measured)


def assert_is_told_as_unavailable(adapter: Adapter) -> None:
    rows = {row["NAME"]: row["AVAILABLE"] for row in columns(shown(adapter.plane.admin, "get", "apiservices"))}
    unavailable = {name for name, state in rows.items() if state == "False (FailedDiscoveryCheck)"}
    assert unavailable == set(adapter.api_services)
    assert {rows[name] for name in rows.keys() - unavailable} == {"True"}
    done = kubectl("get", "--raw", PATH, kubeconfig=adapter.plane.admin)
    assert done.stderr == (
        "Error from server (ServiceUnavailable): the server is currently unable to handle the request\n"
    )


def api_resources(adapter: Adapter) -> tuple[set[tuple[str, str]], float]:
    """What `kubectl api-resources` lists each time, as (APIVERSION, NAME), and the median of its seconds."""
    listed, seconds = [], []
    for _ in range(TIMES):
        started = time.monotonic()
        listed.append(shown(adapter.plane.admin, "api-resources"))
        seconds.append(time.monotonic() - started)
    found = [{(row["APIVERSION"], row["NAME"]) for row in columns(one)} for one in listed]
    return set.intersection(*found), statistics.median(seconds)


def wait(true: Callable[[], bool], what: str, *, timeout_seconds: float = 90.0) -> None:
    """Raises AssertionError."""
    deadline = time.monotonic() + timeout_seconds
    while not true():
        assert time.monotonic() < deadline, f"not {what} after {timeout_seconds:g} s"
        time.sleep(0.1)
