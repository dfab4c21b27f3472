"""The model servers' pages: what a test tells is what is scraped, and each fault is what it is called."""

import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from control_plane import ControlPlane
from exporter_pages import at_time, without_numbers
from exporter_process import ExporterProcess
from exporter_script import ScriptedLoad, Told, by_age, per_second, shared
from gpu_cluster import DCGM_NAMESPACE, SYSTEMS, dcgm_exporter, gpu_nodes, workload
from kube_api import Object
from pod_view import PodView

pytestmark = pytest.mark.e2e

NAMESPACE, APP, NODE = "exported", "vllm", "exported-0"
WAITING = "vllm:num_requests_waiting"
LINE = f'{WAITING}{{engine="0",model_name="llama"}}'

POD = PodView(
    namespace=NAMESPACE,
    name="a",
    app=APP,
    address="127.64.0.1",
    node=NODE,
    container="c",
    created="2026-11-21T10:00:00Z",
    running=True,
    ready=True,
    ending=False,
)
PODS = [POD, replace(POD, name="b"), replace(POD, name="loading", ready=False)]


@pytest.mark.parametrize(
    ("told", "values"),
    [
        pytest.param(7, [7, 7], id="a-number-is-each-pods"),
        pytest.param(by_age(17), [17, 0], id="by-age-the-oldest-comes-first-and-the-rest-show-0"),
        pytest.param(shared(30), [15, 15], id="a-total-is-shared-by-those-that-are-ready"),
        pytest.param(per_second(shared(30)), [30, 30], id="a-counter-grows-by-its-rate-for-two-seconds"),
    ],
)
def test_what_is_told_is_shown(told: Told, values: list[float]) -> None:
    load = ScriptedLoad()
    load.tell({"x": told})
    for second in (100.0, 100.5, 102.0):
        load.follow(PODS, second)
    assert [load.series(pod)["x"] for pod in PODS[:2]] == values


def test_a_pod_that_loads_has_no_page_and_an_idle_gpu() -> None:
    load = ScriptedLoad()
    load.tell({WAITING: 5, "DCGM_FI_DEV_GPU_UTIL": 80})
    load.follow(PODS, 0.0)
    ready, _, loading = PODS
    assert load.page("vllm", loading) is None
    assert load.gpu_series(loading) == {"DCGM_FI_DEV_GPU_UTIL": 0}
    assert load.gpu_series(ready) == {"DCGM_FI_DEV_GPU_UTIL": 80}
    assert load.page("vllm", ready) == f"# TYPE {WAITING} gauge\n{LINE} 5.0\n"


def test_pages_lose_their_numbers_or_their_time() -> None:
    page = f"# TYPE {WAITING} gauge\n{LINE} 5.0\n"
    assert without_numbers(page) == f"# TYPE {WAITING} gauge\n{LINE} NaN\n"
    assert at_time(page, 1_700_000_000_000) == f"# TYPE {WAITING} gauge\n{LINE} 5.0 1700000000000\n"


@pytest.fixture(scope="module")
def exporter(cluster: ControlPlane) -> Iterator[ExporterProcess]:
    """With one Ready vLLM pod, and the DCGM exporter of its node."""
    exporter = ExporterProcess.start(cluster)
    (node,) = gpu_nodes(1, pool="exported")
    names = [NAMESPACE, DCGM_NAMESPACE]
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
    deployed = workload(NAMESPACE, APP, "vllm", ports=exporter.ports)
    deployed["spec"]["template"]["spec"]["nodeName"] = NODE
    dcgm = dcgm_exporter(NODE, exporter.ports)
    cluster.api.apply([node, *spaces, deployed, dcgm])
    cluster.api.wait(cluster.api.path_of(deployed), lambda seen: seen.get("status", {}).get("readyReplicas") == 1)
    yield exporter
    for gone in (*spaces, dcgm, node):  # its GPUs, too: other tests of this cluster count theirs
        cluster.api.delete(cluster.api.path_of(gone))
    cluster.processes.kill(exporter.process)


def address(cluster: ControlPlane, namespace: str, app: str) -> str:
    """Of its only pod."""
    path = f"/api/v1/namespaces/{namespace}/pods?labelSelector=app%3D{app}"
    (pod,) = cluster.api.wait(path, lambda seen: all("podIP" in item["status"] for item in seen["items"]))["items"]
    found: str = pod["status"]["podIP"]
    return found


