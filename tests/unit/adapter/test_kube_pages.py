"""Which pages of a pod are scraped, from objects as people write them."""

from typing import Any

import pytest
import yaml
from fake_kube_api import pod
from pydantic import ValidationError

from adapter.sources.kubernetes.monitors import Monitor, MonitorKind, prune_monitor
from adapter.sources.kubernetes.pod_record import prune_pod
from adapter.sources.kubernetes.scrape_pages import PageFinder, Pages
from adapter.sources.kubernetes.services import ServiceRecord, prune_service
from adapter.sources.kubernetes.settings import KubernetesSettings
from adapter.sources.series import PodKey
from adapter.sources.targets import Target


def monitor(text: str) -> Monitor:
    item = yaml.safe_load(text)
    kind: MonitorKind = item["kind"]
    return prune_monitor(kind, item)


def service(text: str) -> ServiceRecord:
    record = prune_service(yaml.safe_load(text))
    assert record is not None
    return record


def pages(item: dict[str, Any], *monitors: Monitor, services: tuple[ServiceRecord, ...] = (), **settings: Any) -> Pages:
    record = prune_pod(item)
    assert record is not None
    finder = PageFinder(KubernetesSettings.model_validate(settings))
    selecting = [one for one in services if one.selects(record.info.labels)]
    return finder.pages_of(record, monitors=monitors, services=selecting)


def urls(*args: Any, **kwargs: Any) -> list[str]:
    return [target.url for target in pages(*args, **kwargs).targets]


POD_MONITORING = """
apiVersion: monitoring.googleapis.com/v1
kind: PodMonitoring
metadata: {name: vllm, namespace: llm}
spec:
  selector: {matchLabels: {app: vllm}}
  endpoints:
  - {port: http, interval: 15s, path: /pm}
"""
NUMBERED = POD_MONITORING.replace("port: http", "port: 8123")
CLUSTER_POD_MONITORING = """
apiVersion: monitoring.googleapis.com/v1
kind: ClusterPodMonitoring
metadata: {name: vllm}
spec:
  selector: {matchExpressions: [{key: app, operator: In, values: [vllm, nim]}]}
  endpoints:
  - {port: http, interval: 15s, path: /cpm, params: {match: [a, b]}}
"""
POD_MONITOR = """
apiVersion: monitoring.coreos.com/v1
kind: PodMonitor
metadata: {name: vllm, namespace: monitoring}
spec:
  namespaceSelector: {matchNames: [llm]}
  selector: {matchLabels: {app: vllm}}
  podMetricsEndpoints:
  - {port: http, path: /pmon, scheme: https, interval: 15s, honorLabels: true}
  - {targetPort: 9400}
  - {portNumber: 9401}
"""
SERVICE_MONITOR = """
apiVersion: monitoring.coreos.com/v1
kind: ServiceMonitor
metadata: {name: vllm, namespace: monitoring, labels: {release: prometheus}}
spec:
  namespaceSelector: {any: true}
  selector: {matchLabels: {monitored: "yes"}}
  endpoints:
  - {port: web, path: /smon}
"""
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: vllm, namespace: llm, labels: {monitored: "yes"}}
spec:
  selector: {app: vllm}
  ports: [{name: web, port: 80, targetPort: http}, {name: admin, port: 9000}]
"""


def test_a_page_belongs_to_its_pod() -> None:
    found = pages(pod("vllm-0", ip="10.0.0.7"))
    url = "http://10.0.0.7:8000/metrics"
    assert found.targets == (Target(url=url, role="pod", owner=PodKey("llm", "vllm-0")),)
    assert found.found_by == "known system vllm"


def test_an_ipv6_address_is_bracketed() -> None:
    assert urls(pod("p", ip="fd00::7")) == ["http://[fd00::7]:8000/metrics"]


@pytest.mark.parametrize("changes", [{"ip": ""}, {"running": False}], ids=["no-address", "no-running-container"])
def test_a_pod_that_does_not_run_yet_has_no_page(changes: dict[str, Any]) -> None:
    assert urls(pod("p", **changes), monitor(POD_MONITORING), pages=[{"port": 1}]) == []


@pytest.mark.parametrize(
    ("text", "url"),
    [
        pytest.param(POD_MONITORING, ["http://10.0.0.1:8000/pm"], id="pod-monitoring-by-port-name"),
        pytest.param(NUMBERED, ["http://10.0.0.1:8123/pm"], id="pod-monitoring-by-a-number-not-declared"),
        pytest.param(CLUSTER_POD_MONITORING, ["http://10.0.0.1:8000/cpm?match=a&match=b"], id="cluster-pod-monitoring"),
        pytest.param(
            POD_MONITOR,
            ["https://10.0.0.1:8000/pmon", "http://10.0.0.1:9400/metrics", "http://10.0.0.1:9401/metrics"],
            id="pod-monitor",
        ),
        pytest.param(SERVICE_MONITOR, ["http://10.0.0.1:8000/smon"], id="service-monitor"),
    ],
)
def test_a_monitor_names_the_page(text: str, url: list[str]) -> None:
    found = pages(pod("p"), monitor(text), services=(service(SERVICE),))
    assert [target.url for target in found.targets] == url
    assert found.found_by.startswith(yaml.safe_load(text)["kind"])
    assert found.notes == ()


@pytest.mark.parametrize("text", [POD_MONITOR, SERVICE_MONITOR])
def test_a_tenants_monitor_does_not_move_anothers_scrape(text: str) -> None:
    hostile = text.replace("namespace: monitoring", "namespace: team-b")
    found = pages(pod("p"), monitor(hostile), services=(service(SERVICE),))
    assert found.found_by == "known system vllm"
    (note,) = found.notes
    assert "Monitor team-b/vllm is not followed for another namespace's pods" in note
    allowed = pages(pod("p"), monitor(hostile), services=(service(SERVICE),), monitorNamespaces=["team-b"])
    assert "team-b/vllm" in allowed.found_by


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        pytest.param(POD_MONITORING, {"labels": {"app": "other"}}, id="other-labels"),
        pytest.param(POD_MONITORING, {"namespace": "other"}, id="pod-monitoring-of-another-namespace"),
        pytest.param(POD_MONITOR, {"namespace": "other"}, id="a-namespace-that-is-not-named"),
        pytest.param(
            POD_MONITOR.replace("namespaceSelector: {matchNames: [llm]}", "jobLabel: x"), {}, id="its-own-by-default"
        ),
        pytest.param(SERVICE_MONITOR.replace('"yes"', '"no"'), {}, id="a-service-that-is-not-selected"),
    ],
)
def test_a_monitor_that_does_not_select_the_pod_names_nothing(text: str, changes: dict[str, Any]) -> None:
    assert urls(pod("p", **changes), monitor(text), services=(service(SERVICE),), knownSystems=False) == []


def test_service_ports_lead_to_container_ports_by_name_number_and_default() -> None:
    admin = monitor(SERVICE_MONITOR.replace("port: web", "port: admin"))
    assert urls(pod("p"), admin, services=(service(SERVICE),)) == ["http://10.0.0.1:9000/smon"]
    target = monitor(SERVICE_MONITOR.replace("port: web", "targetPort: http"))
    assert urls(pod("p"), target, services=(service(SERVICE),)) == ["http://10.0.0.1:8000/smon"]


def test_several_monitors_of_one_page_give_it_once() -> None:
    found = pages(
        pod("p"),
        monitor(POD_MONITORING),
        monitor(CLUSTER_POD_MONITORING.replace("/cpm, params: {match: [a, b]}", "/pm")),
    )
    assert len(found.targets) == 1
    assert found.found_by == "PodMonitoring llm/vllm, ClusterPodMonitoring vllm"  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "note"),
    [
        pytest.param("basicAuth: {username: {name: s, key: u}}", "basicAuth is not supported", id="basic-auth"),
        pytest.param("authorization: {credentials: {name: s, key: t}}", "authorization is not supported", id="token"),
        pytest.param("tlsConfig: {insecureSkipVerify: true}", "tlsConfig is not supported", id="unverified-tls"),
        pytest.param("proxyUrl: 'http://p:1'", "proxyUrl is not supported", id="proxy"),
        pytest.param("future: {a: 1}", "future is not supported", id="a-field-of-a-later-version"),
        pytest.param("scheme: ftp", "scheme: was 'ftp', must be http or https", id="scheme"),
        pytest.param("path: m", "path: was 'm', must start with /", id="relative-path"),
    ],
)
def test_a_page_whose_terms_cannot_be_met_is_left_out_with_the_reason(entry: str, note: str) -> None:
    text = POD_MONITOR.replace("path: /pmon, scheme: https, interval: 15s, honorLabels: true", entry)
    found = pages(pod("p"), monitor(text))
    assert [target.url for target in found.targets] == ["http://10.0.0.1:9400/metrics", "http://10.0.0.1:9401/metrics"]
    assert found.notes == (f"PodMonitor monitoring/vllm, endpoints[0]: {note}; this page is left out",)


def test_a_monitor_without_a_port_is_left_out_with_the_reason() -> None:
    found = pages(pod("p"), monitor(POD_MONITORING.replace("port: http, ", "")), knownSystems=False)
    assert found.targets == ()
    assert "no port is named" in found.notes[0]


@pytest.mark.parametrize("tls", ["tlsConfig: {}", "tlsConfig: {insecureSkipVerify: false}"])
def test_https_that_is_verified_is_scraped(tls: str) -> None:
    text = POD_MONITOR.replace("path: /pmon", tls)
    assert urls(pod("p"), monitor(text))[0] == "https://10.0.0.1:8000/metrics"


@pytest.mark.parametrize("field", ["relabelings", "metricRelabelings"])
def test_relabelling_is_not_applied_and_said(field: str) -> None:
    found = pages(pod("p"), monitor(POD_MONITOR.replace("path: /pmon", f"{field}: [{{action: drop}}]")))
    assert len(found.targets) == 3
    assert f"{field} is not applied" in found.notes[0]


def test_a_named_port_that_no_container_declares_is_said() -> None:
    found = pages(pod("p", ports=[]), monitor(POD_MONITORING), knownSystems=False)
    assert found.notes == ("PodMonitoring llm/vllm: no running container declares port 'http'",)


@pytest.mark.parametrize(
    ("annotations", "url"),
    [
        pytest.param({"scrape": "true", "port": "9", "path": "/x"}, ["http://10.0.0.1:9/x"], id="port-and-path"),
        pytest.param({"scrape": "true", "port": "9", "scheme": "https"}, ["https://10.0.0.1:9/metrics"], id="https"),
        pytest.param({"scrape": "true"}, ["http://10.0.0.1:8000/metrics"], id="the-only-port"),
        pytest.param({"scrape": "false"}, [], id="scrape-false"),
        pytest.param({"port": "9000"}, ["http://10.0.0.1:8000/metrics"], id="not-asked-for"),
    ],
)
def test_annotations_name_the_page(annotations: dict[str, str], url: list[str]) -> None:
    full = {f"prometheus.io/{key}": value for key, value in annotations.items()}
    assert urls(pod("p", annotations=full)) == url


@pytest.mark.parametrize(
    ("annotations", "note"),
    [
        pytest.param({"port": "eight"}, "prometheus.io/port: was 'eight', must be a number in [1, 65535]", id="port"),
        pytest.param({"port": "99999"}, "must be a number in [1, 65535]", id="port-out-of-range"),
        pytest.param({"port": "1", "path": "x"}, "prometheus.io/path: was 'x'", id="relative-path"),
        pytest.param({"port": "1", "path": "/a b"}, "prometheus.io/path: was '/a b'", id="path-with-a-space"),
        pytest.param({"port": "1", "scheme": "ftp"}, "prometheus.io/scheme: was 'ftp'", id="scheme"),
        pytest.param({}, "prometheus.io/port: was not given", id="no-port-and-two-declared"),
    ],
)
def test_annotations_that_cannot_be_followed_are_said(annotations: dict[str, str], note: str) -> None:
    full = {f"prometheus.io/{key}": value for key, value in {"scrape": "true", **annotations}.items()}
    two = [{"containerPort": 1}, {"containerPort": 2}]
    found = pages(pod("p", annotations=full, image="x", resources={}, ports=two, labels={}))
    assert found.targets == ()
    assert note in found.notes[0]


def test_settings_come_before_annotations_these_before_monitors_these_before_known_systems() -> None:
    annotated = pod("p", annotations={"prometheus.io/scrape": "true", "prometheus.io/path": "/annotated"})
    by_monitor = monitor(POD_MONITORING)
    told = {"namespaces": ["llm"], "selector": {"matchLabels": {"app": "vllm"}}, "port": "http", "path": "/told"}
    assert urls(annotated, by_monitor, pages=[told]) == ["http://10.0.0.1:8000/told"]
    assert urls(annotated, by_monitor, pages=[{**told, "namespaces": ["x"]}]) == ["http://10.0.0.1:8000/annotated"]
    assert urls(annotated, by_monitor, annotations=False) == ["http://10.0.0.1:8000/pm"]
    assert urls(annotated, annotations=False) == ["http://10.0.0.1:8000/metrics"]
    assert urls(annotated, annotations=False, knownSystems=False) == []


def test_settings_can_take_pods_out() -> None:
    assert urls(pod("p"), monitor(POD_MONITORING), pages=[{"selector": {"matchLabels": {"app": "vllm"}}}]) == []


@pytest.mark.parametrize(
    ("image", "ports", "url"),
    [
        pytest.param("vllm/vllm-openai:v0.12.0", [], ":8000/metrics", id="vllm-that-declares-nothing"),
        pytest.param("registry.example/team/my-vllm:1", [("http", 8080)], ":8080/metrics", id="vllm-on-another-port"),
        pytest.param("vllm/vllm-openai", [("http", 9), ("metrics", 10)], ":10/metrics", id="a-port-named-metrics"),
        pytest.param(
            "nvcr.io/nvidia/tritonserver:24.05-vllm-python-py3",
            [("http", 8000), ("grpc", 8001)],
            ":8002/metrics",
            id="triton-whose-metrics-port-is-not-declared",
        ),
        pytest.param("pytorch/torchserve:0.12-gpu", [("http", 8080)], ":8082/metrics", id="torchserve"),
        pytest.param("nvcr.io/nim/meta/llama3-8b-instruct:1.0.3", [("http", 8000)], ":8000/v1/metrics", id="nim"),
        pytest.param("ghcr.io/huggingface/text-generation-inference:3", [], ":80/metrics", id="tgi"),
        pytest.param("huggingface/text-generation-inference", [("http", 8080)], ":8080/metrics", id="tgi-moved"),
        pytest.param("lmsysorg/sglang:v0.5.6-cu129", [], ":30000/metrics", id="sglang"),
        pytest.param("lmsysorg/sglang", [("http", 8000)], ":8000/metrics", id="sglang-moved"),
        pytest.param(
            "registry.k8s.io/gateway-api-inference-extension/epp:v1.0.0",
            [("grpc", 9002), ("metrics", 9090)],
            ":9090/metrics",
            id="endpoint-picker",
        ),
        pytest.param("team/server:1", [("http", 8000)], ":8000/metrics", id="unknown-on-a-gpu-with-vllm's-port"),
        pytest.param("team/server:1", [("http", 30000)], ":30000/metrics", id="unknown-on-a-gpu-with-sglang's-port"),
        pytest.param("team/server:1", [("metrics", 7777)], ":7777/metrics", id="unknown-on-a-gpu-with-a-metrics-port"),
    ],
)
def test_known_systems_are_scraped_where_they_show_their_metrics(
    image: str, ports: list[tuple[str, int]], url: str
) -> None:
    declared = [{"name": name, "containerPort": number} for name, number in ports]
    assert urls(pod("p", image=image, ports=declared, labels={})) == [f"http://10.0.0.1{url}"]


def test_a_name_label_tells_the_system_where_the_image_does_not() -> None:
    labelled = pod("p", image="team/server:1", ports=[], resources={}, labels={"app.kubernetes.io/name": "vllm"})
    assert urls(labelled) == ["http://10.0.0.1:8000/metrics"]


def test_a_pod_that_is_none_of_these_is_left_alone() -> None:
    found = pages(pod("p", image="team/web:1", resources={}, labels={"app": "web"}))
    assert found == Pages()


def test_a_gpu_pod_without_a_known_port_is_said() -> None:
    found = pages(pod("p", image="team/train:1", ports=[{"containerPort": 22}], labels={}))
    assert found.targets == ()
    assert "name a port `metrics`, or annotate it" in found.notes[0]


def test_of_a_leader_worker_set_the_leader_alone_serves() -> None:
    labels = {"leaderworkerset.sigs.k8s.io/name": "big", "leaderworkerset.sigs.k8s.io/worker-index": "0"}
    assert len(urls(pod("big-0", labels=labels))) == 1
    worker = pages(pod("big-0-1", labels={**labels, "leaderworkerset.sigs.k8s.io/worker-index": "1"}))
    assert worker == Pages(found_by=worker.found_by)


DCGM = {
    "image": "nvcr.io/nvidia/k8s/dcgm-exporter:4.2.3-4.1.3-ubuntu22.04",
    "ports": [{"name": "metrics", "containerPort": 9400}],
    "resources": {},
    "labels": {"app": "nvidia-dcgm-exporter"},
}


@pytest.mark.parametrize("namespace", ["gpu-operator", "gke-managed-system"])
def test_a_dcgm_exporter_is_about_other_pods(namespace: str) -> None:
    (target,) = pages(pod("dcgm-x", namespace=namespace, **DCGM)).targets
    assert target == Target(url="http://10.0.0.1:9400/metrics", role="exporter", owner=PodKey(namespace, "dcgm-x"))


def test_a_dcgm_exporter_found_by_a_monitor_is_about_other_pods_too() -> None:
    text = CLUSTER_POD_MONITORING.replace("port: http", "port: metrics").replace(
        "[vllm, nim]", "[nvidia-dcgm-exporter]"
    )
    (target,) = pages(pod("dcgm-x", namespace="gpu-operator", **DCGM), monitor(text)).targets
    assert target.role == "exporter"


@pytest.mark.parametrize("by", [{}, {"annotations": {"prometheus.io/scrape": "true"}}], ids=["known", "annotated"])
def test_a_tenants_dcgm_exporter_is_not_believed(by: dict[str, Any]) -> None:
    item = pod("dcgm-x", namespace="tenant", **DCGM, **by)
    found = pages(item)
    assert found.targets == ()
    assert "add the namespace to discovery.kubernetes.exporterNamespaces" in found.notes[0]
    assert len(urls(item, exporterNamespaces=["tenant"])) == 1
    assert len(urls(item, exporterNamespaces=["*"])) == 1
    told = {"namespaces": ["tenant"], "port": "metrics", "role": "exporter"}
    assert pages(item, pages=[told]).targets[0].role == "exporter"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        pytest.param({"namespaces": ["Bad_Name"]}, "namespaces.0", id="namespace"),
        pytest.param({"monitors": ["Probe"]}, "monitors.0", id="an-unknown-kind"),
        pytest.param({"pages": [{"port": 0}]}, "pages.0.port", id="port"),
        pytest.param({"pages": [{"path": "m"}]}, "pages.0.path", id="path"),
        pytest.param({"pages": [{"selector": {"app": "x"}}]}, "pages.0.selector", id="selector"),
        pytest.param({"nameSpaces": []}, "nameSpaces", id="a-misspelled-field"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused_at_their_field(settings: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        KubernetesSettings.model_validate(settings)
    assert ".".join(str(part) for part in caught.value.errors()[0]["loc"]).startswith(field)