def scrape(host: str, port: int) -> str:
    """Raises URLError or OSError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{host}:{port}/metrics", timeout=1.0) as reply:
        text: str = reply.read().decode()
    return text


def test_a_pod_is_scraped_at_its_address_and_its_gpu_on_its_nodes_exporter(
    cluster: ControlPlane, exporter: ExporterProcess
) -> None:
    exporter.show(NAMESPACE, APP, {WAITING: 5, "DCGM_FI_DEV_GPU_UTIL": 80})
    vllm, dcgm = SYSTEMS["vllm"].port, SYSTEMS["dcgm"].port
    assert f"{LINE} 5.0\n" in scrape(address(cluster, NAMESPACE, APP), exporter.ports[vllm])
    page = scrape(address(cluster, DCGM_NAMESPACE, "dcgm-exporter"), exporter.ports[dcgm])
    (line,) = (line for line in page.splitlines() if not line.startswith("#"))
    assert line.startswith("DCGM_FI_DEV_GPU_UTIL{")
    assert line.endswith("} 80.0")
    assert f'namespace="{NAMESPACE}"' in line
    assert 'container="inference-server"' in line
    with pytest.raises(OSError, match=r"Remote end closed|reset"):  # no pod has this address
        scrape("127.64.255.254", exporter.ports[vllm])


def test_each_fault_is_what_it_is_called(cluster: ControlPlane, exporter: ExporterProcess) -> None:
    exporter.show(NAMESPACE, APP, {WAITING: 5})
    host, port = address(cluster, NAMESPACE, APP), exporter.ports[SYSTEMS["vllm"].port]

    exporter.fail(NAMESPACE, APP, "refuse")
    with pytest.raises(OSError, match=r"Remote end closed|reset"):
        scrape(host, port)
    exporter.fail(NAMESPACE, APP, "hang")
    with pytest.raises(OSError, match="timed out"):
        scrape(host, port)
    exporter.fail(NAMESPACE, APP, "error")
    with pytest.raises(urllib.error.HTTPError, match="500"):
        scrape(host, port)
    exporter.fail(NAMESPACE, APP, "slow", seconds=0.3)
    started = time.monotonic()
    assert f"{LINE} 5.0\n" in scrape(host, port)
    assert time.monotonic() - started >= 0.3
    exporter.fail(NAMESPACE, APP, "nan")
    assert f"{LINE} NaN\n" in scrape(host, port)

    before_ms = time.time_ns() // 1_000_000
    exporter.fail(NAMESPACE, APP, "frozen")
    frozen = scrape(host, port)
    exporter.show(NAMESPACE, APP, {WAITING: 9})
    assert scrape(host, port) == frozen
    value, at_ms = frozen.splitlines()[-1].removeprefix(LINE).split()
    assert value == "5.0"
    assert before_ms <= int(at_ms) <= time.time_ns() // 1_000_000

    exporter.heal(NAMESPACE, APP)
    assert f"{LINE} 9.0\n" in scrape(host, port)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        pytest.param({"do": "demand", "demand": {}}, "was scripted, must be simulated", id="a-demand-of-scripted-pods"),
        pytest.param({"do": "dance"}, "must be show, simulate, demand", id="an-unknown-command"),
    ],
)
def test_a_wrong_command_is_refused(exporter: ExporterProcess, command: Mapping[str, Any], message: str) -> None:
    exporter.show(NAMESPACE, APP, {WAITING: 5})
    with pytest.raises(ValueError, match=message):
        exporter._command(NAMESPACE, APP, **command)


def test_where_a_port_is_taken_another_is_used_and_told(cluster: ControlPlane, exporter: ExporterProcess) -> None:
    """The pods then declare it, by the name under which the adapter finds a port that was moved."""
    triton = SYSTEMS["triton"].port
    second = ExporterProcess.start(cluster)
    try:
        assert not set(second.ports.values()) & set(exporter.ports.values())
        (container,) = pod_spec(workload(NAMESPACE, "triton", "triton", ports=second.ports))["containers"]
        assert container["ports"] == [{"name": "metrics", "containerPort": second.ports[triton]}]
    finally:
        cluster.processes.kill(second.process)


def pod_spec(workload: Object) -> Object:
    spec: Object = workload["spec"]["template"]["spec"]
    return spec
